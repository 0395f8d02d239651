"""Steps in blocks: what advances a phase between two moments at which something has to be looked at."""

from __future__ import annotations

from typing import Protocol

from integrators import Integrator, Phase
from mdnet.system import ParticleSystem


class Stepper(Protocol):
    """Advances a phase by several steps, walls included, without looking at it in between."""

    @property
    def block(self) -> int:
        """The most steps that one call should take, so that a run can be stopped in time."""

    def advance(self, phase: Phase, steps: int) -> None:
        """Advance phase by `steps` steps of the integrator, in place."""


class PlainSteps:
    """One call of the integrator after the other; positions beyond a wall are folded back after each."""

    block = 1

    def __init__(self, system: ParticleSystem, integrator: Integrator) -> None:
        self.system, self.integrator = system, integrator

    def advance(self, phase: Phase, steps: int) -> None:
        """Advance phase by `steps` steps of the integrator, in place."""
        for _ in range(steps):
            self.integrator(phase)
            if (sign := self.system.fold(phase.q)) is not None:
                self.integrator.mirror(phase, sign)

    def __repr__(self) -> str:
        return "step by step"


def stepper(system: ParticleSystem, integrator: Integrator) -> Stepper:
    """Return the fastest way to advance this system by this integrator."""
    return PlainSteps(system, integrator)
