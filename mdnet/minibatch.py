"""The force on a few rows of the data, drawn anew at every call: what stochastic-gradient dynamics moves by."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from mdnet.force import BatchForce, Evaluation

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem


class MinibatchForce:
    """An unbiased estimate of energy and force from `size` rows of the data, drawn from torch's default generator.

        U_B(q) = scale mean_{rows in B} loss(q) + prior(q),      f = -dU_B/dq

    Each replica has a batch of its own, unless `shared`. Its variance is a source of heat: an integrator takes in
    h s^2/(2 m T) more friction than it has, with s^2 the variance of a force's component and h the length of a kick.

    `size` may differ by replica, (replicas,): a replica then sees each of its own size[r] rows max(size)/size[r] times
    over, so that all means over its batch, and the statistics of BatchNorm, are those of size[r] rows. A replica of a
    small batch costs as much as one of the largest.

    Attributes: `size`, the largest; `sizes` (replicas,) int64, None where all are equal.

    Raises ValueError for a size below one, or below two where there is a BatchNorm1d, or above the
    number of rows without replacement; for several sizes that are not one a replica, do not divide the largest, or are
    to be shared.

    Reference: Welling, Teh, ICML 2011.
    """

    stochastic: ClassVar[bool] = True

    def __init__(
        self, system: ParticleSystem, size: int | Sequence[int] | Tensor, *, replace: bool, shared: bool
    ) -> None:
        self.rows = system.inputs.shape[0 if system.shares_data else 1]
        self.size, self.sizes = _sizes(size, system.replicas)
        least = self.size if self.sizes is None else int(self.sizes.min())
        if least < 1 or (self.size > self.rows and not replace):
            raise ValueError(
                f"size = {_told(size)}: a minibatch has one row or more, and without replacement at most all "
                f"{self.rows}"
            )
        if least < 2 and any(map(_by_batch, system.network.modules())):
            raise ValueError(f"size = {_told(size)}: BatchNorm has statistics of two rows or more; take two or more")
        if self.sizes is not None:
            _check_divide(self.sizes, self.size, shared)
            self.sizes = self.sizes.to(system.inputs.device)
            self._again = torch.arange(self.size, device=self.sizes.device) % self.sizes[:, None]  # (replicas, size)
        self.system, self.replace, self.shared = system, replace, shared
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
        return self._take(self.draw(1 if self.shared else len(q)))

    def draw(self, batches: int) -> Tensor:
        """Return fresh row numbers (batches, size), int64; of several sizes each is its first rows, repeated."""
        device = self.system.inputs.device
        if self.replace:
            rows = torch.randint(self.rows, (batches, self.size), device=device)
        else:
            rows = torch.rand(batches, self.rows, device=device).topk(self.size).indices
        if self.sizes is None:
            return rows
        if batches != len(self.sizes):
            raise ValueError(f"{batches} replicas, but the sizes of their minibatches are {len(self.sizes)}: {self}")
        return rows.gather(1, self._again)

    def part(self, own: ParticleSystem, rows: slice) -> MinibatchForce:
        """Return the force on these replicas, whose system is `own`; raises ValueError where one batch is shared.

        As many rows are drawn for a replica as among all, so that it draws the same.
        """
        if self.shared and rows.stop - rows.start == 1:
            raise ValueError("a batch that replicas share needs two replicas or more on each rank; take fewer ranks")
        made = copy.copy(self)
        made.system, made._batch = own, BatchForce(own, per_replica=self._batch.per_replica)
        if self.sizes is not None:
            made.sizes, made._again = self.sizes[rows], self._again[rows]
        return made

    def _take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        system = self.system
        if system.shares_data:
            chosen = rows[0] if self.shared else rows
            return system.inputs[chosen], system.targets[chosen]
        replicas = torch.arange(len(system.inputs), device=rows.device)[:, None]
        return system.inputs[replicas, rows], system.targets[replicas, rows]

    def __repr__(self) -> str:
        size = self.size if self.sizes is None else self.sizes.tolist()
        return f"MinibatchForce(size={size}, replace={self.replace}, shared={self.shared})"


def _by_batch(layer: nn.Module) -> bool:
    """Whether a layer takes its statistics from the rows of the batch."""
    return isinstance(layer, nn.BatchNorm1d) and layer.running_mean is None


def _sizes(size: int | Sequence[int] | Tensor, replicas: int) -> tuple[int, Tensor | None]:
    """The largest size, and all of them (replicas,) int64 where they differ."""
    try:
        given = torch.as_tensor(size)
    except (TypeError, ValueError, RuntimeError):  # no numbers, or too large ones
        given = torch.empty(0)
    whole = not (given.is_floating_point() or given.is_complex() or given.dtype == torch.bool)
    if not whole or (given.ndim and given.shape != (replicas,)):
        raise ValueError(f"size = {_told(size)} must be a whole number, or {replicas} of them, one a replica")
    given = given.long().cpu()
    largest = int(given.max())
    return largest, None if (given == largest).all() else given.clone()


def _told(size: int | Sequence[int] | Tensor) -> object:
    return size.tolist() if isinstance(size, Tensor) else size


def _check_divide(sizes: Tensor, largest: int, shared: bool) -> None:
    if shared:
        raise ValueError(
            f"size = {sizes.tolist()}: a batch that replicas share has one size; leave out shared=True, or give one "
            "size"
        )
    allowed = [size for size in range(1, largest + 1) if largest % size == 0]
    wrong = sorted({size for size in sizes.tolist() if largest % size})
    if wrong:
        nearest = [min((abs(size - each), size) for size in allowed)[1] for each in wrong]
        raise ValueError(f"size: {wrong} do not divide the largest, {largest}; the nearest that do are {nearest}")
