"""Boltzmann's law between two temperatures: the ratio of their energy distributions is an exponential."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories import statistics
from trajectories.errors import TrajectoryError
from trajectories.statistics import Estimate
from trajectories.thermodynamics.ladder import Ladder
from trajectories.thermodynamics.resampling import jackknife

Floats = NDArray[np.float64]


def distribution_slope(energies: ArrayLike, others: ArrayLike, temperature: float, other: float) -> Estimate:
    """Slope s of ln P'(E)/P(E) = c + s E over its exact value -(1/T' - 1/T), so 1 where both samples are canonical.

    s is the one of greatest likelihood, which is logistic regression of "is it from T'?" on E; no histogram. Its error
    is the jackknife's.

    Args:
        energies: at T, (samples,) or (samples, replicas). others: at T'.
        temperature: T. other: T'.

    Raises:
        TrajectoryError: the two distributions do not overlap, so that there is no ratio.

    Reference: Shirts, J. Chem. Theory Comput. 9, 909 (2013).
    """
    ladder = Ladder(np.array([temperature, other]), [statistics.as_series(energies), statistics.as_series(others)])
    exact = -float(np.diff(ladder.betas)[0])
    value, error = jackknife(ladder, lambda part: np.array(_fit(*part.energies) / exact))
    return Estimate(float(value), float(error))


def _fit(low: Floats, high: Floats) -> float:
    """The slope of ln(P_high/P_low) by Newton's method."""
    energy = np.concatenate([low.ravel(), high.ravel()])
    hot = np.concatenate([np.zeros(low.size), np.ones(high.size)])
    middle, width = energy.mean(), energy.std()
    if low.max() < high.min() or not width > 0:
        raise TrajectoryError(
            f"energies below {low.max():g} at the lower temperature and above {high.min():g} at the higher one do not "
            "overlap: take temperatures closer to each other"
        )
    design = np.stack([np.ones_like(energy), (energy - middle) / width])  # (2, samples)
    found = np.zeros(2)
    for _ in range(50):
        chance = 1 / (1 + np.exp(-np.clip(found @ design, -500, 500)))
        step = np.linalg.solve((design * (chance * (1 - chance))) @ design.T, design @ (hot - chance))
        found = found + step
        if np.abs(step).max() < 1e-10 * (1 + np.abs(found).max()):
            break
    return float(found[1] / width)
