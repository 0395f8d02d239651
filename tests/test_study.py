"""Law: many runs opened as one data set hold the values of each, and nothing is read before it is asked for."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray

import trajectories
from trajectories import Writer
from trajectories.storage.study import open_many

TABLE = [("w", (2, 2), 0), ("b", (1,), 4)]
DOF = 5
SAMPLES = 7


def make(
    folder: Path, rng: np.random.Generator, settings: dict, *, frames: int = 6, replicas: int = 2, table=TABLE
) -> dict:
    """Write a run of which frame i is at step 20 i and sample i at step 10 i; return its arrays."""
    dof = sum(int(np.prod(shape)) for _, shape, _ in table)
    q = rng.normal(size=(frames, replicas, dof)).astype("float32")
    energy, rung = rng.normal(size=(SAMPLES, replicas)), rng.integers(0, 4, (SAMPLES, replicas))
    outputs = rng.normal(size=(2, replicas, 3, 1))
    with Writer.create(
        folder / "trajectory.h5", table=table, replicas=replicas, masses=np.ones(dof), parameters=settings
    ) as writer:
        for i in range(frames):
            writer.frame(20 * i, 0.2 * i, q[i])
        for i in range(SAMPLES):
            writer.observable("energy", 10 * i, 0.1 * i, energy[i])
            writer.observable("tempering/rung", 10 * i, 0.1 * i, rung[i])
        for i in range(2):
            writer.observable("test/prediction", 30 * i, 0.3 * i, outputs[i])
    return {"q": q, "energy": energy, "rung": rung, "outputs": outputs}


def setting(temperature: float, **more) -> dict:
    return {"thermostat": {"temperature": temperature, "name": "langevin"}, "seed": 4} | more


@pytest.fixture
def rng(seed):
    return np.random.default_rng(seed)


@pytest.fixture
def study(tmp_path, rng):
    wrote = [make(tmp_path / f"run{i}", rng, setting(0.1 * (i + 1))) for i in range(3)]
    return tmp_path, wrote


def test_values_are_those_of_each_run(study):
    folder, wrote = study
    ds = open_many(folder / "run*")
    assert isinstance(ds, xarray.Dataset)
    assert dict(ds.sizes) == {
        "run": 3, "replica": 2, "sample": SAMPLES, "sample_test/prediction": 2, "frame": 6, "coordinate": DOF,
        "test/prediction_dim_0": 3, "test/prediction_dim_1": 1,
    }  # fmt: skip
    assert ds["run"].values.tolist() == ["run0", "run1", "run2"]
    for name, key in (
        ("energy", "energy"),
        ("tempering/rung", "rung"),
        ("test/prediction", "outputs"),
        ("positions", "q"),
    ):
        for i, one in enumerate(wrote):
            np.testing.assert_array_equal(ds[name][i].values, one[key], strict=True)
    assert ds["tempering/rung"].dtype.kind == "i"
    assert ds["tensor"].values.tolist() == ["w"] * 4 + ["b"]
    assert ds["step_sample"].values[1].tolist() == [10 * i for i in range(SAMPLES)]
    np.testing.assert_array_equal(ds["time_frame"].values[2], 0.2 * np.arange(6))
    np.testing.assert_array_equal(ds["time_sample_test/prediction"][:, 1].values, [0.3] * 3)
    assert ds["samples"].values.tolist() == [SAMPLES] * 3


def test_what_differs_labels_the_runs_and_the_rest_are_attributes(study):
    ds = open_many(study[0] / "run*")
    assert ds["thermostat.temperature"].dims == ("run",)
    np.testing.assert_allclose(ds["thermostat.temperature"].values, [0.1, 0.2, 0.3])
    assert ds.attrs == {"seed": 4, "thermostat.name": "langevin"}
    wrote = study[1][1]
    warm = ds.isel(run=ds["thermostat.temperature"].values == 0.2)
    np.testing.assert_array_equal(warm["energy"].values[0], wrote["energy"])
    np.testing.assert_array_equal(ds.sel(run="run1")["energy"].values, wrote["energy"])
    masked = ds[["energy"]].where(ds["thermostat.temperature"] > 0.15, drop=True)
    assert masked["run"].values.tolist() == ["run1", "run2"]
    means = ds.mean("sample")["energy"].values
    np.testing.assert_allclose(means, [one["energy"].mean(0) for one in study[1]])


def test_types_of_labels(tmp_path, rng):
    every = [
        {"count": 1, "rate": 0.5, "word": "a", "flag": True, "mixed": 1, "list": [1, 2], "big": np.zeros(99), "run": 1},
        {"count": 2, "word": "b", "flag": False, "mixed": "x", "list": [1, 3], "big": np.ones(99), "run": 2},
    ]
    for i, one in enumerate(every):
        make(tmp_path / str(i), rng, one | {"ragged": [[1], [2, 3], {"a": "b"}], "ladder": np.array([0.1, 0.2])})
    ds = open_many([tmp_path / "0", tmp_path / "1"])
    assert ds["count"].dtype.kind == "i"
    np.testing.assert_array_equal(ds["rate"].values, [0.5, np.nan])
    assert ds["word"].values.tolist() == ["a", "b"]
    assert ds["flag"].dtype == bool
    assert ds["mixed"].values.tolist() == ["1", "x"]
    assert ds["list"].values.tolist() == ["[1, 2]", "[1, 3]"]
    assert ds["run_"].values.tolist() == [1, 2]
    assert "big" not in ds.coords
    assert ds.attrs["ragged"] == [[1], [2, 3], {"a": "b"}]
    assert ds.attrs["ladder"].tolist() == [0.1, 0.2]


@pytest.mark.parametrize(
    "key",
    [
        (0, 1), (slice(None), 3, 1), (slice(1, None), slice(None, None, -2)), ([2, 0], [4, 0, 0], slice(0, 1)),
        (slice(None), slice(6, 2), [1, 0]), (-1, -1, -1), (slice(None), slice(None), slice(None), [3, 0]),
        (1, [0, 5], 0, slice(None, None, 3)), ([], slice(None)),
    ],
    ids=str,
)  # fmt: skip
def test_lazy_indexing_is_numpy_indexing(study, key):
    folder, wrote = study
    for name, source in (("positions", "q"), ("energy", "energy")):
        values, taken = np.stack([one[source] for one in wrote]), key[: 3 if name == "energy" else 4]
        expected = values
        for axis in reversed(range(len(taken))):
            part = np.array(taken[axis], int) if isinstance(taken[axis], list) else taken[axis]
            expected = expected[(slice(None),) * axis + (part,)]
        np.testing.assert_array_equal(open_many(folder / "run*")[name][taken].values, expected, strict=True)


def test_runs_of_different_length_and_replicas_are_padded_with_nan(tmp_path, rng):
    long = make(tmp_path / "long", rng, setting(0.1), frames=9)
    short = make(tmp_path / "short", rng, setting(0.1), frames=2, replicas=3)
    ds = open_many(tmp_path / "*")
    assert ds["positions"].shape == (2, 9, 3, DOF)
    assert ds["frames"].values.tolist() == [9, 2]
    assert ds["replicas"].values.tolist() == [2, 3]
    q = ds["positions"].values
    np.testing.assert_array_equal(q[0, :, :2], long["q"])
    np.testing.assert_array_equal(q[1, :2], short["q"])
    assert np.isnan(q[0, :, 2]).all()
    assert np.isnan(q[1, 2:]).all()
    assert q.dtype == np.float32
    assert ds["tempering/rung"].dtype == np.float64
    np.testing.assert_array_equal(ds["tempering/rung"][1].values, short["rung"])
    assert np.isnan(ds["step_frame"].values[1, 2:]).all()
    assert np.isnan(ds["time_frame"][1, 2:].values).all()
    np.testing.assert_allclose(ds["positions"][1].mean("frame").values, short["q"].mean(0), rtol=1e-5, atol=1e-6)


def test_other_networks_share_observables_alone(tmp_path, rng):
    make(tmp_path / "a", rng, setting(0.1))
    other = make(tmp_path / "b", rng, setting(0.1), table=[("v", (3,), 0)])
    ds = open_many(tmp_path / "*")
    assert "positions" not in ds
    np.testing.assert_array_equal(ds["energy"][1].values, other["energy"])


def test_runs_without_frames_are_runs_of_none(tmp_path, rng):
    make(tmp_path / "a", rng, setting(0.1), frames=0)
    assert open_many(tmp_path / "*")["positions"].values.shape == (1, 0, 2, DOF)
    wrote = make(tmp_path / "b", rng, setting(0.1))
    q = open_many(tmp_path / "*")["positions"].values
    assert np.isnan(q[0]).all()
    np.testing.assert_array_equal(q[1], wrote["q"])


def test_doubles_of_one_replica_stay_doubles(tmp_path, rng):
    q = rng.normal(size=(4, 1, DOF))
    with Writer.create(
        tmp_path / "trajectory.h5", table=TABLE, replicas=1, masses=np.ones(DOF), parameters={}, dtype="float64"
    ) as writer:
        for i in range(4):
            writer.frame(i, float(i), q[i])
    np.testing.assert_array_equal(open_many([tmp_path])["positions"][0].values, q, strict=True)


def test_a_series_that_a_run_lacks_is_nan_there(tmp_path, rng):
    make(tmp_path / "a", rng, setting(0.1))
    make(tmp_path / "b", rng, setting(0.2))
    with Writer.resume(tmp_path / "b" / "trajectory.h5", 10_000) as writer:
        writer.observable("heat", 50, 0.5, np.array([1, 2]))
    ds = open_many(tmp_path / "*")
    heat = ds["heat"]
    assert heat.dims == ("run", "sample_heat", "replica")
    np.testing.assert_array_equal(heat.values, [[[np.nan, np.nan]], [[1.0, 2.0]]])
    assert ds["samples_heat"].values.tolist() == [0, 1]


def test_positions_have_the_frames_and_forces_of_another_cadence_a_dimension_of_their_own(study):
    folder, wrote = study
    for i, one in enumerate(wrote):
        with h5py.File(folder / f"run{i}" / "trajectory.h5", "r+") as h5:
            for name, values in {"value": one["q"][::3].reshape(2, -1, 1), "step": [0, 60], "time": [0.0, 0.6]}.items():
                h5[f"particles/trajectory/force/{name}"] = values
            h5["mdnet/committed/force"] = np.int64(2)
    ds = open_many(folder / "run*")
    assert ds["positions"].dims == ("run", "frame", "replica", "coordinate")
    assert ds["forces"].dims == ("run", "frame_force", "replica", "coordinate")
    np.testing.assert_array_equal(ds["forces"][1].values, wrote[1]["q"][::3])
    assert ds["step_frame_force"][0].values.tolist() == [0, 60]
    np.testing.assert_allclose(ds["time_frame_force"].values, [[0.0, 0.6]] * 3)


# -- laziness -------------------------------------------------------------------------------------------------------


def counted(monkeypatch) -> list[tuple[str, int]]:
    """Every read of a series' values by name and bytes, from now on."""
    reads = []
    get = h5py.Dataset.__getitem__

    def counting(dataset, *given, **more):
        found = get(dataset, *given, **more)
        if dataset.name.endswith("/value"):
            reads.append((dataset.name, np.asarray(found).nbytes))
        return found

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counting)
    return reads


