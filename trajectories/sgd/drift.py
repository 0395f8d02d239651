"""Whether replicas were stationary over the last samples of a run."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr

from trajectories.sgd.table import Floats, over_seeds

_LEVEL = 0.005  # of all rates together, and again of all replicas
_FEWEST = 2.0  # independent samples
_LARGEST = 0.97  # correlation: beyond, the samples tell nothing


class Drift(NamedTuple):
    """The straight line in ln t through each replica's samples: `change` over their range, and its significance.

    `change` in units of the scatter about the line, `z` in standard errors, `p` that of no change, `independent`: how
    many independent samples the replica has; all (n, seeds). `common` (n,): p of no change that the seeds of a rate
    share, nan of one seed. `moved` (n,): rates that are not seen to be stationary.
    """

    change: Floats
    z: Floats
    p: Floats
    independent: Floats
    common: Floats
    moved: NDArray[np.bool_]


def drift(steps: ArrayLike, values: ArrayLike) -> Drift:
    """Return how much each of n x seeds replicas still moved: values (samples, n, seeds) at steps (samples,) above 0.

    `common` is that of Student's t of the slopes of the seeds, right however samples are correlated. For one replica,
    the error of the slope holds the inefficiency g = (1 + c)/(1 - c) of its m samples about the line, c >= 0 their
    correlation with the next, less its bias -(2 + 4 c)/m, and p is that of Student's t of m/g - 2. A rate has moved
    where `common` < .005/n, or p < .005/(n seeds) for a replica (Bonferroni: of a hundred stationary sweeps about one
    has a rate so flagged, if samples are independent), or where a replica has fewer than two independent samples to be
    stationary by, or a value that is not finite. Slow fluctuations of a replica cannot be told from drift: of 50
    samples with c = .5, .8 and .9, p < .01 came in 2, 2.4 and 3.7 of a hundred stationary replicas, and 1, 21 and 68
    of a hundred rates with four seeds were flagged, mostly for having too few independent samples.

    Raises ValueError for shapes that do not fit, fewer than eight samples, and steps that are not positive.
    """
    x, array = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if array.ndim != 3 or x.shape != array.shape[:1]:
        raise ValueError(f"steps {x.shape} and values {array.shape} must be (samples,) and (samples, n, seeds)")
    if len(x) < 8 or not np.all(x > 0):
        raise ValueError(f"{len(x)} samples from step {x.min(initial=np.inf):g} on: give eight or more, after step 0")
    log = np.log(x) - np.log(x).mean()
    flat = array.reshape(len(x), -1)
    finite = np.isfinite(flat).all(axis=0)
    y = np.where(finite, flat, 0.0)
    slope = log @ y / np.square(log).sum()
    residual = y - y.mean(axis=0) - log[:, None] * slope
    independent = len(x) / _inefficiency(residual)
    free = np.maximum(independent - 2, 1)
    deviation = np.sqrt(np.square(residual).mean(axis=0) * independent / free)
    span = slope * np.ptp(log)
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.where(span == 0, 0.0, span / deviation)
    z = change / np.ptp(log) * np.sqrt(np.square(log).mean() * independent)
    p = np.where(finite, 2 * stdtr(free, -np.abs(z)), np.nan)
    change, z, p, independent = (
        np.where(finite, one, np.nan).reshape(array.shape[1:]) for one in (change, z, p, independent)
    )
    common = _common(np.where(finite, slope, np.nan).reshape(p.shape))
    stands = np.all((p >= _LEVEL / p.size) & (independent >= _FEWEST), axis=-1)
    return Drift(change, z, p, independent, common, ~stands | (common < _LEVEL / len(common)))


def _inefficiency(residual: Floats) -> Floats:
    """The g (replicas,) of what is left of the line, (samples, replicas), as of a process of order one."""
    square = np.square(residual).sum(axis=0)
    c = (residual[1:] * residual[:-1]).sum(axis=0) / np.where(square > 0, square, 1.0)
    c = np.clip(c + (2 + 4 * c) / len(residual), 0, _LARGEST)
    return np.asarray((1 + c) / (1 - c))


def _common(slopes: Floats) -> Floats:
    """The p (n,) of a mean slope of zero, from slopes (n, seeds)."""
    mean, error = over_seeds(slopes)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(mean == 0, 0.0, np.abs(mean) / error)
    return np.asarray(2 * stdtr(max(slopes.shape[-1] - 1, 1), -z))
