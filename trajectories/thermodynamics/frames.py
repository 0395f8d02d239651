"""Sums over the coordinates of every frame, in blocks of bounded memory: what files larger than memory need."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trajectories.storage.layout import Tensor
from trajectories.storage.reader import Trajectory

Floats = NDArray[np.float64]
_BYTES = 1 << 26  # of float64 in a block, of each array that is read


def blocks(shape: Sequence[int]) -> Iterator[slice]:
    """Slices of the first axis of an array of that shape, 64 MiB of float64 or one row each."""
    rows = max(1, _BYTES // max(1, 8 * int(np.prod(shape[1:], dtype=np.int64))))
    for begin in range(0, shape[0], rows):
        yield slice(begin, min(begin + rows, shape[0]))


def dot(one: Any, other: Any, weights: Any = 1.0, about: Any = 0.0) -> Floats:
    """sum_i w_i (x_i - c_i) y_i of every frame and replica: (frames, replicas, dof) arrays, or lazy ones.

    One-dimensional samples (frames, dof) give (frames,).
    """
    found = [_dot(one[rows], other[rows], weights, about) for rows in blocks(one.shape)]
    return np.concatenate(found)


def _dot(one: Any, other: Any, weights: Any, about: Any) -> Floats:
    left = (np.asarray(one, dtype=np.float64) - about) * weights
    return np.asarray(np.einsum("...i,...i->...", left, np.asarray(other, dtype=np.float64)))


def by_tensor(values: Floats, table: Sequence[Tensor]) -> Floats:
    """Sum (..., dof) over the coordinates of each parameter tensor: (..., tensors)."""
    return np.asarray(np.add.reduceat(values, [tensor.offset for tensor in table], axis=-1))


def layer_temperatures(run: Trajectory, keep: NDArray[np.bool_], kick: float = 0.0) -> Floats:
    """Mean of m v^2 over each parameter tensor's coordinates in the frames kept: (frames, replicas, tensors).

    ``kick``: the time for which the last force is taken back, v - kick f/m, which needs forces.
    """
    table = [tensor for tensor in run.table if tensor.size]
    sizes = np.array([tensor.size for tensor in table])
    masses = np.asarray(run.masses, dtype=np.float64)
    found = []
    for rows in blocks(run.velocities.shape):
        velocity = np.asarray(run.velocities[rows], dtype=np.float64)[keep[rows]]
        if kick:
            velocity -= kick * np.asarray(run.forces[rows], dtype=np.float64)[keep[rows]] / masses
        found.append(by_tensor(masses * velocity**2, table) / sizes)
    return np.concatenate(found)


class From:
    """A lazy array from frame `begin` on, times a sign; slices of frames only."""

    def __init__(self, array: Any, begin: int, sign: int = 1) -> None:
        self._array, self._begin, self._sign = array, begin, sign
        self.shape = (array.shape[0] - begin, *array.shape[1:])

    def __getitem__(self, rows: slice) -> Floats:
        part = self._array[self._begin + rows.start : self._begin + rows.stop]
        return np.asarray(part, dtype=np.float64) * self._sign
