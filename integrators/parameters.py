"""How the methods read their parameters: as float64 tensors that schedules change in place, checked once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from integrators.phase import per_replica


def checked(name: str, value: float | Tensor, allowed: Callable[[Tensor], Tensor], range: str) -> Tensor:
    """Return a value as a new float64 tensor, () or (replicas, 1), where all of it is finite and `allowed`.

    Raises ValueError else, naming the value and the allowed `range`.
    """
    tensor = per_replica(name, value)
    if not (torch.isfinite(tensor) & allowed(tensor)).all():
        raise ValueError(f"{name} = {value} must be finite and {range}")
    return tensor
