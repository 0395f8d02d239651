"""The Bussi thermostat: stochastic velocity rescaling, canonical with the least disturbance of the motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from thermostats import parameters


@dataclass(frozen=True, repr=False)
class Bussi(parameters.Readable):
    """Rescale all momenta of a replica by one factor that gives K its canonical law, exactly in time:

        K <- c K + (T/2) (1 - c) (R_1^2 + S) + 2 R_1 sqrt(c (1 - c) K T/2),   c = e^{-dt/tau}

    with R_1 normal and S a sum of N_f - 1 squared normals; the factor takes the sign of
    R_1 + sqrt(2 c K/((1 - c) T)), which matters for few particles only.
    `temperature` T >= 0 (k_B = 1) and relaxation time `tau` > 0: numbers, or (replicas, 1) tensors. Canonical
    in K; the directions of the momenta are left to the dynamics, so uncoupled modes do not exchange energy.
    Raises ValueError outside these ranges.

    Reference: Bussi, Donadio, Parrinello, J. Chem. Phys. 126, 014101 (2007), Eqs. (A7) and (A8).
    """

    temperature: Tensor
    tau: Tensor
    canonical: ClassVar[bool] = True

    def __init__(self, temperature: parameters.Value, tau: parameters.Value) -> None:
        object.__setattr__(self, "temperature", parameters.temperature(temperature))
        object.__setattr__(self, "tau", parameters.time("tau", tau))

    def bath(self, p: Tensor) -> tuple[Tensor, ...]:
        """Return no variables."""
        return ()

    def __call__(self, p: Tensor, m: Tensor, bath: tuple[Tensor, ...], dt: Tensor) -> None:
        """Let the bath act on p (replicas, dof) with masses m (dof,) for the time dt, in place."""
        kept = torch.exp(-dt / self.tau)
        gained = -torch.expm1(-dt / self.tau) * self.temperature  # (1 - c) T, twice the energy scale
        doubled = parameters.twice_kinetic(p, m)  # (replicas, 1)
        r = torch.randn_like(doubled)
        along = r * torch.sqrt(gained) + torch.sqrt(kept * doubled)
        across = gained * _chi_squared(doubled, p.shape[-1] - 1)
        factor = torch.sqrt((along.square() + across) / doubled)
        factor = torch.where(doubled > 0, torch.copysign(factor, along), 1.0)
        p.mul_(factor.to(p.dtype))


def _chi_squared(like: Tensor, degrees: int) -> Tensor:
    if degrees == 0:
        return torch.zeros_like(like)
    shape, rate = torch.full_like(like, degrees / 2), torch.full_like(like, 0.5)  # on the device, where they are used
    gamma = torch.distributions.Gamma(shape, rate, validate_args=False)
    return gamma.sample()
