"""Walk over weights that may be larger than memory: blocks of bounded size, as float64."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trajectories.storage.lazy import LazyArray

Floats = NDArray[np.float64]
Weights = NDArray[Any] | LazyArray
BYTES = 64 << 20  # that one block of float64 may take; an analysis holds a few of them at a time

_PIECE = 4096  # numbers that are read as fast alone as among others


class Samples:
    """Weights (samples, replicas, dof), or (samples, dof) of one replica, in memory or on disk."""

    def __init__(self, values: Weights) -> None:
        source: Any = values if isinstance(values, LazyArray) else np.asarray(values)
        if source.ndim == 2:
            source = source[:, None, :]
        if source.ndim != 3 or 0 in source.shape:
            raise ValueError(
                f"weights are (samples, replicas, dof) or (samples, dof), not empty; got shape {source.shape}; "
                "of a layer with several axes take .flat"
            )
        self._source = source
        self.frames, self.replicas, self.dof = (int(n) for n in source.shape)

    def read(self, frames: slice = slice(None), replicas: slice = slice(None), columns: slice = slice(None)) -> Floats:
        """Read one block (frames, replicas, columns) as float64; ValueError if a number is not finite."""
        block = self._block(frames, replicas, columns)
        if not np.isfinite(block.sum()):  # one pass and no mask, as nearly every block is sound
            bad = np.argwhere(~np.isfinite(block))
            if len(bad):
                sample = range(self.frames)[frames][int(bad[0, 0])]
                raise ValueError(f"sample {sample} is not finite: leave out the part of the run that diverged")
        return block

    def _block(self, frames: slice, replicas: slice, columns: slice) -> Floats:
        """Read a block; replica by replica where each has a piece of every frame, which HDF5 reads slowly at once."""
        chosen, width = range(self.replicas)[replicas], len(range(self.dof)[columns])
        count = len(range(self.frames)[frames])
        in_pieces = len(chosen) > 1 and width < self.dof and count * width >= _PIECE
        if not (in_pieces and isinstance(self._source, LazyArray)):
            return np.asarray(self._source[frames, replicas, columns], dtype=np.float64)
        block = np.empty((count, len(chosen), width))
        for place, replica in enumerate(chosen):
            block[:, place] = self._source[frames, replica, columns]
        return block

    def by_frame(self, copies: int = 1) -> Iterator[tuple[slice, slice]]:
        """Blocks (frames, columns) of all replicas, ``copies`` of which fit: whole frames where one fits, in order."""
        numbers = max(1, BYTES // (8 * copies))
        columns = min(self.dof, max(1, numbers // self.replicas))
        frames = max(1, numbers // (self.replicas * columns)) if columns == self.dof else 1
        for start in range(0, self.frames, frames):
            for first in range(0, self.dof, columns):
                yield slice(start, min(start + frames, self.frames)), slice(first, min(first + columns, self.dof))

    def by_row(self, copies: int = 1) -> Iterator[tuple[slice, slice]]:
        """Blocks (frames, replicas) of whole weight vectors, ``copies`` of which fit."""
        vectors = max(1, BYTES // (8 * copies * self.dof))
        replicas, frames = min(self.replicas, vectors), max(1, vectors // self.replicas)
        for start in range(0, self.frames, frames):
            for first in range(0, self.replicas, replicas):
                yield slice(start, min(start + frames, self.frames)), slice(first, min(first + replicas, self.replicas))

    def by_column(self, copies: int = 1) -> Iterator[slice]:
        """Blocks of columns of all frames and replicas, ``copies`` of which fit."""
        columns = max(1, BYTES // (8 * copies * self.frames * self.replicas))
        for first in range(0, self.dof, columns):
            yield slice(first, min(first + columns, self.dof))

    def by_line(self, lines: int) -> Iterator[tuple[slice, slice]]:
        """Blocks (replicas, columns) of at most ``lines`` coordinates, each contiguous on disk."""
        columns, replicas = min(self.dof, max(1, lines)), max(1, lines // self.dof)
        for start in range(0, self.replicas, replicas):
            for first in range(0, self.dof, columns):
                yield slice(start, min(start + replicas, self.replicas)), slice(first, min(first + columns, self.dof))

    def mean(self) -> Floats:
        """Mean over samples and replicas, (dof,)."""
        total = np.zeros(self.dof)
        for frames, columns in self.by_frame(copies=2):
            total[columns] += self.read(frames, columns=columns).sum(axis=(0, 1))
        return total / (self.frames * self.replicas)
