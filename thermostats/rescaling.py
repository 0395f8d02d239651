"""Plain rescaling of velocities: the kinetic energy is set, and does not fluctuate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from thermostats import parameters


@dataclass(frozen=True, repr=False)
class VelocityRescaling(parameters.Readable):
    """Rescale all momenta of a replica, every time the bath acts, so that K is what it is on average:

        K <- N_f T/2

    NOT canonical: K does not fluctuate, and uncoupled modes share energy unevenly. In the limit of small steps
    this is the motion at constant K, whose positions, where they are ergodic, have N_f T/(N_f - 1) for their
    temperature: 1.2 T for six coupled modes, of which 1.18 T was seen with dt = 0.01 and 1.06 T with dt = 0.08.
    It is Berendsen's bath with tau = 0. Use it to equilibrate, never to sample.
    `temperature` T >= 0 (k_B = 1): a number, or a (replicas, 1) tensor. Raises ValueError outside this range.

    Reference: Woodcock, Chem. Phys. Lett. 10, 257 (1971).
    """

    temperature: Tensor
    canonical: ClassVar[bool] = False

    def __init__(self, temperature: parameters.Value) -> None:
        object.__setattr__(self, "temperature", parameters.temperature(temperature))

    def bath(self, p: Tensor) -> tuple[Tensor, ...]:
        """Return no variables."""
        return ()

    def __call__(self, p: Tensor, m: Tensor, bath: tuple[Tensor, ...], dt: Tensor) -> None:
        """Rescale p (replicas, dof) with masses m (dof,), in place, whatever dt is; particles at rest stay so."""
        doubled = parameters.twice_kinetic(p, m)  # (replicas, 1)
        factor = torch.where(doubled > 0, torch.sqrt(p.shape[-1] * self.temperature / doubled), 1.0)
        p.mul_(factor.to(p.dtype))
