"""Law: what ranks do together is what one process does alone: the same files, the same resumes, the same ends."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import ranks
import torch
from systems import SIZES, THERMOSTATS
from torch import nn
from torch.nn import functional

import mdnet as md
import trajectories
from integrators import BAOAB, HMC, Splitting
from mdnet import config, distributed
from mdnet.distributed import packing
from mdnet.distributed.draws import ByRow
from mdnet.distributed.parts import division, method_part, replica_dimensions, system_part
from mdnet.routes.native.library import compiler
from thermostats import Bussi, Langevin, noise

FILE = """
network = { name = "mlp", hidden = [4] }
data = { name = "sine", train = 31 }
start = { adam_steps = 3 }

[system]
replicas = 7
dtype = "float64"
prior = { kind = "gaussian", variance = 1.0 }

[integrator]
dt = 0.05
"""
BATH = 'scheme = "BAOAB"\n[thermostat]\n'
SPLITTING = BATH + "friction = 1.0\n"
LADDER = "ladder = { low = 0.01, high = 0.05, rungs = 4 }\nevery = 5\n"
RUN = """
[run]
steps = 40
seed = 1

[report]
scalars = 5
frames = 10
velocity = true
force = true
evaluate = 20
predictions = 20
"""
METHODS = {
    "langevin": SPLITTING + 'name = "langevin"\ntemperature = 0.01\n',
    "temperatures": SPLITTING + f'name = "langevin"\ntemperature = {[0.01 * (1 + r) for r in range(7)]}\n',
    "coloured": BATH + 'name = "gle-optimal"\nslowest = 0.1\nfastest = 9.0\ntemperature = 0.1\n',
    "bussi": BATH + 'name = "bussi"\ntau = 0.5\ntemperature = 0.01\n',
    "brownian": 'method = "brownian"\ntemperature = 0.01\n',
    "hmc": 'method = "hmc"\ntemperature = 0.01\nsteps = 3\n',
    "minibatch": SPLITTING + 'name = "langevin"\ntemperature = 0.01\n[minibatch]\nsize = 6\n',
    "exchange": SPLITTING + 'name = "langevin"\n[tempering]\nkind = "replica-exchange"\ntempered = "loss"\n' + LADDER,
    "simulated": SPLITTING
    + 'name = "langevin"\n[tempering]\nkind = "simulated-tempering"\nweights = [0.0, 0.1, 0.2, 0.3]\n'
    + LADDER,
    "annealing": SPLITTING
    + 'name = "langevin"\n[tempering]\nkind = "population-annealing"\npopulations = 2\nevery = 5\n'
    "temperatures = [0.5, 0.05, 0.005, 0.0005]\n",
    "learnt": SPLITTING
    + 'name = "langevin"\ntemperature = 0.01\n[report.principal]\ndimension = 2\nevery = 2\nlearn = 5\n',
    "shown": SPLITTING + 'name = "langevin"\ntemperature = 0.01\n',
}
PARTS = ("bussi", "exchange", "annealing")
SHARED = ("langevin", "exchange", "hmc")
COMPILED, NATIVE = ("langevin", "minibatch", "exchange"), "system.route=native"
FIRST, SECOND = ("--set", "run.steps=13"), ("--set", "run.steps=29")
EVEN = ("exchange", "annealing")  # replicas of whole ladders, or of two populations


def write(folder: Path) -> dict[str, Path]:
    """One run file a method."""
    files = {name: folder / f"{name}.toml" for name in METHODS}
    for name, file in files.items():
        text = FILE + METHODS[name] + RUN
        text = text.replace("replicas = 7", "replicas = 8") if name in EVEN else text
        text = text.replace("velocity = true", "") if name == "brownian" else text
        file.write_text(text + ("tensorboard = true\n" if name == "shown" else ""))
    return files


def alone(file: Path, folder: Path, *overrides: str, resume: bool = False) -> md.Simulation:
    """Run a file in this process, its noise made by count, and return the simulation."""
    runfile = config.load(file, overrides)
    with noise.counted():
        simulation = config.build(runfile, folder, resume=resume, progress=False)
        simulation.run(runfile.run.steps - simulation.step, progress=False)
    return simulation


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """All methods on three ranks, some on two, and one run that goes on from three ranks to two."""
    folder = tmp_path_factory.mktemp("jobs")
    files = write(folder)
    three = [("run", files[name], "--out", folder / f"{name} 3") for name in METHODS]
    two = [("run", files[name], "--out", folder / f"{name} 2") for name in ("langevin", "exchange")]
    three += [("run", files[name], "--out", folder / f"{name} native", "--set", NATIVE) for name in COMPILED]
    ranks.launch(3, *three, *[("run", files[name], "--out", folder / f"{name} parts", *FIRST) for name in PARTS])
    ranks.launch(2, *two, *[("run", folder / f"{name} parts", "--resume", *SECOND) for name in PARTS])
    return folder


@pytest.mark.filterwarnings("ignore::mdnet.cautions.NonCanonicalWarning")
@pytest.mark.parametrize("name", METHODS)
def test_the_file_of_many_ranks_is_that_of_one(jobs, name):
    """Law: divided by replicas a run writes the same file, bit for bit, but for a matrix product over all replicas."""
    alone(jobs / f"{name}.toml", jobs / f"{name} alone")
    others = [jobs / f"{name} {n}" for n in (2, 3) if (jobs / f"{name} {n}").exists()]
    for other in others:
        if name == "coloured":
            assert_close(jobs / f"{name} alone", other, 1e-13)
        else:
            assert contents(other) == contents(jobs / f"{name} alone")


@pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler")
@pytest.mark.filterwarnings("ignore::mdnet.cautions.NonCanonicalWarning")
@pytest.mark.parametrize("name", COMPILED)
def test_native_code_writes_the_same_file_on_many_ranks(jobs, name):
    """Law: by native code, too, three ranks write the file of one process, bit for bit."""
    alone(jobs / f"{name}.toml", jobs / f"{name} native alone", NATIVE)
    assert contents(jobs / f"{name} native") == contents(jobs / f"{name} native alone")


@pytest.mark.parametrize("name", PARTS)
def test_a_run_goes_on_with_another_number_of_ranks(jobs, name):
    """Law: 13 steps on three ranks, 16 on two and 11 in one process are 40 in one process, bit for bit."""
    whole = alone(jobs / f"{name}.toml", jobs / f"{name} whole")
    parts = alone(jobs / f"{name} parts" / "run.toml", jobs / f"{name} parts", "run.steps=40", resume=True)
    for tensor in ("q", "p", "u", "heat"):
        assert torch.equal(getattr(whole.phase, tensor), getattr(parts.phase, tensor)), tensor
    assert_close(jobs / f"{name} whole", jobs / f"{name} parts", 0.0)


def test_each_replica_is_shown_once_in_tensorboard(jobs):
    """The events of many ranks are those of one process."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    alone(jobs / "shown.toml", jobs / "shown again")
    found = []
    for run in ("shown again", "shown 3"):
        accumulator = events.EventAccumulator(str(jobs / run / "tensorboard" / "scalars"))
        accumulator.Reload()
        found.append(
            {tag: [(e.step, e.value) for e in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]}
        )
    assert found[0] == found[1]
    assert len(found[0]["potential_energy/q95"]) == 9


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Two groups of two ranks that share the data, then four ranks that all share it."""
    folder = tmp_path_factory.mktemp("shared")
    files = write(folder)
    go = [("run", files[name], "--out", folder / f"{name} {m}", "--data-ranks", m) for name in SHARED for m in (2, 4)]
    ranks.launch(4, *go)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARED)
def test_ranks_that_share_the_data_do_what_one_does(shared, name):
    """Law: with 31 rows of data over two and over four ranks, U and f and the motion are the same to rounding."""
    alone(shared / f"{name}.toml", shared / f"{name} alone")
    for m in (2, 4):
        assert_close(shared / f"{name} alone", shared / f"{name} {m}", 1e-12)


@pytest.mark.slow
def test_an_error_on_one_rank_ends_all_with_one_message(tmp_path):
    """Law: a replica that diverges ends the job: one line, no traceback, an exit code, and what was written stays."""
    files = write(tmp_path)
    hot = str([0.01] * 6 + [1e300])
    job = ranks.start(
        3,
        "-m",
        "mdnet",
        "run",
        files["temperatures"],
        "--out",
        tmp_path / "hot",
        "--set",
        f"thermostat.temperature={hot}",
    )
    said = job.communicate(timeout=120)[0]
    assert job.returncode != 0
    assert said.count("of replica 6 (") + said.count("is unstable") == 1, said
    assert not any(word in said for word in ("[rank", " is gone", "cannot reach")), said
    with trajectories.open(tmp_path / "hot") as run:
        assert run.replicas == 7


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "stopped", "stopped twice"])
def test_ranks_end_together(tmp_path, how):
    """Law: a killed rank ends the job, which names it; SIGTERM to one rank stops all at one step. Both can go on.

    So does SIGTERM to all processes, which comes to each rank a second time by torchrun.
    """
    file = write(tmp_path)["langevin"]
    words = ["--set", "run.steps=1000000", "--set", "run.checkpoint_every=20", "--set", "report.predictions=0"]
    job = ranks.start(3, "-m", "mdnet", "run", file, "--out", tmp_path / "run", *words)
    checkpointed(tmp_path / "run", steps=100)
    for pid in [job.pid, *workers(job.pid)] if how == "stopped twice" else workers(job.pid)[1:2]:
        os.kill(pid, signal.SIGKILL if how == "killed" else signal.SIGTERM)
    said = job.communicate(timeout=120)[0]
    assert job.returncode != 0
    if how == "killed":
        assert said.count("rank 1 is gone at about step") == 1, said
        assert "is whole: go on with" in said
    else:
        assert said.count("interrupted at step") == 1, said
    state = md.checkpoint.load(tmp_path / "run")
    alone(file, tmp_path / "whole", f"run.steps={state['step']}", "report.predictions=0")
    whole = md.checkpoint.load(tmp_path / "whole")
    assert all(torch.equal(state[name], whole[name]) for name in ("q", "p", "f", "u", "heat"))


def checkpointed(folder: Path, steps: int) -> None:
    """Wait until a run has a checkpoint after so many steps."""
    end = time.monotonic() + 120
    while not any(int(path.stem.split("-")[1]) >= steps for path in folder.glob("checkpoint-*.pt")):
        assert time.monotonic() < end
        time.sleep(0.1)


def workers(agent: int) -> list[int]:
    """The processes of the ranks, in their order."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        rank = next((int(x.partition(b"=")[2]) for x in environment if x.startswith(b"RANK=")), None)
        if parent == agent and rank is not None:
            found[rank] = int(folder.name)
    return [found[rank] for rank in sorted(found)]


