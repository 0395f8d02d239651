"""Law: what is committed to a trajectory can be read back exactly, whatever happens to disk and process."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pyh5md
import pytest

import trajectories
from trajectories import Writer, info
from trajectories.storage.sink import Sink

REPLICAS, DOF = 3, 11
TABLE = [("layer.weight", (4, 2), 0), ("layer.bias", (2,), 8), ("scale", (), 10)]
SETTINGS = {
    "run": {"seed": 1, "rate": 0.5, "quiet": True, "note": None, "text": "line\n" * 20_000},
    "widths": [4, 2],
    "names": ["a", "b"],
    "mixed": [1, "a", {"b": [2]}],
    "empty": [],
    "inputs": np.linspace(0, 1, 5),
}


def make(path: Path, **options) -> Writer:
    defaults = {"table": TABLE, "replicas": REPLICAS, "masses": np.arange(1.0, DOF + 1), "parameters": SETTINGS}
    return Writer.create(path, **defaults | options)


def frames(count: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, REPLICAS, DOF)).astype(dtype)


@pytest.fixture
def run(tmp_path: Path):
    """A folder with 20 frames and two observables, and the positions in it."""
    q = frames(20)
    with make(tmp_path / "trajectory.h5") as writer:
        for i in range(20):
            writer.frame(10 * i, 0.1 * i, q[i], velocity=2 * q[i])
            writer.observable("train/loss", 10 * i, 0.1 * i, q[i, :, 0].astype(np.float64))
            if i % 5 == 0:
                writer.observable("test/prediction", 10 * i, 0.1 * i, np.full((REPLICAS, 4, 2), i, np.float32))
    return tmp_path, q


def test_layout_is_h5md(run):
    folder, _ = run
    with h5py.File(folder / "trajectory.h5") as h5:
        assert h5["h5md"].attrs["version"].tolist() == [1, 1]
        assert h5["h5md/creator"].attrs["name"] == "mdnet"
        particles = h5["particles/trajectory"]
        assert particles["box"].attrs["dimension"] == 1
        assert particles["position/value"].shape == (20, REPLICAS * DOF, 1)
        assert particles["velocity/step"] == particles["position/step"]  # one dataset, two names
        assert particles["species"][:DOF].tolist() == [0] * 8 + [1] * 2 + [2]
        assert particles["replica"][:].tolist() == np.repeat(range(REPLICAS), DOF).tolist()
        assert h5["observables/train/loss/value"].dtype == np.float64
        assert h5["observables/train/loss/value"].chunks[0] == 512


def test_pyh5md_opens_it(run):
    folder, q = run
    with pyh5md.File(str(folder / "trajectory.h5"), "r") as h5:
        position = pyh5md.element(h5.particles_group("trajectory"), "position")
        assert (position.value[3].reshape(REPLICAS, DOF) == q[3]).all()
        assert position.step[3] == 30


def test_reads_back_what_was_written(run):
    folder, q = run
    with trajectories.open(folder) as t:
        assert (t.replicas, t.dof, len(t)) == (REPLICAS, DOF, 20)
        assert (np.asarray(t.positions) == q).all()
        assert (t.velocities[-1] == 2 * q[-1]).all()
        assert t.steps.tolist() == list(range(0, 200, 10))
        assert (t.observables["train/loss"].values == q[:, :, 0]).all()
        assert t.observables["test/prediction"].shape == (4, REPLICAS, 4, 2)
        assert set(t.observables) == {"train/loss", "test/prediction"}
        assert t.masses.tolist() == list(range(1, DOF + 1))
        assert [tuple(tensor) for tensor in t.table] == TABLE
        stored = t.parameters
    assert stored["run"] == {key: value for key, value in SETTINGS["run"].items() if value is not None}
    assert stored["widths"].tolist() == [4, 2]
    assert {key: stored[key] for key in ("names", "mixed", "empty")} == {
        key: SETTINGS[key] for key in ("names", "mixed", "empty")
    }


@pytest.mark.parametrize(
    "key",
    [
        0, -1, slice(2, 9, 3), slice(None, None, -2), slice(5, 2), [3, 1, 1], np.arange(20) % 2 == 0, Ellipsis,
        (slice(None), 1), (slice(None), 1, 3), (slice(None), slice(0, 2), slice(2, 9, 2)), (..., [0, 1]),
        (slice(None), [0, 2], 3), (0, 0, 0), (slice(None), slice(None, None, -1)), (slice(0, 3), slice(1, 1)),
    ],
    ids=str,
)  # fmt: skip
def test_lazy_indexing_is_numpy_indexing(run, key):
    folder, q = run
    weight = q[:, :, :8].reshape(20, REPLICAS, 4, 2)
    with trajectories.open(folder) as t:
        np.testing.assert_array_equal(t.positions[key], q[key], strict=True)
        np.testing.assert_array_equal(t.layer("layer.weight")[key], weight[key], strict=True)
        np.testing.assert_array_equal(t.layer("scale")[:], q[:, :, 10], strict=True)


def test_resume_drops_later_rows_and_repeats_none(run):
    folder, q = run
    with Writer.resume(folder / "trajectory.h5", 105) as writer:
        for i in range(11, 14):
            writer.frame(10 * i, 0.1 * i, q[i], velocity=q[i])
            writer.observable("train/loss", 10 * i, 0.1 * i, np.zeros(REPLICAS))
    with trajectories.open(folder) as t, h5py.File(folder / "trajectory.h5", locking=False) as h5:
        assert t.steps.tolist() == list(range(0, 140, 10))
        assert t.observables["train/loss"].steps.tolist() == list(range(0, 140, 10))
        assert t.observables["test/prediction"].steps.tolist() == [0, 50, 100]
        assert (t.positions[:11] == q[:11]).all()
        assert (t.velocities[11:] == q[11:14]).all()
        assert h5["observables/test/prediction/value"].shape[0] == 3  # other tools see the cut, too


def test_rows_past_the_commit_counter_do_not_exist(run):
    folder, q = run
    with h5py.File(folder / "trajectory.h5", "r+") as h5:
        h5["mdnet/committed/position"][()] = 7
        h5["mdnet/committed/observables/train/loss"][()] = 5
    with trajectories.open(folder) as t:
        assert t.positions.shape == (7, REPLICAS, DOF)
        assert len(t.observables["train/loss"].values) == 5
    with Writer.resume(folder / "trajectory.h5", 10_000) as writer:
        writer.frame(70, 0.7, q[0], velocity=q[0])
    with trajectories.open(folder) as t:
        assert t.steps.tolist() == list(range(0, 80, 10))
        assert (t.positions[7] == q[0]).all()


def test_can_be_read_while_it_is_written(tmp_path):
    q = frames(3)
    with make(tmp_path / "trajectory.h5") as writer:
        writer.frame(0, 0.0, q[0])
        writer.flush()
        with trajectories.open(tmp_path) as early:
            writer.frame(1, 0.1, q[1])
            writer.flush()
            assert len(early) == 1
            with trajectories.open(tmp_path) as late:
                assert (late.positions[:] == q[:2]).all()
        writer.frame(2, 0.2, q[2])
    with trajectories.open(tmp_path) as t:
        assert (t.positions[:] == q).all()


def test_a_full_queue_waits_and_drops_nothing(tmp_path, monkeypatch):
    append = Sink.append
    monkeypatch.setattr(Sink, "append", lambda sink, rows: (time.sleep(0.02), append(sink, rows)))
    with make(tmp_path / "trajectory.h5", queue_bytes=4000) as writer:
        for i in range(60):
            writer.observable("heat", i, 0.1 * i, np.full(REPLICAS, float(i)))
    with trajectories.open(tmp_path) as t:
        assert t.observables["heat"].values[:, 0].tolist() == list(range(60))


def test_one_writer_at_a_time(tmp_path):
    path = tmp_path / "trajectory.h5"
    with make(path):
        with pytest.raises(trajectories.InUse, match="another"):
            Writer.resume(path, 0)
        with pytest.raises(trajectories.AlreadyExists, match="exists already"):
            make(path)
    Writer.resume(path, 0).close()


def test_an_unclosed_writer_is_closed_at_exit(tmp_path):
    code = (
        "import numpy as np, trajectories as t\n"
        f"w = t.Writer.create({str(tmp_path / 'trajectory.h5')!r}, table=[('w', (2,), 0)], replicas=1, "
        "masses=np.ones(2), parameters={})\n"
        "w.frame(0, 0.0, np.ones((1, 2)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert (done.returncode, done.stderr) == (0, "")
    with trajectories.open(tmp_path) as t:
        assert len(t) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: w.frame(1, 0.1, np.zeros((2, 2))), r"must be \(replicas, dof\) = \(3, 11\)"),
        (lambda w: w.frame(1, 0.1, np.zeros((3, 11))), "record the same in every frame"),
        (lambda w: w.frame(0, 0.1, np.zeros((3, 11)), np.zeros((3, 11))), "does not follow step 0"),
        (lambda w: w.observable("a/b/c", 1, 0.1, np.zeros(3)), "one or two levels"),
        (lambda w: w.observable("train/value", 1, 0.1, np.zeros(3)), "one or two levels"),
        (lambda w: w.observable("train", 1, 0.1, np.zeros(3)), "rename one"),
        (lambda w: w.observable("heat", 1, 0.1, np.zeros(2)), "first axis must be replicas"),
        (lambda w: w.observable("train/loss", 1, 0.1, np.zeros((3, 1))), r"rows of shape \(3,\)"),
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path, call, message):
    with make(tmp_path / "trajectory.h5") as writer:
        writer.frame(0, 0.0, np.zeros((3, 11)), np.zeros((3, 11)))
        writer.observable("train/loss", 0, 0.0, np.zeros(3))
        with pytest.raises(trajectories.InvalidRow, match=message):
            call(writer)
    with trajectories.open(tmp_path) as t:
        assert len(t) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float16"}, "allowed are 'float32' and 'float64'"),
        ({"masses": np.ones(5)}, "the table covers 11"),
        ({"table": [("w", (11,), 1)]}, "starts at 1"),
        ({"parameters": {"model": object()}}, "parameters/model is a object"),
        ({"parameters": {"a/b": 1}}, "without '/'"),
    ],
)
def test_a_refused_file_leaves_nothing_behind(tmp_path, options, message):
    with pytest.raises(trajectories.InvalidRow, match=message):
        make(tmp_path / "trajectory.h5", **options)
    assert not list(tmp_path.iterdir())


def test_wrong_names_are_answered_with_the_right_ones(run):
    folder, _ = run
    with trajectories.open(folder) as t:
        with pytest.raises(trajectories.NotRecorded, match="did you mean train/loss"):
            t.observables["train/los"]
        with pytest.raises(trajectories.NotRecorded, match=r"layer\.bias"):
            t.layer("layer.bais")
        with pytest.raises(trajectories.NotRecorded, match=r"force=True, or Writer\.frame"):
            _ = t.forces
        assert "heat" not in t.observables


def test_files_that_are_not_trajectories_say_so(tmp_path, run):
    folder, _ = run
    (tmp_path / "text.h5").write_text("hello")
    h5py.File(tmp_path / "other.h5", "w").close()
    whole = (folder / "trajectory.h5").read_bytes()
    for share in (0.3, 0.6, 0.98):
        (tmp_path / f"cut{share}.h5").write_bytes(whole[: int(share * len(whole))])
    for name, message in [
        ("none.h5", "no such file"), ("text.h5", "not an HDF5 file"), ("other.h5", "not a trajectory of mdnet"),
        ("cut0.3.h5", "cut off"), ("cut0.6.h5", "cut off"), ("cut0.98.h5", "cut off"),
    ]:  # fmt: skip
        with pytest.raises(trajectories.NotATrajectory, match=message):
            trajectories.open(tmp_path / name)


def test_summary_is_json_and_text(run):
    folder, _ = run
    found = json.loads(json.dumps(info.summary(folder)))
    assert (found["frames"], found["replicas"], found["dof"]) == (20, REPLICAS, DOF)
    assert found["series"]["test/prediction"]["every"] == 50
    assert "20 frames (float32), steps 0 to 190" in info.text(folder)


# -- what a disk or a signal does to a run ---------------------------------------------------------------------------

APPENDING = """
import os, resource, signal, sys
import numpy as np
import trajectories
from trajectories import Writer

