"""The steady value of every run, medians of its last looks without spikes, and which runs were not steady yet."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.sgd.drift import drift
from trajectories.sgd.table import Floats, Values, over_seeds

SPIKE = 5.0  # median absolute deviations
_LEVEL = 0.005  # of all temperatures together, and again of all runs, as in `drift`
_FEWEST = 2.0  # independent looks
_ROUNDED = 0.5  # steps: how far a look may be off the fraction that it was planned at


class Stationarity(NamedTuple):
    """Which temperatures were still on their way: `flags` (n,), and by how much.

    `change` (n,): of the straight line in ln t over the looks, relative to their mean, with its error over data sets.
    """

    flags: NDArray[np.bool_]
    change: Values


def steady(
    steps: ArrayLike,
    values: ArrayLike,
    last: int = 50,
    *,
    ends: ArrayLike | None = None,
    settled: float | None = None,
    spikes: Literal["up", "down"] = "up",
) -> Floats:
    """Return the median (n, splits) of the last looks at values (samples, n, splits) at steps (samples,), less spikes.

    A look is a spike, and left out, where it exceeds the median of the looks by more than 5 median absolute deviations
    (as they are, without a factor for normal noise): above it for a loss, below it ("down") for an accuracy.
    `ends` (n,): the last step that counts at each temperature, for runs that go on while others are not done.
    `settled`: the looks in this share of each run, at its end, in place of the last `last`: where runs of other lengths
    share a file, the last looks are not the same part of each. A run with a look that is not finite has diverged, and
    its value is nan.

    Raises ValueError for shapes that do not fit, an unknown `spikes`, and fewer looks than `last` or none in the share.
    """
    if spikes not in ("up", "down"):
        raise ValueError(f'spikes = {spikes!r} must be "up" (of losses) or "down" (of accuracies)')
    sign = 1.0 if spikes == "up" else -1.0
    rows = [_median(sign * looks) for _, looks in _windows(steps, values, last, ends, settled)]
    return np.stack(rows) * sign


def stationarity(
    steps: ArrayLike,
    values: ArrayLike,
    last: int = 50,
    *,
    ends: ArrayLike | None = None,
    settled: float | None = None,
) -> Stationarity:
    """Flag temperatures whose runs were under-trained: their last looks still drift in ln t.

    Looks are those of `steady`, spikes included. By `trajectories.sgd.drift`: a temperature is flagged where the slope
    that its data sets share differs from zero at .005/n, or that of one run at .005/(n splits), or where a run has
    fewer than two independent looks, or one that is not finite. A flag says that a change is seen, `change` how large
    it is. A run whose rate falls to zero is never stationary; its flags mean nothing.

    Raises ValueError as `steady`, and for fewer than eight looks.
    """
    flags, changes, windows = [], [], _windows(steps, values, last, ends, settled)
    for at, looks in windows:
        found = drift(at, looks[:, None])
        runs = np.all((found.p >= _LEVEL / (len(windows) * found.p.size)) & (found.independent >= _FEWEST))
        flags.append(not runs or bool(found.common[0] < _LEVEL / len(windows)))
        log = np.log(at) - np.log(at).mean()
        with np.errstate(divide="ignore", invalid="ignore"):
            changes.append(np.ptp(log) * (log @ looks) / np.square(log).sum() / looks.mean(axis=0))
    return Stationarity(np.array(flags), over_seeds(np.stack(changes)))


def _windows(
    steps: ArrayLike, values: ArrayLike, last: int, ends: ArrayLike | None, settled: float | None
) -> list[tuple[Floats, Floats]]:
    """The steps and the values (looks, splits) of the looks that count at each temperature, after step 0."""
    t, array = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if array.ndim != 3 or t.shape != array.shape[:1]:
        raise ValueError(f"steps {t.shape} and values {array.shape} must be (samples,) and (samples, n, splits)")
    stop = np.full(array.shape[1], np.inf) if ends is None else np.asarray(ends, dtype=np.float64)
    if stop.shape != array.shape[1:2]:
        raise ValueError(f"ends {stop.shape} must be ({array.shape[1]},): the last step of each temperature")
    found = []
    for k, end in enumerate(stop):
        rows = np.flatnonzero((t > 0) & (t <= end))
        if settled is not None:
            rows = rows[t[rows] - (1 - settled) * min(end, t[-1]) > _ROUNDED]
            if not len(rows):
                raise ValueError(f"settled = {settled:g}: there is no look in this share of run {k + 1} by temperature")
        elif not 0 < last <= len(rows):
            raise ValueError(
                f"last = {last} of {len(rows)} looks after step 0 at temperature number {k + 1}: give 1 to as many as "
                "there are"
            )
        else:
            rows = rows[-last:]
        found.append((t[rows], array[rows, k]))
    return found


def _median(looks: Floats) -> Floats:
    """The median (splits,) of looks (last, splits) that are no upward spikes; nan where one is not finite."""
    finite = np.isfinite(looks).all(axis=0)
    looks = np.where(finite, looks, 0.0)
    middle = np.median(looks, axis=0)
    deviation = np.median(np.abs(looks - middle), axis=0)
    kept = np.where(looks > middle + SPIKE * deviation, np.nan, looks)
    return np.where(finite, np.nanmedian(kept, axis=0), np.nan)
