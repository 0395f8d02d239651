"""An array on disk of which only the part that is asked for is read."""

import operator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from trajectories.storage.layout import broken_means_error


class LazyArray:
    """Frames on disk as an array of shape (frames, replicas, *tail); indexing reads and returns numpy arrays.

    The first index picks frames (integer, slice, list or mask); an integer or slice of replicas, and of coordinates
    where the tail is (dof,), is read as such, and every further index is applied to what was read. A `layer` is the
    same with offset and tail of one parameter tensor. `numpy.asarray(lazy)` reads it all.
    """

    def __init__(
        self, path: Path, dataset: h5py.Dataset, frames: int, replicas: int, tail: tuple[int, ...], offset: int = 0
    ) -> None:
        self._path = path
        self._dataset = dataset  # (frames or more, replicas * dof, 1)
        self._dof = dataset.shape[1] // replicas
        self._offset = offset
        self.shape: tuple[int, ...] = (frames, replicas, *tail)
        self.dtype: np.dtype[Any] = dataset.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"LazyArray(shape={self.shape}, dtype={self.dtype}, in {self._path.name})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a LazyArray is on disk: reading it always makes a copy")
        return np.asarray(self[:], dtype=dtype)

    def __getitem__(self, key: Any) -> Any:
        head, *rest = self._expand(key)
        first, count, rest[0] = _span(rest[0], self.shape[1])
        start, size = 0, int(np.prod(self.shape[2:], dtype=np.int64))
        if self.ndim == 3:
            start, size, rest[1] = _span(rest[1], size)
        block = self._read_frames(head, (first, count), (start, size))  # (frames, replicas, tail)
        if self.ndim != 3:
            block = block.reshape(*block.shape[:2], *self.shape[2:])
        if isinstance(head, int | np.integer):
            return block[0][tuple(rest)]
        return block[(slice(None), *rest)]

    def _expand(self, key: Any) -> list[Any]:
        """Key as a list of one index an axis, the frames first."""
        keys = list(key) if isinstance(key, tuple) else [key]
        dots = [i for i, one in enumerate(keys) if one is Ellipsis]
        if dots:
            missing = self.ndim - (len(keys) - 1)
            keys[dots[0] : dots[0] + 1] = [slice(None)] * missing
        if len(keys) > self.ndim or len(dots) > 1 or any(one is None for one in keys):
            raise IndexError(f"index {key!r} does not fit an array of shape {self.shape}: at most {self.ndim} indices")
        return keys + [slice(None)] * (self.ndim - len(keys))

    def _read_frames(self, key: Any, replicas: tuple[int, int], tail: tuple[int, int]) -> NDArray[Any]:
        total = len(self)
        if isinstance(key, int | np.integer):
            index = operator.index(key) + (total if key < 0 else 0)
            if not 0 <= index < total:
                raise IndexError(f"frame {key} does not exist: there are {total} frames")
            return self._read(slice(index, index + 1), replicas, tail)
        if isinstance(key, slice) and (key.step is None or key.step > 0):
            start, stop, step = key.indices(total)
            return self._read(slice(start, max(start, stop), step), replicas, tail)
        return self._read_list(np.arange(total)[key], replicas, tail)

    def _read_list(self, wanted: NDArray[Any], replicas: tuple[int, int], tail: tuple[int, int]) -> NDArray[Any]:
        unique, back = np.unique(wanted, return_inverse=True)
        frames = np.empty((len(unique), replicas[1], tail[1]), dtype=self.dtype)
        for place, index in enumerate(unique):
            frames[place] = self._read(slice(index, index + 1), replicas, tail)[0]
        return frames[back]

    def _read(self, frames: slice, replicas: tuple[int, int], tail: tuple[int, int]) -> NDArray[Any]:
        """Read the block (frames, replicas, tail) as one hyperslab: ``count`` pieces of ``tail`` a ``dof`` apart."""
        (first, count), (start, size) = replicas, tail
        with broken_means_error(self._path):
            begin = first * self._dof + self._offset + start
            columns: Any = slice(begin, begin + count * size)
            if count > 1 and size < self._dof:
                columns = h5py.MultiBlockSlice(start=begin, stride=self._dof, count=count, block=size)
            values = self._dataset[frames, columns, 0]
        return np.asarray(values).reshape(values.shape[0], count, size)


def _span(key: Any, n: int) -> tuple[int, int, Any]:
    """First element and count to read of an axis of ``n`` for ``key``, and the index to apply to what was read."""
    if isinstance(key, int | np.integer):
        index = operator.index(key) + (n if key < 0 else 0)
        if not 0 <= index < n:
            raise IndexError(f"index {key} is out of bounds for an axis of {n}")
        return index, 1, 0
    if isinstance(key, slice):
        start, stop, step = key.indices(n)
        if step > 0:
            return start, max(0, stop - start), slice(None, None, step)
    return 0, n, key
