"""Evaluations in chunks of replicas and rows, so that their memory stays within a budget."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from mdnet.routes.memory import Evaluate, Need, default_budget, measure

if TYPE_CHECKING:
    from mdnet.force import Evaluation, LossAndGradient
    from mdnet.system import ParticleSystem


class Sizes(NamedTuple):
    """How many replicas, and how many rows of the data, are evaluated at once."""

    replicas: int
    rows: int


class Chunked:
    """A mean loss and its gradient, or any other means over the rows, in pieces that fit in a budget.

        mean = sum_c (n_c/n) mean_c      over chunks c of n_c rows

    `evaluate` (q, inputs, targets) -> tensors (replicas, ...): what is cut, such as a compiled gradient; `plain` the
    same uncompiled, which is measured. `per_replica`: data have a dimension of replicas. `budget_bytes`: by default a
    quarter of the device's memory, see memory.default_budget. `sizes`: given, nothing is measured. What fits in one
    piece is not cut; then replicas are cut, and rows only where one replica does not fit. The same budget gives the
    same pieces. Not differentiable: the result is written piece by piece in one place.

    Warns where not even the smallest piece fits. Raises ValueError for sizes and budgets below one.
    """

    def __init__(
        self,
        system: ParticleSystem,
        evaluate: LossAndGradient,
        *,
        per_replica: bool,
        plain: LossAndGradient | None = None,
        budget_bytes: int | None = None,
        sizes: Sizes | None = None,
    ) -> None:
        self.system, self.evaluate, self.per_replica = system, evaluate, per_replica
        self.plain = plain or evaluate
        self.budget = default_budget(system.device) if budget_bytes is None else budget_bytes
        if self.budget < 1 or min(sizes or (1,)) < 1:
            raise ValueError(f"budget_bytes = {self.budget} and sizes = {sizes} must be one or more")
        self._given = sizes
        self._fitted: dict[tuple[int, int], Sizes] = {}

    def __call__(self, q: Tensor, inputs: Tensor, targets: Tensor) -> Evaluation:
        """Return loss (replicas,) and gradient (replicas, dof), or whatever is evaluated."""
        sizes, rows = self.sizes(q, inputs, targets), inputs.shape[1 if self.per_replica else 0]
        if sizes.replicas >= len(q) and sizes.rows >= rows:
            return self.evaluate(q, inputs, targets)
        return means_in_chunks(self.evaluate, q, inputs, targets, sizes, per_replica=self.per_replica)

    def sizes(self, q: Tensor, inputs: Tensor, targets: Tensor) -> Sizes:
        """Return the sizes of the pieces for so many replicas and rows, measured once."""
        if self._given is not None:
            return self._given
        shape = (len(q), inputs.shape[1 if self.per_replica else 0])
        if shape not in self._fitted:
            budget, per_replica = self.budget, self.per_replica
            need = measure(self.plain, q, inputs, targets, per_replica=per_replica, budget=budget)
            whole = need.bytes(1, shape[1]) > budget and coupled(self.system) is not None
            self._fitted[shape] = fit(need, *shape, budget, whole_rows=whole)
            self._tell(need, self._fitted[shape])
        return self._fitted[shape]

    def _tell(self, need: Need, sizes: Sizes) -> None:
        least = need.bytes(*sizes)
        if least <= self.budget:
            return
        why = coupled(self.system) if sizes.rows > 1 else None
        remedy = f"the rows cannot be divided, for {why}; take a minibatch" if why else "one row is the least"
        warnings.warn(
            f"one replica needs about {least:.3g} bytes, more than the budget of {self.budget:.3g}: {remedy}, "
            "or a larger budget",
            stacklevel=5,
        )


def fit(need: Need, replicas: int, rows: int, budget: float, *, whole_rows: bool = False) -> Sizes:
    """Return the largest even pieces that stay within the budget, at least one replica and one row.

    `whole_rows`: rows are not divided, whatever one replica needs.
    """
    if need.bytes(replicas, rows) <= budget:
        return Sizes(replicas, rows)
    if whole_rows or need.bytes(1, rows) <= budget:
        return Sizes(_even(replicas, int(budget / need.bytes(1, rows))), rows)
    return Sizes(1, _even(rows, int((budget - need.replica) / need.row)))


def means_in_chunks(
    evaluate: Evaluate, q: Tensor, inputs: Tensor, targets: Tensor, sizes: Sizes, *, per_replica: bool
) -> Evaluation:
    """Return means over the rows (replicas, ...), each chunk weighted by its share; one number a replica as float64."""
    rows = inputs.shape[1 if per_replica else 0]
    totals: list[Tensor] = []
    for some in _slices(len(q), sizes.replicas):
        for few in _slices(rows, sizes.rows):
            where = (some, few) if per_replica else (few,)
            means = evaluate(q[some], inputs[where], targets[where])
            if not totals:
                totals = [_place(x, len(q)) for x in means]
            for total, mean in zip(totals, means, strict=True):
                total[some].add_(mean, alpha=(few.stop - few.start) / rows)
    return tuple(totals)  # type: ignore[return-value]


def outputs_in_chunks(
    output: Callable[[Tensor, Tensor], Tensor], q: Tensor, inputs: Tensor, sizes: Sizes, *, per_replica: bool
) -> Tensor:
    """Return output(q, inputs) (replicas, n, ...) for metrics that are no means, chunk by chunk in one place."""
    rows = inputs.shape[1 if per_replica else 0]
    whole: Tensor | None = None
    for some in _slices(len(q), sizes.replicas):
        for few in _slices(rows, sizes.rows):
            part = output(q[some], inputs[(some, few) if per_replica else (few,)])
            if whole is None:
                whole = part.new_empty(len(q), rows, *part.shape[2:])
            whole[some, few] = part
    assert whole is not None  # there is a replica and a row
    return whole


def coupled(system: ParticleSystem) -> str | None:
    """Return why the mean loss is not the mean over its rows' losses, so that rows must stay together; None if it is.

    A layer that uses the statistics of the batch is named; anything else is found by comparing the loss of up to 16
    rows with that of its parts, at weights that are not the network's own.
    """
    for name, module in system.network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            return f"layer {name!r} ({type(module).__name__}) uses the statistics of the batch"
    inputs, targets = (x if system.shares_data else x[0] for x in (system.inputs, system.targets))
    rows = torch.linspace(0, len(inputs) - 1, min(16, len(inputs))).round().long()
    inputs, targets, first = inputs[rows], targets[rows], len(rows) // 3
    if first == 0:
        return None
    q = system.table.flatten(system.network)
    q = q + 0.1 * torch.sin(torch.arange(len(q), device=q.device, dtype=q.dtype))
    with torch.no_grad():
        whole = system.mean_loss(q, inputs, targets)
        parts = [system.mean_loss(q, inputs[s], targets[s]) for s in (slice(first), slice(first, None))]
    together = (first * parts[0] + (len(rows) - first) * parts[1]) / len(rows)
    if (together - whole).abs() <= 100 * torch.finfo(q.dtype).eps * (1 + parts[0].abs() + parts[1].abs()):
        return None
    return "the loss of a batch is not the mean over its rows' losses"


def _slices(total: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, total)) for start in range(0, total, size))


def _even(total: int, limit: int) -> int:
    """The size of nearly equal pieces: all the same where a divisor of the total is above half the limit."""
    limit = min(max(limit, 1), total)
    divisor = next(size for size in range(limit, 0, -1) if total % size == 0)
    return divisor if 2 * divisor > limit else -(-total // -(-total // limit))


def _place(like: Tensor, replicas: int) -> Tensor:
    dtype = torch.float64 if like.ndim == 1 else like.dtype
    return like.new_zeros((replicas, *like.shape[1:]), dtype=dtype)
