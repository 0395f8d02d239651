"""The Andersen thermostat: now and then a momentum collides with the bath and is drawn anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from thermostats import noise, parameters


@dataclass(frozen=True, repr=False)
class Andersen(parameters.Readable):
    """Each momentum is redrawn from the Maxwell-Boltzmann law with probability 1 - e^{-rate dt}, by itself.

    `temperature` T >= 0 (k_B = 1) and `rate` >= 0 of collisions a particle (1/time): numbers, or (replicas, 1)
    tensors. Canonical. Raises ValueError outside these ranges.

    Reference: Andersen, J. Chem. Phys. 72, 2384 (1980).
    """

    temperature: Tensor
    rate: Tensor
    canonical: ClassVar[bool] = True

    def __init__(self, temperature: parameters.Value, rate: parameters.Value) -> None:
        object.__setattr__(self, "temperature", parameters.temperature(temperature))
        object.__setattr__(self, "rate", parameters.rate("rate", rate))

    def bath(self, p: Tensor) -> tuple[Tensor, ...]:
        """Return the source of its random numbers."""
        return (noise.source(p),)

    def __call__(self, p: Tensor, m: Tensor, bath: tuple[Tensor, ...], dt: Tensor) -> None:
        """Let the bath act on p (replicas, dof) with masses m (dof,) for the time dt, in place."""
        collides = noise.uniform(p, bath[0]) < -torch.expm1(-self.rate * dt)
        p.copy_(torch.where(collides, parameters.maxwell(p, m, self.temperature, bath[0]), p))
