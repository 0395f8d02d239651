"""What a killed writer leaves, brought in order: the mark of a live file, a change of structure half done."""

import os
from pathlib import Path

import h5py
import numpy as np

from trajectories.errors import NotATrajectory
from trajectories.storage import journal, series, superblock
from trajectories.storage.disk import Disk
from trajectories.storage.layout import FILE_NAME, broken_means_error
from trajectories.storage.opening import open_hdf5


def recover(run: str | os.PathLike[str]) -> Path:
    """Mend the trajectory of a killed run, so that every HDF5 program opens it; a sound one stays as it is.

    ``run``: the run folder or the .h5 file. Every committed row stays, rows are not copied: 48 bytes are replaced
    at once, checked, and put back if the file does not open with the same rows. Returns the file.

    Raises:
        NotATrajectory: no such file, or not one of ours, or damaged otherwise; InUse: a writer has it open.
    """
    path = file_of(run)
    if not path.is_file():
        raise NotATrajectory(f"{path}: there is no such file; give the run folder, or its {FILE_NAME}")
    with Disk(path):
        if not is_sound(path):
            mend(path)
        open_hdf5(path).close()
    return path


def is_sound(run: str | os.PathLike[str]) -> bool:
    """Whether the trajectory of a run needs no mending; False also while it is being written live."""
    path = file_of(run)
    return not path.is_file() or not (superblock.is_marked(path) or journal.beside(path).exists())


def file_of(run: str | os.PathLike[str]) -> Path:
    """Return the .h5 file that a run folder holds, or the file that was given."""
    given = Path(run)
    return given / FILE_NAME if given.is_dir() else given


def mend(path: Path) -> None:
    """Mend a file that the caller holds the lock of; see `recover`."""
    journal.replay(path)
    with open_hdf5(path) as h5:
        before = _last_rows(h5, path)
    old = superblock.read(path)
    try:
        superblock.unmark(path, abandoned=True)
        with broken_means_error(path), h5py.File(path, "r", locking=False) as h5:  # as any other program does
            if _last_rows(h5, path) != before:
                raise NotATrajectory(f"{path} shows other rows once it is mended: it is as it was; use another copy")
    except BaseException:
        superblock.write(path, old)
        raise


def _last_rows(h5: h5py.File, path: Path) -> dict[str, tuple[int, bytes]]:
    """Number of rows of each series, and the last ones' bytes."""
    with broken_means_error(path):
        every = {"": series.open_frames(h5)} | {name: series.open_series(h5, name) for name in series.names(h5)}
        return {name: (one.rows, _last(one)) for name, one in every.items()}


def _last(one: series.Series) -> bytes:
    if not one.rows:
        return b""
    return b"".join(np.asarray(dataset[one.rows - 1]).tobytes() for dataset in one.fields.values())
