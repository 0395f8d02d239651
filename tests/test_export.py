"""Law: what a run is exported to holds the same numbers, read by the tools it is meant for."""

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import pyh5md
import pytest
import torch
from arviz_stats.base import array_stats
from torch import nn
from typer.testing import CliRunner

import mdnet as md
import trajectories
from integrators import BAOAB, Splitting
from mdnet.frames import load_frame
from thermostats import Langevin
from trajectories import Writer
from trajectories.export import KINDS, state, to_datatree, write
from trajectories.export import progress as bars
from trajectories.storage import pieces

FRAMES = 12
TABLE = [("0.weight", (4, 2), 0), ("0.bias", (2,), 8), ("time", (), 10)]
DOF = 11


def make(folder: Path, generator: np.random.Generator, *, replicas: int = 3, dtype: str = "float32") -> dict:
    """Write a run with every kind of series; return what is in it."""
    q, v, f = generator.normal(size=(3, FRAMES, replicas, DOF)).astype(dtype)
    heat = generator.normal(size=(2 * FRAMES, replicas))
    loss = generator.normal(size=(4, replicas))
    outputs = generator.normal(size=(FRAMES // 2, replicas, 5, 2)).astype("float32")
    test = {"inputs": generator.normal(size=(5, 3)), "targets": np.arange(5)}
    settings = {"test": test, "run": {"seed": 7, "names": ["a", "b"]}}
    with Writer.create(
        folder / "trajectory.h5", table=TABLE, replicas=replicas, masses=np.arange(1.0, DOF + 1), parameters=settings,
        dtype=dtype,
    ) as writer:  # fmt: skip
        for i in range(FRAMES):
            writer.frame(10 * i, 0.1 * i, q[i], v[i], f[i])
            writer.observable("seen", 10 * i, 0.1 * i, q[i, :, 0] > 0)
            writer.observable("set_temperature", 10 * i, 0.1 * i, np.full(replicas, 0.5))
            if i % 2 == 0:
                writer.observable("test/prediction", 10 * i, 0.1 * i, outputs[i // 2])
        for i in range(2 * FRAMES):
            writer.observable("heat", 5 * i, 0.05 * i, heat[i])
        for i in range(4):
            writer.observable("train/loss", 40 * i, 0.4 * i, loss[i])
            writer.observable("rare", 40 * i + 3, 0.4 * i + 0.03, loss[i])
    return {"q": q, "v": v, "f": f, "heat": heat, "loss": loss, "outputs": outputs, "test": test}


@pytest.fixture
def rng(seed):
    return np.random.default_rng(seed)


@pytest.fixture
def run(tmp_path, rng):
    folder = tmp_path / "run"
    return folder, make(folder, rng)


def unfolded(values: np.ndarray, replicas: int, dof: int = DOF) -> np.ndarray:
    return values.reshape(-1, replicas, values.size // (values.shape[0] * replicas))[:, :, :dof]


# -- MDAnalysis and pyh5md ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:No coordinate reader:UserWarning")
def test_mdanalysis_opens_it_with_identical_values(tmp_path, rng, replicas):
    import MDAnalysis

    wrote = make(tmp_path / "run", rng, replicas=replicas)
    found = write(tmp_path / "run", "mdanalysis", tmp_path / "folded.h5md")
    atoms = replicas * 4  # 11 coordinates and one zero are four particles
    universe = MDAnalysis.Universe.empty(atoms, trajectory=True, velocities=True, forces=True)
    universe.load_new(str(found.path), format="H5MD", convert_units=False)
    assert universe.trajectory.n_frames == FRAMES
    for i, ts in enumerate(universe.trajectory):
        for name, values in (("positions", wrote["q"]), ("velocities", wrote["v"]), ("forces", wrote["f"])):
            coordinates = getattr(ts, name).reshape(replicas, 12)
            assert (coordinates[:, :DOF] == values[i]).all()
            assert (coordinates[:, DOF:] == 0).all()
        assert ts.time == 0.1 * i
        assert ts.data["step"] == 10 * i
        assert (ts.data["heat"] == wrote["heat"][2 * i]).all()
        assert (ts.data["seen"] == (wrote["q"][i, :, 0] > 0)).all()
        loss = wrote["loss"][i // 4] if i % 4 == 0 else np.full(replicas, np.nan)
        np.testing.assert_array_equal(ts.data["train/loss"], loss)
        assert "rare" not in ts.data
    universe.trajectory.close()
    assert any("train/loss is nan at 9 of 12 frames" in note for note in found.notes)
    assert any("rare" in note and "left out" in note for note in found.notes)


def test_pyh5md_opens_the_folded_file(run, tmp_path):
    folder, wrote = run
    write(folder, "mdanalysis", tmp_path / "folded.h5", frames=slice(2, None, 3))
    with pyh5md.File(str(tmp_path / "folded.h5"), "r") as h5:
        particles = h5.particles_group("trajectory")
        position = pyh5md.element(particles, "position")
        assert position.step[:].tolist() == [20, 50, 80, 110]
        attributes = particles.attrs
        assert (attributes["replicas"], attributes["dof"], attributes["pad"]) == (3, DOF, 1)
        assert (unfolded(position.value[:], 3) == wrote["q"][2::3]).all()
        assert particles["force/step"] == particles["position/step"]
        assert h5["parameters/run/seed"][()] == 7


def test_doubles_stay_doubles(tmp_path, rng):
    wrote = make(tmp_path, rng, dtype="float64")
    write(tmp_path, "mdanalysis", tmp_path / "folded.h5")
    with h5py.File(tmp_path / "folded.h5") as h5:
        assert (unfolded(h5["particles/trajectory/velocity/value"][:], 3) == wrote["v"]).all()
    write(tmp_path, "npz", tmp_path / "run.npz")
    assert np.load(tmp_path / "run.npz")["positions"].dtype == np.float64
    assert state(tmp_path)["0.bias"].dtype == np.float64


@pytest.mark.parametrize("kind", ["mdanalysis", "npz"])
def test_frames_common_to_all_fields_are_exported_where_cadences_differ(tmp_path, rng, kind):
    wrote = make(tmp_path, rng)
    with h5py.File(tmp_path / "trajectory.h5", "r+") as h5:  # as another writer may do: velocity at every third frame
        particles = h5["particles/trajectory"]
        value, step, time = (particles[f"velocity/{name}"][::3] for name in ("value", "step", "time"))
        del particles["velocity"]
        for name, values in {"value": value, "step": step, "time": time}.items():
            particles[f"velocity/{name}"] = values
        h5["mdnet/committed/velocity"] = np.int64(4)
    found = write(tmp_path, kind, tmp_path / "out")
    assert any(
        "velocity has a cadence of its own: 4 of its 4 samples are at one of the 12" in note for note in found.notes
    )
    if kind == "npz":
        arrays = np.load(tmp_path / "out")
        q, v = arrays["positions"], arrays["velocities"]
    else:
        with h5py.File(tmp_path / "out") as h5:
            q, v = (unfolded(h5[f"particles/trajectory/{name}/value"][:], 3) for name in ("position", "velocity"))
    assert (q == wrote["q"][::3]).all()
    assert (v == wrote["v"][::3]).all()


# -- numpy ----------------------------------------------------------------------------------------------------------


def test_numpy_reads_the_archive_without_pickle(run, tmp_path):
    folder, wrote = run
    write(folder, "npz", tmp_path / "run.npz", frames=slice(3, 9, 2))
    with np.load(tmp_path / "run.npz", allow_pickle=False) as arrays:
        for name, values in (("positions", wrote["q"]), ("velocities", wrote["v"]), ("forces", wrote["f"])):
            np.testing.assert_array_equal(arrays[name], values[3:9:2], strict=True)
        assert arrays["steps"].tolist() == [30, 50, 70]
        np.testing.assert_array_equal(arrays["times"], 0.1 * np.array([3, 5, 7]))
        assert arrays["table.name"].tolist() == [name for name, _, _ in TABLE]
        assert arrays["table.shape"].tolist() == [[4, 2], [2, -1], [-1, -1]]
        assert arrays["table.offset"].tolist() == [0, 8, 10]
        assert arrays["masses"].tolist() == list(range(1, 12))
        assert (arrays["heat"] == wrote["heat"]).all()
        assert (arrays["train.loss"] == wrote["loss"]).all()
        assert arrays["train.loss.step"].tolist() == [0, 40, 80, 120]
        assert arrays["seen"].dtype == bool
        assert (arrays["test.prediction"] == wrote["outputs"]).all()
        assert json.loads(str(arrays["parameters"]))["run"] == {"seed": 7, "names": ["a", "b"]}


# -- ArviZ ----------------------------------------------------------------------------------------------------------


def check_tree(tree, wrote) -> None:
    posterior, stats = tree["posterior"], tree["sample_stats"]
    weight = wrote["q"][:, :, :8].reshape(FRAMES, -1, 4, 2).swapaxes(0, 1)
    np.testing.assert_array_equal(posterior["0.weight"].values, weight, strict=True)
    assert posterior["0.weight"].dims == ("chain", "draw", "0.weight_dim_0", "0.weight_dim_1")
    np.testing.assert_array_equal(posterior["time_"].values, wrote["q"][:, :, 10].T)  # "time" is the draws'
    assert set(posterior.coords) == {"chain", "draw", "step", "time"}
    assert set(posterior.data_vars) == {"0.weight", "0.bias", "time_"}
    assert posterior["step"].values.tolist() == [10 * i for i in range(FRAMES)]
    np.testing.assert_array_equal(stats["heat"].values, wrote["heat"][::2].T)
    np.testing.assert_array_equal(stats["train.loss"].values[:, ::4], wrote["loss"][:3].T)
    assert np.isnan(stats["train.loss"].values[:, 1]).all()
    assert "rare" not in stats
    predictive = tree["posterior_predictive"]["prediction"]
    assert predictive["draw"].values.tolist() == [0, 2, 4, 6, 8, 10]
    np.testing.assert_array_equal(predictive.values, wrote["outputs"].swapaxes(0, 1))
    assert tree["observed_data"]["targets"].values.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(tree["constant_data"]["inputs"].values, wrote["test"]["inputs"])
    assert tree["constant_data"]["mass.0.bias"].values.tolist() == [9, 10]
    assert tree.attrs["creation_library"] == "mdnet"
    assert tree.attrs["temperature"] == 0.5


@pytest.mark.parametrize(("replicas", "dtype"), [(3, "float32"), (1, "float64")])
def test_xarray_opens_the_netcdf_with_identical_values(tmp_path, rng, replicas, dtype):
    import xarray

    wrote = make(tmp_path, rng, replicas=replicas, dtype=dtype)
    found = write(tmp_path, "arviz", tmp_path / "run.nc")
    assert any("rare" in note for note in found.notes)
    with xarray.open_datatree(tmp_path / "run.nc", engine="h5netcdf") as tree:
        check_tree(tree, wrote)
        assert tree["sample_stats"]["seen"].dtype == bool


def test_the_tree_in_memory_is_lazy_and_indexes_as_numpy_does(run, monkeypatch):
    folder, wrote = run
    read = []
    fetch = pieces.fetch
    monkeypatch.setattr(
        pieces, "fetch", lambda series, rows, *rest: (read.append(len(rows)), fetch(series, rows, *rest))[1]
    )
    tree = to_datatree(folder)
    assert sum(read) <= 1  # the temperature of the last draw
    read.clear()
    q = wrote["q"].swapaxes(0, 1)
    weight = tree["posterior"]["0.weight"]
    values = q[:, :, :8].reshape(3, FRAMES, 4, 2)
    for key in [
        (0,), (slice(None), 3), (slice(None), [5, 1, 1], 0), (slice(None, None, -1), slice(8, 2, -3)), (-1, -1, 2, 1),
        (slice(None), slice(None), slice(0, 0)), ([0, 2], slice(None), [3, 0], 1),
    ]:  # fmt: skip
        np.testing.assert_array_equal(weight[key].values, _outer(values, key), strict=True)
    assert max(read) <= FRAMES
    read.clear()
    assert (weight[:, 3].values == values[:, 3]).all()
    assert read == [1]
    check_tree(tree, wrote)


def _outer(values, key):
    for axis in reversed(range(len(key))):
        values = values[(slice(None),) * axis + (key[axis],)]
    return values


def test_arviz_computes_ess_and_rhat_on_it(tmp_path, seed):
    """Independent draws: the effective number of draws is that of the draws, and R-hat is 1."""
    import xarray

    rng, draws, chains = np.random.default_rng(seed), 400, 4
    q = rng.normal(size=(draws, chains, 3)).astype("float32")
    with Writer.create(
        tmp_path / "trajectory.h5", table=[("w", (3,), 0)], replicas=chains, masses=np.ones(3), parameters={}
    ) as writer:
        for i in range(draws):
            writer.frame(i, float(i), q[i])
    write(tmp_path, "arviz", tmp_path / "run.nc")
    with xarray.open_datatree(tmp_path / "run.nc", engine="h5netcdf") as tree:
        posterior = tree["posterior"].to_dataset().load()
    weights = posterior["w"].transpose("w_dim_0", "chain", "draw").values
    ess, rhat = array_stats.ess(weights), array_stats.rhat(weights)
    assert ess.shape == rhat.shape == (3,)
    assert ((ess > 0.7 * draws * chains) & (ess < 1.3 * draws * chains)).all()
    assert (abs(rhat - 1) < 0.02).all()
    pytest.importorskip("arviz_base")
    import arviz_stats

    np.testing.assert_allclose(arviz_stats.ess(posterior)["w"].values, ess)
    np.testing.assert_allclose(arviz_stats.rhat(xarray.DataTree.from_dict({"posterior": posterior}))["w"].values, rhat)


# -- torch ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(tmp_path):
    """A short real run of a network, and its parts."""
    torch.manual_seed(3)
    x, y = torch.randn(20, 2), torch.randn(20, 1)
    network = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1))
    system = md.ParticleSystem(network, nn.functional.mse_loss, x, y, replicas=3, prior=md.GaussianPrior())
    simulation = md.Simulation(
        system, Splitting(BAOAB, system.force, 0.05, Langevin(0.1, 1.0)), output=tmp_path / "run",
        reporters=[md.Frames(5), md.Predictions(x, every=5), md.Evaluate({"train": (x, y)}, every=5)],
    )  # fmt: skip
    simulation.run(20, progress=False)
    return tmp_path / "run", x, y


def fresh() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1))


@pytest.mark.parametrize(("frame", "replica"), [(-1, 0), (2, 1), (0, -1)])
def test_safetensors_are_a_state_dict_with_the_recorded_loss(trained, tmp_path, frame, replica):
    from safetensors import safe_open
    from safetensors.torch import load_file

    folder, x, y = trained
    write(folder, "safetensors", tmp_path / "w.safetensors", frame=frame, replica=replica)
    network = fresh()
    network.load_state_dict(load_file(tmp_path / "w.safetensors"), strict=True)
    with trajectories.open(folder) as run:
        loss = run.observables["train/loss"].values[frame, replica]
        step = run.steps[frame]
    assert nn.functional.mse_loss(network(x), y).item() == pytest.approx(loss, rel=1e-5)
    with safe_open(tmp_path / "w.safetensors", "np") as file:
        metadata = file.metadata()
    assert int(metadata["step"]) == step
    assert metadata["run"] == str(folder / "trajectory.h5")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_loaded_network_predicts_what_was_recorded(trained, dtype):
    folder, x, _ = trained
    network = fresh().to(dtype)
    with trajectories.open(folder) as run:
        recorded = run.observables["test/prediction"].values
        for frame, replica in ((-1, 0), (1, 2)):
            assert load_frame(network, run, frame, replica) is network
            output = network(x.to(dtype)).detach().numpy()
            np.testing.assert_allclose(output, recorded[frame, replica], rtol=2e-5, atol=2e-6)
    assert {p.dtype for p in network.parameters()} == {dtype}


def test_buffers_and_frozen_parameters_stay(tmp_path):
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    x, y = torch.randn(16, 2), torch.randn(16, 1)
    network[2].requires_grad_(False)
    system = md.ParticleSystem(network, nn.functional.mse_loss, x, y, prior=md.GaussianPrior())
    md.Simulation(
        system, Splitting(BAOAB, system.force, 0.05, Langevin(0.1, 1.0)), output=tmp_path, reporters=[md.Frames(5)]
    ).run(5, progress=False)
    network[1].running_mean.fill_(7.0)
    last = network[2].weight.clone()
    load_frame(network, tmp_path)
    assert (network[1].running_mean == 7.0).all()
    assert (network[2].weight == last).all()
    with trajectories.open(tmp_path) as run:
        assert (network[1].weight.detach().numpy() == run.layer("1.weight")[-1, 0]).all()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.Linear(2, 5), nn.Tanh()), r"'2\.weight' \(1, 5\), the network has not"),
        (nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1)), r"0\.weight is \(5, 2\) in the run and \(6, 2\)"),
        (nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1), nn.Linear(1, 1)), r"hold 3\.weight, 3\.bias"),
    ],
)
def test_a_network_that_does_not_fit_is_told_where(trained, network, message):
    before = [p.clone() for p in network.parameters()]
    with pytest.raises(ValueError, match=message):
        load_frame(network, trained[0])
    assert all((a == b).all() for a, b in zip(before, network.parameters(), strict=True))


