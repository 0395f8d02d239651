"""Mean energy and heat capacity by temperature, the latter from fluctuations and from the slope of the former."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trajectories import statistics
from trajectories.thermodynamics.ladder import Ladder
from trajectories.thermodynamics.printing import aligned, estimates, numbers
from trajectories.thermodynamics.resampling import jackknife

Floats = NDArray[np.float64]


class MeanEnergy(NamedTuple):
    """<E>(T) with its standard error."""

    temperatures: Floats  # (rungs,) rising
    value: Floats  # (rungs,)
    error: Floats  # (rungs,)

    def __str__(self) -> str:
        """One line a temperature."""
        return aligned({"T": numbers(self.temperatures), "<E>": estimates(self.value, self.error)})


def mean_energy(ladder: Ladder) -> MeanEnergy:
    """Return <E> of every rung, with errors as those of `statistics.mean`."""
    found = [statistics.mean(one) for one in ladder.energies]
    return MeanEnergy(
        ladder.temperatures, np.array([one.value for one in found]), np.array([one.error for one in found])
    )


class HeatCapacity(NamedTuple):
    """C(T) in two ways, k_B = 1: N/2 for N harmonic coordinates."""

    temperatures: Floats  # (rungs,) rising
    fluctuation: Floats  # (rungs,) var E / T^2
    fluctuation_error: Floats  # (rungs,)
    derivative: Floats  # (rungs,) d<E>/dT
    derivative_error: Floats  # (rungs,)
    z: Floats  # (rungs,) their difference in its own standard error

    def __str__(self) -> str:
        """One line a temperature."""
        return aligned(
            {
                "T": numbers(self.temperatures),
                "C = var E/T^2": estimates(self.fluctuation, self.fluctuation_error),
                "C = d<E>/dT": estimates(self.derivative, self.derivative_error),
                "z": numbers(self.z, "+.1f"),
            }
        )


def heat_capacity(ladder: Ladder) -> HeatCapacity:
    """C(T) = var E / T^2, and C(T) = d<E>/dT from a cubic spline through the rungs' means (a parabola through three).

    Errors come from the jackknife; that of the difference knows that both use the same samples. A spline has an error
    of its own, which is not counted: where rungs are far apart and <E>(T) bends, z tells that too.

    Raises:
        ValueError: there are fewer than three temperatures, or one is infinite.
    """
    ladder.needs(3, "the slope of <E>(T)")
    if not np.isfinite(ladder.temperatures).all():
        raise ValueError("a heat capacity needs finite temperatures; leave out the samples of the prior")

    def capacities(part: Ladder) -> Floats:
        slope = _slope(part.temperatures, part.means)
        fluctuation = part.variances * part.betas**2
        return np.stack([fluctuation, slope, fluctuation - slope])

    (fluctuation, slope, difference), (one, other, both) = jackknife(ladder, capacities)
    return HeatCapacity(ladder.temperatures, fluctuation, one, slope, other, difference / both)


def _slope(x: Floats, y: Floats) -> Floats:
    """dy/dx at every x."""
    from scipy.interpolate import CubicSpline

    return np.asarray(CubicSpline(x, y)(x, 1))
