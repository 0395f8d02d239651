"""One growing series of an H5MD file: step, time and the values sampled at them, with its commit counter.

Rows past the counter do not exist: they may be half written. The counter moves after the rows are in the file.
"""

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from trajectories.storage import encoding
from trajectories.storage.layout import COMMITTED, FIELDS, FRAME, LEARNT, OBSERVABLES, PARTICLES
from trajectories.storage.options import Storage

Array = NDArray[Any]
_MIB = 1 << 20
_METADATA = 1 << 18  # upper bound of what one append adds to HDF5's own indices and headers


class Series:
    """Datasets that grow together, one row a sample: step (rows,), time (rows,), each field (rows, ...).

    ``bits``: mantissa bits kept of the fields, None for all.
    """

    def __init__(
        self, counter: h5py.Dataset, axes: h5py.Group, fields: Mapping[str, h5py.Dataset], bits: int | None = None
    ) -> None:
        self._bits = bits
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
            values = fields[name] if self._bits is None else encoding.round_mantissa(fields[name], self._bits)
            _put(dataset, self.rows, end, values)
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
    size = int(np.prod(chunk, dtype=np.int64)) * dataset.dtype.itemsize
    if encoding.is_filtered(dataset):  # what does not compress may grow a little; and one entry of the index a chunk
        size += size // 64 + 4096
    return int(new * columns * size)


def _put(dataset: h5py.Dataset, start: int, end: int, values: Array) -> None:
    if dataset.shape[0] < end:
        dataset.resize(end, axis=0)
    dataset[start:end] = values.reshape(end - start, *dataset.shape[1:])


