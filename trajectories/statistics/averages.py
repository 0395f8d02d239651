"""Means with honest error bars from correlated samples: inefficiency, equilibration, effective sample size.

A series is (samples,) or (samples, replicas); replicas are independent runs that sample the same distribution (at
different temperatures they do not: analyse each on its own). Autocorrelations are taken about the mean over all
replicas, so replicas that are stuck in different places show up as a long correlation, not as small errors.

References: Sokal, in Functional Integration (1997), 131; Geyer, Stat. Sci. 7, 473 (1992);
Chodera, J. Chem. Theory Comput. 12, 1799 (2016).
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.statistics.estimate import Estimate, as_series

Floats = NDArray[np.float64]
_BLOCKS = 2000  # as many are enough to see where a transient ends
_ENOUGH_REPLICAS = 4  # from here on the scatter of replicas gives the error bar


def autocorrelation(values: ArrayLike) -> Floats:
    """Normalised autocorrelation C(t), C(0) = 1, (samples,), averaged over replicas.

    C(t) = sum_{r,i} x_ri x_r(i+t) / sum_{r,i} x_ri^2 with x about the mean over everything. All terms at lag t are
    divided by the number of samples at lag 0, which carries the weight (1 - t/n). A constant series has C = 0, t > 0.
    """
    series = as_series(values)
    centred = series - series.mean()
    n = len(centred)
    spectrum = np.abs(np.fft.rfft(centred, n=2 * n, axis=0)) ** 2
    products = np.fft.irfft(spectrum.sum(axis=1), n=2 * n)[:n]
    if products[0] <= 1e-28 * max(1.0, float(np.square(series).sum())):  # constant up to rounding
        return np.asarray(np.eye(1, n)[0])
    return np.asarray(products / products[0])


def inefficiency(values: ArrayLike) -> float:
    """Statistical inefficiency g = 1 + 2 sum_{t>0} C(t) >= 1: how many samples count as one independent sample.

    The sum ends by Geyer's initial monotone sequence: pairs C(2k) + C(2k+1) are added while positive, none larger
    than the one before. With oscillating correlations this errs on the side of a larger g. The variance of the
    mean of N samples is g * variance / N; the integrated autocorrelation time is g / 2 in units of the spacing.
    """
    correlation = autocorrelation(values)
    even = len(correlation) // 2 * 2
    pairs = correlation[:even].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(pairs <= 0)
    pairs = np.minimum.accumulate(pairs[: negative[0] if len(negative) else len(pairs)])
    return max(1.0, 2.0 * float(pairs.sum()) - 1.0)


def effective_samples(values: ArrayLike) -> float:
    """Number of independent samples that the series is worth, samples * replicas / g."""
    series = as_series(values)
    return series.size / inefficiency(series)


def equilibrated(values: ArrayLike, *, candidates: int = 50) -> int:
    """Index t0 of the first sample to keep: it maximises (n - t0) / g(t0), the independent samples left.

    t0 is looked for at ``candidates`` equidistant places in the first nine tenths of the series (Chodera 2016); a
    long series is averaged in blocks first, 2000 or more, which keeps every relaxation that matters here.
    """
    series = as_series(values)
    block = max(1, len(series) // _BLOCKS)
    series = series[: len(series) // block * block].reshape(-1, block, series.shape[1]).mean(axis=1)
    starts = np.unique(np.linspace(0, 0.9 * (len(series) - 1), candidates).astype(int))
    left = [effective_samples(series[start:]) for start in starts]
    return int(starts[int(np.argmax(left))]) * block


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
