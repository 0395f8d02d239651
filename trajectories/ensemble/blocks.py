"""Stored outputs that may be larger than memory: reads them in blocks of samples, or of points."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.storage.observables import Observable

Floats = NDArray[np.float64]
Predictions = Any  # an array, or an Observable: (samples, replicas, points, outputs)
BLOCK = 32 << 20  # bytes of float64 that are held at a time


class Stored:
    """Outputs (samples, replicas, points, outputs) where they lie, or some samples of them; read block by block.

    Args:
        predictions: an array, an Observable such as run.observables["test/prediction"], or a Stored.
        rows: indices of the samples to take, rising; all unless given.

    Raises:
        ValueError: the shape is another one, or no sample is left.
    """

    def __init__(self, predictions: Predictions, rows: ArrayLike | None = None) -> None:
        self._source: Any
        if isinstance(predictions, Stored):
            self._source, known = predictions._source, predictions.rows
        else:
            self._source = _indexable(predictions)
            if len(self._source.shape) != 4:
                shape = tuple(self._source.shape)
                raise ValueError(f"predictions are (samples, replicas, points, outputs); got shape {shape}")
            known = np.arange(self._source.shape[0])
        self.rows: NDArray[np.intp] = known if rows is None else known[np.asarray(rows, dtype=np.intp)]
        self.shape: tuple[int, ...] = (len(self.rows), *self._source.shape[1:])
        if 0 in self.shape:
            raise ValueError(f"predictions have shape {self.shape}: there is no sample to average over")

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[slice, Floats]]:
        """Yield (slice of samples, their values as float64) of about ``size`` bytes, at least one sample each."""
        return _pieces(self._source, self.rows, size)

    def columns(self, size: int = 8 * BLOCK) -> Iterator[tuple[slice, Floats]]:
        """Yield (slice of points, all samples of them), of about ``size`` bytes; each reads the file once."""
        samples, replicas, points, outputs = self.shape
        most = max(1, size // (8 * samples * replicas * outputs))
        for start in range(0, points, most):
            part = slice(start, min(points, start + most))
            yield part, np.concatenate([block[:, :, part] for _, block in self.blocks()])


def rows_of(series: Predictions, rows: NDArray[np.intp]) -> Floats:
    """Some samples of a series as float64, (rows, ...), of which no more than a block besides them is read at once."""
    source = _indexable(series)
    parts = [block for _, block in _pieces(source, rows, BLOCK)]
    return np.concatenate(parts) if parts else np.empty((0, *source.shape[1:]))


def _pieces(source: Any, rows: NDArray[np.intp], size: int) -> Iterator[tuple[slice, Floats]]:
    """Yield (slice of rows, their values as float64); the rows rise, and what lies between them is read with them."""
    most = max(1, size // (8 * int(np.prod(source.shape[1:], dtype=np.int64))))
    start = 0
    while start < len(rows):
        low = rows[start]
        stop = int(np.searchsorted(rows, low + most))
        found = np.asarray(source[low : rows[stop - 1] + 1])
        yield slice(start, stop), found[rows[start:stop] - low].astype(np.float64)
        start = stop


def _indexable(predictions: Predictions) -> Any:
    """What slices of samples can be taken of: the thing itself where it knows its shape, else all of it as an array."""
    if hasattr(predictions, "shape") and hasattr(predictions, "__getitem__"):
        return predictions
    return predictions.values if isinstance(predictions, Observable) else np.asarray(predictions)