path, limit, dof, broken = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "broken"
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = Writer.create(path, table=[("w", (dof,), 0)], replicas=1, masses=np.ones(dof), parameters={})
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
step = 0
try:
    while True:
        writer.frame(step, 0.1 * step, np.full((1, dof), float(step)))
        writer.observable("heat", step, 0.1 * step, np.full(1, float(step)))
        if step % 5 == 4:
            writer.flush()
            print(step + 1, flush=True)
            if broken and step > 50:
                os.dup2(os.open("/dev/full", os.O_RDWR), writer._worker._sink._h5.id.get_vfd_handle())
        step += 1
except trajectories.WriteFailed as error:
    print(error, flush=True)
writer.close()
"""


def environment() -> dict[str, str]:
    root = Path(trajectories.__file__).parents[1]
    return os.environ | {"PYTHONPATH": str(root), "PYTHONWARNINGS": "error"}


def appending(path: Path, limit: int, dof: int, broken: str = "") -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", APPENDING, str(path), str(limit), str(dof), broken]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())


def check_rows(path: Path, at_least: int) -> None:
    with trajectories.open(path) as t:
        assert len(t) >= at_least
        assert len(t.observables["heat"]) >= at_least
        assert (t.positions[:, 0, 0] == np.arange(len(t))).all()
        assert (t.positions[:, 0, -1] == np.arange(len(t))).all()
        assert (t.observables["heat"].values[:, 0] == np.arange(len(t.observables["heat"]))).all()


@pytest.mark.parametrize(
    ("limit", "dof"), [(4_500_000, 100), (9_000_001, 5000), (20_000_003, 100_000), (20_000_003, 600_000)]
)
def test_a_full_disk_keeps_every_committed_row(tmp_path, limit, dof):
    path = tmp_path / "trajectory.h5"
    out, err = (process := appending(path, limit, dof)).communicate(timeout=60)
    *counts, message = out.splitlines()
    assert (process.returncode, err) == (0, "")
    assert "writing failed: [Errno 27]" in message
    assert "free some space" in message
    check_rows(path, int(counts[-1]) if counts else 0)
    with Writer.resume(path, 2) as writer:  # with room again, the run can go on
        writer.frame(3, 0.3, np.full((1, dof), 3.0))
    check_rows(path, 3)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_failing_disk_keeps_every_committed_row(tmp_path):
    path = tmp_path / "trajectory.h5"
    out, err = (process := appending(path, 0, 1000, "broken")).communicate(timeout=60)
    *counts, message = out.splitlines()
    assert (process.returncode, err) == (0, "")
    assert "No space left on device" in message
    check_rows(path, int(counts[-1]))


def test_a_killed_run_keeps_every_committed_row(tmp_path):
    delays = iter(np.random.default_rng(0).uniform(0, 0.15, size=8))

    def one(number: int) -> None:
        path = tmp_path / f"{number}.h5"
        process = appending(path, 0, [10, 2000][number % 2])
        process.stdout.readline()
        time.sleep(next(delays))
        process.kill()
        printed, _ = process.communicate()
        counts[path] = int(([5, *map(int, printed.split())])[-1])

    counts: dict[Path, int] = {}
    for pair in range(4):
        pairs = [threading.Thread(target=one, args=(2 * pair + k,)) for k in range(2)]
        for thread in pairs:
            thread.start()
        for thread in pairs:
            thread.join()
    assert len(counts) == 8
    for path, at_least in counts.items():
        check_rows(path, at_least)
        Writer.resume(path, at_least).close()


def test_a_layer_lies_flat(run):
    folder, q = run
    with trajectories.open(folder) as t:
        flat = t.layer("layer.weight").flat
        assert flat.shape == (20, REPLICAS, 8)
        np.testing.assert_array_equal(flat[3:5, 1], q[3:5, 1, :8])
        np.testing.assert_array_equal(flat.steps, t.steps)
