"""SGD on many data sets drawn alike: temperatures x data sets are the replicas of a run, paired in rows and starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from integrators import SGD, Integrator, Phase
from mdnet.cadence import At
from mdnet.experiments.data_averaging.models import SETTLED, Floats, Model, sampled, variant
from mdnet.schedules import Schedule
from mdnet.simulation import Simulation, finish
from mdnet.system import ParticleSystem
from trajectories.averaging.reading import DEVIATION

_APART = 1_000_003  # between the noise of temperatures that run one by one
_STAGES = 100  # of a falling learning rate


@dataclass(frozen=True, eq=False)
class QuarterCosine:
    """rate cos(pi t/(2 end)) of each replica, t the last multiple of `every` steps, held from the last before its end.

    `rates` (replicas, 1), `ends` (replicas,) steps. Raises ValueError where a replica ends within `every` steps.
    """

    rates: Tensor
    ends: tuple[int, ...]
    every: int = 1

    def __post_init__(self) -> None:
        if min(self.ends) <= self.every:
            raise ValueError(
                f"every = {self.every}: a run of {min(self.ends)} steps has no stage to fall by; take less"
            )

    def __call__(self, step: int) -> Tensor:
        """Return the rates (replicas, 1) during `step`."""
        t = step - step % self.every
        part = [min(t, (end - 1) // self.every * self.every) / end for end in self.ends]
        return self.rates * torch.tensor([cos(pi / 2 * x) for x in part], dtype=self.rates.dtype)[:, None]


class Scores:
    """Loss and accuracy of every replica on its own training and test rows, and sigma_l on its test rows.

    As "potential_energy", "train/accuracy", "test/loss", "test/loss_sd" and "test/accuracy", each (replicas,)
    float64; sigma_l is the standard deviation of the loss of one row. `rows`: "train" and "test" (replicas, n), which
    of `inputs` and `targets` each sees. `every`: when. `block`: rows at once, by default all; BatchNorm takes the
    statistics of these.
    """

    def __init__(
        self, rows: Mapping[str, Tensor], inputs: Tensor, targets: Tensor, every: At, block: int | None
    ) -> None:
        self.rows, self.inputs, self.targets, self.every, self.block = dict(rows), inputs, targets, every, block

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """Remember the system."""
        self.system = system

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Return what the networks score."""
        train = self._each(phase.q, self.rows["train"])
        test = self._each(phase.q, self.rows["test"])
        return {
            "potential_energy": train[:, 0], "train/accuracy": train[:, 2],
            "test/loss": test[:, 0], DEVIATION: test[:, 1], "test/accuracy": test[:, 2],
        }  # fmt: skip

    def _each(self, q: Tensor, rows: Tensor) -> Tensor:
        """Mean and standard deviation of the loss, and the accuracy, (replicas, 3)."""
        with torch.no_grad():
            output = torch.stack([self._output(one, own) for one, own in zip(q, rows, strict=True)]).double()
        targets = self.targets[rows]
        loss = torch.vmap(torch.vmap(self.system.loss))(output[:, :, None], targets[:, :, None])  # (replicas, n)
        right = (output.argmax(-1) == targets).double()
        return torch.stack([loss.mean(1), loss.std(1), right.mean(1)], dim=1)

    def _output(self, q: Tensor, rows: Tensor) -> Tensor:
        """What one network (dof,) says of its rows (n, outputs): one by one they stay in the cache."""
        weights, network = self.system.table.unflatten(q), self.system.network
        parts = torch.split(rows, self.block or len(rows))
        return torch.cat([functional_call(network, weights, (self.inputs[part],)) for part in parts])


