"""The thermostat of Gronbech-Jensen and Farago: Langevin's bath with the midpoint's decay."""

from __future__ import annotations

from torch import Tensor

from thermostats.langevin import Langevin


class GJF(Langevin):
    """Friction and noise on every momentum by the midpoint (Cayley) form of the decay e^{-gamma dt}:

        p <- a p + sqrt((1 - a^2) m T) N(0, 1),   a = (1 - gamma dt/2)/(1 + gamma dt/2)

    BAOAB with this bath is the method of Gronbech-Jensen and Farago: in harmonic forces positions are exact at
    any stable dt, as with Langevin, and free particles diffuse with D = T/(m gamma) exactly, where Langevin has
    (gamma dt/2) coth(gamma dt/2) times as much. In discrete time velocities forget by a, not by e^{-gamma dt},
    and beyond gamma dt = 2 they turn round at each step.
    `temperature` T >= 0 (k_B = 1) and `friction` gamma >= 0 (1/time): numbers, or (replicas, 1) tensors.
    Canonical. Raises ValueError outside these ranges.

    Reference: Gronbech-Jensen, Farago, Mol. Phys. 111, 983 (2013).
    """

    def _loss(self, dt: Tensor) -> Tensor:
        """What a momentum loses in the time dt, 1 - a."""
        half = self.friction * dt / 2
        return 2 * half / (1 + half)
