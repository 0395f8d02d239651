"""The thermostat of Gronbech-Jensen and Farago: Langevin's bath with the midpoint's decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from thermostats import noise, parameters


@dataclass(frozen=True, repr=False)
class GJF(parameters.Readable):
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

    temperature: Tensor
    friction: Tensor
    canonical: ClassVar[bool] = True

    def __init__(self, temperature: parameters.Value, friction: parameters.Value) -> None:
        object.__setattr__(self, "temperature", parameters.temperature(temperature))
        object.__setattr__(self, "friction", parameters.rate("friction", friction))

    def bath(self, p: Tensor) -> tuple[Tensor, ...]:
        """Return the source of its random numbers."""
        return (noise.source(p),)

    def __call__(self, p: Tensor, m: Tensor, bath: tuple[Tensor, ...], dt: Tensor) -> None:
        """Let the bath act on p (replicas, dof) with masses m (dof,) for the time dt, in place."""
        half = self.friction * dt / 2
        p.mul_(((1 - half) / (1 + half)).to(p.dtype))
        p.add_(parameters.maxwell(p, m, 4 * half / (1 + half).square() * self.temperature, bath[0]))
