"""Means with honest error bars from correlated samples: inefficiency, equilibration, effective sample size.

A series is (samples,) or (samples, replicas); replicas are independent runs that sample the same distribution (at
different temperatures they do not: analyse each on its own). Autocorrelations are taken about the mean over all
replicas, so replicas that are stuck in different places show up as a long correlation, not as small errors.

References: Sokal, in Functional Integration (1997), 131; Geyer, Stat. Sci. 7, 473 (1992);
Chodera, J. Chem. Theory Comput. 12, 1799 (2016).
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.statistics.estimate import Estimate, as_series

Floats = NDArray[np.float64]
_BLOCKS = 2000  # as many are enough to see where a transient ends
_SHORT = 16  # the part of a series that the lags of most correlations fit in
_BYTES = 256 << 20  # that the transforms may take
_WORKERS = 2  # threads of a transform
_ENOUGH_REPLICAS = 4  # from here on the scatter of replicas gives the error bar


def autocorrelation(values: ArrayLike) -> Floats:
    """Normalised autocorrelation C(t), C(0) = 1, (samples,), averaged over replicas.

    C(t) = sum_{r,i} x_ri x_r(i+t) / sum_{r,i} x_ri^2 with x about the mean over everything. All terms at lag t are
    divided by the number of samples at lag 0, which carries the weight (1 - t/n). A constant series has C = 0, t > 0.
    """
    series = as_series(values)
    return _pooled(series, len(series))


def inefficiency(values: ArrayLike) -> float:
    """Statistical inefficiency g = 1 + 2 sum_{t>0} C(t) >= 1: how many samples count as one independent sample.

    The sum ends by Geyer's initial monotone sequence: pairs C(2k) + C(2k+1) are added while positive, none larger
    than the one before. With oscillating correlations this errs on the side of a larger g. The variance of the
    mean of N samples is g * variance / N; the integrated autocorrelation time is g / 2 in units of the spacing.
    """
    series = as_series(values)
    for lags in (len(series) // _SHORT, len(series)):
        value, ended = _geyer(_pooled(series, lags))
        if ended:
            break
    return value


def inefficiencies(values: ArrayLike) -> Floats:
    """Statistical inefficiency of each replica about its own mean, (replicas,), for series that are not alike."""
    from scipy import fft

    series = as_series(values)
    averages, length = series.mean(axis=0), _length(len(series), len(series))
    found = np.ones(len(averages))
    for columns, powers in _powers(series, averages, length):
        every = fft.irfft(powers, length, axis=1, workers=_WORKERS)[:, : len(series)]
        found[columns] = [_geyer(_normalised(*one))[0] for one in zip(every, averages[columns], strict=True)]
    return found


def _pooled(series: Floats, lags: int) -> Floats:
    """Autocorrelation over all replicas at the first ``lags`` lags."""
    from scipy import fft

    lags, average = max(1, lags), float(series.mean())
    length = _length(len(series), lags)
    averages = np.full(series.shape[1], average)
    power: Any = sum(powers.sum(axis=0) for _, powers in _powers(series, averages, length))
    return _normalised(fft.irfft(power, length)[:lags], average * math.sqrt(series.shape[1]))


def _length(samples: int, lags: int) -> int:
    """Length of a transform in which the first ``lags`` lags do not wrap around."""
    from scipy import fft

    return int(fft.next_fast_len(samples + lags - 1, real=True))


def _powers(series: Floats, averages: Floats, length: int) -> Iterator[tuple[slice, Floats]]:
    """Blocks of replicas and their power spectra |FFT(x - average)|^2, (replicas, frequencies)."""
    from scipy import fft

    width = max(1, _BYTES // (32 * length))
    for start in range(0, series.shape[1], width):
        columns = slice(start, min(start + width, series.shape[1]))
        centred = np.subtract(series[:, columns].T, averages[columns, None], order="C")
        transform = fft.rfft(centred, length, axis=1, overwrite_x=True, workers=_WORKERS)
        yield columns, np.square(transform.real) + np.square(transform.imag)


def _normalised(products: Floats, offset: float) -> Floats:
    """C(t) of sums of products; 0 beyond t = 0 where a series about ``offset`` is constant up to rounding."""
    if products[0] <= 1e-28 * max(1.0, offset**2 * len(products)):
        return np.asarray(np.eye(1, len(products))[0])
    return np.asarray(products / products[0])


def _geyer(correlation: Floats) -> tuple[float, bool]:
    """1 + 2 sum C by the initial monotone sequence, and whether the sum ended within the lags there are."""
    even = len(correlation) // 2 * 2
    pairs = correlation[:even].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(pairs <= 0)
    pairs = np.minimum.accumulate(pairs[: negative[0] if len(negative) else len(pairs)])
    return max(1.0, 2.0 * float(pairs.sum()) - 1.0), len(negative) > 0


def effective_samples(values: ArrayLike) -> float:
    """Number of independent samples that the series is worth, samples * replicas / g."""
    series = as_series(values)
    return series.size / inefficiency(series)


def equilibrated(values: ArrayLike, *, candidates: int = 50) -> int:
    """Index t0 of the first sample to keep: it minimises g(t0) s^2(t0) / (n - t0), the squared error of the mean.

    s^2 sees how far off a transient is, g how long it lasts. Both are taken of the replicas, each in units of its own
    second half, and of the mean over replicas, where what they have in common stands out; the later t0 counts. It is
    the first within one standard error of the least, so that a stationary series is kept: g s^2 is known to about
    sqrt(10 / independent samples) of itself. ``candidates`` equidistant places in the first half are tried, and as many
    ever closer to the start; a long series is averaged in blocks first, 2000 or more, which keeps every relaxation that
    matters here.

    References: White, Simulation 69, 323 (1997); Chodera, J. Chem. Theory Comput. 12, 1799 (2016);
    of the error of g, Madras & Sokal, J. Stat. Phys. 50, 109 (1988).
    """
    series = as_series(values)
    block = max(1, len(series) // _BLOCKS)
    series = series[: len(series) // block * block].reshape(-1, block, series.shape[1]).mean(axis=1)
    half = series[len(series) // 2 :]
    width = half.std(axis=0)
    reduced = (series - half.mean(axis=0)) / np.where(width > 0, width, 1)
    last = 0.5 * (len(series) - 1)
    starts = np.unique(
        np.append(np.linspace(0, last, candidates), np.geomspace(1, max(1, last), candidates)).astype(int)
    )
    common = reduced.mean(axis=1)
    return max(_start(reduced, starts), _start(common, starts)) * block


def _start(series: Floats, starts: NDArray[np.intp]) -> int:
    """The first start whose squared error of the mean is the least, but for what the least one may be off by chance."""
    parts = [series[start:] for start in starts]
    factors = np.array([inefficiency(part) for part in parts])
    squares = factors * [part.var() for part in parts] / [len(part) for part in parts]
    best = int(np.argmin(squares))
    independent = parts[best].size / factors[best]
    return int(starts[np.argmax(squares <= squares[best] * (1 + math.sqrt(10 / independent)))])


def mean(values: ArrayLike) -> Estimate:
    """Mean over samples and replicas and its standard error.

    With 4 replicas R or more the error is the scatter of their means, sd / sqrt(R), whatever the correlations;
    with fewer it is sqrt(g * variance / (samples * R)). Leave out the start first: values[equilibrated(values):].
    """
    series = as_series(values)
    replicas = series.shape[1]
    if replicas >= _ENOUGH_REPLICAS:
        error = series.mean(axis=0).std(ddof=1) / math.sqrt(replicas)
    elif series.size > 1:
        error = math.sqrt(inefficiency(series) * series.var(ddof=1) / series.size)
    else:
        error = math.inf  # one number says nothing about its error
    return Estimate(float(series.mean()), float(error))


def decorrelate(values: ArrayLike) -> NDArray[np.intp]:
    """Indices of samples that may be taken as independent: every ceil(g)-th one."""
    series = as_series(values)
    return np.arange(0, len(series), math.ceil(inefficiency(series)))


def slope(values: ArrayLike, times: ArrayLike) -> list[Estimate]:
    """Least-squares slope of each replica against time and its error, which allows for correlated residuals.

    slope = sum t x / sum t^2 (t, x about their means); error^2 = g * residual variance / sum t^2.
    """
    series = as_series(values)
    moments: Any = np.asarray(times, dtype=np.float64)
    if moments.shape != (len(series),) or len(series) < 3:
        raise ValueError(f"a slope needs times of shape ({len(series)},) and 3 samples; times are {moments.shape}")
    moments = moments - moments.mean()
    spread = float(np.square(moments).sum())
    slopes = moments @ (series - series.mean(axis=0)) / spread  # (replicas,)
    residuals = series - series.mean(axis=0) - np.outer(moments, slopes)
    variances = np.square(residuals).sum(axis=0) / (len(series) - 2)
    return [
        Estimate(float(value), math.sqrt(inefficiency(residual) * variance / spread))
        for value, residual, variance in zip(slopes, residuals.T, variances, strict=True)
    ]
