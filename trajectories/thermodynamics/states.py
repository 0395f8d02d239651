"""What every method for free energies returns: ln Z and entropy by temperature, relative to the lowest one."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trajectories.thermodynamics.ladder import Ladder
from trajectories.thermodynamics.printing import aligned, estimates, numbers

Floats = NDArray[np.float64]


class FreeEnergies(NamedTuple):
    """ln Z(T_k) - ln Z(T_0) with Z(T) = int exp(-E/T), and S(T_k) - S(T_0) with S = <E>/T + ln Z; F = -T ln Z."""

    method: str
    temperatures: Floats  # (rungs,) rising
    log_z: Floats  # (rungs,)
    error: Floats  # (rungs,) standard error, with the discretisation where there is one
    entropy: Floats  # (rungs,)
    entropy_error: Floats  # (rungs,)
    discretisation: Floats | None = None  # (rungs,) of an integral over temperature
    overlap: Floats | None = None  # (rungs, rungs) of MBAR: how much the samples of one rung tell of another
    n_effective: Floats | None = None  # (rungs,) of MBAR: samples that a rung's averages are worth

    def __str__(self) -> str:
        """One line a temperature."""
        return f"by {self.method}\n" + aligned(
            {
                "T": numbers(self.temperatures),
                "ln Z": estimates(self.log_z, self.error),
                "S": estimates(self.entropy, self.entropy_error),
            }
        )


def entropies(ladder: Ladder, log_z: Floats) -> Floats:
    """Return S(T_k) - S(T_0) = <E>_k/T_k - <E>_0/T_0 + ln Z_k - ln Z_0, (rungs,)."""
    heat = ladder.betas * ladder.means
    return np.asarray(heat - heat[0] + log_z - log_z[0])


def both(ladder: Ladder, log_z: Floats) -> Floats:
    """Return ln Z and entropy in one array (2, rungs), as the jackknife takes them."""
    return np.stack([log_z, entropies(ladder, log_z)])