def contents(run: Path) -> dict[str, object]:
    """Every group, dataset and attribute of a run's file to the bit; where in the file they lie depends on the clock.

    The writer commits a few times a second, and HDF5 puts a chunk where the file ends when it is first written.
    """
    found: dict[str, object] = {}

    def bits(value: object) -> tuple[object, ...]:
        array = np.asarray(value)
        return array.dtype.str, array.shape, array.tolist() if array.dtype == object else array.tobytes()

    def take(name: str, item: h5py.Group | h5py.Dataset) -> None:
        found[name] = bits(item[()]) if isinstance(item, h5py.Dataset) else None
        found.update({f"{name}@{key}": bits(value) for key, value in item.attrs.items()})

    with h5py.File(run / "trajectory.h5", locking=False) as h5:
        take("", h5)
        h5.visititems(take)
    return found


def assert_close(one: Path, other: Path, tolerance: float) -> None:
    """Everything that is measured in two runs agrees, absolutely."""
    with trajectories.open(one) as a, trajectories.open(other) as b:
        np.testing.assert_allclose(np.asarray(a.positions), np.asarray(b.positions), rtol=0, atol=tolerance)
        np.testing.assert_allclose(np.asarray(a.forces), np.asarray(b.forces), rtol=0, atol=tolerance)
        assert a.observables.keys() == b.observables.keys()
        for name, series in a.observables.items():
            assert list(series.steps[:]) == list(b.observables[name].steps[:])
            values, others = np.asarray(series.values), np.asarray(b.observables[name].values)
            np.testing.assert_allclose(values, others, rtol=0, atol=tolerance, err_msg=name)


