"""Backpropagation for all replicas at once: q (replicas, dof) -> u (replicas,), f (replicas, dof)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from integrators.compiling import Compiled
from mdnet.priors import mirror

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem

Evaluation = tuple[Tensor, Tensor]


class BatchForce:
    """U and -dU/dq of a system by one vectorised backward pass over its replicas.

        U(q) = scale mean_loss(q) + sum_i k_i q_i^2/2,      f = -dU/dq

    u is float64, f has the dtype of q. `per_replica`: each replica has data of its own. With compile=True the
    whole is one compiled graph for the system's own number of replicas (others run uncompiled, for each would be
    compiled anew); where compilation fails (no C++ compiler, a graph break) it says so once and goes on without.
    """

    def __init__(self, system: ParticleSystem, compile: bool = False, *, per_replica: bool) -> None:
        self.system = system
        data = 0 if per_replica else None
        self._gradient = vmap(grad_and_value(system.mean_loss), in_dims=(0, data, data))
        self._evaluate: Callable[[Tensor, Tensor, Tensor], Evaluation] = (
            Compiled(self._eager, "the force") if compile else self._eager
        )

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
        system = self.system
        sign = None
        if system.walls is not None:
            q, sign = mirror(q, system.walls)
        gradient, loss = self._gradient(q, inputs, targets)
        u, f = system.scale * loss.double(), -system.scale * gradient
        if system.stiffness is not None:
            pull = system.stiffness * q
            u = u + 0.5 * (pull * q).sum(-1, dtype=torch.float64)
            f = f - pull
        return u, f if sign is None else f * sign
