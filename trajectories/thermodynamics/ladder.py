"""Energies by temperature, from one run or several: what free energies, heat capacities and evidences start from."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories import statistics
from trajectories.errors import TrajectoryError
from trajectories.storage.reader import Trajectory
from trajectories.thermodynamics import tempering
from trajectories.thermodynamics.setting import equilibrated_step, fixed_temperature, settled

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ladder:
    """Samples of an energy E at temperatures T_k, where its law is exp(-E/T_k) times a density that has no T in it.

    Args:
        temperatures: (rungs,) positive and all different, in any order; they are kept rising. Infinity stands for
            1/T = 0, where samples come from that density itself (a prior).
        energies: a series for each, (samples,) or (samples, replicas), equilibrated. A replica is one independent
            run at all rungs, or one at its own rung.
        tempered: "all" where E is the whole potential energy U, "loss" where it is U without the prior's energy.

    Raises:
        ValueError: temperatures and energies do not fit together, or are not as above.
    """

    temperatures: Floats
    energies: Sequence[Floats]
    tempered: str = "all"

    def __post_init__(self) -> None:
        levels = np.asarray(self.temperatures, dtype=np.float64)
        if levels.ndim != 1 or len(levels) != len(self.energies) or not len(levels):
            raise ValueError(f"{levels.shape} temperatures, {len(self.energies)} energies: give one series for each")
        if not (levels > 0).all() or len(np.unique(levels)) < len(levels):
            raise ValueError(f"temperatures are {levels}: they must be positive and all different")
        if self.tempered not in ("all", "loss"):
            raise ValueError(f"tempered = {self.tempered!r} is unknown; allowed are 'all' and 'loss'")
        order = np.argsort(levels)
        object.__setattr__(self, "temperatures", levels[order])
        object.__setattr__(self, "energies", tuple(statistics.as_series(self.energies[k]) for k in order))

    @property
    def rungs(self) -> int:
        """The number of temperatures."""
        return len(self.temperatures)

    @property
    def betas(self) -> Floats:
        """1/T of every rung, (rungs,) falling."""
        return np.asarray(1 / self.temperatures)

    @property
    def means(self) -> Floats:
        """<E> of every rung, (rungs,)."""
        return np.array([one.mean() for one in self.energies])

    @property
    def variances(self) -> Floats:
        """Return var E of every rung, (rungs,)."""
        return np.array([one.var(ddof=1) if one.size > 1 else math.nan for one in self.energies])

    def independent(self) -> list[Floats]:
        """Return the samples of every rung that are a statistical inefficiency apart, each (samples,)."""
        apart = [np.arange(0, len(one), statistics.inefficiency(one)).astype(int) for one in self.energies]
        return [one[rows].ravel() for one, rows in zip(self.energies, apart, strict=True)]

    def needs(self, rungs: int, purpose: str) -> None:
        """Raise ValueError where there are fewer rungs."""
        if self.rungs < rungs:
            raise ValueError(f"{purpose} needs {rungs} temperatures or more; there are {self.rungs}")


def energies_by_temperature(runs: Trajectory | Iterable[Trajectory], *, start: int | None = None) -> Ladder:
    """Return the energies by temperature of runs at fixed temperatures, or whose replicas exchange these.

    Replicas at one fixed temperature, of one run or of several, are put side by side; a walk in temperature (replica
    exchange, simulated tempering) is regrouped by rung and thinned by its statistical inefficiency.

    Args:
        runs: one open trajectory or several.
        start: the first step that counts, in all runs; by default each run's own equilibration is left out
            (`statistics.equilibrated`).

    Raises:
        NotRecorded: a run holds no "potential_energy" or no "set_temperature".
        TrajectoryError: a set temperature changes by a schedule, a rung of a walk holds no sample, or one run
            tempers the loss and another the whole energy.
    """
    several = [runs] if isinstance(runs, Trajectory) else list(runs)
    if not several:
        raise ValueError("no run is given: energies by temperature need one open trajectory or more")
    rungs: dict[float, list[Floats]] = {}
    kinds: dict[str, str] = {}
    for run in several:
        walks = "tempering/rung" in run.observables
        kinds[str(tempering.parameters(run).get("tempered", "all")) if walks else "all"] = str(run.path)
        for temperature, energies in _of_walk(run, start) if walks else _of_fixed(run, start):
            rungs.setdefault(temperature, []).append(energies)
    if len(kinds) > 1:
        raise TrajectoryError(f"{kinds['loss']} tempers the loss, {kinds['all']} the whole energy: analyse them apart")
    return Ladder(np.array(list(rungs)), [_side_by_side(found) for found in rungs.values()], next(iter(kinds)))


def _of_fixed(run: Trajectory, start: int | None) -> Iterator[tuple[float, Floats]]:
    """The energies (samples, replicas) at each temperature of a run that keeps them."""
    after, levels = fixed_temperature(run, start)
    found = run.observables["potential_energy"]
    first = equilibrated_step(run, after, levels) if start is None else start
    values = statistics.as_series(found.values[found.steps >= first])
    for temperature in np.unique(levels):
        yield float(temperature), values[:, levels == temperature]


def _of_walk(run: Trajectory, start: int | None) -> Iterator[tuple[float, Floats]]:
    """The energies at each rung: (samples, ladders) of full ladders of replicas, (samples,) of others."""
    found = tempering.walk(run, start=start)
    if start is None:
        found = tempering.picked(found, slice(settled(tempering.reduced_energies(found), found.rung), None))
    apart = math.ceil(statistics.inefficiency(tempering.reduced_energies(found)))
    found = tempering.picked(found, slice(None, None, apart))
    ladders = int(found.units[-1]) + 1
    full = ladders * found.rungs == found.rung.shape[1] and ladders < found.rung.shape[1]
    for k, energies in enumerate(tempering.energies(found)):
        if not len(energies):
            raise TrajectoryError(f"rung {k} of {run.path} holds no sample; make a longer run, or a denser ladder")
        yield float(found.ladder[k]), statistics.as_series(energies.reshape(-1, ladders) if full else energies)


def _side_by_side(found: Sequence[ArrayLike]) -> Floats:
    """Several series (samples, replicas) as one; the last samples of each, as many as the shortest has."""
    series = [statistics.as_series(one) for one in found]
    shortest = min(map(len, series))
    return np.concatenate([one[len(one) - shortest :] for one in series], axis=1)
