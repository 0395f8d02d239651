"""Simmering: train a network to overfit, then heat it, and let the ensemble of its states predict.

Babayan, Aliahmadi, van Anders, "Sufficient is better than optimal for training neural networks", Nature
Communications (2025), arXiv:2410.19912. Weights are particles, the loss is the potential energy, a
Nose-Hoover chain holds the temperature, velocity Verlet integrates. *Retrofit*: minimise first, then raise
the temperature in steps to its target, and sample there. *Ab initio*: start hot at random weights, and spend
on thermal dynamics what the minimisation would have cost.

Every problem is repeated over seeds that differ in data, noise and start; all seeds are replicas of one
batched run. Each result stands beside its controls, which may spend as many gradient evaluations.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor

import mdnet as md
import trajectories
from integrators import VERLET, Splitting, Thermostat, outer
from mdnet.experiments.problems import Task
from mdnet.experiments.results import Array
from mdnet.schedules import Schedule
from mdnet.simulation import finish
from thermostats import Langevin, NoseHooverChain

Mode = Literal["retrofit", "ab-initio"]

TAU, LINKS = 0.5, 4  # of the chain
FRICTION = 1.0  # of the Langevin bath


@dataclass(frozen=True, eq=False)
class Ensemble:
    """One simmering run: what it is called, what heats it, and the temperature of its restraint (0 where free)."""

    method: str
    bath: Thermostat
    restraint: float | Tensor = 0.0

    @property
    def place(self) -> str:
        """The name of its folder: "simmering, free, Langevin bath" is in free-langevin-bath."""
        return self.method.removeprefix("simmering, ").replace(", ", "-").replace(" ", "-").lower()


def ensembles(task: Task) -> list[Ensemble]:
    """Return the runs of a problem: restrained; free; and free with a Langevin bath where that is asked for."""
    problem = task.problem
    planned = [Ensemble("simmering, restrained", chain(problem.temperature), problem.temperature)]
    if problem.free_temperature is not None:
        planned.append(Ensemble("simmering, free", chain(problem.free_temperature)))
        if problem.free_langevin:
            bath = Langevin(problem.free_temperature, FRICTION)
            planned.append(Ensemble("simmering, free, Langevin bath", bath))
    return planned


def chain(temperature: float | Tensor, links: int = LINKS) -> NoseHooverChain:
    """Return the published thermostat."""
    return NoseHooverChain(temperature, TAU, links=links)


def overfit(task: Task, restraint: float | Tensor = 0.0, *, copies: int = 1, progress: bool = True) -> Tensor:
    """Return the weights (seeds copies, dof) after Adam's descent of the loss, with a restraint where one is given."""
    system = task.particles(restraint, copies=copies)
    start = starts(task).repeat_interleave(copies, 0)
    return md.minimise(system, start, task.problem.adam_steps, task.problem.adam_rate, progress=progress)


def starts(task: Task) -> Tensor:
    """Return every seed's random weights (seeds, dof), the same for all methods."""
    return task.particles().positions(seed=task.seed)


HEATINGS: Mapping[str, Callable[[float | Tensor, int, int], Schedule]] = {
    "staircase": lambda target, stages, each: md.Staircase(target / stages, target, stages=stages - 1, every=each),
    "linear": lambda target, stages, each: md.Linear(target / stages, target, steps=(stages - 1) * each),
    "cosine": lambda target, stages, each: md.Cosine(target / stages, target, steps=(stages - 1) * each),
    "at-once": lambda target, stages, each: md.Constant(target),
}


def simmer(
    task: Task,
    run: Ensemble,
    folder: Path,
    *,
    start: Tensor,
    mode: Mode = "retrofit",
    heating: str = "staircase",
    copies: int = 1,
    overwrite: bool = False,
    progress: bool = True,
) -> Array:
    """Raise T from the start to the target, sample there, and return what the samples predict.

    `start`: the weights (seeds, dof), the same for all `copies` of a seed, or (seeds copies, dof). All of it goes into
    the file of `folder`; the predictions (samples, copies, seeds, rows, outputs) are those on the test rows at the
    target. Ab initio the target holds from the beginning, and as many steps as a retrofit spends on
    minimising and heating pass before the first sample counts.
    """
    problem, first = task.problem, sampling_from(task, mode)
    system = task.particles(run.restraint, copies=copies)
    integrator = Splitting(outer(VERLET), system.force, problem.dt, run.bath)
    schedule = HEATINGS["at-once" if mode == "ab-initio" else heating](
        target_of(run.bath), problem.stages, problem.stage_steps
    )
    train, test = (_copied(part, copies) for part in (task.data.train, task.data.test))
    metric = {"accuracy": md.accuracy} if task.classes else {"r2": md.r2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", md.UnboundedWarning)  # free runs are free on purpose
        simulation = md.Simulation(
            system, integrator, positions=start.repeat_interleave(system.replicas // len(start), 0),
            schedule={"temperature": schedule}, seed=task.seed,
            output=folder, overwrite=overwrite,
            parameters={
                "problem": vars(problem) | {"name": task.name, "mode": mode, "heating": heating, "copies": copies},
                "sampling_from_step": first,
                "test": {"inputs": test[0].numpy(), "targets": test[1].numpy(), "per_replica": True},
            },
            reporters=[
                md.Scalars(every=10),
                md.Frames(every=100),
                md.Evaluate({"train": train, "test": test}, metric, every=50, per_replica=True),
                md.Predictions(test[0], every=problem.sample_every, per_replica=True),
            ],
        )  # fmt: skip
    finish(simulation, first + problem.sample_steps, progress=progress)
    said = samples(folder, after=first)
    return np.moveaxis(said.reshape(len(said), task.seeds, copies, *said.shape[2:]), 2, 1)


def target_of(bath: Thermostat) -> float | Tensor:
    """Return the set temperature: a number, or (replicas, 1) where it differs by replica."""
    temperature: Tensor = bath.temperature  # type: ignore[attr-defined]
    return temperature.clone() if temperature.numel() > 1 else float(temperature)


def sampling_from(task: Task, mode: Mode) -> int:
    """Return the step after which samples count."""
    return task.problem.heating + (task.problem.adam_steps if mode == "ab-initio" else 0)


def samples(folder: Path, *, after: int) -> Array:
    """Read the predictions after a step back from the file: (samples, replicas, rows, outputs)."""
    with trajectories.open(folder) as run:
        series = run.observables["test/prediction"]
        return np.asarray(series.values[np.asarray(series.steps) > after])


def _copied(part: tuple[Tensor, Tensor], copies: int) -> tuple[Tensor, Tensor]:
    x, y = part
    return x.repeat_interleave(copies, 0), y.repeat_interleave(copies, 0)
