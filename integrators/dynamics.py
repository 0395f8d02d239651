"""What the methods of motion share: the force, the step size, and what happens at mirrors and at reheating."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from integrators.phase import Force, Phase, time_step

Part = Callable[[Phase, tuple[Tensor, Tensor] | None], None]
"""A part of a step, given u (replicas,) and f (replicas, dof) that were just evaluated, None at its beginning."""


class Dynamics:
    """The base of the integrators: a method adds __call__(phase), which advances a phase by one step in place.

    `force`: q (replicas, dof) -> u (replicas,), f (replicas, dof). `dt`: a number or a (replicas, 1) tensor.
    A force may be stochastic (a minibatch); it then has an attribute `stochastic` that is true. A method whose step is
    a fixed sequence of evaluations may offer `parts`, what it does before, between and after them, in tensor
    operations alone; its __call__ must do the same. Then fused code can be written for it.

    Raises ValueError for a step that is not positive.
    """

    has_momenta: ClassVar[bool] = True
    looks_ahead: ClassVar[bool] = False  # whether the force's last evaluation may be of a proposal that was refused
    substeps: int = 1  # steps of dt in one call

    def __init__(self, force: Force, dt: float | Tensor) -> None:
        self.force, self.dt = force, time_step(dt)

    @property
    def temperature(self) -> Tensor | None:
        """The set temperature, None where there is none."""
        return None

    @property
    def canonical(self) -> bool:
        """Whether the positions are sampled from exp(-U/T) as dt goes to zero, if the motion is ergodic."""
        return False

    @property
    def stochastic(self) -> bool:
        """Whether the force is an estimate from a minibatch, so that phase.u is not the energy."""
        return bool(getattr(self.force, "stochastic", False))

    def start(self, q: Tensor, p: Tensor, m: Tensor) -> Phase:
        """Return the phase at q and p (replicas, dof) with masses m (dof,); q and p become its buffers.

        Raises ValueError where a parameter has values of another number of replicas.
        """
        self.check_replicas(len(q))
        self.dt = self.dt.to(q.device)
        u, f = self.force(q)
        return Phase(q, p, f, u, m, torch.zeros(len(q), dtype=torch.float64, device=q.device))

    def check_replicas(self, replicas: int) -> None:
        """Raise ValueError where a parameter is (n, 1) with n another number than that of the replicas."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor) and not name.startswith("_") and value.ndim == 2 and len(value) != replicas:
                raise ValueError(
                    f"{name} has {len(value)} values and there are {replicas} replicas; give one number, or one for "
                    f"each, ({replicas}, 1)"
                )

    def sync(self, phase: Phase) -> None:
        """Bring phase.u and phase.f to phase.q where a step does not end with its force; else do nothing."""

    def strain(self, frequency: Tensor) -> Tensor:
        """Return dt over the longest stable dt for modes of this frequency (replicas,): above one they blow up."""
        return frequency * self.dt.flatten().to(frequency.device) / 2

    def momenta(self, phase: Phase) -> Tensor:
        """Return the momenta (replicas, dof) at the time of the positions."""
        return phase.p

    def half_step(self, phase: Phase) -> Tensor | None:
        """Return the momenta (replicas, dof) half a step away from the positions; None where there are none."""
        return None

    def observables(self, phase: Phase) -> dict[str, Tensor]:
        """Return what a method has to report of itself by name, each (replicas,); nothing by default."""
        return {}

    def mirror(self, phase: Phase, sign: Tensor) -> None:
        """Turn what is odd in a coordinate by sign (replicas, dof), +1 or -1: a wall has mirrored the position."""
        phase.p.mul_(sign)
        phase.f.mul_(sign)

    def rescale(self, phase: Phase, factor: Tensor) -> None:
        """Multiply the momenta by factor (replicas, 1): the temperature has changed by its square."""
        phase.p.mul_(factor.to(phase.p.dtype))

    def select(self, phase: Phase, rows: Tensor) -> None:
        """Put replica r where replica rows[r] is, rows (replicas,), with its momenta, force and energy; heat stays."""
        for tensor in (phase.q, phase.p, phase.f, phase.u):
            tensor.copy_(tensor[rows])

    def _evaluate(self, phase: Phase) -> None:
        u, f = self.force(phase.q)
        phase.u.copy_(u)
        phase.f.copy_(f)