def test_a_division_leaves_nothing_out():
    """Law: parts follow each other, cover all, and differ by a row, or by a pair and a row."""
    for length in range(1, 40):
        for parts in range(1, length + 1):
            for even in (False, True):
                made = [division(length, parts, i, even=even) for i in range(parts)]
                sizes = [part.stop - part.start for part in made]
                assert [row for part in made for row in range(part.start, part.stop)] == [*range(length)]
                assert min(sizes) >= 1
                assert max(sizes) - min(sizes) <= (3 if even else 1)
                assert not (even and length >= 2 * parts and any(part.start % 2 for part in made))


def test_a_table_of_bytes_holds_any_tensors():
    """Law: what is packed comes out again."""
    values = [torch.randn(4, 3), torch.arange(4), torch.rand(4, 2, 2).double(), torch.rand(4) > 0.5, torch.rand(4, 0)]
    table = packing.padded(packing.packed(values), 6)
    assert table.shape == (6, 12 + 8 + 32 + 1)
    for before, after in zip(values, packing.unpacked(table[:4], values), strict=True):
        assert before.dtype == after.dtype
        assert torch.equal(before, after)


DRAWS = {
    "randn": lambda n: torch.randn(n, 3, 5),
    "randn of a tuple": lambda n: torch.randn((n, 5), dtype=torch.float64),
    "randn_like": lambda n: torch.randn_like(torch.empty(n, 5)),
    "rand_like of one dimension": lambda n: torch.rand_like(torch.empty(n)),
    "normal_": lambda n: torch.empty(n, 5).normal_(1.0, 2.0),
    "randint": lambda n: torch.randint(30, (n, 6)),
    "gamma": lambda n: torch.distributions.Gamma(torch.full((n, 1), 6.0), 0.5, validate_args=False).sample(),
}


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("rows", [slice(0, 2), slice(2, 4), slice(4, 7)], ids=str)
def test_a_part_draws_its_rows_of_what_all_draw(kind, rows):
    """Law: inside ByRow a rank gets its rows of the numbers of all replicas, and leaves the generator as all would."""
    torch.manual_seed(1)
    everything, after = DRAWS[kind](7), torch.get_rng_state()
    torch.manual_seed(1)
    with ByRow(rows, 7):
        own = DRAWS[kind](rows.stop - rows.start)
    assert torch.equal(own, everything[rows])
    assert torch.equal(torch.get_rng_state(), after)


