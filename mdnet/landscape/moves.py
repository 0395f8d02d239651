"""Moves of Monte Carlo: what is proposed, of one parameter, of all, or of a sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor


class Move(Protocol):
    """Proposes positions q' for all replicas, q' from q as likely as q from q'; its repr names its parameters."""

    @property
    def width(self) -> float | Tensor:
        """The length of a move at the start of a run, a number or (replicas, 1)."""

    def __call__(self, q: Tensor, width: Tensor) -> Tensor:
        """Return q' (replicas, dof) for q (replicas, dof) at this width, () or (replicas, 1)."""


@dataclass(frozen=True, eq=False)
class OneParameter:
    """One random parameter of each replica moves by `width` U(-1, 1)."""

    width: float | Tensor

    def __call__(self, q: Tensor, width: Tensor) -> Tensor:
        """Return q' (replicas, dof)."""
        hop = width * (2 * torch.rand(len(q), 1, dtype=torch.float64, device=q.device) - 1)
        return q.scatter_add(1, _one(q), hop.to(q.dtype))


@dataclass(frozen=True, eq=False)
class AllParameters:
    """Every parameter moves by `width` U(-1, 1)."""

    width: float | Tensor

    def __call__(self, q: Tensor, width: Tensor) -> Tensor:
        """Return q' (replicas, dof)."""
        return q + width.to(q.dtype) * (2 * torch.rand_like(q) - 1)


@dataclass(frozen=True, eq=False)
class Flip:
    """One random parameter of each replica changes its sign: for networks whose weights are -w or w."""

    width: ClassVar[float] = 1.0  # there is nothing to choose

    def __call__(self, q: Tensor, width: Tensor) -> Tensor:
        """Return q' (replicas, dof)."""
        which = _one(q)
        return q.scatter(1, which, -q.gather(1, which))


def _one(q: Tensor) -> Tensor:
    """One random parameter of each replica (replicas, 1)."""
    return torch.randint(q.shape[1], (len(q), 1), device=q.device)
