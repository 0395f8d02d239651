"""Sweeps of learning rates from the file of a run: what each replica was, its series, and its stationary values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trajectories.errors import NotRecorded
from trajectories.sgd.drift import Drift, drift
from trajectories.sgd.noise import signal_to_noise
from trajectories.sgd.table import Floats, States, Values
from trajectories.storage.reader import Trajectory

ENERGY, ENTROPY, GRADIENT, NOISE = "potential_energy", "graph_entropy", "gradient_squared", "noise_squared"


@dataclass(frozen=True, eq=False)
class Sweep:
    """What a run swept: n points times seeds, replica = point x seeds + seed.

    `rates` (n,); `points`: what else differs by point, such as "decay" and "batch", each (n,); `seeds` (seeds,);
    `protocol`: its name, "" where there is none.
    """

    rates: Floats
    points: dict[str, NDArray[Any]]
    seeds: NDArray[Any]
    protocol: str

    def split(self, values: NDArray[Any]) -> Floats:
        """Return values (..., replicas) as (..., n, seeds) float64."""
        return np.asarray(values, dtype=np.float64).reshape(*values.shape[:-1], len(self.rates), len(self.seeds))


@dataclass(frozen=True, eq=False)
class Stationary:
    """The means over the last samples of a sweep.

    `values`: of each observable of one number a replica, (n, seeds) by name; `drift`: whether the energy was still on
    its way; `since`: the step of the first sample; `dimension`: that of the space in which S was measured.
    """

    sweep: Sweep
    values: dict[str, Floats]
    drift: Drift
    since: int
    dimension: int

    def __getitem__(self, name: str) -> Floats:
        if name not in self.values:
            raise NotRecorded(f"no {name!r} was recorded since step {self.since}; there is {', '.join(self.values)}")
        return self.values[name]

    @property
    def states(self) -> States:
        """U and S by rate and seed; raises NotRecorded without an entropy, ValueError for rates that do not rise."""
        if ENTROPY not in self.values:
            raise NotRecorded(
                f"no entropy was recorded since step {self.since}; give the Simulation a GraphEntropy at late steps"
            )
        return States(self.sweep.rates, self[ENERGY], self[ENTROPY], self.dimension)

    @property
    def signal_to_noise(self) -> Values:
        """SNR of each point (n,); raises NotRecorded where gradients and their noise were not."""
        return signal_to_noise(self[GRADIENT], self[NOISE])


def sweep(run: Trajectory) -> Sweep:
    """Return what a run swept, from its parameters.

    Raises NotRecorded for a run that says nothing of a sweep, ValueError where its replicas are not in the order of
    points first, seeds second.
    """
    given = run.parameters.get("sweep", {})
    if not isinstance(given, Mapping) or not _numbers(given, "rate") or not _numbers(given, "seed"):
        raise NotRecorded(
            f"{run.path} holds no sweep of rates: it is a run with the parameters sweep = "
            '{"rate": [of each replica], "seed": [of each replica]}'
        )
    seed, points = np.atleast_1d(given["seed"]), {}
    seeds = len(np.unique(seed))
    for name, value in given.items():
        if name != "protocol":
            points[name] = np.broadcast_to(np.asarray(value), (run.replicas,)) if np.ndim(value) == 0 else value
    ordered = all(len(value) == run.replicas and run.replicas % seeds == 0 for value in points.values())
    tables = {name: np.reshape(value, (-1, seeds)) for name, value in points.items()} if ordered else {}
    if not ordered or any(np.any(t != (t[:1] if name == "seed" else t[:, :1])) for name, t in tables.items()):
        raise ValueError(
            f"{run.path}: its sweep of {run.replicas} replicas and {seeds} seeds is not ordered; replica = point x "
            "seeds + seed is wanted, with as many seeds for each point"
        )
    by_point = {name: table[:, 0] for name, table in tables.items() if name != "seed"}
    rates = np.asarray(by_point.pop("rate"), dtype=np.float64)
    return Sweep(rates, by_point, seed[:seeds], str(given.get("protocol", "")))


def _numbers(given: Mapping[str, Any], name: str) -> bool:
    return np.asarray(given.get(name, "")).dtype.kind in "iuf"


def series(run: Trajectory, names: Sequence[str] = (ENERGY, ENTROPY)) -> tuple[NDArray[Any], dict[str, Floats]]:
    """Return the steps (samples,) at which all these observables were recorded, and each (samples, n, seeds) by name.

    Raises NotRecorded where one was not, or never with the others.
    """
    found, observables = sweep(run), [run.observables[name] for name in names]
    steps = observables[0].steps
    for one in observables[1:]:
        steps = np.intersect1d(steps, one.steps)
    if not len(steps):
        raise NotRecorded(f"{', '.join(names)} were never recorded at one step; give their reporters the same steps")
    return steps, {one.name: found.split(one.values[np.searchsorted(one.steps, steps)]) for one in observables}


def stationary(run: Trajectory, last: int = 50) -> Stationary:
    """Return the mean of each observable over the last `last` samples of the energy, and whether that still drifted.

    Other observables are averaged over the samples that they have since the first of these, all samples alike: with
    log-spaced steps, late times count no more than early ones.

    Raises NotRecorded for a run without a sweep or an energy, ValueError for fewer than eight samples.
    """
    found, energy = sweep(run), run.observables[ENERGY]
    steps = energy.steps[energy.steps > 0][-last:] if last > 0 else energy.steps[:0]
    if len(steps) < max(8, last):
        raise ValueError(
            f"last = {last} of {int((energy.steps > 0).sum())} samples of the energy after step 0: eight or more are "
            "wanted, and no more than there are"
        )
    since, values = int(steps[0]), {}
    for name, one in run.observables.items():
        if one.shape[1:] != (run.replicas,) or not len(one) or one.steps[-1] < since:
            continue
        values[name] = found.split(one[int(np.searchsorted(one.steps, since)) :]).mean(axis=0)
    drifted = drift(steps, found.split(energy[len(energy) - len(steps) :]))
    measured = run.parameters.get("reporters", {}).get("GraphEntropy", {})
    dimension = int(measured.get("dimension", run.degrees_of_freedom))
    return Stationary(found, values, drifted, since, dimension)
