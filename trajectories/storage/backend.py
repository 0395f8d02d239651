"""Trajectories as xarray arrays that read only what is indexed, from files that are open only while they are in use."""

import atexit
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import Variable
from xarray.backends import BackendArray, CachingFileManager
from xarray.core import indexing

from trajectories.errors import NotATrajectory
from trajectories.storage import pieces
from trajectories.storage.reader import Trajectory

Array = NDArray[Any]
Key = tuple[Any, ...]  # one integer, slice or integer array for each axis
_LOCK = threading.RLock()  # HDF5 reads one at a time, and no file is closed while it is read


class File:
    """A trajectory file that is opened when something is read, and closed when many others were read since."""

    def __init__(self, path: str) -> None:
        self._manager = CachingFileManager(_open, path, mode="r")
        _FILES.add(self)

    def close(self) -> None:
        """Close the file; it is opened again when something is read."""
        with _LOCK:
            self._manager.close()

    def fetch(self, name: str, rows: Array, replicas: slice) -> Array:
        """Read rows (k,) of a series as (k, replicas, ...); -1 is nan. See `series` for names."""
        with _LOCK, self._manager.acquire_context() as run:
            found = series(run, name)
            if rows.size and rows.max() >= found.shape[0]:
                raise NotATrajectory(f"{run.path} was cut back by a resumed run since it was opened: open it again")
            return pieces.fetch(found, rows, replicas)

    def times(self, name: str, rows: int) -> Array:
        """Read the times of the first rows of a series, (rows,)."""
        with _LOCK, self._manager.acquire_context() as run:
            return series(run, name).times[:rows]


_FILES: "weakref.WeakSet[File]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Close every file while HDF5 is still there: it may crash where that is left to the interpreter's end."""
    for file in list(_FILES):
        file.close()


def _open(path: str, mode: str) -> Trajectory:
    """Open a trajectory, as `CachingFileManager` asks for it: it does not pickle without a mode."""
    return Trajectory(path)


def series(run: Trajectory, name: str) -> pieces.Series:
    """Return the series "observable:NAME", "layer:TENSOR", or "field:position", "field:velocity", "field:force"."""
    kind, _, key = name.partition(":")
    if kind == "observable":
        return run.observables[key]
    return run.layer(key) if kind == "layer" else pieces.fields(run)[key]


class Lazy(BackendArray):
    """What xarray indexes: a function that reads a part, and the shape and type of the whole."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], read: Callable[[Key], Array]) -> None:
        self.shape, self.dtype, self._read = shape, dtype, read

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)


def variable(
    dims: tuple[str, ...], shape: tuple[int, ...], dtype: np.dtype[Any], read: Callable[[Key], Array]
) -> Variable:
    """Return a variable of which nothing is read until it is indexed."""
    return Variable(dims, indexing.LazilyIndexedArray(Lazy(shape, dtype, read)))


@dataclass(frozen=True)
class Chains:
    """Reads a series of one run with its replicas first: (replicas, rows, ...)."""

    file: File
    name: str
    rows: Array  # (rows,) of the series; -1 reads as nan
    dtype: np.dtype[Any]

    def __call__(self, key: Key) -> Array:
        """Read a part."""
        replicas, rows, *tail = key
        span, rest = _span(replicas)
        picked = self.rows[rows]
        values = self.file.fetch(self.name, np.atleast_1d(picked), span).astype(self.dtype, copy=False)
        last = 0 if np.ndim(picked) == 0 else slice(None)
        return outer(values.swapaxes(0, 1), (rest, last, *tail))


@dataclass(frozen=True)
class Runs:
    """Reads one series of several runs as (runs, rows, replicas, ...), nan where a run has none."""

    files: tuple[File, ...]
    name: str
    counts: Array  # (runs,) rows of each
    replicas: Array  # (runs,) replicas of each
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __call__(self, key: Key) -> Array:
        """Read a part."""
        runs, rows, replicas = (_axis(one, n) for one, n in zip(key[:3], self.shape, strict=False))
        tail = [one if isinstance(one, slice) else np.atleast_1d(one) for one in key[3:]]
        sizes = (len(_axis(one, n)) for one, n in zip(tail, self.shape[3:], strict=True))
        values = np.empty((len(runs), len(rows), len(replicas), *sizes), self.dtype)
        for place, run in enumerate(runs):
            there = replicas < self.replicas[run]
            if not there.all():
                values[place] = np.nan
            if there.any():
                values[place][:, there] = self._run(run, rows, replicas[there], tail)
        drop = tuple(0 if np.ndim(one) == 0 and not isinstance(one, slice) else slice(None) for one in key)
        return np.asarray(values[drop])

    def _run(self, run: int, rows: Array, replicas: Array, tail: list[Any]) -> Array:
        """Read some rows, nan behind the last, of some replicas of one run."""
        first = int(replicas.min())
        wanted = np.where(rows < self.counts[run], rows, -1)
        read = self.files[run].fetch(self.name, wanted, slice(first, int(replicas.max()) + 1))
        return outer(read, (slice(None), replicas - first, *tail))


@dataclass(frozen=True)
class Times:
    """Reads the times of one series of several runs, (runs, rows), nan behind the end of each."""

    files: tuple[File, ...]
    name: str
    counts: Array
    shape: tuple[int, ...]

    def __call__(self, key: Key) -> Array:
        """Read a part."""
        values = np.full(self.shape, np.nan)
        for run in np.atleast_1d(_axis(key[0], self.shape[0])):
            count = int(self.counts[run])
            values[run, :count] = self.files[run].times(self.name, count) if count else 0.0
        return outer(values, key)


def outer(values: Array, key: Key) -> Array:
    """Index every axis by itself: an integer, a slice or an array of integers for each."""
    for axis in reversed(range(len(key))):
        values = values[(slice(None),) * axis + (key[axis],)]
    return values


def _axis(key: Any, n: int) -> Array:
    """Return the integers that a key picks of an axis of n."""
    return np.atleast_1d(np.arange(n)[key])


def _span(key: Any) -> tuple[slice, Any]:
    """Return a slice to read, and the key for what was read."""
    if isinstance(key, slice):
        return key, slice(None)
    if np.ndim(key) == 0:
        return slice(int(key), int(key) + 1), 0
    return slice(None), key
