"""Law: whoever opens a growing file sees what is committed at that moment, whole, and never what is not."""

from __future__ import annotations

import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
from test_file import environment

import trajectories
from trajectories import Writer
from trajectories.storage import journal, superblock
from trajectories.storage.options import Storage
from trajectories.storage.recover import is_sound, recover

DOF = 5
WRITING = """
import sys
import numpy as np
from trajectories import Writer
from trajectories.storage.options import Storage

path, live = sys.argv[1], sys.argv[2] == "live"
fixed = {"table": [("w", (5,), 0)], "replicas": 2, "masses": np.ones(5), "parameters": {}}
with Writer.create(path, **fixed, storage=Storage(live=live)) as writer:
    step = 0
    for line in sys.stdin:
        for _ in range(int(line)):
            writer.frame(step, 0.1 * step, np.full((2, 5), float(step)))
            for name in ("heat", "train/loss", "late")[: 2 + (step >= 10)]:
                writer.observable(name, step, 0.1 * step, np.full(2, float(step)))
            step += 1
        writer.flush()
        print(step, flush=True)
"""


class Growing:
    """A trajectory that another process writes; a context manager."""

    def __init__(self, path, kind):
        words = [sys.executable, "-c", WRITING, str(path), kind]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, env=environment())

    def grow(self, rows):
        """Let it write so many rows more; returns how many there are then, all of them committed."""
        self.ask(rows)
        return int(self.process.stdout.readline())

    def ask(self, rows):
        self.process.stdin.write(f"{rows}\n")
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def rows_of(run):
    """Check that every row of a run is whole, and return how many frames there are."""
    positions = run.positions[:]
    assert (positions == run.steps[:, None, None]).all()
    assert run.steps.tolist() == list(range(len(run)))
    for one in run.observables.values():
        assert (one.values == one.steps[:, None]).all()
    return len(run)


@pytest.mark.parametrize("kind", ["ordinary", "live"])
def test_every_opening_shows_what_is_committed_by_then(tmp_path, kind):
    path, kept, seen = tmp_path / "trajectory.h5", [], []
    with Growing(path, kind) as growing:
        for more in (1, 2, 9, 600, 3, 700):  # a series appears between, and chunks are filled
            total = growing.grow(more)
            run = trajectories.open(path)  # also while others are open: each sees its own moment
            assert rows_of(run) == total
            assert ("late" in run.observables) == (total > 10)
            kept.append(run)
            seen.append(total)
        for run, total in zip(kept, seen, strict=True):
            assert rows_of(run) == total
            run.close()


@pytest.mark.parametrize("kind", ["ordinary", "live"])
def test_no_row_is_ever_half_there(tmp_path, kind):
    path, last, count = tmp_path / "trajectory.h5", 0, 0
    with Growing(path, kind) as growing:
        growing.grow(1)
        for _ in range(9):
            growing.ask(700)
        while last < 6301:
            with trajectories.open(path) as run:
                now = rows_of(run)
            assert now >= last
            last, count = now, count + 1
    assert count > 3


def test_a_live_file_is_marked_as_such_and_an_ordinary_one_is_not(tmp_path):
    for kind in ("ordinary", "live"):
        path = tmp_path / f"{kind}.h5"
        with Growing(path, kind) as growing:
            total = growing.grow(12)
            with h5py.File(path, "r", swmr=True, locking=False) as h5:
                assert h5["particles/trajectory/position/value"].shape[0] == total
            if kind == "live":
                with pytest.raises(OSError, match="already open for write"):
                    h5py.File(path, "r", locking=False)
            else:
                with h5py.File(path, "r", locking=False) as h5:
                    assert h5["mdnet/committed/position"][()] == total
            with pytest.raises(trajectories.InUse, match="another process"):
                recover(path)
        with h5py.File(path, "r") as h5:
            assert bool(h5["mdnet"].attrs["live"]) == (kind == "live")
        assert is_sound(path)


def make(path, **storage):
    return Writer.create(
        path, table=[("w", (DOF,), 0)], replicas=2, masses=np.ones(DOF), parameters={}, storage=Storage(**storage)
    )


def append(writer, steps, *names):
    for step in steps:
        writer.frame(step, 0.1 * step, np.full((2, DOF), float(step)))
        for name in names:
            writer.observable(name, step, 0.1 * step, np.full(2, float(step)))


def test_a_resumed_file_stays_live(tmp_path):
    path = tmp_path / "trajectory.h5"
    with make(path, live=True) as writer:
        append(writer, range(4), "heat")
    assert not superblock.is_marked(path)
    with Writer.resume(path, 1) as writer:
        append(writer, range(2, 6), "heat")
        writer.flush()
        assert superblock.is_marked(path)
        with trajectories.open(path) as run:
            assert rows_of(run) == 6
    with trajectories.open(path) as run:
        assert rows_of(run) == 6


@pytest.mark.parametrize("pages", range(7))
def test_a_change_of_structure_happens_as_a_whole(tmp_path, monkeypatch, pages):
    """A journal of which any number of pages is in the file already is part of the file, and goes into it."""
    whole, path = tmp_path / "whole.h5", tmp_path / "trajectory.h5"
    with make(whole) as writer:
        append(writer, range(4), "heat")
    shutil.copy(whole, path)
    names = [f"group/{name}" for name in "abcdefghijkl"]  # more than a group's header holds
    monkeypatch.setattr(journal, "replay", lambda path: None)
    journal.edit(path, lambda h5: [_create(h5, name) for name in names], lambda end, nbytes: None)
    monkeypatch.undo()
    changed = journal.pages(path)
    assert len(changed) > 6
    with path.open("r+b") as file:
        for number, page in list(changed.items())[:pages]:
            file.seek(4096 * number)
            file.write(page)
    before = path.read_bytes()
    with trajectories.open(path) as run:
        assert rows_of(run) == 4
        assert set(run.observables) == {"heat", *names}
    assert path.read_bytes() == before  # reading writes nothing
    assert not is_sound(path)
    assert recover(path) == path
    assert is_sound(path)
    assert list(tmp_path.glob("*.journal*")) == []
    with Writer.resume(path, 2) as writer:
        append(writer, range(3, 6), "heat", *names)
    with trajectories.open(path) as run:
        assert rows_of(run) == 6
        assert len(run.observables["group/l"]) == 3


def _create(h5, name):
    from trajectories.storage import series

    series.create(h5, name, (2,), np.float64)


def test_mending_that_shows_other_rows_is_taken_back(tmp_path, monkeypatch):
    path = tmp_path / "trajectory.h5"
    with make(path, live=True) as writer:
        append(writer, range(4), "heat")
        writer.flush()
        killed = path.read_bytes()
    path.write_bytes(killed)
    assert superblock.is_marked(path)
    counts = iter(range(10))
    monkeypatch.setattr(trajectories.storage.recover, "_last_rows", lambda h5, path: next(counts))
    with pytest.raises(trajectories.NotATrajectory, match="as it was"):
        recover(path)
    assert path.read_bytes() == killed
    monkeypatch.undo()
    recover(path)
    with trajectories.open(path) as run, h5py.File(path) as h5:
        assert rows_of(run) == 4
        assert h5["mdnet/committed/position"][()] == 4
