"""Actions: what happens between steps and changes the phase, such as replica exchange or step-size adaptation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from integrators import Integrator, Phase
from mdnet.system import ParticleSystem


class Action(Protocol):
    """Acts every `every` steps, after the step and before the reports; phase.u and phase.f are up to date then.

    Its repr names its parameters, for a resume compares it. Where it sets the temperature or dt, it says so in an
    attribute `sets`, a tuple of these names, which then can have no schedule.
    """

    @property
    def every(self) -> int:
        """Steps between two calls."""

    def start(self, system: ParticleSystem, integrator: Integrator, phase: Phase) -> None:
        """Learn what is simulated, once, before the first step; raises ValueError where it does not fit."""

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Change the phase, in place, and return named tensors (replicas, ...) to be written as observables."""

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` returned."""