def test_tensors_that_were_not_kept_are_named(tmp_path):
    """A file of a subset of the tensors fits a network whose other parameters are frozen."""
    table = [("2.weight", (1, 5), 0)]
    with Writer.create(tmp_path / "trajectory.h5", table=table, replicas=1, masses=np.ones(5), parameters={}) as writer:
        writer.frame(0, 0.0, np.arange(5.0, dtype="float32")[None])
    network = fresh()
    with pytest.raises(ValueError, match=r"does not hold 0\.weight, 0\.bias, 2\.bias"):
        load_frame(network, tmp_path)
    network.requires_grad_(False)
    assert load_frame(network, tmp_path)[2].weight.tolist() == [[0, 1, 2, 3, 4]]
    assert list(state(tmp_path)) == ["2.weight"]


def test_rows_are_fetched_in_any_order_and_as_often_as_asked(run):
    folder, wrote = run
    rows = np.array([5, 1, 1, -1, 9, 2])
    with trajectories.open(folder) as opened:
        for series, values in ((opened.positions, wrote["q"]), (opened.observables["heat"], wrote["heat"])):
            found = pieces.fetch(series, rows, slice(1, 3))
            np.testing.assert_array_equal(found[rows >= 0], values[rows[rows >= 0], 1:3], strict=True)
            assert np.isnan(found[3]).all()
            assert pieces.fetch(series, rows[:0]).shape == (0, *values.shape[1:])


