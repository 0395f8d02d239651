"""The temperature of the least test loss, with its interval, and how far below the ends of the range it lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from trajectories.averaging.curve import Curve, known, reach, weights
from trajectories.sgd.table import Floats
from trajectories.statistics import Estimate

_GRID = 401
_ORDER = 4  # of the local cubic: coefficients


@dataclass(frozen=True, eq=False)
class Optimum:
    """The best temperature of a curve, its 95 % `interval` (within the range measured), and what it gains.

    `value`: the test loss (or accuracy) at the measured temperature nearest to it; `depth`: by how much that is better
    than at the lowest temperature, relative to it, and `rise` than at the highest; `interior`: whether the optimum lies
    inside the range and is better than both ends, each at the 5 % level, one-sided. `by_split` (splits,): the value of
    each data set, to be paired with those of another curve. `reason`: why there is none, or "".
    """

    temperature: float
    interval: tuple[float, float]
    value: Estimate
    depth: Estimate
    rise: Estimate
    interior: bool
    by_split: Floats
    reason: str = ""


def optimum(
    curve: Curve,
    of: Literal["test", "test_accuracy"] = "test",
    *,
    width: float = 0.7,
    resamples: int = 400,
    seed: int = 0,
) -> Optimum:
    """Return the temperature of the least test loss, or the largest test accuracy, of a curve smoothed in ln T.

    The smoothed curve is a local cubic, since a local quadratic shifts the optimum of a lopsided curve, with a Gaussian
    kernel of standard deviation `width` in ln T, or of the largest step in ln T where that is more. The interval is
    that of ln T: Student's t of splits - 1 standard errors from paired resamples of whole data sets; it does not hold
    what happens between temperatures that are too few. Value, depth and rise are neither smoothed nor too good by
    selection: each data set counts as measured at the temperature nearest to the best of all the others. That is never
    better on average than the true optimum. Their errors are over data sets.

    Temperatures at which a data set has no finite value are left out; of fewer than four nothing is told.

    Raises ValueError for a width that is not positive, and a table that there is not.
    """
    if not width > 0:
        raise ValueError(f"width = {width} must be positive: it is that of the kernel in ln T")
    sign = 1.0 if of == "test" else -1.0
    table = curve.table(of)
    points = known(table)
    if points.sum() < _ORDER:
        nothing, blank = Estimate(np.nan, np.nan), np.full(curve.splits, np.nan)
        why = f"{points.sum()} temperatures with finite values: four or more are wanted"
        return Optimum(np.nan, (np.nan, np.nan), nothing, nothing, nothing, False, blank, why)
    log, y = np.log(curve.temperatures[points]), sign * table[points]
    axis = np.linspace(log[0], log[-1], _GRID)
    smooth = _smoother(axis, log, width) @ y  # (grid, splits)
    best = float(_least(axis, smooth.mean(axis=-1)[:, None])[0])
    drawn = _least(axis, smooth @ weights(curve.splits, resamples, seed).T)
    half = float(reach(drawn[:, None], curve.splits)[0]) if len(drawn) else np.nan
    low, high = np.exp(np.clip([best - half, best + half], log[0], log[-1])).tolist()
    own = _left_out(y, smooth, np.argmin(np.abs(np.subtract.outer(axis, log)), axis=1))
    depth, deep = _below(y[0], own, sign)
    rise, high_too = _below(y[-1], own, sign)
    inside = bool(axis[0] < best < axis[-1] and deep and high_too)
    return Optimum(float(np.exp(best)), (low, high), _mean(sign * own), depth, rise, inside, sign * own)


def _smoother(axis: Floats, log: Floats, width: float) -> Floats:
    """The matrix (grid, n) of a local cubic through values at ln T `log` (n,), read at `axis` (grid,)."""
    away = np.subtract.outer(axis, log) / max(width, float(np.diff(log).max()))
    design = away[..., None] ** np.arange(_ORDER)  # (grid, n, order)
    weighted = np.exp(-np.square(away) / 2)[..., None] * design
    normal = np.einsum("gni,gnj->gij", weighted, design)
    return np.asarray(np.linalg.solve(normal, weighted.transpose(0, 2, 1))[:, 0])


def _least(axis: Floats, smooth: Floats) -> Floats:
    """Where each of the curves (grid, curves) is least: a parabola through the least of the grid and its neighbours."""
    k = np.argmin(smooth, axis=0)
    inner, column = np.clip(k, 1, len(axis) - 2), np.arange(smooth.shape[1])
    before, here, after = (smooth[inner + j, column] for j in (-1, 0, 1))
    bend = before - 2 * here + after
    shift = np.where((inner == k) & (bend > 0), 0.5 * (before - after) / np.where(bend > 0, bend, 1.0), 0.0)
    return np.asarray(axis[k] + shift * (axis[1] - axis[0]))


def _left_out(y: Floats, smooth: Floats, nearest: NDArray[np.intp]) -> Floats:
    """What y (n, splits) is for each data set at the temperature `nearest` (grid,) to the best of all the others."""
    splits = y.shape[1]
    others = smooth if splits < 2 else smooth.sum(axis=1, keepdims=True) - smooth
    return np.asarray(y[nearest[np.argmin(others, axis=0)], np.arange(splits)])


def _below(end: Floats, best: Floats, sign: float) -> tuple[Estimate, bool]:
    """By how much `best` (splits,) lies below `end`, relative to it, and whether that is so at the 5 % level."""
    splits, scale = len(end), float(end.mean())
    gain = float((end - best).mean())
    relative = gain / scale
    if splits < 2:
        return Estimate(sign * relative, np.nan), False
    error = float((end - best).std(ddof=1) / np.sqrt(splits))
    ratio = float((end - best - relative * end).std(ddof=1) / np.sqrt(splits)) / abs(scale)
    return Estimate(sign * relative, ratio), gain > stdtrit(splits - 1, 0.95) * error


def _mean(values: Floats) -> Estimate:
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return Estimate(float(values.mean()), float(error))
