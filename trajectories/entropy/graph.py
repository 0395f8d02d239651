"""The graph that joins samples to their nearest neighbours: its length tells entropy and dimension where d is large."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.entropy.neighbours import closest
from trajectories.entropy.samples import Floats, as_samples, inefficiency, parts, pooled, scatter
from trajectories.statistics import Estimate


def knn_graph(samples: ArrayLike, k: int = 50, dimension: int | None = None, power: float = 1.0) -> Estimate:
    """Entropy but for a constant from the length of the graph that joins each sample to its k nearest others.

    S = (d/power) [ln L - ((d - power)/d) ln n],  L = sum_i sum_{j<=k} |w_i - w_i(j)|^power. Only differences at equal
    n, k, d and power mean anything; S(a X) - S(X) = d ln a exactly. What it tends to is the Renyi entropy of order
    (d - power)/d. Where a change is not the same in all directions the difference is biased for d above about 20 and
    n of a thousand: distances come from the directions of large spread. Halving the spread of half the coordinates of
    a Gaussian (exactly -(d/2) ln 2) is seen as 0.90 of that at d = 10, 0.85 at 20, 0.75 at 100 and 0.70 at 1000.

    Samples are taken as they come, consecutive ones too: thin them first if they should be independent.
    The error is the jackknife over groups of replicas, or over blocks of time with fewer than 4.

    Args:
        samples: (samples, d) or (samples, replicas, d).
        dimension: d of the formula; by default the number of coordinates. On a sphere it is one less.

    Raises:
        ValueError: too few samples, all equal, or a power that is not in (0, d).

    Reference: Costa & Hero, IEEE Trans. Signal Process. 52, 2210 (2004).
    """
    array = as_samples(samples)
    entropy, n = _entropy(array, k, dimension, power), array.shape[0] * array.shape[1]
    if not math.isfinite(value := entropy(np.ones(n, dtype=bool))):
        raise ValueError("all samples equal one another: the graph has no length")
    axis, cut = parts(array, 2, inefficiency(array))
    left_out = []
    for part in cut if 2 * k < n else []:
        kept = np.ones(array.shape[:2], dtype=bool)
        kept[part if axis == 0 else (slice(None), part)] = False
        left_out.append(entropy(kept.ravel()))
    known = left_out and np.isfinite(left_out).all()
    return Estimate(value, math.sqrt((len(left_out) - 1) * float(np.var(left_out))) if known else math.inf)


def graph_entropy(samples: ArrayLike, k: int = 50, dimension: int | None = None, power: float = 1.0) -> float:
    """Return the value of `knn_graph` without its error, minus infinity where all samples equal one another."""
    array = as_samples(samples)
    return _entropy(array, k, dimension, power)(np.ones(array.shape[0] * array.shape[1], dtype=bool))


def _entropy(array: Floats, k: int, dimension: int | None, power: float) -> Callable[[NDArray[np.bool_]], float]:
    """S of those samples (samples, replicas, d) that are kept."""
    d, n = array.shape[2] if dimension is None else dimension, array.shape[0] * array.shape[1]
    if not 0 < power < d:
        if array.shape[2] == 1 and power == 1.0 and dimension is None:
            raise ValueError("one coordinate needs a power below 1, as power=0.5: it must lie between 0 and d")
        raise ValueError(f"power is {power}: it must lie between 0 and the dimension {d}")
    if not 1 <= k < n:
        raise ValueError(f"k is {k}: it must lie between 1 and {n - 1}, the number of other samples")
    ordered = _Ordered(pooled(array), k, power)
    return lambda kept: d / power * (ordered.log_length(kept) - (d - power) / d * math.log(kept.sum()))


class _Ordered:
    """The closest others of each of the points (n, d), twice as many as the graph needs, so that some may go.

    Distances are taken in units of the largest coordinate about the first point: their squares cannot underflow.
    """

    def __init__(self, points: Floats, k: int, power: float) -> None:
        self.points, self.k, self.power = points, k, power
        away = points - points[0]
        self.unit = float(np.abs(away).max()) or 1.0
        distances, index = closest(away / self.unit, min(2 * k + 1, len(points)))
        distances[index == np.arange(len(points))[:, None]] = -1.0  # the point itself comes first
        order = np.argsort(distances, axis=1)[:, 1:]
        self.lengths = np.take_along_axis(distances, order, axis=1) ** power
        self.index = np.take_along_axis(index, order, axis=1)

    def log_length(self, kept: NDArray[np.bool_]) -> float:
        """Ln of the length of the graph of the points that are ``kept`` (n,); minus infinity if all are equal."""
        there = kept[self.index[kept]]
        rank = there.cumsum(axis=1)
        if (rank[:, -1] < self.k).any():  # all those near to a point are gone
            return _Ordered(self.points[kept], self.k, self.power).log_length(np.ones(kept.sum(), dtype=bool))
        length = float(self.lengths[kept][there & (rank <= self.k)].sum())
        return math.log(length) + self.power * math.log(self.unit) if length > 0 else -math.inf


def _log_length(points: Floats, k: int, power: float) -> float:
    return _Ordered(points, k, power).log_length(np.ones(len(points), dtype=bool))


def knn_dimension(samples: ArrayLike, k: int = 10, *, power: float = 1.0) -> Estimate:
    """Intrinsic dimension of the set that samples lie on, from the growth of the graph's length with their number.

    ln L = (1 - power/d) ln n + constant, so d = power / (1 - slope), the slope over n/8, n/4, n/2 and n samples drawn
    at random. For independent samples; reads low in many dimensions (for 2000 of a Gaussian: 2.1 at d = 2, 5.0 at 5,
    7.5 at 8, 10.3 at 12) and where many samples lie at an edge. The error is the scatter of the estimates
    from groups of replicas, or from blocks of time with fewer than 4.

    Args:
        samples: (samples, d) or (samples, replicas, d).

    Raises:
        ValueError: fewer than 16 k samples, or a length that grows as fast as the number.

    Reference: Costa & Hero, IEEE Trans. Signal Process. 52, 2210 (2004).
    """
    array = as_samples(samples)
    if len(pooled(array)) < 16 * k:
        raise ValueError(f"k = {k} needs {16 * k} samples or more, there are {len(pooled(array))}: take a smaller k")

    def dimension(part: Floats) -> float:
        points = pooled(part)
        points = np.random.default_rng(0).permutation(points)
        sizes = [len(points) // share for share in (8, 4, 2, 1)]
        lengths = [
            np.mean([_log_length(points[i * n : (i + 1) * n], k, power) for i in range(len(points) // n)])
            for n in sizes
        ]
        slope = float(np.polyfit(np.log(sizes), lengths, 1)[0])
        if slope >= 1:
            raise ValueError(f"the graph grows as the power {slope:.3f} of the samples, so no dimension can be told")
        return power / (1 - slope)

    return Estimate(dimension(array), scatter(dimension, array, least=16 * k, g=inefficiency(array)))
