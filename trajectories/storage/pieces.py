"""Series read piece by piece, so that a file larger than memory can be walked."""

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from trajectories.storage.layout import PARTICLES, broken_means_error
from trajectories.storage.lazy import LazyArray
from trajectories.storage.observables import Observable
from trajectories.storage.reader import Trajectory

Array = NDArray[Any]
Series = LazyArray | Observable  # (rows, replicas, ...)
BLOCK = 16 << 20  # bytes held at a time
FIELDS = {"position": "positions", "velocity": "velocities", "force": "forces"}  # in the file, and of a Trajectory


def fields(run: Trajectory) -> dict[str, LazyArray]:
    """Return the recorded ones of positions, velocities and forces, by their names in the file."""
    recorded = run._h5[PARTICLES]
    return {name: getattr(run, attribute) for name, attribute in FIELDS.items() if name in recorded}


def copy_group(run: Trajectory, name: str, target: h5py.File) -> None:
    """Copy a group of the trajectory's file, such as "h5md" or "parameters", into another file."""
    with broken_means_error(run.path):
        target.copy(run._h5[name], target, name)


def with_nan(kind: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type that holds the same numbers and nan: floats stay as they are, all else becomes float64."""
    return kind if kind.kind == "f" else np.dtype(np.float64)


def fetch(series: Series, rows: Array, replicas: slice = slice(None)) -> Array:
    """Read rows (k,) of a series, in any order, as (k, replicas, ...); a row of -1 is nan."""
    there = rows >= 0
    if there.all():
        return _read(series, rows, replicas)
    found = _read(series, rows[there], replicas)
    values = np.full((len(rows), *found.shape[1:]), np.nan, dtype=with_nan(series.dtype))
    values[there] = found
    return values


def _read(series: Series, rows: Array, replicas: slice) -> Array:
    if len(rows) and (np.diff(rows) == (step := int(rows[1] - rows[0]) if len(rows) > 1 else 1)).all() and step > 0:
        return _slab(series, slice(int(rows[0]), int(rows[-1]) + 1, step), replicas)
    wanted, back = np.unique(rows, return_inverse=True)
    pieces = np.split(wanted, np.flatnonzero(np.diff(wanted) != 1) + 1) if len(wanted) else []
    slabs = [_slab(series, slice(int(piece[0]), int(piece[-1]) + 1), replicas) for piece in pieces]
    return np.concatenate(slabs)[back] if slabs else _slab(series, slice(0, 0), replicas)


def _slab(series: Series, rows: slice, replicas: slice) -> Array:
    return np.asarray(series[rows, replicas])


def blocks(count: int, row_bytes: int) -> Iterator[slice]:
    """Yield slices that cover ``count`` rows, each of at most BLOCK bytes (or one row)."""
    size = max(1, BLOCK // max(1, row_bytes))
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