def open_files(folder: Path) -> int:
    links = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
    return sum(str(folder) in os.readlink(link) for link in links if os.path.islink(link))


def copies(wrote: dict, folder: Path, count: int) -> list[dict]:
    """Copy run 00 to 01, 02, ... with other values; return the arrays of each."""
    for i in range(1, count):
        path = Path(shutil.copytree(folder / "00", folder / f"{i:02}")) / "trajectory.h5"
        with h5py.File(path, "r+") as h5:
            for value in (h5["particles/trajectory/position/value"], h5["observables/energy/value"]):
                value[...] = value[...] + i
            h5["parameters/thermostat/temperature"][()] = i
    return [{name: wrote[name] + np.float32(i) for name in ("q", "energy")} for i in range(count)]


def test_opening_fifty_runs_reads_no_values_and_few_stay_open(tmp_path, rng, monkeypatch):
    wrote = copies(make(tmp_path / "00", rng, setting(0.0)), tmp_path, 50)
    reads = counted(monkeypatch)
    with xarray.set_options(file_cache_maxsize=4):
        ds = open_many(tmp_path / "*")
        assert open_files(tmp_path) == 0
        assert "positions" in repr(ds)
        assert reads == []
        last = ds["positions"][31, -1]
        assert reads == []
        np.testing.assert_array_equal(last.values, wrote[31]["q"][-1])
        assert reads == [("/particles/trajectory/position/value", 2 * DOF * 4)]  # one frame
        np.testing.assert_array_equal(ds["energy"].values, [one["energy"] for one in wrote])
        assert 1 <= open_files(tmp_path) <= 4
    ds.close()
    copy = pickle.loads(pickle.dumps(ds["energy"]))  # as dask sends it
    np.testing.assert_array_equal(copy[7].values, wrote[7]["energy"])


