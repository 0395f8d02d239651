"""Puts rows into the HDF5 file, a batch at a time: reserve room, write, flush, commit, flush.

The file is made with superblock 2 and then opened for the indices of HDF5 1.10: those only grow at their end (an
extensible array of chunks), so what was committed is never moved; superblock 3 would leave a mark by which the
file of a killed run refuses to open until h5clear is run. Measured, SIGKILL in a tight append loop: of 240 files
with superblock 3 none opened afterwards; of 240 with superblock 2 all did, with every committed row.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from trajectories.errors import AlreadyExists
from trajectories.storage import series
from trajectories.storage.disk import Disk, divert
from trajectories.storage.layout import FIELDS, open_hdf5
from trajectories.storage.series import Series

FRAME_ROW = ""  # the name of a row that holds a frame
_SLACK = 1 << 20  # bytes; what HDF5 may allocate in one batch besides the rows


class Row(NamedTuple):
    """One sample on its way to the file."""

    name: str  # of the observable, or FRAME_ROW
    step: int
    time: float
    fields: Mapping[str, NDArray[Any]]  # "value", or "position" and what is recorded beside it


class Sink:
    """The open file of a run that is being written; no threads here: a call returns when HDF5 is done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._disk = Disk(path)
        try:
            self._h5 = open_hdf5(path, "r+", libver=("v110", "latest"))
            self.frames = series.open_frames(self._h5)
            self.observables = {
                name: series.open_observable(self._h5, name) for name in series.observable_names(self._h5)
            }
        except BaseException:
            self._disk.close()
            raise
        self._dirty = False  # True from HDF5's first write of a batch until its commit

    @classmethod
    def create(cls, path: Path, skeleton: Callable[[h5py.File], None]) -> Self:
        """Make the file, let ``skeleton`` write what is fixed in time, and open it; nothing is left on failure."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.open("xb").close()
        except FileExistsError as error:
            raise AlreadyExists(
                f"{path} exists already: choose another folder, move it away, or go on with Writer.resume"
            ) from error
        try:
            h5py.File(path, "w", libver=("v108", "v108"), locking=False).close()
            h5 = h5py.File(path, "r+", libver=("v110", "latest"), locking=False)
            with _closed_whatever_happens(h5):
                skeleton(h5)
                h5.flush()
            return cls(path)
        except BaseException:
            path.unlink()
            raise

    @property
    def frame_shape(self) -> tuple[int, int]:
        """(replicas, dof)."""
        own = self._h5["mdnet"].attrs
        return int(own["replicas"]), int(own["dof"])

    def append(self, rows: Sequence[Row]) -> None:
        """Write and commit ``rows``; OSError before anything is touched when there is no room for them."""
        groups: dict[str, list[Row]] = {}
        for row in rows:
            groups.setdefault(row.name, []).append(row)
        self._disk.reserve(self._h5.id.get_filesize(), _SLACK * (1 + len(groups)))
        targets = [(self._open(name, group[0]), group) for name, group in groups.items()]
        room = sum(target.room(len(group)) for target, group in targets)
        self._disk.reserve(self._h5.id.get_filesize(), _SLACK + room)
        self._dirty = True
        for target, group in targets:
            target.append(
                np.array([row.step for row in group], dtype=np.int64),
                np.array([row.time for row in group], dtype=np.float64),
                {field: _stack([row.fields[field] for row in group]) for field in target.fields},
            )
        self._h5.flush()
        for target, _ in targets:
            target.commit()
        self._h5.flush()
        self._dirty = False

    def _open(self, name: str, row: Row) -> Series:
        """Find the series of ``row``, or create it: velocity and force with the first frame, too."""
        if name == FRAME_ROW:
            missing = [field for field in FIELDS if field in row.fields and field not in self.frames.fields]
            for field in missing:
                series.add_field(self._h5, field)
            if missing:
                self.frames = series.open_frames(self._h5)
            return self.frames
        if name not in self.observables:
            value = row.fields["value"]
            self.observables[name] = series.create_observable(self._h5, name, value.shape, value.dtype)
        return self.observables[name]

    def cut_after(self, step: int) -> None:
        """Drop every row with a step beyond ``step``: first the counters, then the rows."""
        every = [self.frames, *self.observables.values()]
        self._disk.reserve(self._h5.id.get_filesize(), _SLACK)
        for one in every:
            one.cut_after(step)
        self._h5.flush()
        for one in every:
            one.shrink()
        self._h5.flush()

    def sync(self) -> None:
        """Return when every committed row is on the device."""
        self._h5.flush()
        self._disk.sync()

    def close(self) -> None:
        """Close the file and release its lock; after a failed write HDF5's remains go nowhere."""
        if self._dirty:
            divert(self._h5)
            with contextlib.suppress(OSError, RuntimeError):
                self._h5.close()
        else:
            self._h5.flush()
            end = self._h5.id.get_filesize()
            self._h5.close()
            self._disk.trim(end)
        self._disk.close()


@contextlib.contextmanager
def _closed_whatever_happens(h5: h5py.File) -> Iterator[None]:
    try:
        yield
    except BaseException:
        divert(h5)
        with contextlib.suppress(OSError, RuntimeError):
            h5.close()
        raise
    h5.close()


def _stack(values: list[NDArray[Any]]) -> NDArray[Any]:
    return values[0][None] if len(values) == 1 else np.stack(values)  # (rows, ...); no copy of a lone frame
