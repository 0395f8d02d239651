"""Parts of a system's force, for multiple time steps: the prior, a subset of the data, and the rest of either."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from integrators import Force
from mdnet.force import BatchForce, Evaluation

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem


class PriorForce:
    """The prior alone, U = sum_i k_i q_i^2/2: cheap, and stiff where the prior is narrow.

    Raises ValueError for a system without a Gaussian prior.
    """

    def __init__(self, system: ParticleSystem) -> None:
        if system.stiffness is None:
            raise ValueError("there is no Gaussian prior, so its force is no part to split off; give prior=... or rows")
        self.system = system

    def __call__(self, q: Tensor) -> Evaluation:
        """Return u (replicas,) float64 and f (replicas, dof) at q (replicas, dof)."""
        assert self.system.stiffness is not None
        pull = self.system.stiffness * q
        return 0.5 * (pull * q).sum(-1, dtype=torch.float64), -pull

    def __repr__(self) -> str:
        return "PriorForce()"


class SubsetForce:
    """The energy with the mean loss over a few rows (n',) of the data in place of all: cheaper by their number.

    Raises ValueError for rows that are not there.
    """

    def __init__(self, system: ParticleSystem, rows: Tensor) -> None:
        count = system.inputs.shape[0 if system.shares_data else 1]
        if rows.dtype != torch.int64 or rows.ndim != 1 or not len(rows) or not ((rows >= 0) & (rows < count)).all():
            raise ValueError(
                f"rows are {rows.dtype} of shape {tuple(rows.shape)}; give int64 (n,) from 0 to {count - 1}"
            )
        self.rows = rows
        where = (rows,) if system.shares_data else (slice(None), rows)
        self._data = system.inputs[where], system.targets[where]
        self._batch = BatchForce(system, per_replica=not system.shares_data)

    def __call__(self, q: Tensor) -> Evaluation:
        """Return u (replicas,) float64 and f (replicas, dof) at q (replicas, dof)."""
        return self._batch.on(q, *self._data)

    def __repr__(self) -> str:
        return f"SubsetForce(rows={self.rows.tolist()})"


class Rest:
    """What is left of a force without a part of it: u - u_part, f - f_part, at the cost of both."""

    def __init__(self, whole: Force, part: Force) -> None:
        self.whole, self.part = whole, part

    def __call__(self, q: Tensor) -> Evaluation:
        """Return u (replicas,) float64 and f (replicas, dof) at q (replicas, dof)."""
        (u, f), (part_u, part_f) = self.whole(q), self.part(q)
        return u - part_u, f - part_f

    def __repr__(self) -> str:
        return f"Rest({self.part})"
