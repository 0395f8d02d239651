"""Law: what is kept of a run is what was asked for: which tensors, how often, to how many bits, and all of it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import h5py
import numpy as np
import pyh5md
import pytest
import torch
from torch import nn
from torch.nn import functional

import mdnet as md
import trajectories
from integrators import BAOAB, Brownian, Splitting
from mdnet import config
from thermostats import Langevin
from trajectories import Writer
from trajectories.storage import encoding, series
from trajectories.storage.disk import Disk
from trajectories.storage.options import Compression, Storage
from trajectories.storage.sink import Sink

COMPRESSIONS = get_args(Compression)
REPLICAS = 3
ROOT = Path(trajectories.__file__).parents[1]


# -- rounded and compressed ------------------------------------------------------------------------------------------


def numbers(seed: int, dtype: type) -> np.ndarray:
    """Of every size a type has, but the smallest: there the grid does not shrink any further."""
    rng = np.random.default_rng(seed)
    exponents = rng.integers(np.finfo(dtype).minexp + 1, np.finfo(dtype).maxexp - 1, size=100_001)
    signs = rng.choice([-1, 1], size=exponents.shape)
    return np.ldexp(signs * rng.uniform(1, 2, size=exponents.shape), exponents).astype(dtype)


@pytest.mark.parametrize("bits", [1, 7, 10, 22])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_is_to_nearest_with_ties_to_even(seed, dtype, bits):
    x = numbers(seed, dtype)
    mantissa, exponent = np.frexp(x)
    ties = np.ldexp(2 * np.arange(2**bits, 2 ** (bits + 1), max(1, 2 ** (bits - 8))) + 1, -bits).astype(dtype)
    for values, expected in [
        (x, np.ldexp(np.rint(np.ldexp(mantissa, bits + 1)), exponent - bits - 1)),  # numpy's rint: ties to even
        (ties, np.ldexp(np.rint(np.ldexp(ties.astype(float), bits - 1)), 1 - bits).astype(dtype)),
    ]:
        rounded = encoding.round_mantissa(values, bits)
        np.testing.assert_array_equal(rounded, expected, strict=True)
        np.testing.assert_array_equal(encoding.round_mantissa(rounded, bits), rounded)
    error = np.abs(encoding.round_mantissa(x, bits).astype(np.longdouble) - x) / np.abs(x)
    assert error.max() <= 2.0 ** -(bits + 1)
    assert error.max() > 0.7 * 2.0 ** -(bits + 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_no_number_or_would_overflow_is_kept(dtype):
    code, largest = f"u{np.dtype(dtype).itemsize}", np.finfo(dtype).max
    special = np.array([np.inf, -np.inf, np.nan, -np.nan, 0.0, -0.0, largest, -largest], dtype=dtype)
    ones = np.array([-1, np.iinfo(code.replace("u", "i")).max], dtype=code.replace("u", "i")).view(dtype)
    special = np.append(special, ones)  # NaN of ones only: one more would be a zero
    for bits in (1, 10, 20):
        assert (encoding.round_mantissa(special, bits).view(code) == special.view(code)).all()
    x = np.linspace(-1, 1, 11, dtype=dtype)
    assert encoding.round_mantissa(x, np.finfo(dtype).nmant) is x


def frames(seed: int, count: int, dof: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, REPLICAS, dof)).astype(dtype)


def write(path: Path, q: np.ndarray, storage: Storage) -> Path:
    dof = q.shape[2]
    options = {"replicas": REPLICAS, "masses": np.ones(dof), "parameters": {}, "dtype": str(q.dtype)}
    with Writer.create(path / "trajectory.h5", table=[("w", (dof,), 0)], storage=storage, **options) as writer:
        for i, frame in enumerate(q):
            writer.frame(i, 0.1 * i, frame, force=-frame)
            writer.element("velocity", i, 0.1 * i, frame[::-1])
            writer.observable("loss", i, 0.1 * i, frame[:, 0])
    return path / "trajectory.h5"


@pytest.mark.parametrize("bits", [None, 10])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_was_written_is_read_back(tmp_path, seed, compression, dtype, bits):
    q = frames(seed, 20, 50, dtype)
    path = write(tmp_path, q, Storage(compression=compression, bits=bits))
    kept = q if bits is None else encoding.round_mantissa(q, bits)
    assert (kept == q).all() == (bits is None)
    with trajectories.open(path) as run:
        for array, expected in [(run.positions, kept), (run.velocities, kept[:, ::-1]), (run.forces, -kept)]:
            np.testing.assert_array_equal(np.asarray(array), expected, strict=True)
        np.testing.assert_array_equal(run.observables["loss"].values, q[:, :, 0], strict=True)  # never rounded
    with h5py.File(path) as h5:
        value = h5["particles/trajectory/position/value"]
        np.testing.assert_array_equal(value[:, :, 0].reshape(q.shape), kept)
        assert value.chunks[0] == 1 or compression == "none"  # a compressed chunk is written once
        assert encoding.stored(h5) == Storage(compression=compression, bits=bits)
    with Writer.resume(path, 9) as writer:
        writer.frame(10, 1.0, q[10], force=-q[10])
    with trajectories.open(path) as run:
        np.testing.assert_array_equal(np.asarray(run.positions), kept[:11])
        assert len(run.velocities) == 10


def test_rounded_frames_are_small(tmp_path, seed):
    q = frames(seed, 10, 20_000)
    sizes = {}
    for storage in (Storage(), Storage(bits=10), Storage(compression="blosc-zstd", bits=10)):
        folder = tmp_path / f"{storage.compression} {storage.bits}"
        sizes[storage] = write(folder, q, storage).stat().st_size
    whole, rounded, small = sizes.values()
    assert whole == rounded
    assert whole / small > 2


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("dof", [5, 3000, 400_000])
def test_the_room_that_is_reserved_is_enough(tmp_path, monkeypatch, seed, compression, dof):
    """Law: a batch adds no more to the file than was reserved for it, for numbers that do not compress at all."""
    reserved, grown = [], []
    reserve, append = Disk.reserve, Sink.append

    def noting(disk, end, nbytes):
        reserved.append(end + nbytes)
        reserve(disk, end, nbytes)

    def growing(sink, rows):
        append(sink, rows)
        grown.append((sink._h5.id.get_filesize(), reserved[-1]))

    monkeypatch.setattr(Disk, "reserve", noting)
    monkeypatch.setattr(Sink, "append", growing)
    noise = np.random.default_rng(seed).integers(0, 2**32, size=(200 if dof < 400_000 else 6, 3, dof), dtype=np.uint32)
    write(tmp_path, noise.view(np.float32), Storage(compression=compression))
    assert grown
    for size, end in grown:
        assert size <= end


def test_what_a_kill_left_of_a_new_series_is_made_anew(tmp_path, seed):
    """Between making a series and its counter: it does not exist, and making it again is no error."""
    q = frames(seed, 3, 5)
    path = tmp_path / "trajectory.h5"
    options = {"replicas": REPLICAS, "masses": np.ones(5), "parameters": {}}
    with Writer.create(path, table=[("w", (5,), 0)], **options) as writer:
        writer.frame(0, 0.0, q[0])
    with h5py.File(path, "r+") as h5:
        series.create(h5, "/velocity", (REPLICAS, 5), np.float32)
        series.create(h5, "loss", (REPLICAS,), np.float32)
        del h5["mdnet/committed/velocity"], h5["mdnet/committed/observables/loss"]
        h5.create_group("particles/trajectory/force")
    with trajectories.open(path) as run:
        assert (len(run), len(run.observables)) == (1, 0)
        for name in ("velocities", "forces"):
            with pytest.raises(trajectories.NotRecorded):
                getattr(run, name)
    with Writer.resume(path, -1) as writer:
        writer.frame(1, 0.1, q[1], force=q[1])
        writer.element("velocity", 1, 0.1, q[2])
        writer.observable("loss", 1, 0.1, q[1, :, 0])
    with trajectories.open(path) as run:
        assert (run.velocities[0] == q[2]).all()
        assert (run.forces[0] == q[1]).all()
        assert (run.observables["loss"].values == q[1:2, :, 0]).all()


APPENDING = """
import sys
import numpy as np
from trajectories import Writer
from trajectories.storage.options import Storage

