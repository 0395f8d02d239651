"""What the networks say on inputs of one's choice, in pieces that fit into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from mdnet.routes.chunks import Sizes, coupled, fit, outputs_in_chunks
from mdnet.routes.memory import default_budget, measure

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem


class Outputs:
    """Outputs (replicas, n, ...) of the networks at q (replicas, dof), on inputs (n, ...) or (replicas, n, ...).

    Replicas and rows are cut where the whole would need more than the budget of mdnet.routes.memory; rows are not where
    a layer uses the statistics of the batch.
    """

    def __init__(self, system: ParticleSystem) -> None:
        self.system = system
        self._sizes: dict[tuple[int, torch.Size, bool], Sizes] = {}

    def __call__(self, q: Tensor, inputs: Tensor, *, per_replica: bool) -> Tensor:
        """Return the outputs."""

        def whole(some: Tensor, rows: Tensor) -> Tensor:
            return self._whole(some, rows, per_replica)

        shape = (len(q), inputs.shape, per_replica)
        if shape not in self._sizes:
            self._sizes[shape] = self._fitted(q, inputs, per_replica)
        return outputs_in_chunks(whole, q, inputs, self._sizes[shape], per_replica=per_replica)

    def _fitted(self, q: Tensor, inputs: Tensor, per_replica: bool) -> Sizes:
        budget, rows = default_budget(q.device), inputs.shape[1 if per_replica else 0]
        need = measure(
            lambda some, few, _: (self._whole(some, few, per_replica),), q, inputs, inputs,
            per_replica=per_replica, budget=budget,
        )  # fmt: skip
        tied = need.bytes(1, rows) > budget and coupled(self.system) is not None
        return fit(need, len(q), rows, budget, whole_rows=tied)

    def _whole(self, q: Tensor, inputs: Tensor, per_replica: bool) -> Tensor:
        system = self.system

        def one(weights: Tensor, rows: Tensor) -> Tensor:
            output: Tensor = functional_call(system.network, system.table.unflatten(weights), (rows,))
            return output

        if system.route == "module":
            own = inputs if per_replica else [inputs] * len(q)
            return torch.stack([one(weights, rows) for weights, rows in zip(q, own, strict=True)])
        outputs: Tensor = vmap(one, in_dims=(0, 0 if per_replica else None))(q, inputs)
        return outputs
