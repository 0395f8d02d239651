"""Steps in blocks: what advances a phase between two moments at which something has to be looked at."""

from __future__ import annotations

import warnings
from typing import Protocol

from integrators import Integrator, Phase
from mdnet.minibatch import MinibatchForce
from mdnet.routes.capture import CapturedSteps
from mdnet.routes.native.expressions import Untraceable
from mdnet.routes.native.library import NotCompiled, compiler
from mdnet.routes.native.rows import AllRows, DrawnRows
from mdnet.routes.native.steps import NativeLoop, NativeParts
from mdnet.system import ParticleSystem

_UNROLLED = 8  # steps in one graph on a GPU


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

    def __init__(self, system: ParticleSystem, integrator: Integrator, why: str = "") -> None:
        self.system, self.integrator, self.why = system, integrator, why

    def advance(self, phase: Phase, steps: int) -> None:
        """Advance phase by `steps` steps of the integrator, in place."""
        for _ in range(steps):
            self.integrator(phase)
            if (sign := self.system.fold(phase.q)) is not None:
                self.integrator.mirror(phase, sign)

    def __repr__(self) -> str:
        return f"step by step ({self.why})" if self.why else "step by step"


def stepper(system: ParticleSystem, integrator: Integrator, phase: Phase) -> Stepper:
    """Return the fastest way to advance a phase like this one of the system by the integrator."""
    if system.device.type == "cuda":
        return CapturedSteps(PlainSteps(system, integrator), unroll=_UNROLLED)
    if system.route == "eager":
        return PlainSteps(system, integrator, system.why)
    if compiler() is None:
        return PlainSteps(system, integrator, "there is no C++ compiler")
    try:
        made = _native(system, integrator, phase)
        made.compile()
        return made
    except NotCompiled as error:
        warnings.warn(f"native steps could not be compiled and run in plain torch: {error}", stacklevel=3)
        return PlainSteps(system, integrator, "native steps could not be compiled")
    except Untraceable as reason:
        return PlainSteps(system, integrator, f"no native step: {reason}")


def _native(system: ParticleSystem, integrator: Integrator, phase: Phase) -> NativeLoop | NativeParts:
    """Steps in one loop with the gradient where that is native and of the system's data, else around any gradient."""
    force = getattr(integrator, "force", None)
    if system.force.native is not None and force is system.force:
        return NativeLoop(system, integrator, phase, AllRows(system, system.force.native))
    if system.force.native is not None and isinstance(force, MinibatchForce) and force.system is system:
        return NativeLoop(system, integrator, phase, DrawnRows(force))
    return NativeParts(system, integrator, phase)
