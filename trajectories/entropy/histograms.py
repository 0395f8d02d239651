"""Entropies from counts and pairs: histograms in up to three dimensions, and expansions in mutual information."""

import math

import numpy as np
from numpy.typing import ArrayLike

from trajectories.entropy.nearest import kozachenko_leonenko
from trajectories.entropy.samples import Floats, as_samples, inefficiency, jackknife, pooled, scatter
from trajectories.statistics import Estimate

_PAIRED = 64  # most coordinates of an expansion in pairs


def histogram(samples: ArrayLike, bins: int | None = None) -> Estimate:
    """Differential entropy of up to three coordinates from counts in equal bins of volume v, after Miller and Madow.

    S = -sum p ln(p / v) + (m - 1)/(2 n), m of the bins being occupied and n the samples: every g-th is taken, g the
    correlation time, so that they are independent. Bins of width h smooth the distribution, which adds about h^2/24
    times its Fisher information an axis; for Gaussians and the default bins it is below 0.01 from 1000 samples on.
    Several peaks need more ``bins``: default ones add 0.07 for two peaks 8 of their standard deviations apart.
    The error is the jackknife over replicas, or over blocks of time with fewer than 4.

    Args:
        samples: (samples, d) or (samples, replicas, d), d up to 3.
        bins: along each axis between the smallest and largest sample; by default of the width
            3.5 sd n^(-1/(2 + d)) of Scott's rule.

    Raises:
        ValueError: more than 3 coordinates, a coordinate that does not move, or fewer than one bin.

    References: Miller, in Information Theory in Psychology (1955), 95; Scott, Multivariate Density Estimation (1992).
    """
    array = as_samples(samples)
    g = inefficiency(array)
    stride = math.floor(g)
    array, g = array[::stride], g / stride
    points = pooled(array)
    n, d = points.shape
    if d > 3:
        raise ValueError(f"a histogram of {d} coordinates is all but empty: take up to 3, or kozachenko_leonenko")
    low, high = points.min(axis=0), points.max(axis=0)
    if (low == high).any():
        raise ValueError(f"coordinate {int(np.argmax(low == high))} does not move: leave it out")
    if bins is None:
        counts = np.ceil((high - low) / (3.5 * points.std(axis=0) * n ** (-1 / (2 + d))))
        shape = tuple(int(one) for one in counts)
    elif bins >= 1:
        shape = (bins,) * d
    else:
        raise ValueError(f"bins is {bins}: at least one is needed")
    volume = float(np.prod((high - low) / shape))

    def entropy(part: Floats) -> float:
        filled, _ = np.histogramdd(pooled(part), bins=shape, range=list(zip(low, high, strict=True)))
        p = filled[filled > 0] / filled.sum()
        return float(-(p * np.log(p / volume)).sum()) + (len(p) - 1) / (2 * float(filled.sum()))

    return jackknife(entropy, array, g=g, unbiased=True)


def mutual_information_expansion(samples: ArrayLike, order: int = 2, k: int = 4) -> Estimate:
    """Entropy from those of single coordinates and pairs: S_1 = sum_i S_i, S_2 = S_1 - sum_{i<j} I_ij.

    S_1 is an upper bound of the true entropy; S_2 is exact where coordinates depend on each other in separate pairs,
    and leaves out what three or more have in common otherwise: for a Gaussian it is
    S_1 + (1/2) sum_{i<j} ln(1 - rho_ij^2). Both need few samples at any d, but the errors of d (d - 1)/2 pairs add up.
    S_i is `kozachenko_leonenko`, I_ij the estimate psi(k) + psi(n) - <psi(n_i + 1) + psi(n_j + 1)> of Kraskov et al.,
    which reads low for |rho| above about 0.99. Pairs take every g-th sample, g the correlation time. The error is the
    scatter of the estimates from groups of replicas, or from blocks of time with fewer than 4.

    Args:
        samples: (samples, d) or (samples, replicas, d); order 2 takes d up to 64.
        order: 1 or 2.

    Raises:
        ValueError: another order, more coordinates, equal samples, or too few.

    References: Killian, Yudenfreund Kravitz & Gilson, J. Chem. Phys. 127, 024107 (2007); Kraskov, Stogbauer &
    Grassberger, Phys. Rev. E 69, 066138 (2004).
    """
    array = as_samples(samples)
    d = array.shape[2]
    if order not in (1, 2):
        raise ValueError(f"order is {order}; allowed are 1 and 2")
    if order == 2 and d > _PAIRED:
        raise ValueError(
            f"{d} coordinates have {d * (d - 1) // 2} pairs: take up to {_PAIRED} coordinates (one layer, or a "
            "projection), or order=1"
        )
    g = inefficiency(array)
    stride = max(1, round(g))

    def entropy(part: Floats) -> float:
        single = math.fsum(kozachenko_leonenko(part[..., one : one + 1], k).value for one in range(d))
        if order == 1:
            return single
        points = pooled(part[::stride])
        return single - math.fsum(_mutual(points[:, i], points[:, j], k) for i in range(d) for j in range(i))

    return Estimate(entropy(array), scatter(entropy, array, least=max(50, 8 * k) * stride, g=g))


def _mutual(x: Floats, y: Floats, k: int) -> float:
    """Mutual information of two coordinates (n,) by the first algorithm of Kraskov et al."""
    from scipy.spatial import cKDTree
    from scipy.special import psi

    pair = np.column_stack([(x - x.mean()) / x.std(), (y - y.mean()) / y.std()])
    if len(pair) <= k:
        raise ValueError(f"k = {k} neighbours need more than {len(pair)} samples that are independent: sample longer")
    reach = cKDTree(pair).query(pair, k + 1, p=math.inf)[0][:, -1] * (1 - 1e-10)  # the k-th lies just outside
    inside = [_strictly_within(axis, reach) for axis in pair.T]  # with the sample itself: n_x + 1
    return float(psi(k) + psi(len(pair)) - (psi(inside[0]) + psi(inside[1])).mean())


def _strictly_within(values: Floats, reach: Floats) -> Floats:
    """How many values lie nearer than ``reach`` to each value, itself among them."""
    ordered = np.sort(values)
    upper = np.searchsorted(ordered, values + reach, side="left")
    lower = np.searchsorted(ordered, values - reach, side="right")
    return np.asarray(np.maximum(upper - lower, 1), dtype=np.float64)
