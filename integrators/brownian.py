"""Overdamped Langevin dynamics: what its methods share, and the method of Leimkuhler and Matthews."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from integrators.dynamics import Dynamics
from integrators.parameters import checked
from integrators.phase import Force, Phase


class Overdamped(Dynamics):
    """The base of the methods for m gamma dq = f dt + sqrt(2 m gamma T) dW; a method adds __call__(phase).

    It keeps noise R sqrt(m T) in phase.p: a fresh Maxwell-Boltzmann momentum at every step, so a kinetic
    temperature would say nothing and none is reported.

    Parameters: `force`; `dt`; `temperature` >= 0 and `friction` gamma > 0 (1/time), each a number or a
    (replicas, 1) tensor. Raises ValueError outside these ranges.
    """

    has_momenta: ClassVar[bool] = False

    def __init__(
        self, force: Force, dt: float | Tensor, *, temperature: float | Tensor, friction: float | Tensor = 1.0
    ) -> None:
        super().__init__(force, dt)
        self._temperature = checked("temperature", temperature, lambda x: x >= 0, "not negative")
        self.friction = checked("friction", friction, lambda x: x > 0, "positive in overdamped dynamics")

    @property
    def temperature(self) -> Tensor:
        """The set temperature."""
        return self._temperature

    @property
    def canonical(self) -> bool:
        """True, unless a minibatch force heats the run."""
        return not self.stochastic

    def start(self, q: Tensor, p: Tensor, m: Tensor) -> Phase:
        """Return the phase at q (replicas, dof); p is drawn anew at the set temperature."""
        phase = super().start(q, p, m)
        self._temperature, self.friction = self._temperature.to(q.device), self.friction.to(q.device)
        self._draw(phase)
        return phase

    def strain(self, frequency: Tensor) -> Tensor:
        """Return w^2 dt/(2 gamma) (replicas,): a mode is multiplied by 1 - w^2 dt/gamma in every step."""
        return frequency.square() * (self.dt / self.friction).flatten().to(frequency.device) / 2

    def _drift(self, phase: Phase) -> None:
        phase.q.addcmul_(phase.f, (self.dt / (self.friction * phase.m)).to(phase.q.dtype))

    def _draw(self, phase: Phase) -> None:
        phase.p.normal_().mul_(torch.sqrt(self.temperature * phase.m).to(phase.p.dtype))

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(dt={self.dt.tolist()}, temperature={self.temperature.tolist()}, "
            f"friction={self.friction.tolist()})"
        )


class Brownian(Overdamped):
    """Overdamped Langevin dynamics, m gamma dq = f dt + sqrt(2 m gamma T) dW, with averaged noise:

        q_{n+1} = q_n + dt f(q_n)/(m gamma) + sqrt(T dt/(2 m gamma)) (R_n + R_{n+1})

    It is the limit of strong friction of BAOAB; averages over positions are of second order in dt, where
    EulerMaruyama's are of first. It costs one force a step. R_n sqrt(m T) is kept in phase.p.

    Parameters: `force`; `dt`; `temperature` >= 0 and `friction` gamma > 0 (1/time), each a number or a
    (replicas, 1) tensor. Raises ValueError outside these ranges.

    Reference: Leimkuhler, Matthews, Appl. Math. Res. Express 2013, 34, Eq. (15).
    """

    def __call__(self, phase: Phase) -> None:
        """Advance phase by one step, in place."""
        hop = (torch.sqrt(self.dt / (2 * self.friction)) / phase.m).to(phase.q.dtype)
        self._drift(phase)
        phase.q.addcmul_(phase.p, hop)
        self._draw(phase)
        phase.q.addcmul_(phase.p, hop)
        self._evaluate(phase)