# -- writing itself -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_appears_whole_or_not_at_all(run, tmp_path, monkeypatch, kind):
    folder, _ = run
    out = tmp_path / "new" / "out"
    write(folder, kind, out)
    first = out.read_bytes()
    with pytest.raises(trajectories.AlreadyExists, match="--force"):
        write(folder, kind, out)
    write(folder, kind, out, force=True)
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("the disk is full")))
    with pytest.raises(OSError, match="full"):
        write(folder, kind, out, force=True)
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert len(first) == out.stat().st_size


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_without_frames_says_so(tmp_path, kind):
    Writer.create(tmp_path / "trajectory.h5", table=TABLE, replicas=1, masses=np.ones(DOF), parameters={}).close()
    with pytest.raises(trajectories.NotRecorded, match="holds no frames"):
        write(tmp_path, kind, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("netcdf", {}, "there are mdanalysis, arviz, npz, safetensors"),
        ("npz", {"frames": slice(9, 3)}, "frames 9:3 are none: there are 12"),
        ("npz", {"frames": slice(None, None, 0)}, "stride of the frames is 0"),
        ("npz", {"frame": 3}, "frame and replica are for safetensors"),
        ("safetensors", {"frames": slice(2, 3)}, "hold one frame"),
        ("safetensors", {"frame": 12}, "frame 12 does not exist.* holds 12, 0 to 11"),
        ("safetensors", {"replica": -4}, "replica -4 does not exist"),
    ],
)
def test_wrong_requests_are_answered_with_the_right_ones(run, tmp_path, kind, options, message):
    with pytest.raises(ValueError, match=message):
        write(run[0], kind, tmp_path / "out", **options)


