"""Law: walkers on a table run, stop, divide over processes and go on as one run that nothing happened to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import ranks
import torch
from test_kill import assert_same_state
from torch import nn
from torch.nn import functional

import mdnet as md
import trajectories
from integrators import OBABO, Splitting, scheme
from mdnet import checkpoint, distributed
from mdnet.bench.landscape import Published, landscape_table
from mdnet.bench.rate import Timing
from mdnet.checkpoint import ResumeError
from mdnet.distributed.forces import Reduced
from mdnet.landscape import (
    Axis,
    BiasedForce,
    LogLoss,
    OneOverT,
    Recorded,
    StepsByPlace,
    Table,
    WangLandau,
    WellTempered,
)
from mdnet.landscape.confinement import Confinement, _settle
from mdnet.landscape.counts import Counts
from mdnet.routes.native.library import compiler
from mdnet.routes.native.walkers import settle
from thermostats import Langevin, NoseHooverChain, noise

REPLICAS, LEARN, STEPS = 7, 30, 72
BATHS = {"langevin": Langevin(1.0, friction=2.0), "chain": NoseHooverChain(1.0, tau=5.0, links=2, order=1)}
SERIES = ("entropy", "visits", "weights", "kinetic", "tested")
NATIVE = pytest.param("native", marks=pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler"))


def make_system(route="eager", **options):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1))
        x = torch.randn(24, 2, dtype=torch.float64)
    y = x.sum(-1, keepdim=True).sin()
    system = md.ParticleSystem(
        network, functional.mse_loss, x[:12], y[:12], replicas=options.pop("replicas", REPLICAS), prior=md.Box(1.0),
        dtype=torch.float64, route=route, **options,
    )  # fmt: skip
    return system, x[12:], y[12:]


def make_force(route="eager", copies=2, sigma=2.0, device=None, **options):
    """Walkers on tables of ln L_train, with ln L_test to be recorded."""
    system, inputs, targets = make_system(route, device=device, **options)
    table = Table([Axis.of_width("x", -6.0, 3.0, 0.1)], system.replicas, copies=copies, sigma=sigma)
    test = LogLoss(system, "y", inputs=inputs.to(system.device), targets=targets.to(system.device))
    return BiasedForce(system, [LogLoss(system, "x")], table), Recorded(Axis.of_width("y", -4.0, 2.0, 0.5), test)


def make(folder, *, bath="langevin", weights=None, every=3, smooth=2, write=6, world=None, steps=None, **options):
    force, recorded = make_force(**options)
    action = WangLandau(
        weights or OneOverT(0.5, 6, 12),
        LEARN,
        every=every,
        smooth=smooth,
        record=[recorded],
        write=write,
        steps=steps,
    )
    dt = 0.5 if steps is None else torch.full((REPLICAS, 1), 0.5, dtype=torch.float64)
    splitting = Splitting(OBABO, force, dt, BATHS[bath])
    return md.Simulation(
        force.system, splitting, seed=4, output=folder, actions=[action], checkpoint_every=None if world else 11,
        positions=force.system.positions(seed=1), reporters=[md.Scalars(4), md.Frames(9)],
        world=world or distributed.ALONE,
    )  # fmt: skip


def contents(folder):
    with trajectories.open(folder) as run:
        found = {f"learnt/{name}": (one.steps[:], np.asarray(one.values)) for name, one in run.learnt.items()}
        found |= {name: (one.steps[:], np.asarray(one.values)) for name, one in run.observables.items()}
        return found | {"position": (run.steps[:], np.asarray(run.positions))}


def assert_same_run(one, other):
    a, b = contents(one), contents(other)
    assert a.keys() == b.keys()
    assert {f"learnt/landscape/{name}" for name in SERIES} <= a.keys()
    for name in a:
        for have, want in zip(a[name], b[name], strict=True):
            np.testing.assert_array_equal(have, want, err_msg=name)
    assert_same_state(checkpoint.load(one)["actions"], checkpoint.load(other)["actions"])


@pytest.mark.parametrize("bath", BATHS)
@pytest.mark.parametrize("route", ["eager", NATIVE])
def test_continuation_is_exact(tmp_path, route, bath):
    """Law: n + m steps are one run bit for bit, cut in learning and in production, between two visits."""
    whole = make(tmp_path / "whole", route=route, bath=bath)
    whole.run(STEPS, progress=False)
    for number, cut in enumerate((13, 49)):
        folder = tmp_path / str(number)
        make(folder, route=route, bath=bath).run(cut, progress=False)
        resumed = make(folder, route=route, bath=bath).resume()
        resumed.run(STEPS - cut, progress=False)
        assert_same_run(tmp_path / "whole", folder)
        assert torch.equal(resumed.phase.p, whole.phase.p)
    accepted = contents(tmp_path / "whole")["learnt/landscape/tested"][1][-1]
    assert 0 < accepted[1].sum() < accepted[0].sum()  # some were put back


def test_continuation_with_steps_that_follow_x_is_exact(tmp_path):
    """Law: so it is where the time step differs by walker and visit."""
    make(tmp_path / "whole", steps=StepsByPlace()).run(STEPS, progress=False)
    for cut in (13, 36, 23):  # of which 36 + 13 and all are between two visits, and 36 is one
        simulation = make(tmp_path / "parts", steps=StepsByPlace())
        (simulation if cut == 13 else simulation.resume()).run(cut, progress=False)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


CHILD = """
import os, signal, sys
sys.path[:0] = [{tests!r}]
import torch
torch.set_num_threads(1)
import test_landscape_runs as t
from mdnet.landscape import WangLandau
visit, seen = WangLandau.__call__, []
def counted(self, step, phase):
    if step >= {step}:
        os.kill(os.getpid(), signal.SIGKILL)
    return visit(self, step, phase)