storage = Storage(compression=sys.argv[2], bits=8)
with Writer.create(sys.argv[1], table=[("w", (300,), 0)], replicas=1, masses=np.ones(300), parameters={},
                   storage=storage) as writer:
    noise = np.random.default_rng(0).normal(size=(1, 300))
    noise[0, 0] = 0
    for step in range(10**9):
        first = np.zeros((1, 300)); first[0, 0] = step % 256
        writer.frame(step, 0.1 * step, noise + first)
        writer.element("velocity", step, 0.1 * step, noise + first)
        if step % 5 == 4:
            writer.flush()
            print(step + 1, flush=True)
"""


@pytest.mark.parametrize("compression", ["gzip", "blosc-zstd"])
def test_a_killed_run_keeps_every_compressed_row(tmp_path, seed, compression):
    rng = np.random.default_rng(seed)
    for number in range(3):
        path = tmp_path / f"{number}.h5"
        command = [sys.executable, "-c", APPENDING, str(path), compression]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        printed = process.stdout.readline()
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        printed += process.communicate()[0]
        with trajectories.open(path) as run:
            assert min(len(run), len(run.velocities)) >= int(printed.split()[-1])
            for array in (run.positions, run.velocities):
                values = np.asarray(array)
                assert (values[:, 0, 0] == np.arange(len(values)) % 256).all()
                assert (values[:, 0, 1:] == values[0, 0, 1:]).all()
        Writer.resume(path, 3).close()


def test_a_filter_that_is_missing_is_named(tmp_path, monkeypatch, seed):
    path = write(tmp_path, frames(seed, 3, 50), Storage(compression="blosc-zstd"))
    reading = (
        "import sys; sys.modules['hdf5plugin'] = None; import trajectories\n"
        f"run = trajectories.open({str(path)!r}); print(run.observables['loss'].values.shape)\n"
        "try: run.positions\n"
        "except trajectories.NotATrajectory as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", reading], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr == ""
    assert "(3, 3)" in done.stdout  # what is not compressed is read all the same
    assert "filter 32001, which is not in HDF5 itself; to read it, pip install mdnet[filters]" in done.stdout
    done = subprocess.run(
        [sys.executable, "-c", f"import trajectories; print(trajectories.open({str(path)!r}).positions[2].shape)"],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout == "(3, 50)\n", done.stderr  # nobody imported hdf5plugin
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    for compression in ("zstd", "blosc-zstd"):
        with pytest.raises(ValueError, match=r"needs hdf5plugin: pip install mdnet\[filters\]"):
            Storage(compression=compression)
    assert Storage(compression="gzip").compression == "gzip"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"live": 1}, "live = 1 must be True or False"),
        ({"compression": "zip"}, "compression = 'zip' is not one of 'none', 'lzf', 'gzip', 'zstd', 'blosc-zstd'"),
        ({"bits": 0}, "bits = 0 must be 1 to 23"),
        ({"bits": 53}, "bits = 53 must be 1 to 23"),
        ({"bits": True}, "bits = True must be 1 to 23"),
        ({"bits": 10.0}, "bits = 10.0 must be 1 to 23"),
    ],
)
def test_options_that_do_not_exist_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Storage(**options)


# -- a cadence and a choice of tensors -------------------------------------------------------------------------------


def simulation(folder, *reporters, dtype=torch.float64, **options):
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1))
    x = torch.randn(12, 2)
    system = md.ParticleSystem(
        network, functional.mse_loss, x, x.sum(-1, keepdim=True).sin(), replicas=REPLICAS, dtype=dtype,
        masses={"0": 2.0, "2.weight": 3.0, "2.bias": 5.0},
    )  # fmt: skip
    integrator = Splitting(BAOAB, system.force, 0.02, Langevin(temperature=0.1, friction=1.0))
    return md.Simulation(system, integrator, temperature=0.1, seed=5, output=folder, reporters=reporters, **options)


def everything(folder):
    with trajectories.open(folder) as run:
        found = {name: (one.steps, one.times, one.values) for name, one in run.observables.items()}
        found |= {f"learnt {name}": (one.steps, one.times, one.values) for name, one in run.learnt.items()}
        for name in ("positions", "velocities", "forces"):
            try:
                array = getattr(run, name)
            except trajectories.NotRecorded:
                continue
            found[name] = (array.steps, array.times, np.asarray(array))
    return found


def assert_same(one, other):
    a, b = everything(one), everything(other)
    assert a.keys() == b.keys()
    for name in a:
        for x, y in zip(a[name], b[name], strict=True):
            np.testing.assert_array_equal(x, y, err_msg=name, strict=True)


@pytest.fixture
def whole(tmp_path):
    """Every step of a run, of all tensors."""
    simulation(tmp_path / "whole", md.Frames(1, velocity=True, force=True)).run(30, progress=False)
    return everything(tmp_path / "whole")


def test_velocities_and_forces_have_their_own_cadence(tmp_path, whole):
    simulation(tmp_path / "run", md.Frames(6, velocity=4, force=True)).run(30, progress=False)
    found = everything(tmp_path / "run")
    for name, steps in {"positions": 6, "velocities": 4, "forces": 6}.items():
        np.testing.assert_array_equal(found[name][0], np.arange(0, 31, steps))
        for mine, every in zip(found[name], whole[name], strict=True):
            np.testing.assert_array_equal(mine, every[::steps])
    with trajectories.open(tmp_path / "run") as run:
        assert len(run) == 6
        assert run.steps.tolist() == run.positions.steps.tolist()
        assert run.layer("0.weight").steps.tolist() == run.steps.tolist()
    with pyh5md.File(str(tmp_path / "run" / "trajectory.h5"), "r") as h5:
        group = h5.particles_group("trajectory")
        assert group["force/step"] == group["position/step"]  # one dataset, two names
        assert group["velocity/step"] != group["position/step"]
        velocity = pyh5md.element(group, "velocity")
        np.testing.assert_array_equal(velocity.value[3].reshape(REPLICAS, -1), whole["velocities"][2][12])
        assert velocity.step[3] == 12


def test_the_same_number_is_the_same_cadence(tmp_path):
    simulation(tmp_path / "run", md.Frames(5, velocity=5, force=True)).run(10, progress=False)
    with h5py.File(tmp_path / "run" / "trajectory.h5") as h5:
        assert h5["particles/trajectory/velocity/step"] == h5["particles/trajectory/position/step"]
        assert list(h5["mdnet/committed"]) == ["position"]


def test_a_continued_run_keeps_every_cadence(tmp_path):
    """Law: n + m steps equal n, a resume and m, also where rows beyond the checkpoint have to be dropped."""
    keep = {"velocity": 4, "force": 10, "tensors": ["2.*"]}
    storage = Storage(compression="lzf", bits=12)
    simulation(tmp_path / "whole", md.Frames(6, **keep), storage=storage).run(30, progress=False)
    begun = simulation(tmp_path / "parts", md.Frames(6, **keep), storage=storage, checkpoint_every=7)
    begun.run(30, progress=False)
    for path in sorted((tmp_path / "parts").glob("checkpoint-*.pt"))[1:]:
        path.unlink()
    resumed = simulation(tmp_path / "parts", md.Frames(6, **keep)).resume()  # how it is stored is in the file
    assert resumed.step == 28
    resumed.run(2, progress=False)
    assert_same(tmp_path / "whole", tmp_path / "parts")
    with pytest.raises(md.ResumeError, match="reporters"):
        simulation(tmp_path / "parts", md.Frames(6, **keep | {"velocity": True})).resume()


def test_only_the_chosen_tensors_are_kept(tmp_path, whole):
    simulation(tmp_path / "run", md.Frames(5, velocity=True, tensors=("*.bias", "0.weight"))).run(30, progress=False)
    kept = np.r_[0:10, 10:15, 20:21]  # 0.weight, 0.bias, 2.bias of 0.weight (5, 2), 0.bias, 2.weight (1, 5), 2.bias
    found = everything(tmp_path / "run")
    for name in ("positions", "velocities"):
        np.testing.assert_array_equal(found[name][2], whole[name][2][::5, :, kept])
    with trajectories.open(tmp_path / "run") as run:
        assert [tuple(each) for each in run.table] == [
            ("0.weight", (5, 2), 0),
            ("0.bias", (5,), 10),
            ("2.bias", (1,), 15),
        ]
        assert run.dof == 16
        assert run.masses.tolist() == [2.0] * 15 + [5.0]
        np.testing.assert_array_equal(run.layer("2.bias")[:], whole["positions"][2][::5, :, 20:])
        network = run.parameters["network"]
        assert network["name"] == ["0.weight", "0.bias", "2.weight", "2.bias"]
        assert network["shape"] == [[5, 2], [5], [1, 5], [1]]
        assert network["offset"].tolist() == [0, 10, 15, 20]
        with pytest.raises(trajectories.NotRecorded, match=r"2\.weight"):
            run.layer("2.weight")
    with h5py.File(tmp_path / "run" / "trajectory.h5") as h5:
        assert h5["particles/trajectory/species"][:16].tolist() == [0] * 10 + [1] * 5 + [2]


@pytest.mark.parametrize(
    ("reporters", "message"),
    [
        ([md.Frames(5, tensors=["0.weigth"])], "unknown parameter tensor '0.weigth'; did you mean '0.weight'"),
        ([md.Frames(5, tensors=["*.scale"])], r"unknown parameter tensor '\*\.scale'; known: 0.bias, 0.weight"),
        ([md.Frames(5, tensors="0.weight")], "must list names or patterns"),
        ([md.Frames(5, tensors=[])], "must list names or patterns"),
        ([md.Frames(5), md.Frames(7)], "two Frames reporters"),
    ],
)
def test_frames_that_cannot_be_kept_are_refused(tmp_path, reporters, message):
    with pytest.raises(ValueError, match=message):
        simulation(tmp_path / "run", *reporters)
    assert not (tmp_path / "run").exists()


def test_frames_need_one_step_or_more_and_momenta():
    with pytest.raises(ValueError, match="every = 0"):
        md.Frames(5, velocity=0)
    torch.manual_seed(0)
    x = torch.randn(4, 1)
    system = md.ParticleSystem(nn.Linear(1, 1), functional.mse_loss, x, x)
    with pytest.raises(ValueError, match="velocity=4, but Brownian has no momenta"):
        md.Simulation(system, Brownian(system.force, 0.01, temperature=0.1), reporters=[md.Frames(velocity=4)])


def test_more_bits_than_there_are_are_refused(tmp_path):
    with pytest.raises(ValueError, match="bits = 30, but float32 has 23"):
        simulation(tmp_path, dtype=torch.float32, storage=Storage(bits=30))
    assert simulation(None, storage=Storage(bits=30)).run(1, progress=False) == "finished"


def test_rows_that_belong_to_another_series_are_refused(tmp_path):
    q = np.zeros((REPLICAS, 2))
    options = {"replicas": REPLICAS, "masses": np.ones(2), "parameters": {}}
    with Writer.create(tmp_path / "one.h5", table=[("w", (2,), 0)], **options) as writer:
        writer.frame(0, 0.0, q, force=q)
        for call, message in [
            (lambda: writer.element("force", 1, 0.1, q), "part of the frames"),
            (lambda: writer.element("position", 1, 0.1, q), "velocity and force may"),
            (lambda: writer.element("velocity", 1, 0.1, q[:1]), r"must be \(replicas, dof\)"),
            (lambda: writer.learnt("a/b/c", 1, 0.1, q), "one or two levels"),
        ]:
            with pytest.raises(trajectories.InvalidRow, match=message):
                call()
        writer.learnt("axes", 1, 0.1, q[0])
        with pytest.raises(trajectories.InvalidRow, match=r"it was of shape \(2,\) before"):
            writer.learnt("axes", 2, 0.1, q)
    with Writer.create(tmp_path / "two.h5", table=[("w", (2,), 0)], **options) as writer:
        writer.element("velocity", 0, 0.0, q)
        with pytest.raises(trajectories.InvalidRow, match="velocity has a cadence of its own"):
            writer.frame(0, 0.0, q, velocity=q)


# -- the run file ----------------------------------------------------------------------------------------------------

RUN_FILE = """
network = { name = "mlp", hidden = [4] }
data = { name = "sine" }
integrator = { scheme = "BAOAB", dt = 0.01 }
thermostat = { name = "langevin", temperature = 0.1, friction = 1.0 }
run = { steps = 24 }

