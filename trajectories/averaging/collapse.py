"""Whether runs of one temperature T = lr/B but other rates and batches agree: how far their curves lie apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from trajectories.averaging.curve import Curve, Name, known, middle, weights
from trajectories.averaging.trends import Trend, rank_correlation
from trajectories.sgd.table import Floats, Values, over_seeds
from trajectories.statistics import Estimate

_MOST = 8  # curves: the permutations of their ranks are all tried


@dataclass(frozen=True, eq=False)
class Collapse:
    """How far K curves lie apart at equal T, relative to their common mean.

    `deviation` (K, n): of each curve at each temperature, with errors over data sets; `largest`: that of the largest
    size. `spread`: standard deviation of the curves about their mean over all temperatures, less what noise adds, 0 for
    curves that fall together, with its 95 % `interval`. `change`: from the first curve to the last, of the line through
    the order of the curves; `trend`: the rank correlation with that order, averaged over data sets, with exact p;
    `ordered`: the share of temperatures at which each mean lies on the trend's side of the one before.
    """

    temperatures: Floats
    deviation: Values
    largest: Estimate
    spread: float
    interval: tuple[float, float]
    change: Estimate
    trend: Trend
    ordered: float


def collapse(curves: Sequence[Curve], of: Name = "test", *, resamples: int = 400, seed: int = 0) -> Collapse:
    """Compare curves of different rates and batches at the same temperatures, in the order of their rates.

    All curves have the same data sets, which pairs them: what a data set adds to all of them cancels. The trend ranks
    the curves by their mean deviation over temperatures within each data set; its p is that of all orders alike, exact
    (Page's test, two-sided). Temperatures at which some value is not finite are left out.

    Raises ValueError for fewer than two curves or more than eight, temperatures or data sets that differ, one data set,
    or no temperature at which all values are finite.

    Reference: Page, J. Am. Stat. Assoc. 58, 216 (1963).
    """
    values = _tables(curves, of)  # (K, n, splits)
    points = np.logical_and.reduce([known(table) for table in values])
    if not points.any():
        raise ValueError(f"{of} is not finite at any temperature for all curves and data sets: nothing to compare")
    values, temperatures = values[:, points], curves[0].temperatures[points]
    apart = (values - values.mean(axis=0)) / values.mean(axis=(0, 2))[:, None]
    deviation = over_seeds(apart)
    k, i = np.unravel_index(np.argmax(np.abs(deviation.value)), deviation.value.shape)
    largest = Estimate(float(deviation.value[k, i]), float(deviation.error[k, i]))
    spread, interval = _spread(apart)
    order = np.arange(len(values), dtype=np.float64)
    by_split = apart.mean(axis=1)  # (K, splits)
    centred = order - order.mean()
    change = over_seeds(centred @ by_split / np.square(centred).sum() * np.ptp(order))
    ranks = rank_correlation(order, by_split.T)
    rho = float(ranks.mean())
    trend = Trend(rho, _chance(order, by_split), middle(weights(len(ranks), resamples, seed) @ ranks))
    steps = np.diff(values.mean(axis=-1), axis=0) * np.sign(rho)
    moved = Estimate(float(change.value), float(change.error))
    return Collapse(temperatures, deviation, largest, spread, interval, moved, trend, float((steps > 0).all(0).mean()))


def _tables(curves: Sequence[Curve], of: Name) -> Floats:
    if not 2 <= len(curves) <= _MOST:
        raise ValueError(f"{len(curves)} curves: give 2 to {_MOST}, of the same temperatures by other rates")
    first = curves[0]
    for one in curves:
        alike = one.temperatures.shape == first.temperatures.shape and np.allclose(
            one.temperatures, first.temperatures, rtol=1e-6, atol=0
        )
        if not alike or one.splits != first.splits:
            raise ValueError(
                f"T = {one.temperatures.tolist()} of {one.splits} data sets and {first.temperatures.tolist()} of "
                f"{first.splits}: curves are compared at the same temperatures and on the same data sets"
            )
    if first.splits < 2:
        raise ValueError("curves of one data set: how far they lie apart takes two or more")
    return np.stack([one.table(of) for one in curves])


def _spread(apart: Floats) -> tuple[float, tuple[float, float]]:
    """The spread of curves from deviations (K, n, splits): its square is unbiased, with the jackknife's error."""
    splits = apart.shape[-1]
    square = _square(apart)
    if splits < 3:
        return float(np.sqrt(max(square, 0.0))), (np.nan, np.nan)
    left = np.array([_square(np.delete(apart, s, axis=-1)) for s in range(splits)])
    half = stdtrit(splits - 1, 0.975) * np.sqrt((splits - 1) * np.square(left - left.mean()).mean())
    low, value, high = np.sqrt(np.maximum([square - half, square, square + half], 0.0)).tolist()
    return value, (low, high)


def _square(apart: Floats) -> float:
    """The mean square between curves, without that of the noise of the means."""
    mean, error = over_seeds(apart)
    return float((np.square(mean) - np.square(error)).mean() * len(apart) / (len(apart) - 1))


def _chance(order: Floats, by_split: Floats) -> float:
    """The two-sided p that the data sets, each with any order of its curves, agree with `order` so well."""
    ranks = by_split.argsort(axis=0).argsort(axis=0)
    found = int((order @ ranks).sum())
    places = np.arange(len(order))
    one = np.bincount([int(places @ np.array(each)) for each in itertools.permutations(places)]).astype(np.float64)
    one, every = one / one.sum(), np.ones(1)
    for _ in range(by_split.shape[1]):
        every = np.convolve(every, one)
    values = np.arange(len(every))
    middle_ = (values * every).sum()
    return float(min(1.0, every[np.abs(values - middle_) >= abs(found - middle_) - 1e-6].sum()))
