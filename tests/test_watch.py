"""Law: the terminal shows what a growing file holds, reads every row once, and ends when the run does."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import trajectories
from trajectories import watch as watching
from trajectories.commands.watch import watch as command
from trajectories.growing import POINTS, Growing
from trajectories.storage.options import Storage
from trajectories.terminal import Curve, Panel, drawn
from trajectories.watch import Watcher

REPLICAS = 5
FOLLOW = (
    "import sys; from pathlib import Path; from trajectories.watch import watch; watch(Path(sys.argv[1]), every=0.05)"
)
WRITE = """
import sys, time
import numpy as np
from trajectories import Writer
from trajectories.storage.options import Storage
table = [("w", (2,), 0)]
storage = Storage(live=sys.argv[2] == "live")
with Writer.create(sys.argv[1], table=table, replicas=3, masses=np.ones(2), parameters={}, storage=storage) as writer:
    print("open", flush=True)
    for step in range(int(sys.argv[3])):
        writer.observable("train/loss", step, 0.1 * step, np.full(3, 1 / (1 + step)))
        writer.observable("temperature", step, 0.1 * step, np.full(3, 0.5))
        time.sleep(0.02)
"""


def create(folder: Path, live: bool = False) -> trajectories.Writer:
    return trajectories.Writer.create(
        folder / "trajectory.h5",
        table=[("w", (2,), 0)],
        replicas=REPLICAS,
        masses=np.ones(2),
        parameters={},
        storage=Storage(live=live),
    )


def rows(steps) -> dict[str, np.ndarray]:
    """What a run of these steps holds, each (steps, replicas)."""
    steps = np.asarray(steps, dtype=float)[:, None]
    replica = np.arange(REPLICAS)
    return {
        "train/loss": np.exp(-steps / 300) * (1 + replica),
        "test/loss": 0.3 + np.exp(-steps / 300) * (1 + replica),
        "temperature": 0.5 + 0.1 * np.sin(steps / 7 + replica),
        "set_temperature": np.full((len(steps), REPLICAS), 0.5),
        "conserved": 3.0 + replica + 1e-4 * steps,
    }


def write(writer: trajectories.Writer, steps) -> None:
    for name, values in rows(steps).items():
        for step, value in zip(steps, values, strict=True):
            writer.observable(name, int(step), 0.1 * step, value)
    writer.flush()


@pytest.fixture
def run(tmp_path) -> Path:
    with create(tmp_path) as writer:
        write(writer, range(500))
    return tmp_path


def shown(path: Path, monkeypatch, capsys, width: int) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    watching.watch(path, once=True)
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [60, 120])
def test_one_picture_holds_all_three_panels(run, monkeypatch, capsys, width):
    text = shown(run, monkeypatch, capsys, width)
    status, *lines = text.splitlines()
    assert "step 499, time 49.9, 5 replicas" in status
    assert "no longer written" in status
    assert "\x1b" not in text
    for title in ("loss:", "temperature:", "conserved, change since the start:"):
        assert title in text
    latest = np.median(rows([499])["train/loss"])
    assert f"train/loss {latest:.4g}" in text
    assert f"test/loss {0.3 + latest:.4g}" in text
    assert "set 0.5" in text
    assert "conserved 0.0499" in text
    assert text.count("└┬") == 3
    assert max(len(line) for line in lines if "┤" in line or "│" in line) == width
    assert ("median and · 5 to 95 % of 5 replicas" in text) == (width == 120)


@pytest.mark.parametrize("live", [False, True], ids=["ordinary", "live"])
def test_a_growing_file_is_followed_to_its_end(tmp_path, live):
    watcher = Watcher(tmp_path)
    watcher.look()
    assert watcher.status() == f"waiting for {tmp_path / 'trajectory.h5'}"
    with create(tmp_path, live) as writer:
        for stop in (40, 90, 300):
            write(writer, range(watcher.step + 1, stop))
            watcher.look()
            assert (watcher.step, watcher.ended) == (stop - 1, False)
        assert "steps/s" in watcher.status()
        watcher.look()
        assert not watcher.ended
    watcher.look()
    watcher.look()
    assert watcher.ended
    assert "no longer written" in watcher.status()


def test_a_planned_run_is_finished_at_its_last_step(run):
    (run / "run.toml").write_text("[run]\nsteps = 499\n")
    watcher = Watcher(run)
    watcher.look()
    assert "step 499 of 499" in watcher.status()
    assert watcher.status().endswith("finished")


def test_silence_of_the_writer_is_told(tmp_path, monkeypatch):
    watcher = Watcher(tmp_path)
    with create(tmp_path) as writer:
        write(writer, range(3))
        watcher.look()
        assert "no new rows" not in watcher.status()
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 42)
        watcher.look()
        assert "no new rows for 42 s" in watcher.status()


class Counted:
    """A dataset that remembers which rows were read."""

    def __init__(self, values):
        self.values, self.read = values, []

    def __getitem__(self, key):
        self.read += list(np.atleast_1d(np.arange(len(self.values))[key]))
        return self.values[key]


class Fake:
    """An observable in memory."""

    def __init__(self, values, steps):
        self._group = {"value": Counted(values), "step": Counted(steps)}

    def __len__(self):
        return len(self._group["value"].values)

    def read(self, field, rows):
        return self._group[field][rows]


@pytest.mark.parametrize("first", [50, 5000])
def test_every_row_is_read_once_and_the_curve_stays_short(first):
    """Beside these only the newest row is read at each look."""
    rng = np.random.default_rng(0)
    values, steps = rng.normal(size=(9000, REPLICAS)), 10 * np.arange(9000)
    series, read, looks = Growing("temperature"), [], 0
    for stop in range(first, 9001, 430):
        found = Fake(values[:stop], steps[:stop])
        series.update(found)
        looks += 1
        read += found._group["value"].read
        curve = series.curve()
        places = (curve.steps / 10).astype(int)
        assert len(places) <= 2 * POINTS + 1
        assert (places[0], places[-1]) == (0, stop - 1)
        assert np.ptp(np.diff(places[:-1])) == 0
        exact = np.percentile(values[places], [5, 50, 95], axis=1)
        np.testing.assert_array_equal([curve.low, curve.middle, curve.high], exact)
    assert len(read) - len(set(read)) <= looks
    assert len(read) < 7000  # fewer than there are


def test_a_run_that_was_cut_back_or_replaced_is_read_anew():
    steps = np.arange(300)
    old, new = np.zeros((300, 2)), np.ones((300, 2))
    series = Growing("temperature")
    series.update(Fake(old, steps))
    series.update(Fake(new[:200], steps[:200]))
    assert (series.curve().middle == 1).all()
    assert len(series.curve().steps) == 200
    series.update(Fake(old, 2 * steps))
    assert (series.curve().middle == 0).all()


def test_a_diverged_replica_leaves_a_gap(tmp_path):
    with create(tmp_path) as writer:
        for step in range(20):
            writer.observable("temperature", step, 0.1 * step, np.where(np.arange(REPLICAS) * step > 40, np.inf, 1.0))
    watcher = Watcher(tmp_path)
    watcher.look()
    assert "temperature nan" in watcher.picture(80, 30)
    assert drawn([Panel("loss", [Curve("loss", *np.full((4, 3), np.nan))], 1)], 60, 10).count("no finite value") == 1


@pytest.mark.parametrize(("width", "height"), [(30, 50), (100, 5)])
def test_a_small_terminal_gets_words(run, width, height):
    watcher = Watcher(run)
    watcher.look()
    text = watcher.picture(width, height)
    assert "too small for pictures" in text
    assert "step 499" in text
    assert len(watcher.picture(100, 20).splitlines()) <= 20


def test_what_is_wrong_is_told(tmp_path):
    app = typer.Typer()
    app.command()(command)
    told = CliRunner().invoke(app, [str(tmp_path / "nothing"), "--once"])
    assert told.exit_code == 1
    assert "without --once it is waited for" in told.output
    assert "must be positive" in CliRunner().invoke(app, [str(tmp_path), "--every", "0"]).output
    (tmp_path / "trajectory.h5").write_bytes(b"no HDF5")
    told = CliRunner().invoke(app, [str(tmp_path)])
    assert told.exit_code == 1
    assert "not an HDF5 file" in told.output


def started(code: str, *arguments: str, **options) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, **options)


@pytest.mark.parametrize("live", ["ordinary", "live"])
def test_a_pipe_gets_lines_until_the_run_ends(tmp_path, live):
    """The watcher starts first, the run grows in another process, both end."""
    follower = started(FOLLOW, str(tmp_path), text=True, env=os.environ | {"COLUMNS": "80"})
    assert "waiting for" in follower.stdout.readline()
    writer = started(WRITE, str(tmp_path / "trajectory.h5"), live, "60", text=True)
    assert writer.wait(60) == 0
    writer.stdout.close()
    text = follower.communicate(timeout=60)[0]
    assert follower.returncode == 0
    seen = [int(step) for step in re.findall(r"^step (\d+), ", text, re.M)]
    assert len(seen) > 3
    assert sorted(seen) == seen
    assert "step 59, time 5.9" in text
    assert "no longer written" in text
    assert text.count("└┬") == 2


def test_a_terminal_is_redrawn_and_left_by_interrupt(tmp_path):
    master, slave = pty.openpty()
    writer = started(WRITE, str(tmp_path / "trajectory.h5"), "ordinary", "100000", text=True)
    writer.stdout.readline()
    environment = os.environ | {"COLUMNS": "70", "LINES": "30", "TERM": "xterm-256color"}
    follower = subprocess.Popen(
        [sys.executable, "-c", FOLLOW, str(tmp_path)], stdin=slave, stdout=slave, stderr=slave, env=environment
    )
    text, end = "", time.monotonic() + 40
    while len(set(re.findall(r"step (\d+), ", text))) < 3 and time.monotonic() < end:
        if select.select([master], [], [], 0.1)[0]:
            text += os.read(master, 1 << 16).decode(errors="replace")
    follower.send_signal(signal.SIGINT)
    assert follower.wait(20) == 0
    writer.kill()
    writer.wait()
    writer.stdout.close()
    os.close(master)
    os.close(slave)
    assert len(set(re.findall(r"step (\d+), ", text))) >= 3
    assert "\x1b[38;" in text
    assert "Traceback" not in text