def test_a_program_ends_well_with_a_study_that_was_never_freed(study):
    """HDF5 may crash where a file is still open when it is unloaded; a reference that leaks is such a case."""
    code = (
        "import ctypes, sys; from trajectories.storage.study import open_many\n"
        "ds = open_many(sys.argv[1]); ds['positions'].values\n"
        "ctypes.pythonapi.Py_IncRef(ctypes.py_object(ds))"
    )
    root = str(Path(trajectories.__file__).parents[1])
    given = [sys.executable, "-c", code, str(study[0] / "run*")]
    done = subprocess.run(given, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": root}, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_growing_run_shows_what_was_committed_when_it_was_opened(study):
    folder, wrote = study
    path = folder / "run1" / "trajectory.h5"
    with h5py.File(path, "r+") as h5:  # interrupted: rows past the counter do not exist
        h5["mdnet/committed/position"][()] = 4
    ds = open_many(folder / "run*")
    assert ds["frames"].values.tolist() == [6, 4, 6]
    with h5py.File(path, "r+") as h5:  # and it goes on
        h5["mdnet/committed/position"][()] = 6
    q = ds["positions"][1].values
    np.testing.assert_array_equal(q[:4], wrote[1]["q"][:4])
    assert np.isnan(q[4:]).all()


def test_a_run_that_was_cut_back_says_so(study):
    folder, _ = study
    ds = open_many(folder / "run*")
    Writer.resume(folder / "run2" / "trajectory.h5", 20).close()
    with pytest.raises(trajectories.NotATrajectory, match="cut back"):
        _ = ds["energy"][2].values


# -- what is not a run ----------------------------------------------------------------------------------------------


def test_what_is_no_run_is_named_and_left_out(study):
    folder, _ = study
    (folder / "runs.txt").write_text("notes")
    (folder / "run_broken").mkdir()
    whole = (folder / "run0" / "trajectory.h5").read_bytes()
    (folder / "run_broken" / "trajectory.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.warns(UserWarning, match="is left out") as warned:
        ds = open_many(str(folder / "run*"))
    assert ds.sizes["run"] == 3
    said = sorted(str(one.message) for one in warned)
    assert len(said) == 2
    assert "run_broken" in said[0]
    assert "runs.txt" in said[1]


def test_nothing_to_open_is_an_error_that_says_why(tmp_path):
    with pytest.raises(trajectories.NotATrajectory, match=r"nothing fits .*none\*"):
        open_many(tmp_path / "none*")
    with pytest.raises(trajectories.NotATrajectory, match="list of runs is empty"):
        open_many([])
    (tmp_path / "a").mkdir()
    with pytest.raises(trajectories.NotATrajectory, match=r"none of 1 paths is a run:\n.*no such file"):
        open_many(tmp_path / "*")


def test_folders_of_one_name_are_told_apart(tmp_path, rng):
    for parent in ("x", "y"):
        make(tmp_path / parent / "run", rng, setting(0.1))
    assert open_many(tmp_path / "**" / "*.h5")["run"].values.tolist() == ["x/run", "y/run"]


def test_a_missing_library_is_named_with_its_remedy(study, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(trajectories.TrajectoryError, match=r"pip install mdnet\[export\]"):
        open_many(study[0] / "run*")
