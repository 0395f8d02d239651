"""The same particles under SGD, Langevin dynamics and a Nose-Hoover chain: one potential, one set of data sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn

import mdnet as md
from integrators import BAOAB, SGD, Integrator, Splitting
from mdnet.experiments.data_averaging import digits
from mdnet.experiments.data_averaging.models import Floats, Model, sampled
from mdnet.experiments.data_averaging.thermostat_reading import (
    CHAIN,
    DESCENT,
    LANGEVIN,
    Steady,
    folder_of,
    read,
)
from mdnet.experiments.free_energy.temperature_problems import Span
from mdnet.experiments.ideal_gas.method import Radial
from mdnet.simulation import finish
from thermostats import Langevin, NoseHooverChain

_NOISE = 8  # minibatches from which their noise is measured at a look
_WIDTH, _TRAIN = 16, 400


@dataclass(frozen=True, eq=False)
class Problem:
    """A model with the ladder of its thermostats, and how long each kind of run is.

    U is the mean loss with the prior decay theta^2/2, for SGD as for the thermostats. SGD goes by the model's rates,
    which are one number, and batches. The thermostats are at `temperatures` (n,), with the time step `dt`, the friction
    of Langevin dynamics and the `tau` of chains of `links`, one for each parameter. `thorough`: every so many looks the
    configurational temperature and the noise are measured. `minimise`: steps and rate of Adam, from whose minima all
    start, at every temperature: from random weights the fall of U is thousands of T, and chains have no friction.
    """

    model: Model
    temperatures: tuple[float, ...]
    descent: Span
    thermal: Span
    dt: float
    friction: float
    tau: float
    links: int
    thorough: int
    minimise: tuple[int, float]


@dataclass(frozen=True)
class Where:
    """Where runs are written, with what seed, and whether they replace others."""

    folder: Path
    seed: int
    overwrite: bool
    progress: bool


def network() -> nn.Sequential:
    """Return 64-16-10 with tanh: smooth, so that U has a Laplacian."""
    return nn.Sequential(nn.Linear(digits.PIXELS, _WIDTH), nn.Tanh(), nn.Linear(_WIDTH, digits.CLASSES))


PROBLEM = Problem(
    Model(
        "thermostats", f"Digits with {digits.NOISE:.0%} label noise, {_TRAIN} rows, 64-16-10", network, digits.noisy,
        rates=(0.1,) * 7, batch=(64, 32, 16, 8, 4, 2, 1), train=_TRAIN, test=1797 - _TRAIN, decay=5e-3,
    ),
    temperatures=(1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
    descent=Span(5_000, 40, 100), thermal=Span(1_000, 40, 40),
    dt=0.3, friction=0.1, tau=6.0, links=3, thorough=5, minimise=(2_500, 0.003),
)  # fmt: skip


class Runs:
    """Runs each method from the same minima on the same rows: replica = temperature x splits + data set."""

    def __init__(self, problem: Problem, where: Where) -> None:
        self.problem, self.where = problem, where
        self.train, self.test = sampled(problem.model, "split", where.seed)
        bare = self.particles(1)
        steps, rate = problem.minimise
        self.start = md.minimise(
            bare, bare.positions(where.seed), steps, rate, progress=where.progress
        )  # (splits, dof)

    def descent(self) -> Steady:
        """Run SGD at T = rate/batch, on minibatches drawn with replacement."""
        model, n = self.problem.model, len(self.problem.model.rates)
        system = self.particles(n)
        batches = torch.tensor(model.batches.tolist()).repeat_interleave(model.splits)
        rates = self._column(model.rates)
        looks = self._rarely(self.problem.descent, 1)  # not with the Laplacian: both tell |grad U|^2
        method = SGD(system.minibatch(batches), rates)
        return self._run(system, method, DESCENT, model.temperatures, [md.NoiseLevel(looks, batches=_NOISE)])

    def langevin(self, name: str = LANGEVIN) -> Steady:
        """Run BAOAB on all rows with friction and noise."""
        return self._thermal(lambda t: Langevin(t, self.problem.friction), name)

    def chain(self) -> Steady:
        """Run BAOAB on all rows with a chain for each parameter.

        One for all, or for a layer, holds a sum of many kinetic energies, and leaves modes apart that hardly couple.
        """

        def bath(t: Tensor) -> NoseHooverChain:
            return NoseHooverChain(t, self.problem.tau, links=self.problem.links, order=1, group="massive")

        return self._thermal(bath, CHAIN)

    def _thermal(self, bath: Callable[[Tensor], Langevin | NoseHooverChain], name: str) -> Steady:
        problem = self.problem
        system = self.particles(len(problem.temperatures))
        method = Splitting(BAOAB, system.force, problem.dt, bath(self._column(problem.temperatures)))
        return self._run(system, method, name, np.asarray(problem.temperatures), [])

    def particles(self, n: int) -> md.ParticleSystem:
        """Return the particles of all data sets at n temperatures."""
        model = self.problem.model
        inputs, targets = model.data()
        return md.ParticleSystem(
            model.network(), model.loss, inputs, targets, replicas=n * model.splits, index=self.train.repeat(n, 1),
            prior=md.GaussianPrior(1 / model.decay), dtype=model.dtype,
        )  # fmt: skip

    def _run(
        self, system: md.ParticleSystem, method: Integrator, name: str, temperatures: Floats,
        reporters: list[md.NoiseLevel],
    ) -> Steady:  # fmt: skip
        model, where, n = self.problem.model, self.where, len(temperatures)
        span = self.problem.descent if name == DESCENT else self.problem.thermal
        inputs, targets = model.data()
        data = {part: (inputs[rows.repeat(n, 1)], targets[rows.repeat(n, 1)]) for part, rows in self._parts.items()}
        scores = md.Evaluate(data, {"accuracy": md.accuracy}, every=span.looks, per_replica=True)
        place = where.folder / folder_of(name)
        simulation = md.Simulation(
            system, method, positions=self.start.repeat(n, 1), seed=where.seed + crc32(name.encode()), output=place,
            overwrite=where.overwrite, parameters={"sweep": self._described(name, temperatures)},
            reporters=[
                md.Scalars(span.looks), scores, Radial(span.looks), *reporters,
                md.ConfigurationalTemperature(self._rarely(span, 0), probes=1),
            ],
        )  # fmt: skip
        finish(simulation, span.steps, progress=where.progress)
        return read(place, model, temperatures, system.dof)

    @property
    def _parts(self) -> dict[str, Tensor]:
        return {"train": self.train, "test": self.test}

    def _rarely(self, span: Span, first: int) -> md.At:
        return md.At(span.looks.steps[first :: self.problem.thorough])

    def _column(self, values: Sequence[float]) -> Tensor:
        """Values (n,) for all replicas (n x splits, 1)."""
        return torch.as_tensor(values, dtype=torch.float64).repeat_interleave(self.problem.model.splits)[:, None]

    def _described(self, name: str, temperatures: Floats) -> dict[str, Any]:
        """What the file remembers of every replica."""
        model, n = self.problem.model, len(temperatures)
        sgd = {"rate": model.rates, "batch": model.batches.tolist()} if name == DESCENT else {}
        columns = {"temperature": temperatures, **sgd}
        seeds = [self.where.seed + split for split in range(model.splits)] * n
        by_replica = {key: np.repeat(values, model.splits).tolist() for key, values in columns.items()}
        return {**by_replica, "seed": seeds, "variant": name, "sampling": "split"}
