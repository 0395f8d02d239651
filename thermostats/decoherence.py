"""Decoherence: the direction of motion is forgotten bit by bit, and the kinetic energy is not touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from thermostats import noise, parameters


@dataclass(frozen=True, repr=False)
class Decoherence(parameters.Readable):
    """Turn the momentum of a replica towards a random direction, at the same kinetic energy:

        e <- (e + nu N(0, 1))/|e + nu N(0, 1)|,   nu^2 = (e^{2 s/L} - 1)/N_f

    for the direction e = u/|u| of u = p/sqrt(m), and the distance s = |u| dt which is travelled in the time dt
    in the coordinates sqrt(m) q. Over the `length` L the direction is forgotten by a factor e, so that a
    motion of constant energy becomes ergodic. It has no temperature: what is sampled is up to the integrator,
    a constant-energy one or microcanonical Langevin dynamics, whose O it is. No heat flows.
    `length` L > 0, in the unit of sqrt(m) q, which may be infinite (then nothing turns): a number, or a
    (replicas, 1) tensor. Raises ValueError outside this range.

    References: Robnik, De Luca, Silverstein, Seljak, J. Mach. Learn. Res. 24, 311 (2023); Robnik, Seljak,
    arXiv:2303.18221 (2023).
    """

    length: Tensor
    canonical: ClassVar[bool] = False

    def __init__(self, length: parameters.Value) -> None:
        object.__setattr__(self, "length", parameters.length("length", length))

    def bath(self, p: Tensor) -> tuple[Tensor, ...]:
        """Return the source of its random numbers."""
        return (noise.source(p),)

    def __call__(self, p: Tensor, m: Tensor, bath: tuple[Tensor, ...], dt: Tensor) -> None:
        """Let the bath act on p (replicas, dof) with masses m (dof,) for the time dt, in place.

        With everything divided by e^{s/L}, e <- e^{-s/L} e + sqrt((1 - e^{-2 s/L})/N_f) N(0, 1), nothing overflows.
        """
        doubled = parameters.twice_kinetic(p, m)  # (replicas, 1), |u|^2
        speed = torch.sqrt(doubled)
        path = speed * dt / self.length
        turn = speed * torch.sqrt(-torch.expm1(-2 * path) / p.shape[-1])
        turned = p * torch.exp(-path).to(p.dtype)
        turned.add_(noise.normal(p, bath[0]) * (turn.to(p.dtype) * torch.sqrt(m)))
        factor = torch.where(doubled > 0, torch.sqrt(doubled / parameters.twice_kinetic(turned, m)), 1.0)
        p.copy_(turned.mul_(factor.to(p.dtype)))
