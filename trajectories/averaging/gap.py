"""The law of the generalization gap, gap(T) = (a/T + b) exp(-T/c), fitted with intervals over data sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.averaging.curve import Curve, known, reach, weights
from trajectories.sgd.table import Floats

_GRID, _ROUNDS = 96, 48
_GOLDEN = (np.sqrt(5) - 1) / 2


@dataclass(frozen=True, eq=False)
class GapLaw:
    """gap(T) = (a/T + b) exp(-T/c): its parameters, `intervals` of 95 % by name ("a", "b", "c"), and R^2.

    a has the unit of loss x T, b that of loss, c that of T. `points` (n,): temperatures that were fitted; `reason`: why
    the fit is none, or not one of this law, "" where it is; `drawn` (resamples, 3): a, b and 1/c of resampled data
    sets. The interval of c is that of 1/c, and so has no upper end (inf) where 1/c = 0 cannot be excluded.
    """

    a: float
    b: float
    c: float
    r2: float
    intervals: dict[str, tuple[float, float]]
    points: NDArray[np.bool_]
    reason: str
    drawn: Floats
    splits: int

    def at(self, temperatures: ArrayLike) -> Floats:
        """Return the gap at temperatures (m,)."""
        inverse = 1 / self.c if self.c else np.nan
        return _law(np.array([self.a, self.b, inverse]), np.asarray(temperatures, dtype=np.float64))

    def band(self, temperatures: ArrayLike) -> tuple[Floats, Floats]:
        """Return both ends (m,) of the 95 % band of the gap at temperatures (m,), at each temperature by itself."""
        t = np.asarray(temperatures, dtype=np.float64)
        middle = self.at(t)
        half = reach(_law(self.drawn[:, None, :], t), self.splits) if len(self.drawn) else np.full(t.shape, np.nan)
        return middle - half, middle + half


def fit_gap(curve: Curve, *, resamples: int = 400, seed: int = 0) -> GapLaw:
    """Fit gap(T) = (a/T + b) exp(-T/c) to the mean gaps by least squares, all temperatures alike.

    The law is linear in a and b, so that 1/c alone is searched for, from -3 over the range of T (a gap that grows; told
    as a failure) to 5 over the first step in T. R^2 is that of the means. Intervals: Student's t of splits - 1 standard
    errors from paired resamples of whole data sets, nan of one; they hold no part of what the law itself may miss.
    Temperatures at which a data set has no finite gap are left out. A fit that fails is told in `reason`, not raised.

    Reference: Gomez-Uribe, arXiv:2206.13669 (2022).
    """
    points = known(curve.gap)
    t, gap = curve.temperatures[points], curve.gap[points]
    share = weights(curve.splits, resamples, seed)
    nothing = (np.nan, np.nan)
    if len(t) < 4:
        why = f"{len(t)} temperatures with a finite gap: three parameters take four or more"
        empty = dict.fromkeys("abc", nothing)
        drawn = np.empty((0, 3))
        return GapLaw(np.nan, np.nan, np.nan, np.nan, empty, points, why, drawn, curve.splits)
    mean = gap.mean(axis=-1)
    grid = _grid(t)
    a, b, inverse = (float(x) for x in _fit(t, mean[None], grid)[0])
    drawn = _fit(t, share @ gap.T, grid)
    half = reach(drawn, curve.splits) if len(drawn) else np.full(3, np.nan)
    total = float(np.square(mean - mean.mean()).sum())
    missed = float(np.square(mean - _law(np.array([a, b, inverse]), t)).sum())
    intervals = {"a": (a - half[0], a + half[0]), "b": (b - half[1], b + half[1])}
    intervals = {name: (float(low), float(high)) for name, (low, high) in intervals.items()}
    intervals["c"] = _inverted(inverse - half[2], inverse + half[2])
    with np.errstate(divide="ignore"):
        c = float(1 / np.float64(inverse))
    r2 = 1 - missed / total if total > 0 else np.nan
    return GapLaw(a, b, c, r2, intervals, points, _why(inverse, grid, t), drawn, curve.splits)


def _law(parameters: Floats, t: Floats) -> Floats:
    """(a/T + b) exp(-k T) of parameters (..., 3): a, b, k."""
    a, b, k = np.moveaxis(parameters, -1, 0)
    with np.errstate(over="ignore"):
        return np.asarray((a / t + b) * np.exp(-k * t))


def _grid(t: Floats) -> Floats:
    """The values of 1/c among which the least is first searched."""
    scale = np.ptp(t)
    return np.asarray(np.sinh(np.linspace(np.arcsinh(-3), np.arcsinh(5 * scale / (t[1] - t[0])), _GRID)) / scale)


def _fit(t: Floats, gaps: Floats, grid: Floats) -> Floats:
    """a, b and 1/c (fits, 3) of gaps (fits, n): a grid, then the golden section between the neighbours of its least."""
    best = np.argmin(_linear(t, gaps[:, None, :], grid[None, :])[0], axis=1)
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, len(grid) - 1)]
    for _ in range(_ROUNDS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        lower = _linear(t, gaps, left)[0] <= _linear(t, gaps, right)[0]
        low, high = np.where(lower, low, left), np.where(lower, right, high)
    k = (low + high) / 2
    _, a, b = _linear(t, gaps, k)
    return np.stack([a, b, k], axis=-1)


def _linear(t: Floats, gaps: Floats, k: Floats) -> tuple[Floats, Floats, Floats]:
    """The least sum of squares (...) of gaps (..., n) at 1/c = k (...), and its a and b."""
    decay = np.exp(-k[..., None] * (t - t[0]))  # of order one where it matters
    first, second = decay / t, decay
    one = np.sqrt(np.square(first).sum(axis=-1, keepdims=True))
    first = first / one
    along = (first * second).sum(axis=-1, keepdims=True)
    second = second - along * first
    two = np.sqrt(np.square(second).sum(axis=-1, keepdims=True))
    second = second / two
    u, v = (first * gaps).sum(axis=-1, keepdims=True), (second * gaps).sum(axis=-1, keepdims=True)
    rest = np.square(gaps - u * first - v * second).sum(axis=-1)
    back = np.exp(k * t[0])
    b = (v / two)[..., 0]
    a = ((u - along * v / two) / one)[..., 0]
    return rest, a * back, b * back


def _inverted(low: float, high: float) -> tuple[float, float]:
    """The interval of c from that of 1/c."""
    if not np.isfinite(low + high):
        return np.nan, np.nan
    return (1 / high if high > 0 else np.nan), (1 / low if low > 0 else np.inf)


def _why(inverse: float, grid: Floats, t: Floats) -> str:
    if inverse <= 0:
        return (
            f"1/c = {inverse:.3g} is not positive: the gap does not fall off exponentially from {t[0]:g} to {t[-1]:g}"
        )
    if inverse >= grid[-2]:
        return f"c = {1 / inverse:.3g} is too small for the first two temperatures, {t[0]:g} and {t[1]:g}, to tell"
    return ""
