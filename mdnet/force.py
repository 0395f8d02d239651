"""Backpropagation for all replicas at once: q (replicas, dof) -> u (replicas,), f (replicas, dof)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from integrators.compiling import Compiled
from mdnet.priors import mirror
from mdnet.routes.choice import Route
from mdnet.routes.native.gradient import NativeGradient
from mdnet.routes.native.library import NotCompiled

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem

Evaluation = tuple[Tensor, Tensor]
LossAndGradient = Callable[[Tensor, Tensor, Tensor], Evaluation]
"""q (replicas, dof), inputs, targets -> mean loss (replicas,), its gradient (replicas, dof)."""


class BatchForce:
    """U and -dU/dq of a system by one vectorised backward pass over its replicas.

        U(q) = scale mean_loss(q) + sum_i k_i q_i^2/2,      f = -dU/dq

    u is float64, f has the dtype of q. `per_replica`: each replica has data of its own. `route`: how the gradient
    is computed, by default the system's. A compiled graph is for the system's own number of replicas (others run
    uncompiled, for each would be compiled anew); where compilation fails (no C++ compiler, a graph break) it says
    so once and goes on without.
    """

    def __init__(self, system: ParticleSystem, *, per_replica: bool, route: Route | None = None) -> None:
        self.system = system
        data = 0 if per_replica else None
        gradient = vmap(grad_and_value(system.mean_loss), in_dims=(0, data, data))
        self._vectorised: LossAndGradient = lambda *given: gradient(*given)[::-1]
        self.native: NativeGradient | None = None
        self._evaluate: LossAndGradient = self._eager
        if (route or system.route) == "compiled":
            self._evaluate = Compiled(self._eager, "the force")
        if (route or system.route) == "native":
            self.native, self._evaluate = NativeGradient(system, per_replica=per_replica), self._natively

    def __call__(self, q: Tensor) -> Evaluation:
        """Return u (replicas,) float64 and f (replicas, dof) at q (replicas, dof)."""
        return self.on(q, self.system.inputs, self.system.targets)

    def on(self, q: Tensor, inputs: Tensor, targets: Tensor) -> Evaluation:
        """Return u and f at q on data of one's choice, (n, ...), or with per_replica (replicas, n, ...)."""
        fits = self.native is not None or len(q) == self.system.replicas
        evaluate = self._evaluate if fits else self._eager
        with torch.no_grad():
            return evaluate(q, inputs, targets)

    def gradient(self, q: Tensor) -> Tensor:
        """Return dU/dq (replicas, dof), uncompiled and differentiable once more."""
        return -self._eager(q, self.system.inputs, self.system.targets)[1]

    def _natively(self, q: Tensor, inputs: Tensor, targets: Tensor) -> Evaluation:
        assert self.native is not None
        try:
            return potential(self.system, self.native, q, inputs, targets)
        except NotCompiled as error:
            warnings.warn(f"the native force could not be compiled and runs in plain torch: {error}", stacklevel=4)
            self.native, self._evaluate = None, self._eager
            return self._eager(q, inputs, targets)

    def _eager(self, q: Tensor, inputs: Tensor, targets: Tensor) -> Evaluation:
        return potential(self.system, self._vectorised, q, inputs, targets)


def potential(
    system: ParticleSystem, gradient: LossAndGradient, q: Tensor, inputs: Tensor, targets: Tensor
) -> Evaluation:
    """Return U and -dU/dq at q (replicas, dof) from what gives the mean loss and its gradient on the data."""
    image, sign = mirrored(system, q)
    return energy_and_force(system, image, sign, *gradient(image, inputs, targets))


def mirrored(system: ParticleSystem, q: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the mirror image of q behind the walls of the box, and its sign; q itself and None without a box."""
    return (q, None) if system.walls is None else mirror(q, system.walls)


def energy_and_force(system: ParticleSystem, q: Tensor, sign: Tensor | None, loss: Tensor, slope: Tensor) -> Evaluation:
    """Return U and -dU/dq from the mean loss and its gradient at q: scale, prior, and what the mirrors turn."""
    u, f = system.scale * loss.double(), -system.scale * slope
    if system.stiffness is not None:
        pull = system.stiffness * q
        u = u + 0.5 * (pull * q).sum(-1, dtype=torch.float64)
        f = f - pull
    return u, f if sign is None else f * sign
