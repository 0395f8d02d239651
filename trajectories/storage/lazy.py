"""An array on disk of which only the part that is asked for is read."""

import operator
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from trajectories.storage.encoding import make_readable
from trajectories.storage.layout import broken_means_error

_ROWS = 16 << 20  # bytes of whole rows that are read at a time


class LazyArray:
    """Frames on disk as an array of shape (frames, replicas, *tail); indexing reads and returns numpy arrays.

    The first index picks frames (integer, slice, list or mask); an integer or slice of replicas, and of coordinates
    where the tail is (dof,), is read as such, and every further index is applied to what was read. A `layer` is the
    same with offset and tail of one parameter tensor. `numpy.asarray(lazy)` reads it all. `steps` and `times` are
    those of its own frames: velocities and forces may have another cadence than positions.
    """

    def __init__(
        self, path: Path, element: h5py.Group, frames: int, replicas: int, tail: tuple[int, ...], offset: int = 0
    ) -> None:
        self._path = path
        self._element = element  # step, time (frames or more,)
        self._dataset = dataset = element["value"]  # (frames or more, replicas * dof, 1)
        make_readable(dataset, path)
        self._dof = dataset.shape[1] // replicas
        self._offset = offset
        self.shape: tuple[int, ...] = (frames, replicas, *tail)
        self.dtype: np.dtype[Any] = dataset.dtype

    @cached_property
    def steps(self) -> NDArray[Any]:
        """Step of each frame, (frames,)."""
        return self._axis("step")

    @cached_property
    def times(self) -> NDArray[Any]:
        """Time of each frame, (frames,)."""
        return self._axis("time")

    def _axis(self, name: str) -> NDArray[Any]:
        with broken_means_error(self._path):
            return np.asarray(self._element[name][: len(self)])

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def flat(self) -> "LazyArray":
        """The same with one axis of coordinates, (frames, replicas, size)."""
        size = int(np.prod(self.shape[2:], dtype=np.int64))
        return LazyArray(self._path, self._element, len(self), self.shape[1], (size,), self._offset)

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
        """Read the block (frames, replicas, tail): ``count`` pieces of ``tail`` a ``dof`` apart.

        HDF5 gathers pieces element by element, 10 to 30 times slower than whole rows: these are read and cut where a
        piece is a sixteenth of them or more.
        """
        (first, count), (start, size) = replicas, tail
        if count > 1 and self._dof > size >= self._dof / 16:
            return self._cut(frames, replicas, slice(self._offset + start, self._offset + start + size))
        begin = first * self._dof + self._offset + start
        columns: Any = slice(begin, begin + count * size)
        if count > 1 and size < self._dof:
            columns = h5py.MultiBlockSlice(start=begin, stride=self._dof, count=count, block=size)
        with broken_means_error(self._path):
            values = self._dataset[frames, columns, 0]
        return np.asarray(values).reshape(values.shape[0], count, size)

    def _cut(self, frames: slice, replicas: tuple[int, int], tail: slice) -> NDArray[Any]:
        """Read whole rows, a few MiB at a time, and keep the tail of each replica."""
        (first, count), picked = replicas, range(*frames.indices(len(self)))
        columns = slice(first * self._dof, (first + count) * self._dof)
        block = np.empty((len(picked), count, tail.stop - tail.start), dtype=self.dtype)
        rows = max(1, _ROWS // (count * self._dof * self.dtype.itemsize))
        for place in range(0, len(picked), rows):
            part = picked[place : place + rows]
            with broken_means_error(self._path):
                whole = np.asarray(self._dataset[part.start : part.stop : part.step, columns, 0])
            block[place : place + rows] = whole.reshape(len(part), count, self._dof)[:, :, tail]
        return block


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
