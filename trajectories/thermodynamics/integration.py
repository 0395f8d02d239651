"""Thermodynamic integration: ln Z from mean energies, with the end corrections that the variances give."""

import numpy as np
from numpy.typing import NDArray

from trajectories.thermodynamics.ladder import Ladder
from trajectories.thermodynamics.resampling import jackknife
from trajectories.thermodynamics.states import FreeEnergies, both

Floats = NDArray[np.float64]


def thermodynamic_integration(ladder: Ladder) -> FreeEnergies:
    """Return ln Z(b_k) - ln Z(b_0) = -int <E> db over b = 1/T, by the corrected trapezoidal rule

        int_a^b u db = h (u_a + u_b)/2 + h^2 (u'_a - u'_b)/12,   u' = d<E>/db = -var E

    which is exact for a cubic <E>(b). `discretisation` compares it with the rule at twice the spacing, a 15th of the
    difference as for any rule of fourth order; `error` holds it and the statistical error, added in squares.

    Raises:
        ValueError: there are fewer than two temperatures.

    Reference: Kirkwood, J. Chem. Phys. 3, 300 (1935); Friel, Hurn, Wyse, Stat. Comput. 24, 709 (2014).
    """
    ladder.needs(2, "thermodynamic integration")
    (log_z, entropy), (error, entropy_error) = jackknife(ladder, lambda part: both(part, _log_z(part)))
    coarse = _discretisation(ladder)
    return FreeEnergies(
        "integration", ladder.temperatures, log_z, np.hypot(error, coarse), entropy,
        np.hypot(entropy_error, coarse), discretisation=coarse,
    )  # fmt: skip


def _log_z(ladder: Ladder) -> Floats:
    steps = _rule(ladder.betas, ladder.means, ladder.variances)
    return np.concatenate([[0.0], -np.cumsum(steps)])


def _rule(beta: Floats, energy: Floats, variance: Floats) -> Floats:
    """The integral of <E> over each interval of beta (rungs,): (rungs - 1,)."""
    h = np.diff(beta)
    return np.asarray(h * (energy[1:] + energy[:-1]) / 2 + h**2 * np.diff(variance) / 12)


def _discretisation(ladder: Ladder) -> Floats:
    """How far off the integral up to each rung may be, (rungs,); of one interval the whole correction."""
    beta, energy, variance = ladder.betas, ladder.means, ladder.variances
    fine = _rule(beta, energy, variance)
    if ladder.rungs == 2:
        return np.array([0.0, abs(float(np.diff(beta)[0] ** 2 * np.diff(variance)[0] / 12))])
    doubled = np.array([_rule(beta[k::2], energy[k::2], variance[k::2])[0] for k in range(len(fine) - 1)])
    off = (doubled - fine[:-1] - fine[1:]) / 15  # of each pair of intervals
    each = np.convolve(off, [0.5, 0.5])  # of each interval: half of the pairs that it is in
    each[[0, -1]] *= 2  # an outer one is in one pair only
    return np.concatenate([[0.0], np.abs(np.cumsum(each / 2))])
