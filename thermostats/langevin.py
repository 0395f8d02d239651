"""The Langevin thermostat: friction and noise on every momentum, solved exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from thermostats import noise, parameters


@dataclass(frozen=True, repr=False)
class Langevin(parameters.Readable):
    """The Ornstein-Uhlenbeck process dp = -gamma p dt + sqrt(2 gamma m T) dW over a time dt, exactly:

        p <- e^{-gamma dt} p + sqrt((1 - e^{-2 gamma dt}) m T) N(0, 1)

    `temperature` T >= 0 (k_B = 1) and `friction` gamma >= 0 (1/time): numbers, or (replicas, 1) tensors.
    Canonical. Raises ValueError outside these ranges.

    Reference: Bussi, Parrinello, Phys. Rev. E 75, 056707 (2007), Eq. (14).
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
        loss = self._loss(dt)
        p.addcmul_(p, -loss.to(p.dtype))  # not p c: rounding c would cool or heat where the loss is small
        p.add_(parameters.maxwell(p, m, loss * (2 - loss) * self.temperature, bath[0]))

    def _loss(self, dt: Tensor) -> Tensor:
        """What a momentum loses in the time dt, 1 - e^{-gamma dt}."""
        return -torch.expm1(-self.friction * dt)
