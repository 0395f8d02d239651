"""One growing series of an H5MD file: step, time and the values sampled at them, with its commit counter.

Rows past the counter do not exist: they may be half written. The counter moves after the rows are in the file.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from trajectories.storage.layout import COMMITTED, FIELDS, FRAME, OBSERVABLES, PARTICLES

Array = NDArray[Any]
_MIB = 1 << 20
_METADATA = 1 << 18  # upper bound of what one append adds to HDF5's own indices and headers


class Series:
    """Datasets that grow together, one row a sample: step (rows,), time (rows,), each field (rows, ...)."""

    def __init__(self, counter: h5py.Dataset, axes: h5py.Group, fields: Mapping[str, h5py.Dataset]) -> None:
        self._counter = counter
        self._axes = {"step": axes["step"], "time": axes["time"]}
        self.fields = dict(fields)
        self.rows = int(counter[()])

    @property
    def last_step(self) -> int | None:
        """Step of the last row, None when there is none."""
        return int(self._axes["step"][self.rows - 1]) if self.rows else None

    def room(self, rows: int) -> int:
        """Bytes that appending ``rows`` rows may add to the file at most."""
        datasets = [*self._axes.values(), *self.fields.values()]
        return _METADATA + sum(_chunk_growth(dataset, self.rows, rows) for dataset in datasets)

    def append(self, step: Array, time: Array, fields: Mapping[str, Array]) -> None:
        """Add rows; they count only after `commit`."""
        end = self.rows + len(step)
        for name, values in {"step": step, "time": time}.items():
            _put(self._axes[name], self.rows, end, values)
        for name, dataset in self.fields.items():
            _put(dataset, self.rows, end, fields[name])
        self.rows = end

    def commit(self) -> None:
        """Declare every row appended so far complete; the rows must have been flushed before."""
        self._counter[()] = self.rows

    def cut_after(self, step: int) -> None:
        """Move the counter back to the rows with steps up to ``step``."""
        self.rows = int(np.searchsorted(self._axes["step"][: self.rows], step, side="right"))
        self.commit()

    def shrink(self) -> None:
        """Drop what lies past the counter, so that other tools do not see it either."""
        for dataset in (*self._axes.values(), *self.fields.values()):
            dataset.resize(self.rows, axis=0)


def _chunk_growth(dataset: h5py.Dataset, rows: int, more: int) -> int:
    chunk = dataset.chunks
    columns = int(np.prod([-(-n // c) for n, c in zip(dataset.shape[1:], chunk[1:], strict=True)]))
    new = -(-(rows + more) // chunk[0]) - (-(-rows // chunk[0]))
    return int(new * columns * np.prod(chunk, dtype=np.int64) * dataset.dtype.itemsize)


def _put(dataset: h5py.Dataset, start: int, end: int, values: Array) -> None:
    if dataset.shape[0] < end:
        dataset.resize(end, axis=0)
    dataset[start:end] = values.reshape(end - start, *dataset.shape[1:])


def _create(group: h5py.Group, name: str, row: tuple[int, ...], dtype: Any, target: int) -> h5py.Dataset:
    """Create an empty dataset (0, *row) that grows along its first axis, in chunks of whole rows."""
    nbytes = max(1, int(np.prod(row, dtype=np.int64)) * np.dtype(dtype).itemsize)
    if nbytes > 1024 * _MIB:  # HDF5's limit for a chunk is 4 GiB
        chunk = (1, 1024 * _MIB // np.dtype(dtype).itemsize, *row[1:])
    else:
        chunk = (max(1, min(512, target // nbytes)), *(max(1, n) for n in row))
    return group.create_dataset(
        name, shape=(0, *row), maxshape=(None, *row), dtype=dtype, chunks=chunk, fill_time="never"
    )


def _create_counter(h5: h5py.File, name: str) -> h5py.Dataset:
    return h5.create_dataset(f"{COMMITTED}/{name}", data=np.int64(0))


def create_frames(h5: h5py.File, particles: int, dtype: Any) -> None:
    """Create empty position frames; `add_field` adds velocity and force beside them."""
    group = h5.create_group(f"{PARTICLES}/{FRAME}")
    _create(group, "step", (), np.int64, _MIB)
    _create(group, "time", (), np.float64, _MIB)
    _create(group, "value", (particles, 1), dtype, 4 * _MIB)
    _create_counter(h5, FRAME)


def add_field(h5: h5py.File, field: str) -> None:
    """Add velocity or force at position's cadence: step and time are the same datasets (hard links)."""
    position = h5[f"{PARTICLES}/{FRAME}"]
    group = h5.create_group(f"{PARTICLES}/{field}")
    group["step"], group["time"] = position["step"], position["time"]
    _create(group, "value", position["value"].shape[1:], position["value"].dtype, 4 * _MIB)


def create_observable(h5: h5py.File, name: str, row: tuple[int, ...], dtype: Any) -> Series:
    """Create the empty series /observables/<name> with rows of shape ``row``."""
    group = h5.create_group(f"{OBSERVABLES}/{name}")
    _create(group, "step", (), np.int64, _MIB)
    _create(group, "time", (), np.float64, _MIB)
    _create(group, "value", row, dtype, _MIB)
    return Series(_create_counter(h5, f"observables/{name}"), group, {"value": group["value"]})


def open_frames(h5: h5py.File) -> Series:
    """Open position, and velocity and force where they are recorded, as one series."""
    particles = h5[PARTICLES]
    fields = {name: particles[name]["value"] for name in FIELDS if name in particles}
    return Series(h5[f"{COMMITTED}/{FRAME}"], particles[FRAME], fields)


def open_observable(h5: h5py.File, name: str) -> Series:
    """Open the series /observables/<name>."""
    group = h5[f"{OBSERVABLES}/{name}"]
    return Series(h5[f"{COMMITTED}/observables/{name}"], group, {"value": group["value"]})


def observable_names(h5: h5py.File) -> Iterator[str]:
    """Names of the observables that have a commit counter, in the order of the alphabet."""
    counters = h5.get(f"{COMMITTED}/observables")
    names: list[str] = []
    if counters is not None:
        counters.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    yield from sorted(names)
