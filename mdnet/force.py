"""Backpropagation for all replicas at once: q (replicas, dof) -> u (replicas,), f (replicas, dof)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from integrators.compiling import Compiled
from mdnet.priors import mirror
from mdnet.routes.choice import Route
from mdnet.routes.chunks import Chunked
from mdnet.routes.module import ModuleGradient
from mdnet.routes.native.gradient import NativeGradient
from mdnet.routes.native.library import NotCompiled
from mdnet.routes.precision import products

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem

Evaluation = tuple[Tensor, Tensor]
LossAndGradient = Callable[[Tensor, Tensor, Tensor], Evaluation]
"""q (replicas, dof), inputs, targets -> mean loss (replicas,), its gradient (replicas, dof)."""


class BatchForce:
    """U and -dU/dq of a system for all its replicas.

        U(q) = scale mean_loss(q) + sum_i k_i q_i^2/2,      f = -dU/dq

    u is float64, f has the dtype of q. `per_replica`: each replica has data of its own. `route`: how the gradient
    is computed, by default the system's; other numbers of replicas than the system's own run uncompiled on the
    compiled route, for each would be compiled anew. Its memory stays within a budget, see mdnet.routes.chunks.
    """

    def __init__(self, system: ParticleSystem, *, per_replica: bool, route: Route | None = None) -> None:
        self.system, self.per_replica = system, per_replica
        self.native: NativeGradient | None = None
        self._plain: LossAndGradient = Chunked(system, self.vectorised, per_replica=per_replica)
        self._losses: LossAndGradient = Chunked(system, self._loss_alone, per_replica=per_replica)
        self._gradient = self._made(route or system.route)

    def __call__(self, q: Tensor) -> Evaluation:
        """Return u (replicas,) float64 and f (replicas, dof) at q (replicas, dof)."""
        return self.on(q, self.system.inputs, self.system.targets)

    def on(self, q: Tensor, inputs: Tensor, targets: Tensor) -> Evaluation:
        """Return u and f at q on data of one's choice, (n, ...), or with per_replica (replicas, n, ...)."""
        with torch.no_grad(), products(self.system.precision, q.device):
            return potential(self.system, self._gradient, q, inputs, targets)

    def slope(self, q: Tensor) -> Evaluation:
        """Return the mean loss (replicas,) and its gradient (replicas, dof) at q, without scale, prior and walls."""
        return self.slope_on(q, self.system.inputs, self.system.targets)

    def slope_on(self, q: Tensor, inputs: Tensor, targets: Tensor) -> Evaluation:
        """Return the same on data of one's choice, as in `on`."""
        with torch.no_grad(), products(self.system.precision, q.device):
            return self._gradient(q, inputs, targets)

    def mean_loss(self, q: Tensor) -> Tensor:
        """Return the mean loss (replicas,) float64 at q, without scale and prior: no gradient if that is cheaper."""
        if self.native is not None:
            return self.slope(q)[0].double()
        with torch.no_grad(), products(self.system.precision, q.device):
            return self._losses(q, self.system.inputs, self.system.targets)[0].double()

    def energy(self, q: Tensor) -> Tensor:
        """Return u (replicas,) float64 at q (replicas, dof), without the force where it is cheaper to leave it."""
        if self.native is not None:
            return self(q)[0]
        data = self.system.inputs, self.system.targets
        with torch.no_grad(), products(self.system.precision, q.device):
            return potential(self.system, self._losses, q, *data)[0]

    def gradient(self, q: Tensor) -> Tensor:
        """Return dU/dq (replicas, dof), uncompiled and differentiable once more."""
        return -potential(self.system, self.vectorised, q, self.system.inputs, self.system.targets)[1]

    def vectorised(self, q: Tensor, inputs: Tensor, targets: Tensor) -> Evaluation:
        """Return mean loss (replicas,) and its gradient (replicas, dof), differentiable once more.

        One vectorised backward pass, or one for each replica where the network cannot be vectorised.
        """
        gradient, loss = self._each(grad_and_value(self.system.mean_loss), q, inputs, targets)
        return loss, gradient

    def _each(self, evaluate: Callable[..., Any], q: Tensor, inputs: Tensor, targets: Tensor) -> Any:
        """What is evaluated of one replica, of all: vectorised, or one by one on the module route."""
        if self.system.route != "module":
            data = 0 if self.per_replica else None
            return vmap(evaluate, in_dims=(0, data, data))(q, inputs, targets)
        own = zip(inputs, targets, strict=True) if self.per_replica else [(inputs, targets)] * len(q)
        found = [evaluate(one, *rows) for one, rows in zip(q, own, strict=True)]
        return (
            torch.stack(found) if isinstance(found[0], Tensor) else [torch.stack(x) for x in zip(*found, strict=True)]
        )

    def _loss_alone(self, q: Tensor, inputs: Tensor, targets: Tensor) -> Evaluation:
        """The mean loss, and zeros where its gradient would be."""
        losses = self._each(self.system.mean_loss, q, inputs, targets)
        return losses, q.new_zeros(len(q), 1)

    def _made(self, route: Route) -> LossAndGradient:
        system, per_replica = self.system, self.per_replica
        if route == "native":
            self.native = NativeGradient(system, per_replica=per_replica)
            return self._natively
        if route == "module":
            return ModuleGradient(system, per_replica=per_replica)
        if route == "compiled":
            self._graph = Compiled(self.vectorised, "the force")
            self._compiled = Chunked(system, self._graph, plain=self.vectorised, per_replica=per_replica)
            return self._in_graph
        return self._plain

    def _in_graph(self, q: Tensor, inputs: Tensor, targets: Tensor) -> Evaluation:
        gradient = self._compiled if len(q) == self.system.replicas else self._plain
        return gradient(q, inputs, targets)

    def _natively(self, q: Tensor, inputs: Tensor, targets: Tensor) -> Evaluation:
        assert self.native is not None
        try:
            return self.native(q, inputs, targets)
        except NotCompiled as error:
            warnings.warn(f"the native force could not be compiled and runs in plain torch: {error}", stacklevel=5)
            self.native, self._gradient = None, self._plain
            return self._plain(q, inputs, targets)


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