def test_what_cannot_be_drawn_by_row_is_refused():
    """A key is the same for all; a kind of number that cannot be divided says so."""
    torch.manual_seed(1)
    key = torch.randint(10**9, (2,))
    torch.manual_seed(1)
    with ByRow(slice(2, 4), 7):
        assert torch.equal(torch.randint(10**9, (2,)), key)
        with pytest.raises(ValueError, match=r"torch\.bernoulli cannot be divided"):
            torch.bernoulli(torch.full((2, 3), 0.5))


@pytest.mark.parametrize("bath", THERMOSTATS)
@pytest.mark.parametrize("replicas", [1, 2, 4])
def test_the_dimension_of_the_replicas_is_found(bath, replicas):
    """Law: it is the dimension of a bath variable that differs between two numbers of replicas."""
    temperature = torch.full((replicas, 1), 0.5)

    def start(rows):
        q = torch.randn(rows, sum(SIZES))
        thermostat = THERMOSTATS[bath](temperature[:1].expand(rows, 1), SIZES)
        integrator = Splitting(BAOAB, lambda q: (q.square().sum(-1), -q), 0.1, thermostat)
        return integrator, integrator.start(q, torch.randn_like(q), torch.ones(sum(SIZES)))

    found = replica_dimensions(*start(replicas))
    for one, other, dimension in zip(start(replicas)[1].bath, start(replicas + 3)[1].bath, found, strict=True):
        differ = [d for d in range(one.ndim) if one.shape[d] != other.shape[d]]
        assert differ == ([] if dimension is None else [dimension])


