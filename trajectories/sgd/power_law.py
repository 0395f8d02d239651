"""A power of the learning rate through temperatures, or through any other positive numbers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.sgd.table import Floats
from trajectories.sgd.temperature import Resampled
from trajectories.statistics import Estimate

_NORMAL = 1.959964  # standard errors to either end of a 95 % interval of a normal number


class PowerLaw(NamedTuple):
    """T = a eta^b with standard errors and 95 % intervals (low, high); `points` (n,) were fitted."""

    a: Estimate
    b: Estimate
    a_interval: tuple[float, float]
    b_interval: tuple[float, float]
    points: NDArray[np.bool_]

    def at(self, rates: ArrayLike) -> Floats:
        """Return a eta^b at rates (n,)."""
        return np.asarray(self.a.value * np.asarray(rates, dtype=np.float64) ** self.b.value)


def power_law(
    rates: ArrayLike, values: ArrayLike, errors: ArrayLike, resampled: Resampled | None = None, *, ends: bool = False
) -> PowerLaw:
    """Fit ln T = ln a + b ln eta by weighted least squares, without the first and the last rate.

    Weights are 1/(e^2 + <e^2>), e = error/T: half of each variance is the mean of all, since the scatter of a few seeds
    would else put all weight on points that look sure by chance.

    `rates`, `values`, `errors` (n,); values that are not positive and finite are left out, and so are both ends unless
    `ends`. Where an error is missing, all points weigh the same and the scatter about the line gives the errors.
    `resampled` (see `Temperatures.resampled`): errors are the scatter of the fits to each of the resamples, whole
    curves each, and intervals take Student's t; without it the points are taken to be independent, which smoothed ones
    are not. All is nan of fewer than three points.

    Raises ValueError for shapes that do not fit.
    """
    x, values, errors = (np.asarray(given, dtype=np.float64) for given in (rates, values, errors))
    if not (x.ndim == 1 and x.shape == values.shape == errors.shape):
        raise ValueError(f"rates {x.shape}, values {values.shape} and errors {errors.shape} must all be (n,)")
    points = np.isfinite(values) & (values > 0)
    if not ends:
        points[[0, -1]] = False
    if points.sum() < 3:
        nothing = Estimate(np.nan, np.nan)
        return PowerLaw(nothing, nothing, (np.nan, np.nan), (np.nan, np.nan), points)
    relative = errors[points] / values[points]
    weighted = bool(np.all(np.isfinite(relative)) and np.all(relative > 0))
    design = np.stack([np.ones(points.sum()), np.log(x[points])], axis=-1)
    variance = np.square(relative) if weighted else np.ones(len(design))
    weight = 1 / (variance + variance.mean())
    solve = np.linalg.solve(design.T @ (weight[:, None] * design), (weight[:, None] * design).T)  # (2, points)
    fit = solve @ np.log(values[points])
    if resampled is not None and len(resampled.values):
        error, quantile = _over_resamples(resampled.values[:, points], solve), resampled.quantile
    else:
        if not weighted:
            variance = variance * np.square(np.log(values[points]) - design @ fit).sum() / (len(design) - 2)
        error, quantile = np.sqrt(np.square(solve) @ variance), _NORMAL
    return _told(fit, error, quantile, points)


def _over_resamples(values: Floats, solve: Floats) -> Floats:
    """The scatter of both parameters (2,) over resamples (resamples, points); nan where fewer than half tell."""
    whole = np.all(np.isfinite(values) & (values > 0), axis=-1)
    if 2 * whole.sum() < len(values):
        return np.full(2, np.nan)
    return np.asarray((np.log(values[whole]) @ solve.T).std(axis=0, ddof=1))


def _told(fit: Floats, error: Floats, quantile: float, points: NDArray[np.bool_]) -> PowerLaw:
    (log_a, b), (error_a, error_b), a = fit.tolist(), error.tolist(), float(np.exp(fit[0]))
    with np.errstate(over="ignore"):
        ends = np.exp([log_a - quantile * error_a, log_a + quantile * error_a]).tolist()
    return PowerLaw(
        Estimate(a, a * error_a),
        Estimate(b, error_b),
        (ends[0], ends[1]),
        (b - quantile * error_b, b + quantile * error_b),
        points,
    )
