"""Entropy from the distances to nearest neighbours: no model of the distribution, few dimensions."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from trajectories.entropy.neighbours import nearest
from trajectories.entropy.samples import Floats, as_samples, inefficiency, pooled, scatter
from trajectories.statistics import Estimate


def kozachenko_leonenko(samples: ArrayLike, k: int = 4) -> Estimate:
    """Differential entropy from the distance eps_i of each sample to its k-th neighbour.

    S = psi(n) - psi(k) + ln V_d + (d/n) sum_i ln eps_i, with V_d the volume of the unit ball. Distances are measured in
    coordinates that the samples' covariance C makes white, which adds (1/2) ln det C: any linear map of the samples
    changes S exactly as it should. The density is taken to be constant in each ball, so this holds for d of a few,
    and the error bar does not hold its bias. Measured for Gaussians, with 1000 and 4000 samples:
    d = 1: 0.00, 0.00; 3: -0.05, -0.02; 5: -0.07, -0.07; 10: +0.13, +0.03; 15: +0.6, +0.4; 20: +1.3, +0.9.

    Correlated samples: of every correlation time g (the largest of the coordinates') at least two samples are kept,
    and samples of one replica nearer than 2 g are not neighbours of each other; n counts the others.
    The error is the scatter of the estimates from groups of replicas, or from blocks of time with fewer than 4.

    Args:
        samples: (samples, d) or (samples, replicas, d); replicas sample the same distribution.
        k: neighbours; more lower the scatter and raise the bias.

    Raises:
        ValueError: two samples are equal, a coordinate does not move or follows from others, or there are too few.

    References: Kozachenko & Leonenko, Probl. Inf. Transm. 23, 95 (1987); Kraskov, Stogbauer & Grassberger, Phys. Rev.
    E 69, 066138 (2004).
    """
    from scipy.special import gammaln

    array = as_samples(samples)
    d = array.shape[2]
    white, log_volume = _whitened(array)
    log_volume += 0.5 * d * math.log(math.pi) - float(gammaln(0.5 * d + 1))
    return counted(white, np.full(array.shape[:2], log_volume), k, lambda distance: d * np.log(distance))


def _whitened(array: Floats) -> tuple[Floats, float]:
    """Samples with unit covariance, and (1/2) ln det of the one they had."""
    from scipy.linalg import solve_triangular

    points = pooled(array)
    n, d = points.shape
    if n < d + 2:
        raise ValueError(f"{d} coordinates need at least {d + 2} samples, there are {n}: take fewer (a projection)")
    spread = np.cov(points, rowvar=False).reshape(d, d)
    try:
        root = np.linalg.cholesky(spread)
    except np.linalg.LinAlgError:
        root = np.zeros_like(spread)
    if (np.diag(root) ** 2 <= 1e-13 * np.diag(spread)).any():
        raise ValueError("the covariance is singular: a coordinate does not move, or follows from the others")
    white = solve_triangular(root, (points - points.mean(axis=0)).T, lower=True).T
    return np.ascontiguousarray(white).reshape(array.shape), float(np.log(np.diag(root)).sum())


def counted(array: Floats, shift: Floats, k: int, log_volume: Callable[[Floats], Floats]) -> Estimate:
    """S = <psi(n_i + 1)> - psi(k) + <ln volume of the ball that reaches to the k-th of n_i others + shift>.

    Args:
        array: (samples, replicas, d).
        shift: (samples, replicas).
        log_volume: of the ball, by its radius.
    """
    from scipy.special import psi

    g = inefficiency(array)
    stride = max(1, math.floor(g / 2))
    window = math.ceil(2 * g / stride)

    def entropy(part: Floats) -> float:
        distances, candidates = nearest(part[..., :-1], k, window=window)
        if not distances[:, -1].all():
            raise ValueError(
                f"{int((distances[:, -1] == 0).sum())} samples have {k} or more others that equal them: leave out "
                "repeated samples (rejected moves, frames of a standing replica) and coordinates that do not move"
            )
        volume = float(log_volume(distances[:, -1]).mean() + part[..., -1].mean())
        return float(psi(candidates + 1.0).mean() - psi(k)) + volume

    thinned = np.concatenate([array, shift[..., None]], axis=2)[::stride]
    return Estimate(entropy(thinned), scatter(entropy, thinned, least=max(50, 4 * (k + 2 * window)), g=g / stride))