def make(replicas=6, prior=None):
    x = torch.linspace(-1, 1, 11)[:, None]
    network = nn.Sequential(nn.Linear(1, 3), nn.Tanh(), nn.Linear(3, 1))
    prior = prior or md.GaussianPrior(1.0, torch.linspace(0.1, 0.6, replicas)[:, None])
    return md.ParticleSystem(
        network, functional.mse_loss, x, x.sin(), replicas=replicas, prior=prior, masses={"0": 2.0, "2": 0.5},
        dtype=torch.float64, scale=3.0,
    )  # fmt: skip


@pytest.mark.parametrize("prior", [None, md.Box(0.4)], ids=["springs", "walls"])
def test_parts_of_the_data_weighted_by_rows_are_all_of_it(prior):
    """Law: sum_m (n_m/n) U_m = U and likewise f, the prior in it once, for the replicas of any part."""
    whole, rows = make(prior=prior), slice(2, 5)
    q = whole.positions(seed=3)
    data = [division(11, 4, i) for i in range(4)]
    parts = [system_part(whole, rows, part).force(q[rows]) for part in data]
    u, f = (sum((d.stop - d.start) / 11 * p[i] for d, p in zip(data, parts, strict=True)) for i in range(2))
    assert torch.allclose(u, whole.force(q)[0][rows], rtol=1e-13, atol=0)
    assert torch.allclose(f, whole.force(q)[1][rows], rtol=1e-10, atol=1e-13)
    assert torch.equal(system_part(whole, rows, data[0]).masses, whole.masses)


def test_a_part_computes_in_the_digits_of_the_whole():
    """Law: the force of a part is that of its rows among all, in bfloat16 as well."""
    x = torch.linspace(-1, 1, 11)[:, None]
    whole = md.ParticleSystem(nn.Linear(1, 1), functional.mse_loss, x, x.sin(), replicas=6, precision="bf16")
    q = whole.positions(seed=3)
    u, f = system_part(whole, slice(2, 5), slice(0, 11)).force(q[2:5])
    assert torch.equal(u, whole.force(q)[0][2:5])
    assert torch.equal(f, whole.force(q)[1][2:5])


def test_a_method_is_cut_by_replica_and_left_alone():
    """Law: a part has its rows of every value that differs by replica, and the whole keeps its own."""
    whole, warm, rows = make(), torch.linspace(1, 2, 6)[:, None], slice(2, 5)
    own = system_part(whole, rows, slice(0, 11))
    hmc = method_part(HMC(whole.force, warm, temperature=warm, steps=2), whole, own, rows)
    assert hmc.force is own.force is hmc.inner.force
    for values in (hmc.dt, hmc.temperature, hmc.inner.dt):
        assert torch.equal(values, warm[rows].double())
    splitting = Splitting(BAOAB, whole.force, 0.1, Bussi(warm, tau=warm))
    part = method_part(splitting, whole, own, rows)
    assert torch.equal(part.thermostat.tau, warm[rows].double())
    assert torch.equal(splitting.temperature, warm.double())
    assert part._segments[0][1].__self__ is part
    with pytest.raises(ValueError, match="cannot be divided over ranks"):
        method_part(Splitting(BAOAB, whole.split()[1], 0.1, Langevin(0.1, 1.0)), whole, own, rows)


def test_one_process_is_a_world_of_its_own(monkeypatch):
    """Without torchrun there is nothing to share, and ranks for the data are refused."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with distributed.world() as world:
        assert world is distributed.ALONE
    with pytest.raises(ValueError, match="does not divide the 1 process"), distributed.world(2):
        pass


@pytest.mark.slow
def test_what_does_not_fit_the_ranks_is_told_once(tmp_path):
    """One rank speaks for all where the ranks or the replicas cannot be divided."""
    file = write(tmp_path)["langevin"]
    for words, told in (
        (("--data-ranks", "3"), "does not divide the 2 process"),
        (("--set", "system.replicas=1"), "cannot be divided over 2 ranks"),
    ):
        job = ranks.start(2, "-m", "mdnet", "run", file, "--out", tmp_path / "run", *words)
        said = job.communicate(timeout=120)[0]
        assert job.returncode != 0
        assert said.count(told) == 1, said
