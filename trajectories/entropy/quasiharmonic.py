"""Entropy of the Gaussian that has the covariance of the samples: an upper bound of the true one."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories import statistics
from trajectories.statistics import Estimate

_PROBED = 64  # coordinates whose autocorrelation is measured


def gaussian(samples: ArrayLike) -> Estimate:
    """Differential entropy of the Gaussian with the samples' covariance C: S = (1/2) ln det(2 pi e C).

    It is an upper bound of the true entropy, exact for a Gaussian. ln det of a sample covariance reads low; with nu
    degrees of freedom (independent samples less one) the mean bias is removed exactly for Gaussian samples,
    E[ln det C_nu] - ln det C = sum_{i=1..d} psi((nu + 1 - i) / 2) - d ln(nu / 2).
    nu is reduced by the inefficiency of the squared deviations. The error is the jackknife over replicas when
    there are 4 or more, else sqrt((1/4) sum_i psi'((nu + 1 - i) / 2)), the exact one for independent samples.

    Args:
        samples: (samples, d) or (samples, replicas, d); replicas sample the same distribution.

    Raises:
        ValueError: fewer independent samples than d + 2, or a coordinate that does not move or follows others.

    Reference: Ahmed & Gokhale, IEEE Trans. Inf. Theory 35, 688 (1989).
    """
    array = np.asarray(samples, dtype=np.float64)
    if array.ndim == 2:
        array = array[:, None, :]
    if array.ndim != 3:
        raise ValueError(f"samples are (samples, d) or (samples, replicas, d); got shape {array.shape}")
    count, replicas, _ = array.shape
    thinning = _inefficiency(array)
    value = _entropy(array, count * replicas / thinning)
    if replicas < 4:
        return Estimate(value, _exact_error(count * replicas / thinning - 1, array.shape[2]))
    left_out = [_entropy(np.delete(array, one, axis=1), count * (replicas - 1) / thinning) for one in range(replicas)]
    error = math.sqrt((replicas - 1) * float(np.var(left_out)))
    return Estimate(value, error)


def _inefficiency(array: NDArray[np.float64]) -> float:
    """Mean inefficiency of the squared deviations over at most 64 coordinates: what counts for a covariance."""
    probed = array[..., np.unique(np.linspace(0, array.shape[2] - 1, _PROBED).astype(int))]
    squares = np.square(probed - probed.mean(axis=(0, 1)))  # (samples, replicas, probed)
    return float(np.mean([statistics.inefficiency(squares[..., one]) for one in range(squares.shape[2])]))


def _entropy(array: NDArray[np.float64], independent: float) -> float:
    """Bias-corrected S of pooled samples (samples, replicas, d) worth ``independent`` samples."""
    from scipy.special import psi

    flat = array.reshape(-1, array.shape[2])
    d = flat.shape[1]
    nu = independent - 1
    if nu < d + 1:
        raise ValueError(
            f"{d} coordinates need at least {d + 2} independent samples, there are {independent:.1f} of {len(flat)}: "
            "sample longer, or take fewer coordinates (one layer, a projection)"
        )
    sign, log_det = np.linalg.slogdet(np.cov(flat, rowvar=False).reshape(d, d))
    if sign <= 0:
        raise ValueError("the covariance is singular: a coordinate does not move, or follows from the others")
    bias = float(psi((nu + 1 - np.arange(1, d + 1)) / 2).sum()) - d * math.log(nu / 2)
    return 0.5 * (d * math.log(2 * math.pi * math.e) + float(log_det) - bias)


def _exact_error(nu: float, d: int) -> float:
    from scipy.special import polygamma

    return math.sqrt(0.25 * float(polygamma(1, (nu + 1 - np.arange(1, d + 1)) / 2).sum()))
