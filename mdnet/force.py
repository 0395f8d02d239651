"""Backpropagation for all replicas at once: q (replicas, dof) -> u (replicas,), f (replicas, dof)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from integrators.compiling import Compiled
from mdnet.priors import mirror
from mdnet.routes.choice import Route

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
        self._evaluate: LossAndGradient = self._eager
        if (route or system.route) == "compiled":
            self._evaluate = Compiled(self._eager, "the force")

    def __call__(self, q: Tensor) -> Evaluation:
        """Return u (replicas,) float64 and f (replicas, dof) at q (replicas, dof)."""
        return self.on(q, self.system.inputs, self.system.targets)

    def on(self, q: Tensor, inputs: Tensor, targets: Tensor) -> Evaluation:
        """Return u and f at q on data of one's choice, (n, ...), or with per_replica (replicas, n, ...)."""
        evaluate = self._evaluate if len(q) == self.system.replicas else self._eager
        with torch.no_grad():
            return evaluate(q, inputs, targets)

    def gradient(self, q: Tensor) -> Tensor:
        """Return dU/dq (replicas, dof), uncompiled and differentiable once more."""
        return -self._eager(q, self.system.inputs, self.system.targets)[1]

    def _eager(self, q: Tensor, inputs: Tensor, targets: Tensor) -> Evaluation:
        return potential(self.system, self._vectorised, q, inputs, targets)


def potential(
    system: ParticleSystem, gradient: LossAndGradient, q: Tensor, inputs: Tensor, targets: Tensor
) -> Evaluation:
    """Return U and -dU/dq from the mean loss and its gradient: scale, prior, and the mirror images behind walls."""
    sign = None
    if system.walls is not None:
        q, sign = mirror(q, system.walls)
    loss, slope = gradient(q, inputs, targets)
    u, f = system.scale * loss.double(), -system.scale * slope
    if system.stiffness is not None:
        pull = system.stiffness * q
        u = u + 0.5 * (pull * q).sum(-1, dtype=torch.float64)
        f = f - pull
    return u, f if sign is None else f * sign
