"""What every estimator of an entropy shares: the shape of samples, their correlation, and error bars from parts."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories import statistics
from trajectories.statistics import Estimate

Floats = NDArray[np.float64]
_PROBED = 64  # coordinates whose autocorrelation is measured
_PARTS = 20  # parts whose scatter gives an error, at most
_ENOUGH = 4  # parts, at least
_APART = 10.0  # length of a block of time, in correlation times


def as_samples(samples: ArrayLike) -> Floats:
    """Samples as float64 (samples, replicas, d); ValueError if empty, not finite or of another shape."""
    array = np.asarray(samples, dtype=np.float64)
    if array.ndim == 2:
        array = array[:, None, :]
    if array.ndim != 3 or array.size == 0:
        raise ValueError(
            f"samples are (samples, d) or (samples, replicas, d), not empty; got shape {np.shape(samples)}"
            + (": for one coordinate give values[:, None]" if array.ndim == 1 else "")
        )
    if not np.isfinite(array).all():
        bad = int(np.argwhere(~np.isfinite(array))[0, 0])
        raise ValueError(f"sample {bad} is not finite: leave out the part of the run that diverged")
    return array


def pooled(array: Floats) -> Floats:
    """All samples of all replicas, (samples * replicas, d)."""
    return array.reshape(-1, array.shape[2])


def inefficiency(array: Floats) -> float:
    """Largest inefficiency g of the coordinates, of which at most 64 are looked at: how far apart samples forget."""
    probed = _probed(array)
    return max(statistics.inefficiency(probed[..., one]) for one in range(probed.shape[2]))


def inefficiency_of_squares(array: Floats) -> float:
    """Mean inefficiency of the squared deviations over at most 64 coordinates: what counts for a covariance."""
    probed = _probed(array)
    squares = np.square(probed - probed.mean(axis=(0, 1)))  # (samples, replicas, probed)
    return float(np.mean([statistics.inefficiency(squares[..., one]) for one in range(squares.shape[2])]))


def _probed(array: Floats) -> Floats:
    return array[..., np.unique(np.linspace(0, array.shape[2] - 1, _PROBED).astype(int))]


def parts(array: Floats, least: int, g: float) -> tuple[int, list[slice]]:
    """Axis and slices that cut samples in 4 to 20 equal parts of ``least`` samples or more; no slices if too few.

    With 4 replicas or more the parts are groups of replicas, else blocks of time ten correlation times g long.
    """
    count, replicas, _ = array.shape
    if replicas >= _ENOUGH:
        axis, size = 1, max(math.ceil(least / count), math.ceil(replicas / _PARTS))
    else:
        axis, size = 0, max(math.ceil(least / replicas), math.ceil(_APART * g), math.ceil(count / _PARTS))
    count = array.shape[axis] // size
    return axis, [slice(i * size, (i + 1) * size) for i in range(count)] if count >= _ENOUGH else []


def scatter(statistic: Callable[[Floats], float], array: Floats, *, least: int, g: float) -> float:
    """Standard error of ``statistic`` of all samples from its scatter over parts, sd / sqrt(parts).

    Each part is evaluated by itself, so this holds where the variance falls as one over the number of samples; for
    nearest neighbours leaving a part out (the jackknife) would overrate it. Infinite with fewer than 4 parts.
    """
    axis, cut = parts(array, least, g)
    if not cut:
        return math.inf
    values = [statistic(array[part] if axis == 0 else array[:, part]) for part in cut]
    return float(np.std(values, ddof=1)) / math.sqrt(len(values))


def jackknife(statistic: Callable[[Floats], float], array: Floats, *, g: float, unbiased: bool = False) -> Estimate:
    """``statistic`` of all samples, and its error from leaving out one part of m at a time.

    error^2 = (m - 1)/m sum_i (S_i - mean)^2. Where the statistic is not ``unbiased`` its bias of the order 1/n is
    removed, m S - (m - 1) mean(S_i). The error is infinite with fewer than 4 parts.

    Reference: Efron & Stein, Ann. Stat. 9, 586 (1981).
    """
    value = statistic(array)
    axis, cut = parts(array, 1, g)
    if not cut:
        return Estimate(value, math.inf)
    left_out = [statistic(np.delete(array, part, axis=axis)) for part in cut]
    m = len(cut)
    kept = 1 - (cut[0].stop / array.shape[axis])  # share of the samples that stays
    if not unbiased:
        value = (value - kept * float(np.mean(left_out))) / (1 - kept)
    return Estimate(value, math.sqrt((m - 1) * float(np.var(left_out))))
