"""How a trajectory is opened: to read it at any moment of its life, and to append to it."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import h5py

from trajectories.errors import NotATrajectory
from trajectories.storage import journal, superblock
from trajectories.storage.layout import FILE_NAME, FORMAT
from trajectories.storage.view import PAGE, View

_ENDLESS = 1 << 60  # bytes; a file that grows has no end to compare with


def open_hdf5(path: Path, look: Callable[[h5py.File], None] | None = None) -> h5py.File:
    """Open a trajectory for reading, also while it is being written, or as a killed writer has left it.

    Nothing of it is written, and nothing shared with what is open already, so that it is seen as it is now. ``look``
    reads what must fit together; where it fails, because a writer is at work, both are tried again.

    Raises:
        NotATrajectory: there is no such file, or it is not HDF5, not ours, of a newer format, or cut off.
    """
    if not path.is_file():
        raise NotATrajectory(f"{path}: there is no such file; give the .h5 file, or the folder that holds {FILE_NAME}")
    waits = iter((0.02, 0.1, 0.5))
    while True:
        try:
            return _opened(path, look)
        except (OSError, RuntimeError, KeyError) as error:
            wait = next(waits, None)
            if wait is None or not h5py.is_hdf5(path):
                raise NotATrajectory(_diagnosis(path, error)) from error
            time.sleep(wait)


def _opened(path: Path, look: Callable[[h5py.File], None] | None) -> h5py.File:
    h5 = h5py.File(_as_it_is(path), "r")
    try:
        form = h5["mdnet"].attrs["format"] if "mdnet" in h5 else None
        if form is None or form > FORMAT:
            what = (
                "not a trajectory of mdnet" if form is None else f"of format {form}; this version reads up to {FORMAT}"
            )
            raise NotATrajectory(f"{path} is HDF5, but {what}: check the path, or use a newer mdnet")
        if look is not None:
            look(h5)
    except BaseException:
        h5.close()
        raise
    return h5


def _as_it_is(path: Path) -> View:
    """The file with what a journal has for it, without the mark of a writer, and with an end that does not matter."""
    view = View(path)
    view.pages |= journal.pages(path)
    size = max([view.size, *(PAGE * (number + 1) for number in view.pages)])
    view.seek(0)
    block = view.read(superblock.SIZE)
    if superblock.version(block) is None:  # HDF5 knows what it is
        return view
    if superblock.end(block) > size:
        raise OSError(f"truncated: {superblock.end(block)} bytes were written")
    view.seek(0)
    view.write(superblock.unmarked(block, _ENDLESS))
    view.truncate(_ENDLESS)
    return view


def open_to_append(path: Path) -> h5py.File:
    """Open a trajectory that is locked and mended, by HDF5's rules for live reading.

    With a driver of its own, so that readers in the same process share nothing with it: HDF5 would join files that are
    open through the same driver, and keep what is closed here.
    """
    plan = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    plan.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_LATEST)
    plan.set_fapl_log(b"", 0, 0)  # as the usual driver, and no log
    plan.set_file_locking(False, False)
    return h5py.File(h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDWR | h5py.h5f.ACC_SWMR_WRITE, plan))


def _diagnosis(path: Path, error: Exception) -> str:
    size = path.stat().st_size
    if not size:
        return f"{path} is empty: its run was killed while it started, or starts just now; start it again (--force)"
    if not h5py.is_hdf5(path):
        return f"{path} is not an HDF5 file, or its beginning is overwritten; give a trajectory written by mdnet"
    if "truncated" in str(error):
        return (
            f"{path} is cut off after {size} bytes ({error}): copy it again in full, or go back to the run folder it "
            "came from"
        )
    return f"{path} cannot be opened: {error}; if the disk is sound, the file is damaged: use another copy"
