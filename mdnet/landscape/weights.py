"""How much is added to S at a visit: a weight that rises, stays and falls as 1/t, or that the bias itself tempers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Weights(Protocol):
    """The weight of the visits at a step, a number or (replicas,)."""

    def __call__(self, step: int, bias: Tensor) -> Tensor | float:
        """Return the weight after `step` steps (one or more), where the bias is b (replicas,)."""


@dataclass(frozen=True)
class OneOverT:
    """w(t) = peak min(t/rise, 1, drop/t): slow at first, then constant, then 1/t, so that the error of S goes to zero.

    `rise`, `drop`: steps. Raises ValueError unless 0 < rise <= drop and peak > 0.

    Reference: Belardinelli, Pereyra, Phys. Rev. E 75, 046701 (2007).
    """

    peak: float
    rise: int
    drop: int

    def __post_init__(self) -> None:
        if not (self.peak > 0 and 0 < self.rise <= self.drop):
            raise ValueError(f"{self}: peak must be positive and 0 < rise <= drop")

    def __call__(self, step: int, bias: Tensor) -> float:
        """Return w(step)."""
        return self.peak * min(step / self.rise, 1.0, self.drop / step)


@dataclass(frozen=True)
class Cycles:
    """f = peak offset/(cycle + offset), cycles of `length` steps, as arXiv:2503.13145 lowers it (peak .5, offset 10).

    Raises ValueError for values that are not positive.
    """

    peak: float = 0.5
    length: int = 200_000
    offset: float = 10.0

    def __post_init__(self) -> None:
        if min(self.peak, self.length, self.offset) <= 0:
            raise ValueError(f"{self}: all must be positive")

    def __call__(self, step: int, bias: Tensor) -> float:
        """Return f in the cycle of this step."""
        return self.peak * self.offset / ((step - 1) // self.length + self.offset)


@dataclass(frozen=True)
class WellTempered:
    """w = peak e^{-b/(gamma - 1)}: well-tempered metadynamics, whose bias tends to (1 - 1/gamma) S.

    `factor`: gamma > 1. Reference: Barducci, Bussi, Parrinello, Phys. Rev. Lett. 100, 020603 (2008).
    """

    peak: float
    factor: float

    def __post_init__(self) -> None:
        if not (self.peak > 0 and self.factor > 1):
            raise ValueError(f"{self}: peak must be positive and factor above 1")

    def __call__(self, step: int, bias: Tensor) -> Tensor:
        """Return the weight of every replica (replicas,)."""
        return self.peak * torch.exp(-bias / (self.factor - 1))
