"""Checks of a run against the laws of statistical mechanics, in reduced units (k_B = 1)."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories import statistics
from trajectories.statistics import Estimate


class KineticLaw(NamedTuple):
    """How a sampled kinetic energy compares with the canonical law K ~ Gamma(N_f / 2, T)."""

    samples: int  # independent samples in the Kolmogorov-Smirnov test
    p_value: float  # of that test; below 0.01 the law is in doubt
    mean: float  # <K> / (N_f T / 2), exactly 1
    mean_z: float  # its deviation in standard errors
    width: float  # sd(K) / (T sqrt(N_f / 2)), exactly 1
    width_z: float  # deviation of the variance in standard errors


def kinetic_law(kinetic_energy: ArrayLike, *, dof: int, temperature: ArrayLike) -> KineticLaw:
    """Test a kinetic energy against K ~ Gamma(shape N_f / 2, scale T), with <K> = N_f T / 2, var K = N_f T^2 / 2.

    The distribution is tested on samples a statistical inefficiency apart; mean and variance on all samples, with
    errors from independent replicas (see `statistics.mean`). Mean temperature alone proves little: a Nose-Hoover
    thermostat without a chain can have the right mean and 0.6 of the right width.

    Args:
        kinetic_energy: equilibrated samples, (samples,) or (samples, replicas).
        dof: degrees of freedom N_f.
        temperature: the set temperature T > 0, one number or (replicas,).

    Raises:
        ValueError: dof or temperature is not positive, or fewer than 10 samples are left.

    Reference: Shirts, J. Chem. Theory Comput. 9, 909 (2013).
    """
    from scipy import stats

    temperatures = np.asarray(temperature, dtype=np.float64)
    if dof < 1 or not (temperatures > 0).all():
        raise ValueError(f"dof is {dof} and the temperature {temperatures}: both must be positive")
    reduced = statistics.as_series(kinetic_energy) / temperatures  # K / T, (samples, replicas)
    shape = dof / 2
    independent = reduced[statistics.decorrelate(reduced)]
    if independent.size < 10:
        raise ValueError(f"only {independent.size} independent samples of the kinetic energy: at least 10 are needed")
    average = statistics.mean(reduced)
    variance = statistics.mean(np.square(reduced - average.value) * reduced.size / (reduced.size - 1))
    return KineticLaw(
        samples=independent.size,
        p_value=float(stats.kstest(independent.ravel(), stats.gamma(shape).cdf).pvalue),
        mean=average.value / shape,
        mean_z=average.z(shape),
        width=math.sqrt(variance.value / shape),
        width_z=variance.z(shape),
    )


class Drift(NamedTuple):
    """Rate of change of a quantity that should be constant, in its unit per unit time."""

    overall: Estimate  # mean over replicas
    replicas: NDArray[np.float64]  # (replicas,) slope of each
    errors: NDArray[np.float64]  # (replicas,) its standard error


def drift(conserved: ArrayLike, times: ArrayLike) -> Drift:
    """Drift of a conserved quantity such as U + K - heat: the least-squares slope of each replica.

    The mean's error is the scatter of 4 replicas or more, else it follows from the errors of the slopes.

    Args:
        conserved: (samples,) or (samples, replicas).
        times: (samples,).
    """
    slopes = statistics.slope(conserved, times)
    values = np.array([one.value for one in slopes])
    errors = np.array([one.error for one in slopes])
    if len(slopes) >= 4:
        error = float(values.std(ddof=1) / math.sqrt(len(values)))
    else:
        error = float(np.sqrt(np.square(errors).sum()) / len(errors))
    return Drift(Estimate(float(values.mean()), error), values, errors)
