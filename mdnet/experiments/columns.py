"""Values of states as columns for all replicas of a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def per_replica(values: Sequence[float] | NDArray[np.float64], seeds: int) -> Tensor:
    """Return values (states,) for replicas state x seeds + seed, (states x seeds, 1) float64."""
    return torch.as_tensor(np.asarray(values), dtype=torch.float64).repeat_interleave(seeds)[:, None]