def _create(group: h5py.Group, name: str, row: tuple[int, ...], dtype: Any, target: int) -> h5py.Dataset:
    """Create an empty dataset (0, *row) that grows along its first axis, in chunks of whole rows."""
    return _grow(group, name, row, dtype, max(1, min(512, target // _size(row, dtype))))


def _create_particles(group: h5py.Group, particles: int, dtype: Any, storage: Storage) -> h5py.Dataset:
    """Create the empty dataset (0, particles, 1) of a particle element.

    A compressed chunk holds one frame: it is written once. One that is written again, larger, moves in the file, and
    a kill could then find its old place, still the one on record, overwritten.
    """
    row, how = (particles, 1), encoding.filters(storage)
    rows = 1 if how else max(1, min(512, 4 * _MIB // _size(row, dtype)))
    return _grow(group, "value", row, dtype, rows, how)


def _size(row: tuple[int, ...], dtype: Any) -> int:
    return int(max(1, np.prod(row, dtype=np.int64) * np.dtype(dtype).itemsize))


def _grow(
    group: h5py.Group, name: str, row: tuple[int, ...], dtype: Any, rows: int, how: Mapping[str, Any] | None = None
) -> h5py.Dataset:
    if _size(row, dtype) > 1024 * _MIB:  # HDF5's limit for a chunk is 4 GiB
        chunk = (1, 1024 * _MIB // np.dtype(dtype).itemsize, *row[1:])
    else:
        chunk = (rows, *(max(1, n) for n in row))
    return group.create_dataset(
        name, shape=(0, *row), maxshape=(None, *row), dtype=dtype, chunks=chunk, fill_time="never", **(how or {})
    )


def _create_axes(group: h5py.Group) -> None:
    _create(group, "step", (), np.int64, _MIB)
    _create(group, "time", (), np.float64, _MIB)


def _create_counter(h5: h5py.File, name: str) -> h5py.Dataset:
    return h5.create_dataset(f"{COMMITTED}/{name}", data=np.int64(0))


def create_frames(h5: h5py.File, particles: int, dtype: Any, storage: Storage) -> None:
    """Create empty position frames; `add_field` adds velocity and force beside them.

    Raises ValueError where ``storage`` keeps more mantissa bits than ``dtype`` has.
    """
    encoding.check(storage, dtype)
    group = h5.create_group(f"{PARTICLES}/{FRAME}")
    _create_axes(group)
    _create_particles(group, particles, dtype, storage)
    _create_counter(h5, FRAME)


def add_field(h5: h5py.File, field: str) -> None:
    """Add velocity or force at position's cadence: step and time are the same datasets (hard links)."""
    position = h5[f"{PARTICLES}/{FRAME}"]
    group = _anew(h5, f"{PARTICLES}/{field}")
    group["step"], group["time"] = position["step"], position["time"]
    value = position["value"]
    _create_particles(group, value.shape[1], value.dtype, encoding.stored(h5))


def create(h5: h5py.File, name: str, row: tuple[int, ...], dtype: Any) -> Series:
    """Create the empty series of the rows called ``name``, each of shape ``row``: see `place`."""
    where, counter = place(name)
    group = _anew(h5, where)
    _create_axes(group)
    if is_element(name):
        position = h5[f"{PARTICLES}/{FRAME}/value"]
        _create_particles(group, position.shape[1], position.dtype, encoding.stored(h5))
    else:
        _create(group, "value", row, dtype, _MIB)
    _create_counter(h5, counter)
    return open_series(h5, name)


def _anew(h5: h5py.File, where: str) -> h5py.Group:
    """An empty group; what a kill left of one before it had a counter goes."""
    if where in h5:
        del h5[where]
    return h5.create_group(where)


def place(name: str) -> tuple[str, str]:
    """Return the group of the rows called ``name``, and their commit counter.

    "/velocity" and "/force" are particle elements at a cadence of their own, "/learnt/<name>" belongs to all replicas
    together, and every other name is that of an observable.
    """
    if is_element(name):
        return PARTICLES + name, name[1:]
    if name.startswith("/learnt/"):
        return LEARNT + name.removeprefix("/learnt"), name[1:]
    return f"{OBSERVABLES}/{name}", f"observables/{name}"


def is_element(name: str) -> bool:
    """Whether rows of this name are a particle element at a cadence of its own."""
    return name.startswith("/") and name[1:] in FIELDS


def open_frames(h5: h5py.File) -> Series:
    """Open position, and velocity and force where they are recorded with it, as one series."""
    particles = h5[PARTICLES]
    fields = {name: particles[name]["value"] for name in _together(h5)}
    return Series(h5[f"{COMMITTED}/{FRAME}"], particles[FRAME], fields, encoding.stored(h5).bits)


def frame_rows(h5: h5py.File) -> dict[str, int]:
    """Return how many rows of position, velocity and force are complete, of those that are recorded."""
    counters = h5[COMMITTED]
    rows = {name: int(counters[name][()]) for name in FIELDS if name in counters}
    return dict.fromkeys(_together(h5), rows[FRAME]) | rows


def _together(h5: h5py.File) -> list[str]:
    """Position, and what shares its steps: complete, and without a counter of its own."""
    particles, counters = h5[PARTICLES], h5[COMMITTED]
    beside = [name for name in FIELDS if name in particles and name not in counters and "value" in particles[name]]
    return [FRAME, *(name for name in beside if particles[name].get("step") == particles[FRAME]["step"])]


def open_series(h5: h5py.File, name: str) -> Series:
    """Open the series of the rows called ``name``: see `place`."""
    where, counter = place(name)
    bits = encoding.stored(h5).bits if is_element(name) else None
    return Series(h5[f"{COMMITTED}/{counter}"], h5[where], {"value": h5[where]["value"]}, bits)


def names(h5: h5py.File) -> list[str]:
    """Names of the rows of every series but the frames'."""
    elements = [f"/{name}" for name in FIELDS if name != FRAME and name in h5[COMMITTED]]
    return [*elements, *(f"/learnt/{name}" for name in names_below(h5, "learnt")), *names_below(h5, "observables")]


def names_below(h5: h5py.File, kind: str) -> list[str]:
    """Names of the "observables", or of what was "learnt", that have a commit counter, by the alphabet."""
    counters = h5.get(f"{COMMITTED}/{kind}")
    found: list[str] = []
    if counters is not None:
        counters.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return sorted(found)