def sweep(
    model: Model,
    folder: Path,
    *,
    name: str = "sgd",
    sampling: str = "split",
    seed: int = 0,
    device: str = "cpu",
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
) -> list[Path]:
    """Run theta <- theta - rate (g_B + decay theta) for all temperatures and data sets; return the files' folders.

    With momentum mu the step is rate v, v <- mu v + g_B + decay theta; with a cosine it is rate cos(pi t/(2 t_f)), t_f
    the temperature's own number of steps. Batches are drawn with replacement, each replica its own. A data set has
    the same rows and the same start at all temperatures. Replica = temperature x splits + data set, and
    /parameters/sweep says which is which. `name`: of VARIANTS. `seed`: of the first data set, the starts and the noise.

    With `resume` it goes on where it was stopped or killed, and begins what has not begun.

    Raises ValueError for an unknown variant or sampling, OutputExistsError where a run is there and may not be
    replaced, KeyboardInterrupt where a signal has stopped it.
    """
    runs = places(model, folder)
    rows = dict(zip(("train", "test"), sampled(model, sampling, seed), strict=True))
    for group, place in zip(model.groups, runs, strict=True):
        replicas = {part: each.repeat(len(group), 1) for part, each in rows.items()}
        system = particles(model, replicas["train"], device)
        inputs, targets = model.data()
        inputs, targets = inputs.to(system.device, system.dtype), targets.to(system.device)
        simulation = Simulation(
            system, _descent(model, system, group, name), positions=starts(model, system, seed),
            seed=seed + _APART * group[0],
            schedule=_schedule(model, group, name), output=place,
            overwrite=overwrite or resume,
            reporters=[Scores(replicas, inputs, targets, model.looks(group), model.block)],
            parameters={"sweep": described(model, group, seed, name, sampling)},
        )  # fmt: skip
        finish(simulation, int(model.ends[group].max()), progress=progress, resume=resume)
    return runs


def places(model: Model, folder: Path) -> list[Path]:
    """Return the folders of a model's files: the folder itself, or one in it for each temperature."""
    return [folder] if model.together else [folder / f"{place + 1:02d}" for place in range(len(model.rates))]


def particles(model: Model, train: Tensor, device: str = "cpu") -> ParticleSystem:
    """Return networks of the model, one on each set of training rows (replicas, n)."""
    inputs, targets = model.data()
    return ParticleSystem(
        model.network(), model.loss, inputs, targets, replicas=len(train), index=train, dtype=model.dtype, device=device
    )


def starts(model: Model, system: ParticleSystem, seed: int) -> Tensor:
    """Return where replicas begin (replicas, dof), drawn by the layers: a data set the same at all temperatures."""
    return system.positions(seed)[: model.splits].repeat(system.replicas // model.splits, 1)


def _descent(model: Model, system: ParticleSystem, group: list[int], name: str) -> SGD:
    """SGD at the rates and batches of the temperatures that run together."""
    sizes = np.repeat(model.batches[group], model.splits)
    force = system.minibatch(torch.as_tensor(sizes))
    return SGD(force, _rates(model, group), momentum=variant(name).momentum, weight_decay=model.decay)


def _rates(model: Model, group: list[int]) -> Tensor:
    rates: Floats = np.repeat(np.asarray(model.rates, np.float64)[group], model.splits)
    return torch.as_tensor(rates)[:, None]


def _schedule(model: Model, group: list[int], name: str) -> dict[str, Schedule]:
    if not variant(name).cosine:
        return {}
    ends = np.repeat(model.ends[group], model.splits)
    every = max(1, int(ends.min()) // _STAGES)
    return {"dt": QuarterCosine(_rates(model, group), tuple(ends.tolist()), every)}


def described(model: Model, group: list[int], seed: int, name: str, sampling: str) -> dict[str, Any]:
    """Return what a file says of its replicas, each list (replicas,); `end`: the step at which each is through."""
    by_temperature = {
        "rate": np.asarray(model.rates, np.float64),
        "batch": model.batches,
        "temperature": model.temperatures,
        "end": model.ends,
    }
    return {
        **{key: np.repeat(values[group], model.splits).tolist() for key, values in by_temperature.items()},
        "seed": list(range(seed, seed + model.splits)) * len(group),
        "decay": model.decay,
        "settled": SETTLED,
        "variant": name,
        "sampling": sampling,
        "model": model.name,
    }
