"""The temperatures that were set in a run, and the step from which on its samples count."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories import statistics
from trajectories.errors import TrajectoryError
from trajectories.storage.observables import Observable
from trajectories.storage.reader import Trajectory

Floats = NDArray[np.float64]


class Setting(NamedTuple):
    """The set temperatures of the part of a run that counts."""

    start: int  # the first step that counts
    steps: NDArray[Any]  # (samples,)
    values: Floats  # (samples, replicas); one row where they stay

    def at(self, steps: NDArray[Any]) -> tuple[NDArray[np.bool_], Floats]:
        """Return which of the steps count, and their temperatures (that many, or 1, replicas)."""
        counts = steps >= self.start
        if len(self.values) == 1:
            return counts, self.values
        counts &= np.isin(steps, self.steps)
        return counts, self.values[np.searchsorted(self.steps, steps[counts])]

    @property
    def single(self) -> float | None:
        """The temperature, where it is one for all replicas and samples."""
        first = float(self.values[0, 0])
        return first if (self.values == first).all() else None


def series(run: Trajectory, name: str) -> Observable:
    """Return an observable with one number a replica, and one sample or more.

    Raises:
        NotRecorded: it was not recorded; TrajectoryError: it has another shape, or no sample.
    """
    found = run.observables[name]
    if not len(found) or len(found.shape) != 2:
        raise TrajectoryError(
            f"{name} of {run.path} holds {len(found)} samples of shape {found.shape[1:]}; it needs one number a replica"
        )
    return found


def fixed_temperature(run: Trajectory, start: int | None) -> tuple[int, Floats]:
    """Return the first step that counts and the temperatures (replicas,) kept from there on.

    Raises:
        NotRecorded: there is no "set_temperature"; TrajectoryError: it changes.
    """
    found = series(run, "set_temperature")
    first = int(found.steps[0]) if start is None else start
    values = np.asarray(found.values, dtype=np.float64)[found.steps >= first]
    if not len(values):
        raise TrajectoryError(f"{run.path} holds no sample from step {first} on; take an earlier start")
    final, since = _final(found)
    if (values != final).any():
        remedy = f"give start={since}, from where on it stays" if since < found.steps[-1] else "make runs at fixed ones"
        raise TrajectoryError(f"the set temperature of {run.path} changes until step {since}: {remedy}")
    if not (np.isfinite(final).all() and (final > 0).all()):
        raise TrajectoryError(f"the set temperature of {run.path} is {final.min():g}: there is no thermal distribution")
    return first, final


def setting(run: Trajectory, start: int | None = None) -> Setting:
    """Return what a run was set to: while a walk in temperature goes on all of it, else the part after a schedule.

    Args:
        run: an open trajectory.
        start: the first step that counts; by default the end of equilibration of the potential energy.

    Raises:
        NotRecorded: there is no "set_temperature"; TrajectoryError: there is no thermal distribution.
    """
    found = series(run, "set_temperature")
    if "tempering/rung" not in run.observables:
        after, final = fixed_temperature(run, _final(found)[1] if start is None else start)
        return Setting(equilibrated_step(run, after, final) if start is None else start, found.steps[:1], final[None])
    learnt = int(run.parameters["tempering"].get("learn", 0))
    first = max(learnt, int(found.steps[len(found) // 2])) if start is None else start
    kept = found.steps >= first
    if not kept.any():
        raise TrajectoryError(f"{run.path} holds no set temperature from step {first} on; take an earlier start")
    return Setting(first, found.steps[kept], np.asarray(found.values, dtype=np.float64)[kept])


def _final(found: Observable) -> tuple[Floats, int]:
    """The last set temperatures (replicas,) and the step from which on they were set."""
    changed = np.flatnonzero((found.values != found.values[-1]).any(axis=1))
    since = found.steps[changed[-1] + 1] if len(changed) else found.steps[0]
    return np.asarray(found.values[-1], dtype=np.float64), int(since)


def equilibrated_step(run: Trajectory, after: int, levels: ArrayLike = 1.0) -> int:
    """Return the step where the potential energy is equilibrated, each replica in its own units, not before `after`.

    `levels`: the temperatures, a number or (replicas,). A run without "potential_energy" counts from its middle on.
    """
    if "potential_energy" not in run.observables:
        longest = max(run.observables.values(), key=len, default=None)
        steps = run.steps if longest is None else longest.steps
        return max(after, int(steps[len(steps) // 2])) if len(steps) else after
    found = series(run, "potential_energy")
    kept = found.steps >= after
    values = statistics.as_series(found.values[kept])
    half = values[len(values) // 2 :]
    width = half.std(axis=0)
    reduced = (values - half.mean(axis=0)) / np.where(width > 0, width, 1)
    return int(found.steps[kept][settled(reduced, np.broadcast_to(levels, values.shape))])


def settled(values: Floats, levels: NDArray[Any]) -> int:
    """Return the first sample to keep of values (samples, replicas) of mean zero at every level, of the same shape.

    It is that of `statistics.equilibrated`, but no earlier than when the mean over the replicas at each level has
    crossed zero: few samples far off at the start hardly count in a correlation, but much in an average of
    exponentials. At least half of the samples stay.
    """
    crossed = 0
    for level in np.unique(levels):
        here = levels == level
        number = here.sum(axis=1)
        means = (np.where(here, values, 0.0).sum(axis=1) / np.maximum(number, 1))[number > 0]
        turns = np.flatnonzero(means * means[0] <= 0)
        first = turns[0] if len(turns) else len(means)
        crossed = max(crossed, int(np.flatnonzero(number > 0)[min(first, len(means) - 1)]))
    return max(statistics.equilibrated(values), min(crossed, len(values) // 2))
