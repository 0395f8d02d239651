"""Puts rows into the HDF5 file, a batch at a time: reserve room, write, flush, commit, flush.

The file is written by HDF5's rules for live reading (SWMR), which let it be whole after every single write, and its
structure (a new series, rows cut off by a resume) changes through a journal. With every write on record and the file
cut short after each in turn, all of them opened with every committed row, and could be appended to; by HDF5's usual
rules 52 of 537 had lost rows, and others could not be appended to.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from trajectories.errors import AlreadyExists
from trajectories.storage import encoding, journal, series, superblock
from trajectories.storage.disk import Disk, divert
from trajectories.storage.layout import FIELDS
from trajectories.storage.opening import open_hdf5, open_to_append
from trajectories.storage.recover import mend
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
            mend(path)
            with open_hdf5(path) as h5:
                self.live = encoding.stored(h5).live
            self._open()
        except BaseException:
            self._disk.close()
            raise
        self._dirty = False  # True from HDF5's first write of a batch until its commit

    def _open(self) -> None:
        self._h5 = open_to_append(self.path)
        self._show()
        self.frames = series.open_frames(self._h5)
        self.observables = {name: series.open_series(self._h5, name) for name in series.names(self._h5)}

    @classmethod
    def create(cls, path: Path, skeleton: Callable[[h5py.File], None]) -> Self:
        """Make the file, let ``skeleton`` write what is fixed in time, and open it; nothing is left on failure.

        A kill leaves an empty file: the whole one takes its place in one step.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.open("xb").close()
        except FileExistsError as error:
            raise AlreadyExists(
                f"{path} exists already: choose another folder, move it away, or go on with Writer.resume"
            ) from error
        fresh = path.with_name(path.name + ".new")
        try:
            journal.beside(path).unlink(missing_ok=True)  # of a file that is gone
            h5 = h5py.File(fresh, "w", libver=journal.MODERN, locking=False)
            with _closed_whatever_happens(h5):
                skeleton(h5)
                h5.flush()
            os.replace(fresh, path)
            return cls(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
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
        self._create_missing({name: group[0] for name, group in groups.items()})
        targets = [(self._series(name), group) for name, group in groups.items()]
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
        self._show()

    def _show(self) -> None:
        """Let every program open the file, unless it is to be marked as live; HDF5 marks it with every new end."""
        if not self.live:
            superblock.unmark(self.path)

    def _series(self, name: str) -> Series:
        return self.frames if name == FRAME_ROW else self.observables[name]

    def _create_missing(self, first: Mapping[str, Row]) -> None:
        """Create the series of the rows that have none yet: velocity and force with the first frame, too."""
        frame = first[FRAME_ROW].fields if FRAME_ROW in first else {}
        fields = [field for field in FIELDS if field in frame and field not in self.frames.fields]
        new = [row for name, row in first.items() if name != FRAME_ROW and name not in self.observables]
        if not fields and not new:
            return

        def create(h5: h5py.File) -> None:
            for field in fields:
                series.add_field(h5, field)
            for row in new:
                value = row.fields["value"]
                series.create(h5, row.name, value.shape, value.dtype)

        self._restructure(create)

    def _restructure(self, change: Callable[[h5py.File], None]) -> None:
        """Close the file, change its structure as a whole or not at all, and open it again."""
        self._h5.close()
        try:
            journal.edit(self.path, change, self._disk.reserve)
        finally:
            self._open()

    def cut_after(self, step: int) -> None:
        """Drop every row with a step beyond ``step``."""

        def cut(h5: h5py.File) -> None:
            for one in (series.open_frames(h5), *(series.open_series(h5, name) for name in series.names(h5))):
                one.cut_after(step)
                one.shrink()

        self._restructure(cut)

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
            superblock.unmark(self.path, abandoned=True)
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
