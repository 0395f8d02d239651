"""Changes of a file's structure that happen as a whole or not at all, whenever the process is killed.

Why. HDF5 writes the blocks of a new dataset, its place in the group and the end of the file one after the other, in
an order of its own. With every write of a run on record and the run cut short after each of them in turn, rows could
be appended at any moment, but of 537 such files 52 had lost committed rows, all while a series was being created.
So a change is made in memory, on a view of the file; the pages that differ go into a journal beside it
(temporary name, fsync, rename), and then into the file. A journal that is found later is written into the file again.

Reference: the rollback journal of SQLite, turned round; https://sqlite.org/atomiccommit.html.
"""

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from trajectories.storage.disk import sync_folder
from trajectories.storage.view import PAGE, View

MODERN = ("v110", "latest")  # chunk indices that only grow at their end: what was committed is never moved


def beside(path: Path) -> Path:
    """Return where the journal of a file lies while there is one."""
    return path.with_name(path.name + ".journal")


def edit(path: Path, change: Callable[[h5py.File], None], reserve: Callable[[int, int], None]) -> None:
    """Let ``change`` work on the file, which nobody has open, and bring all of it or nothing to the disk.

    ``reserve(end, nbytes)`` raises OSError where there is no room; then, and after an error in ``change``, the file
    is as it was.
    """
    with View(path) as view:
        with h5py.File(view, "r+", libver=MODERN) as h5:
            change(h5)
        if not view.pages:
            return
        before = path.stat().st_size
        reserve(min(before, view.size), max(1, view.size - before))
        _record(beside(path), view)
    replay(path)


def _record(journal: Path, view: View) -> None:
    temporary = journal.with_name(journal.name + ".tmp")
    numbers = np.array(sorted(view.pages), dtype=np.int64)
    pages = np.frombuffer(b"".join(bytes(view.pages[n]) for n in numbers), dtype=np.uint8)
    try:
        with temporary.open("wb") as file:
            np.savez(file, numbers=numbers, pages=pages.reshape(len(numbers), PAGE))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, journal)
        sync_folder(journal.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def pages(path: Path) -> dict[int, bytearray]:
    """Return the pages of the journal by their numbers; none where there is no journal."""
    try:
        with np.load(beside(path)) as stored:
            return {int(n): bytearray(page) for n, page in zip(stored["numbers"], stored["pages"], strict=True)}
    except FileNotFoundError:
        return {}


def replay(path: Path) -> None:
    """Write the pages of the journal into the file, which the caller has locked, and remove the journal."""
    changed = pages(path)
    if not changed:
        return
    with path.open("r+b", buffering=0) as file:
        for number, page in changed.items():
            file.seek(number * PAGE)
            file.write(page)
        os.fsync(file.fileno())
    beside(path).unlink()
