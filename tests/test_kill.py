"""Law: a run killed at any moment, or out of disk, keeps what was committed, and resumed ends as if it had not been."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pyh5md
import pytest
import torch
import typer
from killing import Zygote
from test_config import PLAIN
from typer.testing import CliRunner

import trajectories
from mdnet import checkpoint
from trajectories.commands.recover import recover

app = typer.Typer()
app.command()(recover)

SETTINGS = {
    "run.steps": 48, "run.checkpoint_every": 8, "report.frames": 3, "report.scalars": 2, "report.evaluate": 5,
    "report.predictions": 0, "report.velocity": "true", "system.replicas": 2, "system.route": "eager",
}  # fmt: skip


def contents(folder):
    """Steps, times and values of every series."""
    with trajectories.open(folder) as run:
        series = {name: (one.steps, one.times, one.values) for name, one in run.observables.items()}
        for name in ("positions", "velocities"):
            with contextlib.suppress(trajectories.NotRecorded):
                array = getattr(run, name)
                series[name] = array.steps, array.times, np.asarray(array)
        return series


def assert_same_state(one, other, place="state"):
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), place
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for key in one:
            assert_same_state(one[key], other[key], f"{place}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), place
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same_state(a, b, f"{place}[{number}]")
    else:
        assert one == other, place


class Killed:
    """Runs that are killed and resumed, compared with one that ran through."""

    def __init__(self, zygote, folder, whole=None):
        self.zygote, self.folder, self.number, self.resumed = zygote, folder, 0, 0
        (folder / "run.toml").write_text(PLAIN)
        if whole is not None:
            self.whole, self.state = contents(whole), checkpoint.load(whole)

    def run(self, name, *words, live=False, **kill):
        settings = SETTINGS | {"output.live": str(live).lower()}
        places = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        where = self.folder / "run.toml", "--out", self.folder / name
        return self.zygote.run(self.folder / "said", "run", *where, *places, *words, **kill)

    def check(self, *, live=False, **kill):
        """Kill a run, look at what is left of it, and go on with it; returns whether it was killed."""
        self.number += 1
        name = f"killed {self.number}"
        status, told = self.run(name, live=live, **kill)
        assert status in (0, -9), told
        self.check_rows(name)
        folder = self.folder / name
        status, told = self.run(name, "--resume", live=live)
        if checkpoint.found(folder):
            assert status == 0, told
            self.resumed += "steps already" not in told
        else:
            assert status == 1, told
            assert "no readable checkpoint" in told
            assert "--force" in told
            status, told = self.run(name, "--force", live=live)
            assert status == 0, told
        self.check_whole(name)
        shutil.rmtree(folder)

    def check_rows(self, name):
        """Every row that is there is a row of the whole run, in its place; all of those before the checkpoint are."""
        path = self.folder / name / "trajectory.h5"
        if not path.exists() or not path.stat().st_size:
            assert not checkpoint.found(path.parent)
            return
        found = checkpoint.found(path.parent)
        step = checkpoint.load(path.parent)["step"] if found else -1
        left = contents(path)
        assert not found or left.keys() == self.whole.keys()
        for series, (steps, *arrays) in left.items():
            expected, *values = self.whole[series]
            np.testing.assert_array_equal(steps, expected[: len(steps)], err_msg=series, strict=True)
            for have, want in zip(arrays, values, strict=True):
                np.testing.assert_array_equal(have, want[: len(steps)], err_msg=series, strict=True)
            assert len(steps) >= np.searchsorted(expected, step, side="right"), series

    def check_whole(self, name):
        folder = self.folder / name
        after = contents(folder)
        assert after.keys() == self.whole.keys()
        for series, arrays in after.items():
            for have, want in zip(arrays, self.whole[series], strict=True):
                np.testing.assert_array_equal(have, want, err_msg=series, strict=True)
        assert_same_state(checkpoint.load(folder), self.state)
        assert sorted(file.suffix for file in folder.iterdir()) == [".h5", ".pt", ".pt", ".toml"]
        with h5py.File(folder / "trajectory.h5") as h5:  # no mark is left, and nothing past the counters
            assert h5["particles/trajectory/position/value"].shape[0] == len(after["positions"][0])


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as zygote:
        yield zygote


@pytest.fixture(scope="module")
def whole(zygote, tmp_path_factory):
    """A run that nothing happens to."""
    folder = tmp_path_factory.mktemp("whole")
    status, told = Killed(zygote, folder).run("run")
    assert status == 0, told
    return folder / "run"


@pytest.fixture
def killed(zygote, tmp_path, whole):
    return Killed(zygote, tmp_path, whole)


def kills(killed, count, seed):
    start = time.perf_counter()
    killed.run("timed")
    length = time.perf_counter() - start
    # one a stratum: some at the start, some while series are created, some while checkpoints are written
    moments = (np.arange(count) + np.random.default_rng(seed).random(count)) / count * length
    for number, moment in enumerate(moments):
        killed.check(live=bool(number % 2), kill_after=moment)


def test_a_run_killed_at_any_moment_goes_on_as_if_it_had_not_been(killed, seed):
    kills(killed, 20, seed)
    assert killed.resumed >= 3  # not all were killed before their first checkpoint, or ended before


@pytest.mark.slow
def test_so_do_two_hundred(killed, seed):
    kills(killed, 200, seed + 1)
    assert killed.resumed >= 50


@pytest.mark.parametrize("live", [False, True], ids=["ordinary", "live"])
def test_a_run_killed_between_two_steps_of_a_change_goes_on(killed, live):
    """Before a renaming (run file, file, journal, checkpoint), a removal (journal), or what makes one durable."""
    for call, at in {False: [("replace", 0), ("replace", 1), ("unlink", 0)], True: [("replace", 2), ("fsync", 2)]}[
        live
    ]:
        killed.check(live=live, call=call, at=at)


def test_recover_lets_any_program_open_the_file_of_a_killed_live_run(killed):
    status, told = killed.run("live", live=True, call="replace", at=6)
    assert status == -9, told
    path = killed.folder / "live" / "trajectory.h5"
    before = contents(path)
    assert len(before["positions"][0]) > 3
    with pytest.raises(OSError, match="already open for write"):
        h5py.File(path, "r")
    for word in ("mended", "nothing to mend"):
        done = CliRunner().invoke(app, [str(path.parent)])
        assert (done.exit_code, done.stdout.split(":")[0]) == (0, word)
    after = contents(path)
    assert before.keys() == after.keys()
    with pyh5md.File(str(path), "r") as h5:
        position = pyh5md.element(h5.particles_group("trajectory"), "position")
        for name, arrays in before.items():
            for have, want in zip(after[name], arrays, strict=True):
                np.testing.assert_array_equal(have, want, strict=True)
        value = np.asarray(position.value[: len(after["positions"][0])])
        np.testing.assert_array_equal(value.reshape(after["positions"][2].shape), before["positions"][2])
    status, told = killed.run("live", "--resume", live=True)
    assert status == 0, told
    killed.check_whole("live")


# -- what a disk does to a run ---------------------------------------------------------------------------------------


def told_in_one_line(said, *words):
    """Check that an error was one line, after warnings, and that it holds these words."""
    *before, message = said.splitlines()
    assert all(line.startswith("warning: ") for line in before), said
    for word in words:
        assert word in message
    assert "Traceback" not in said


def test_a_full_disk_is_told_in_one_line_and_the_run_goes_on(killed):
    large = [
        f"--set={key}" for key in ("report.frames=1", "network.hidden=[100]", "system.replicas=128", "run.steps=40")
    ]
    for name, limit in (("start", 100_000), ("row", 1_000_000), ("later", 24_000_000)):
        status, told = killed.run(name, *large, limit=limit)
        assert status == 1, told
        told_in_one_line(told, "File too large", "space")
        path = killed.folder / name / "trajectory.h5"
        if name != "later":
            continue
        with trajectories.open(path) as run:
            assert 0 < len(run) < 41
            assert run.steps.tolist() == list(range(len(run)))
        status, told = killed.run(name, *large, "--resume")
        assert status == 0, told
    assert killed.run("rooms", *large)[0] == 0
    one, other = contents(killed.folder / "later"), contents(killed.folder / "rooms")
    assert one.keys() == other.keys()
    for name, arrays in one.items():
        for have, want in zip(arrays, other[name], strict=True):
            np.testing.assert_array_equal(have, want, err_msg=name)


def test_a_checkpoint_that_cannot_be_written_is_told_and_the_one_before_stays(killed):
    status, told = killed.run("first", full="checkpoint-000000000000.pt")
    assert status == 1
    told_in_one_line(told, "checkpoint-000000000000.pt cannot be written: No space left", "--force")
    status, told = killed.run("later", full="checkpoint-000000000024.pt")
    assert status == 1
    told_in_one_line(told, "No space left on device", "free some space", "checkpoint-000000000016.pt is whole")
    killed.check_rows("later")
    assert killed.run("later", "--resume")[0] == 0
    killed.check_whole("later")


@pytest.mark.parametrize("full", ["run.toml", "trajectory.h5", "trajectory.h5.journal"])
def test_what_cannot_be_written_at_all_is_told(killed, full):
    status, told = killed.run("none", full=full)
    assert status == 1
    told_in_one_line(told, "No space left on device", "space")
    assert killed.run("none", "--force")[0] == 0
    killed.check_whole("none")


def readable_by_all(*files):
    return all(folder.stat().st_mode & 0o001 for file in files for folder in Path(file).resolve().parents)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="needs root, to become nobody")
@pytest.mark.skipif(not readable_by_all(trajectories.__file__, typer.__file__), reason="nobody may not read the code")
def test_a_folder_that_may_not_be_written_is_told(killed):
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        folder.chmod(0o755)  # all may look, only root may write
        (folder / "run.toml").write_text(PLAIN)
        (folder / "kept").mkdir()
        killed.zygote.run(killed.folder / "said", "run", folder / "run.toml", "--out", folder / "kept")
        before = contents(folder / "kept")
        for words in (["--out", folder / "new"], ["--out", folder / "kept", "--resume", "--set", "run.steps=20"]):
            said = killed.folder / "nobody said"
            status, told = killed.zygote.run(said, "run", folder / "run.toml", *words, uid=65534)
            assert status == 1, told
            told_in_one_line(told, "Permission denied", "another folder (--out)")
        assert before.keys() == contents(folder / "kept").keys()


def test_a_live_run_killed_after_its_last_checkpoint_is_mended_by_resuming(killed):
    """It has its steps, and nothing is left to run; the mark of its writer goes all the same."""
    for at in range(12, 0, -1):  # the last removals are those of old checkpoints
        status, told = killed.run("live", live=True, call="unlink", at=at)
        if status == -9:
            break
        shutil.rmtree(killed.folder / "live")
    assert checkpoint.load(killed.folder / "live")["step"] == SETTINGS["run.steps"]
    with pytest.raises(OSError, match="already open for write"):
        h5py.File(killed.folder / "live" / "trajectory.h5", "r")
    status, told = killed.run("live", "--resume", live=True)
    assert status == 0, told
    assert "has its 48 steps already" in told
    with h5py.File(killed.folder / "live" / "trajectory.h5", "r") as h5:
        assert "mdnet" in h5