def test_the_run_itself_is_never_overwritten(run):
    with pytest.raises(ValueError, match="is the run itself"):
        write(run[0], "npz", run[0] / "trajectory.h5", force=True)


@pytest.mark.parametrize(
    ("kind", "library"), [("arviz", "xarray"), ("arviz", "h5netcdf"), ("safetensors", "safetensors.numpy")]
)
def test_a_missing_library_is_named_with_its_remedy(run, tmp_path, monkeypatch, kind, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(trajectories.TrajectoryError, match=r"pip install mdnet\[export\]"):
        write(run[0], kind, tmp_path / "out")


@pytest.mark.parametrize("kind", ["mdanalysis", "arviz", "npz"])
def test_no_more_than_a_block_is_in_memory(run, tmp_path, monkeypatch, kind):
    """With blocks of two frames nothing reads more than two, and the file is the same."""
    folder, wrote = run
    monkeypatch.setattr(pieces, "BLOCK", 2 * 3 * DOF * 4)
    most = []
    slab = pieces._slab
    monkeypatch.setattr(pieces, "_slab", lambda *given: (values := slab(*given), most.append(values.nbytes))[0])
    write(folder, kind, tmp_path / "out")
    assert len(most) > 1
    row = wrote["outputs"][0].nbytes
    assert max(most) <= max(pieces.BLOCK, row)
    if kind == "npz":
        assert (np.load(tmp_path / "out")["positions"] == wrote["q"]).all()


def test_a_bar_shows_only_when_it_takes_long(monkeypatch, capsys):
    parts = [slice(i, i + 1) for i in range(3)]
    assert list(bars.visible(iter(parts), "position")) == parts
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(bars, "PATIENCE", -1.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert list(bars.visible(iter(parts), "position")) == parts
    assert "position" in capsys.readouterr().err


def test_the_command_exports_and_tells_what_it_left_out(run, tmp_path):
    import typer

    from trajectories.commands.export import export

    app = typer.Typer()
    app.command()(export)
    given = [str(run[0]), "--for", "npz", "--out", str(tmp_path / "run.npz"), "--start", "-4", "--stride", "2"]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    assert np.load(tmp_path / "run.npz")["steps"].tolist() == [80, 100]
    done = CliRunner().invoke(app, [*given[:3], *given[3:5], "--start", "99", "--force"])
    assert done.exit_code == 1
    assert "are none" in done.output
    done = CliRunner().invoke(app, [str(run[0]), "--for", "mdanalysis", "--out", str(tmp_path / "folded.h5")])
    assert "note: train/loss is nan at 9 of 12 frames" in done.output