[system]
replicas = 2
prior = { kind = "gaussian" }

[output]
compression = "gzip"
bits = 8

[report]
scalars = 6
frames = 12
velocity = 8
force = true
tensors = ["*.bias"]
tensorboard = true
projection = { dimension = 3, every = 4 }
principal = { dimension = 2, every = 4, learn = 3 }
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(RUN_FILE)
    return path


def test_a_run_file_says_what_is_kept(tmp_path, file):
    runfile = config.load(file)
    assert config.load(config.store(runfile, tmp_path / "again")) == runfile
    config.build(runfile, tmp_path / "run", progress=False).run(24, progress=False)
    with trajectories.open(tmp_path / "run") as run:
        assert [each.name for each in run.table] == ["1.bias", "3.bias"] or run.dof == 5
        assert (run.steps.tolist(), run.velocities.steps.tolist()) == ([0, 12, 24], [0, 8, 16, 24])
        assert run.forces.steps.tolist() == run.steps.tolist()
        assert run.observables["projection"].shape == (7, 2, 3)
        assert run.observables["principal/coordinates"].steps.tolist() == [8, 12, 16, 20, 24]
        assert run.parameters["reporters"]["RandomProjection"] == {"dimension": 3, "seed": 0}
    with h5py.File(tmp_path / "run" / "trajectory.h5") as h5:
        assert encoding.stored(h5) == Storage(compression="gzip", bits=8)
        assert h5["particles/trajectory/position/value"].compression == "gzip"
    assert {path.name for path in (tmp_path / "run" / "tensorboard").iterdir()} == {"scalars", "evaluate"}
    assert set(type(runfile.output).model_fields) == set(Storage.__dataclass_fields__)


WRONG = {
    "[output] unknown compression 'zip'; did you mean 'gzip'? Known: blosc-zstd,": "output.compression=zip",
    "[output] unknown key 'bit'; did you mean 'bits'": "output.bit=3",
    "[output] bits = 0 must be 1 or more": "output.bits=0",
    "[output] bits = 60 must be 1 to 23 of float32": "output.bits=60",
    "[output] bits = 24, but float32 has 23": "output.bits=24",
    "[output] live = 'yes' must be true or false": "output.live=yes",
    "[report] velocity = 'often' must be true, false, or a number of steps": "report.velocity=often",
    "[report] force = 0 must be true, false, or a number of steps": "report.force=0",
    "[report] tensors = 'bias' must be a list": "report.tensors=bias",
    "[report.principal] learn = 0 must be 1 or more": "report.principal={learn=0}",
}


@pytest.mark.parametrize(("message", "override"), WRONG.items(), ids=WRONG.values())
def test_an_error_names_its_place_and_its_remedy(file, message, override):
    with pytest.raises(config.ConfigError) as caught:
        config.load(file, [override])
    assert message in str(caught.value)