WangLandau.__call__ = counted
t.make({folder!r}).run(t.STEPS, progress=False)
"""


@pytest.mark.parametrize("step", [27, pytest.param(60, marks=pytest.mark.slow)])
def test_a_killed_run_goes_on(tmp_path, step):
    """Law: killed in the middle, while it learns and while it counts, a run goes on from its checkpoint."""
    make(tmp_path / "whole").run(STEPS, progress=False)
    folder = tmp_path / "killed"
    program = CHILD.format(tests=str(Path(__file__).parent), folder=str(folder), step=step)
    child = subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(ranks.ROOT)})
    assert child.returncode == -signal.SIGKILL
    resumed = make(folder).resume()
    assert 0 < resumed.step < step
    resumed.run(STEPS - resumed.step, progress=False)
    assert_same_run(tmp_path / "whole", folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sigma": 3.0}, "sigma"),
        ({"copies": 1}, "copies"),
        ({"weights": OneOverT(0.4, 6, 12)}, r"peak=0\.4"),
        ({"weights": WellTempered(0.5, 5.0)}, "WellTempered"),
        ({"every": 2}, "every=2"),
    ],
)
def test_another_table_is_refused(tmp_path, change, told):
    """A resume with other tables or weights says what differs."""
    make(tmp_path).run(12, progress=False)
    with pytest.raises(ResumeError, match=told):
        make(tmp_path, **change).resume()


def test_other_data_of_a_variable_are_refused(tmp_path, monkeypatch):
    """So does one with variables of the same names and other data."""
    make(tmp_path).run(12, progress=False)
    whole = make_system

    def shifted(*words, **named):
        system, inputs, targets = whole(*words, **named)
        return system, inputs, targets + 0.1

    monkeypatch.setitem(globals(), "make_system", shifted)
    with pytest.raises(ResumeError, match="mse_loss of"):
        make(tmp_path).resume()


# -- ranks -----------------------------------------------------------------------------------------------------------

CUT = 13
STEPPING = {"whole": None, "placed": StepsByPlace()}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """A whole run on two ranks, and the first steps of another."""
    folder = tmp_path_factory.mktemp("ranks")
    job = ranks.start(2, Path(__file__), folder)
    said = job.communicate(timeout=300)[0]
    assert job.returncode == 0, said
    return folder


@pytest.mark.parametrize("name", ["whole", "placed"])
def test_two_ranks_learn_the_table_of_one(jobs, tmp_path, name):
    """Law: S, the walkers and what they count are the same bit for bit, sums of weights to rounding."""
    with noise.counted():
        make(tmp_path / "whole", steps=STEPPING[name]).run(STEPS, progress=False)
    assert_same_but_for_rounding(tmp_path / "whole", jobs / name)


def test_a_run_goes_on_with_fewer_ranks(jobs, tmp_path):
    """Law: steps on two ranks, between two visits, and the rest in one process are a run in one process."""
    with noise.counted():
        make(tmp_path / "whole").run(STEPS, progress=False)
        resumed = make(jobs / "parts").resume()
        assert resumed.step == CUT
        resumed.run(STEPS - CUT, progress=False)
    assert_same_but_for_rounding(tmp_path / "whole", jobs / "parts")


def assert_same_but_for_rounding(one, other):
    a, b = contents(one), contents(other)
    assert a.keys() == b.keys()
    for name in a:
        rounded = name.endswith(("weights", "kinetic"))
        for have, want in zip(a[name], b[name], strict=True):
            np.testing.assert_allclose(have, want, rtol=1e-13 if rounded else 0, err_msg=name)
    assert a["learnt/landscape/visits"][1][-1].sum() == REPLICAS * (STEPS - LEARN) // 3


def test_divided_data_are_refused():
    """A biased force needs all rows on each rank, and says so."""
    force, _ = make_force()
    own = make_system(replicas=3)[0]
    own.force = Reduced(own.force, 0.5, lambda values: None)
    with pytest.raises(ValueError, match="data-ranks 1"):
        force.part(own, slice(0, 3))


# -- native code, and the same in torch ------------------------------------------------------------------------------

X = Axis.of_width("x", -3.0, 0.5, 0.1)
SHAPES = {
    "windows": {"axes": [X], "windows": 3, "copies": 2},
    "plane": {"axes": [X, Axis.of_width("y", 0.0, 1.0, 0.02)], "copies": 2},
    "narrow": {"axes": [Axis.of_width("x", -3.0, 0.5, 0.5)]},
}


@pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler")
@pytest.mark.parametrize("sigma", [0.0, 3.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_native_tables_are_the_tables(shape, sigma):
    """Law: native code reads, fills and counts as torch does: bins to the bit, values to rounding."""
    plain, native = (Table(replicas=40, sigma=sigma, **SHAPES[shape]) for _ in range(2))
    native.place(make_system("native", replicas=40)[0])
    assert native.native is not None
    x = torch.rand(40, len(plain.axes), dtype=torch.float64) * 4.4 - 3.7  # some beyond the edges
    weights, accept = torch.rand(40, dtype=torch.float64), torch.rand(40) > 0.3
    counts = []
    for table in (plain, native):
        for shift in (0.0, 0.3):
            table.add(x + shift, weights)
            table.smooth(table.hits)
        counts.append(Counts(table, [], distributed.ALONE))
        for shift in (0.0, -3.0, 3.0):
            counts[-1].test(x + shift, accept)
    torch.testing.assert_close(native.entropy, plain.entropy, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(native.entropy.sum(), 2 * weights.sum())
    assert not native.hits.any()
    for one, other in zip(native(x), plain(x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)
    assert torch.equal(native.inside(x), plain.inside(x))
    assert 0 < plain.inside(x).sum() < 40
    assert torch.equal(native.cells(x), plain.cells(x))
    assert torch.equal(counts[0].tested, counts[1].tested)
    assert torch.equal(counts[0].side, counts[1].side)
    assert counts[0].tested[2].sum() > 0


@pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_native_code_puts_the_rejected_back(dtype):
    """Law: the rejected are where they were, momenta turned round; the accepted are remembered; as torch does it."""
    shapes = (9, 5), (9, 5), (9,), (9, 2), (2, 9, 5)
    kinds = dtype, dtype, torch.float64, torch.float64, dtype
    now = [torch.randn(shape, dtype=kind) for shape, kind in zip(shapes, kinds, strict=True)]
    last, accept = [torch.randn_like(each) for each in now], torch.rand(9) > 0.5
    ways = [([each.clone() for each in now], [each.clone() for each in last]) for _ in range(2)]
    for (here, there), act in zip(ways, (settle, _settle), strict=True):
        act(accept, here, there)
        for k, each in enumerate(here):
            assert torch.equal(each, there[k])
            old = -last[k] if k == 1 else last[k]
            row = accept if k == 2 else accept[:, None]
            assert torch.equal(each, torch.where(row, now[k], old))


# -- what may go wrong -----------------------------------------------------------------------------------------------


def test_a_recorded_value_that_is_none_is_not_counted():
    """A visit with nan, or beyond the recorded axis, is no visit; the kinetic energy of the bin is counted."""
    table = Table([Axis("x", 0.0, 1.0, 4)], 4)
    counts = Counts(table, [make_force()[1]], distributed.ALONE)
    x, warmth = torch.full((4, 1), 0.3, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    counts.add(x, [torch.tensor([-1.0, float("nan"), float("inf"), -9.0], dtype=torch.float64)], warmth)
    assert (counts.visits.sum(), counts.weights.sum(), counts.kinetic.sum()) == (1, 1, 1)
    assert counts.visits[0, 1, 6] == 1


@pytest.mark.parametrize("name", ["ABOBA", "BAOAB"])
@pytest.mark.parametrize("bath", BATHS)
def test_the_rejected_are_where_they_were(name, bath):
    """Law: who is put back has his old q, heat, bath, energy and force, and p turned round, in schemes of any end."""
    force, _ = make_force()
    splitting = Splitting(scheme(name), force, torch.full((REPLICAS, 1), 0.2), BATHS[bath])
    simulation = md.Simulation(force.system, splitting, positions=force.system.positions(seed=1), seed=3)
    simulation.run(1, progress=False)
    phase = simulation.phase
    splitting.sync(phase)
    test, before = Confinement(splitting, force, phase), [x.clone() for x in (phase.q, phase.p, phase.heat, phase.u)]
    chain = [x.clone() for x in phase.bath]
    simulation.run(3, progress=False)
    splitting.sync(phase)
    test(phase, torch.zeros(REPLICAS, dtype=torch.bool))
    force.refresh(phase)
    for have, want in zip((phase.q, -phase.p, phase.heat, phase.u), before, strict=True):
        torch.testing.assert_close(have, want, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(force(phase.q)[1], phase.f, rtol=1e-12, atol=1e-12)
    if bath == "chain":
        assert torch.equal(phase.bath[0], -chain[0])
        assert torch.equal(phase.bath[1], chain[1])


def test_the_last_table_is_in_the_file(tmp_path):
    """A run whose length `write` divides ends with its tables; without learning they are written every 1000 visits."""
    assert WangLandau(OneOverT(0.5, 6, 12), 0, every=3).write == 3000
    assert WangLandau(OneOverT(0.5, 6, 12), 1000, every=3).write == 48
    simulation = make(tmp_path)
    simulation.run(STEPS, progress=False)
    with trajectories.open(tmp_path) as run:
        series = run.learnt["landscape/entropy"]
        assert series.steps[-1] == STEPS
        np.testing.assert_array_equal(series.values[-1], simulation.integrator.force.bias.entropy)


# -- speed, and a GPU ------------------------------------------------------------------------------------------------


def test_walkers_are_timed_beside_the_published_update():
    """The table has a row for the published update, and rows for ours as ratios to it."""
    rows = landscape_table(1, Timing(rounds=1, seconds=0.002), walkers=3).rows
    assert [row["walkers"] for row in rows] == [1, 3, 3, 3]
    assert all(row["rate"] > 0 and row["over_peer"] > 0 for row in rows)


def test_the_published_update_fills_its_table():
    """Law: each step leaves one hill of the weight it should have, and a walker stays in the box."""
    torch.manual_seed(1)
    peer = Published(dt=0.01, friction=0.1)
    for _ in range(20):
        peer()
    torch.testing.assert_close(peer.table.sum().item(), 20 * peer.weight)
    assert (peer.q.abs() <= peer.walls).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_walkers_on_a_gpu_are_those_on_a_cpu(tmp_path):
    """Law: on a GPU the force is the same, steps are captured, continuation is exact, and the table is there."""
    here, _ = make_force()
    there, _ = make_force(device="cuda")
    q = here.system.positions(seed=1)
    table = torch.rand_like(here.bias.entropy)
    for force in (here, there):
        force.bias.entropy.copy_(table)
    for one, other in zip(here(q), there(q.cuda()), strict=True):
        torch.testing.assert_close(one, other.cpu(), rtol=1e-10, atol=1e-12)
    whole = make(tmp_path / "whole", device="cuda")
    whole.run(STEPS, progress=False)
    assert whole.stepper.reason is None
    assert whole.integrator.force.bias.entropy.is_cuda
    make(tmp_path / "parts", device="cuda").run(13, progress=False)
    make(tmp_path / "parts", device="cuda").resume().run(STEPS - 13, progress=False)
    assert_same_but_for_rounding(tmp_path / "whole", tmp_path / "parts")


if __name__ == "__main__":
    with distributed.world() as together:
        for each, stepping in STEPPING.items():
            make(Path(sys.argv[1]) / each, steps=stepping, world=together).run(STEPS, progress=False)
        make(Path(sys.argv[1]) / "parts", world=together).run(CUT, progress=False)
