"""The Berendsen thermostat: weak coupling, quick to equilibrate and not canonical."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from thermostats import parameters


@dataclass(frozen=True, repr=False)
class Berendsen(parameters.Readable):
    """Rescale all momenta of a replica so that K relaxes to N_f T/2 without noise:

        K <- N_f T/2 + (K - N_f T/2) e^{-dt/tau}

    NOT canonical: the fluctuations of K are suppressed, so averages are right for K and wrong for nearly all
    else, and uncoupled modes share energy unevenly. Use it to equilibrate, never to sample.
    `temperature` T >= 0 (k_B = 1) and relaxation time `tau` > 0: numbers, or (replicas, 1) tensors.
    Raises ValueError outside these ranges.

    Reference: Berendsen, Postma, van Gunsteren, DiNola, Haak, J. Chem. Phys. 81, 3684 (1984), solved exactly.
    """

    temperature: Tensor
    tau: Tensor
    canonical: ClassVar[bool] = False

    def __init__(self, temperature: parameters.Value, tau: parameters.Value) -> None:
        object.__setattr__(self, "temperature", parameters.temperature(temperature))
        object.__setattr__(self, "tau", parameters.time("tau", tau))

    def bath(self, p: Tensor) -> tuple[Tensor, ...]:
        """Return no variables."""
        return ()

    def __call__(self, p: Tensor, m: Tensor, bath: tuple[Tensor, ...], dt: Tensor) -> None:
        """Let the bath act on p (replicas, dof) with masses m (dof,) for the time dt, in place."""
        doubled = parameters.twice_kinetic(p, m)  # (replicas, 1)
        target = p.shape[-1] * self.temperature
        relaxed = target + (doubled - target) * torch.exp(-dt / self.tau)
        factor = torch.where(doubled > 0, torch.sqrt(relaxed / doubled), 1.0)
        p.mul_(factor.to(p.dtype))
