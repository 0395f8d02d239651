"""No thermostat: the bath that never acts, so that the constant-energy ensemble needs no special case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor


@dataclass(frozen=True)
class NoBath:
    """Leave the momenta alone: energy is conserved (the microcanonical ensemble)."""

    canonical: ClassVar[bool] = False

    def bath(self, p: Tensor) -> tuple[Tensor, ...]:
        """Return no variables."""
        return ()

    def __call__(self, p: Tensor, m: Tensor, bath: tuple[Tensor, ...], dt: Tensor) -> None:
        """Do nothing."""
