"""Overdamped Langevin dynamics by the method of Leimkuhler and Matthews."""

from __future__ import annotations

import torch
from torch import Tensor

from integrators.phase import Force, Phase, per_replica, time_step


class Brownian:
    """Overdamped Langevin dynamics, m gamma dq = f dt + sqrt(2 m gamma T) dW, with averaged noise:

        q_{n+1} = q_n + dt f(q_n)/(m gamma) + sqrt(T dt/(2 m gamma)) (R_n + R_{n+1})

    It is the limit of strong friction of BAOAB; averages over positions are of second order in dt, where
    Euler-Maruyama's are of first. It costs one force a step. R_n sqrt(m T) is kept in phase.p: a fresh
    Maxwell-Boltzmann momentum at every step, so a kinetic temperature would say nothing and none is reported.

    Parameters: `force`; `dt`; `temperature` >= 0 and `friction` gamma > 0 (1/time), each a number or a
    (replicas, 1) tensor. Raises ValueError outside these ranges.

    Reference: Leimkuhler, Matthews, Appl. Math. Res. Express 2013, 34, Eq. (15).
    """

    has_momenta = False

    def __init__(
        self, force: Force, dt: float | Tensor, *, temperature: float | Tensor, friction: float | Tensor = 1.0
    ) -> None:
        self.force = force
        self.dt = time_step(dt)
        self.temperature = per_replica("temperature", temperature)
        self.friction = per_replica("friction", friction)
        if not (torch.isfinite(self.temperature) & (self.temperature >= 0)).all():
            raise ValueError(f"temperature = {temperature} must be finite and not negative")
        if not (torch.isfinite(self.friction) & (self.friction > 0)).all():
            raise ValueError(f"friction = {friction} must be finite and positive in overdamped dynamics")

    def start(self, q: Tensor, p: Tensor, m: Tensor) -> Phase:
        """Return the phase at q (replicas, dof); p is drawn anew at the set temperature."""
        self.dt, self.temperature, self.friction = (x.to(q.device) for x in (self.dt, self.temperature, self.friction))
        u, f = self.force(q)
        heat = torch.zeros(len(q), dtype=torch.float64, device=q.device)
        phase = Phase(q, p, f, u, m, heat)
        self._draw(phase)
        return phase

    def __call__(self, phase: Phase) -> None:
        """Advance phase by one step, in place."""
        dtype = phase.q.dtype
        hop = (torch.sqrt(self.dt / (2 * self.friction)) / phase.m).to(dtype)
        phase.q.addcmul_(phase.f, (self.dt / (self.friction * phase.m)).to(dtype))
        phase.q.addcmul_(phase.p, hop)
        self._draw(phase)
        phase.q.addcmul_(phase.p, hop)
        u, f = self.force(phase.q)
        phase.u.copy_(u)
        phase.f.copy_(f)

    def sync(self, phase: Phase) -> None:
        """Do nothing: a step ends with its force."""

    def _draw(self, phase: Phase) -> None:
        phase.p.normal_().mul_(torch.sqrt(self.temperature * phase.m).to(phase.p.dtype))

    def __repr__(self) -> str:
        return (
            f"Brownian(dt={self.dt.tolist()}, temperature={self.temperature.tolist()}, "
            f"friction={self.friction.tolist()})"
        )
