"""The force on a few rows of the data, drawn anew at every call: what stochastic-gradient dynamics moves by."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from mdnet.force import BatchForce, Evaluation

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem


class MinibatchForce:
    """An unbiased estimate of energy and force from `size` rows of the data, drawn from torch's default generator.

        U_B(q) = scale mean_{rows in B} loss(q) + prior(q),      f = -dU_B/dq

    Each replica has a batch of its own, unless `shared`. Its variance is a source of heat: an integrator takes in
    h s^2/(2 m T) more friction than it has, with s^2 the variance of a force's component and h the length of a kick.

    Reference: Welling, Teh, ICML 2011.
    """

    stochastic: ClassVar[bool] = True

    def __init__(self, system: ParticleSystem, size: int, *, replace: bool, shared: bool) -> None:
        self.rows = system.inputs.shape[0 if system.shares_data else 1]
        if size < 1 or (size > self.rows and not replace):
            raise ValueError(
                f"size = {size}: a minibatch has one row or more, and without replacement at most all {self.rows}"
            )
        self.system, self.size, self.replace, self.shared = system, size, replace, shared
        one_batch = shared and system.shares_data
        self._batch = BatchForce(system, per_replica=not one_batch)

    def __call__(self, q: Tensor) -> Evaluation:
        """Return u (replicas,) float64 and f (replicas, dof) at q (replicas, dof) on fresh rows."""
        return self._batch.on(q, *self._rows_for(q))

    def mean(self, q: Tensor) -> Evaluation:
        """Return u and f on all rows: what a batch's are in the mean, but for layers that couple its rows."""
        return self.system.force(q)

    def slope(self, q: Tensor) -> Evaluation:
        """Return the mean loss (replicas,) and its gradient (replicas, dof) on fresh rows, without scale and prior."""
        return self._batch.slope_on(q, *self._rows_for(q))

    def _rows_for(self, q: Tensor) -> tuple[Tensor, Tensor]:
        return self._take(self._draw(1 if self.shared else len(q)))

    def _draw(self, batches: int) -> Tensor:
        """Row numbers (batches, size)."""
        device = self.system.inputs.device
        if self.replace:
            return torch.randint(self.rows, (batches, self.size), device=device)
        return torch.rand(batches, self.rows, device=device).topk(self.size).indices

    def _take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        system = self.system
        if system.shares_data:
            chosen = rows[0] if self.shared else rows
            return system.inputs[chosen], system.targets[chosen]
        replicas = torch.arange(len(system.inputs), device=rows.device)[:, None]
        return system.inputs[replicas, rows], system.targets[replicas, rows]

    def __repr__(self) -> str:
        return f"MinibatchForce(size={self.size}, replace={self.replace}, shared={self.shared})"
