"""Rank correlations with the temperature, and how the scatter of losses follows the test loss."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr

from trajectories.averaging.curve import middle, reach, weights
from trajectories.sgd.table import Floats
from trajectories.statistics import Estimate

_EXACT = 8  # values whose permutations are all tried


class Trend(NamedTuple):
    """Spearman's rank correlation, the two-sided p of no dependence, and where 95 % of paired resamples lie."""

    rho: float
    p: float
    interval: tuple[float, float]


class Scatter(NamedTuple):
    """sigma_l against the loss over all runs: Pearson's correlation with its 95 % interval, and a line.

    sigma_l = intercept + slope x loss.
    """

    correlation: float
    interval: tuple[float, float]
    slope: Estimate
    intercept: Estimate


def trend(x: ArrayLike, y: ArrayLike, *, resamples: int = 400, seed: int = 0) -> Trend:
    """Return Spearman's rank correlation of x (n,) with the means of y (n, splits) over data sets.

    p is exact, over all permutations, of up to eight values, and Student's t of n - 2 beyond. The interval is that of
    paired resamples of whole data sets. Noise only lowers a rank correlation, and resamples have more of it than the
    mean curve, so that the interval errs towards zero: it is careful with the claim that there is a trend. Rows with a
    value that is not finite are left out; of fewer than three rows, or where x or y is constant, all is nan.

    Raises ValueError for shapes that do not fit.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.ndim != 1 or b.ndim != 2 or len(a) != len(b):
        raise ValueError(f"x {a.shape} and y {b.shape} must be (n,) and (n, splits)")
    kept = np.isfinite(a) & np.isfinite(b).all(axis=-1)
    a, b = a[kept], b[kept]
    if len(a) < 3:
        return Trend(np.nan, np.nan, (np.nan, np.nan))
    ranks = _ranks(a)
    rho = float(rank_correlation(ranks, b.mean(axis=-1)))
    drawn = rank_correlation(ranks, weights(b.shape[1], resamples, seed) @ b.T)
    return Trend(rho, _chance(ranks, _ranks(b.mean(axis=-1)), rho), middle(drawn))


def rank_correlation(x: Floats, y: Floats) -> Floats:
    """Return Spearman's rank correlation (...) of x (n,) with each of y (..., n); nan where either is constant."""
    first = _ranks(x) - (len(x) + 1) / 2
    second = _ranks(y) - (len(x) + 1) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(second @ first / np.sqrt(np.square(first).sum() * np.square(second).sum(axis=-1)))


def scatter_of_loss(loss: ArrayLike, deviation: ArrayLike, *, resamples: int = 400, seed: int = 0) -> Scatter:
    """Return how sigma_l (n, splits) goes with the loss (n, splits), every run a point.

    sigma_l is the standard deviation of the loss over the examples of a data set. The interval of the correlation is
    that of Fisher's z = artanh r, Student's t of splits - 1 standard errors from paired resamples of whole data sets;
    so are the errors of the line. Runs where either is not finite leave out their temperature.

    Raises ValueError for shapes that do not fit.
    """
    x, y = np.asarray(loss, dtype=np.float64), np.asarray(deviation, dtype=np.float64)
    if x.ndim != 2 or x.shape != y.shape:
        raise ValueError(f"loss {x.shape} and deviation {y.shape} must both be (n, splits)")
    kept = np.isfinite(x + y).all(axis=-1)
    if kept.sum() < 3:
        nothing = Estimate(np.nan, np.nan)
        return Scatter(np.nan, (np.nan, np.nan), nothing, nothing)
    x, y = x[kept], y[kept]
    shift = float(x.mean()), float(y.mean())
    u, v = x - shift[0], y - shift[1]
    moments = np.stack([np.mean(one, axis=0) for one in (u, v, u * u, v * v, u * v)])  # (5, splits)
    found = _line(moments.mean(axis=-1), *shift)
    drawn = _line(moments @ weights(x.shape[1], resamples, seed).T, *shift).T
    half = reach(drawn, x.shape[1]) if len(drawn) else np.full(3, np.nan)
    z, slope, intercept = found.tolist()
    errors = drawn[:, 1:].std(axis=0, ddof=1) if len(drawn) else half[1:]
    low, high = np.tanh([z - half[0], z + half[0]]).tolist()
    return Scatter(
        float(np.tanh(z)), (low, high), Estimate(slope, float(errors[0])), Estimate(intercept, float(errors[1]))
    )


def _line(moments: Floats, x: float, y: float) -> Floats:
    """Fisher's z, slope and intercept (3, ...) from moments (5, ...) about the point (x, y)."""
    mean_x, mean_y, xx, yy, xy = moments
    with np.errstate(divide="ignore", invalid="ignore"):
        cov, var = xy - mean_x * mean_y, xx - mean_x**2
        slope = cov / var
        z = np.arctanh(np.clip(cov / np.sqrt(var * (yy - mean_y**2)), -1, 1))
    return np.stack([z, slope, y + mean_y - slope * (x + mean_x)])


def _ranks(values: Floats) -> Floats:
    """Ranks (..., n) from 1, equal values the mean of theirs."""
    below = (values[..., None] > values[..., None, :]).sum(axis=-1)
    equal = (values[..., None] == values[..., None, :]).sum(axis=-1)
    return np.asarray(below + (equal + 1) / 2)


def _chance(first: Floats, second: Floats, rho: float) -> float:
    """The two-sided p of a rank correlation that is none."""
    n = len(first)
    if not np.isfinite(rho):
        return np.nan
    if n > _EXACT:
        with np.errstate(divide="ignore"):
            return float(2 * stdtr(n - 2, -np.abs(rho) * np.sqrt((n - 2) / np.float64(1 - rho**2))))
    centred = second - second.mean()
    every = centred[_permutations(n)] @ (first - first.mean())
    return float(np.mean(np.abs(every) >= np.abs(centred @ (first - first.mean())) - 1e-9))


@lru_cache(maxsize=_EXACT)
def _permutations(n: int) -> np.ndarray[tuple[int, int], np.dtype[np.intp]]:
    return np.array(list(itertools.permutations(range(n))), dtype=np.intp)
