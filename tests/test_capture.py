"""Captured steps, with a graph on the CPU in CUDA's place: they are the steps, and what cannot be captured says so."""

from __future__ import annotations

import pytest
import torch
from graphs import FakeRecorder
from systems import COUPLED, SIZES, THERMOSTATS
from torch.nn import functional

import mdnet as md
from integrators import (
    BAOAB,
    HMC,
    MALA,
    OBABO,
    OMELYAN,
    POSITION_VERLET,
    SGD,
    VERLET,
    Brownian,
    EulerMaruyama,
    Isokinetic,
    MultipleTimeSteps,
    Splitting,
    outer,
)
from mdnet.bench import gpu
from mdnet.bench.cases import CASES
from mdnet.routes.bias import Reduced
from mdnet.routes.capture import CapturedSteps
from mdnet.routes.stepping import PlainSteps
from thermostats import Berendsen, Decoherence, Langevin, NoBath, NoseHooverChain, VelocityRescaling

BATHS = THERMOSTATS | {
    "Berendsen": lambda temperature, sizes: Berendsen(temperature, tau=1.0),
    "rescaling": lambda temperature, sizes: VelocityRescaling(temperature),
    "none": lambda temperature, sizes: NoBath(),
}
NOT_CAPTURED = {  # what keeps them from it
    "coloured": "matrix_exp",
}
METHODS = {
    "HMC": lambda: HMC(COUPLED, 0.05, temperature=1.0, steps=3),
    "MALA": lambda: MALA(COUPLED, 0.05, temperature=1.0),
    "Brownian": lambda: Brownian(COUPLED, 0.05, temperature=1.0),
    "Euler-Maruyama": lambda: EulerMaruyama(COUPLED, 0.05, temperature=1.0),
    "SGD": lambda: SGD(COUPLED, 0.05, momentum=0.5, nesterov=True),
    "SGD on a sphere": lambda: SGD(COUPLED, 0.05, radius="start"),
    "position Verlet": lambda: Splitting(POSITION_VERLET, COUPLED, 0.05),
    "isokinetic": lambda: Isokinetic(VERLET, COUPLED, 0.05, temperature=1.0),
    "MCLMC": lambda: Isokinetic(outer(OMELYAN), COUPLED, 0.05, temperature=1.0, thermostat=Decoherence(1.0)),
    "multiple steps": lambda: MultipleTimeSteps(Splitting(OBABO, COUPLED, 0.02, Langevin(1.0, 1.0)), COUPLED, 3),
}


class Loop:
    """Steps of an integrator, one by one."""

    def __init__(self, integrator):
        self.integrator = integrator

    def advance(self, phase, steps):
        for _ in range(steps):
            self.integrator(phase)


def begin(integrator):
    torch.manual_seed(3)
    q = 0.3 * torch.randn(4, 6, dtype=torch.float64)
    return integrator.start(q, torch.randn_like(q), COUPLED.m)


def tensors(phase):
    return [phase.q, phase.p, phase.f, phase.u, phase.heat, *phase.bath]


def assert_same(one, other):
    for a, b in zip(tensors(one), tensors(other), strict=True):
        assert torch.isfinite(a).all()
        assert torch.equal(a, b)


def plainly(integrator, steps=12):
    phase = begin(integrator)
    Loop(integrator).advance(phase, steps)
    return phase


@pytest.fixture
def captured():
    """Captured steps of an integrator, three at a time."""
    return lambda integrator: CapturedSteps(Loop(integrator), unroll=3, recorder=FakeRecorder())


def in_parts(steps):
    phase = begin(steps.integrator)
    for count in (7, 0, 1, 4):
        steps.advance(phase, count)
    return phase


@pytest.mark.parametrize("bath", [name for name in BATHS if name not in NOT_CAPTURED])
def test_every_bath_in_a_graph_is_the_bath(captured, bath):
    """Law: replayed steps are the steps, bit for bit, with the same random numbers."""

    def build():
        return Splitting(OBABO, COUPLED, 0.05, BATHS[bath](1.0, SIZES))

    assert_same(in_parts(captured(build())), plainly(build()))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_in_a_graph_is_the_method(captured, method):
    """Law: replayed steps are the steps, bit for bit, with the same random numbers."""
    assert_same(in_parts(captured(METHODS[method]())), plainly(METHODS[method]()))


@pytest.mark.parametrize("bath", NOT_CAPTURED)
def test_a_bath_that_waits_runs_uncaptured(captured, bath):
    def build():
        return Splitting(OBABO, COUPLED, 0.05, BATHS[bath](1.0, SIZES))

    steps = captured(build())
    with pytest.warns(UserWarning, match=f"one by one: .*{NOT_CAPTURED[bath]}") as told:
        phase = in_parts(steps)
    assert len(told) == 1
    assert_same(phase, plainly(build()))


FORCES = {
    "all rows": lambda system: system.force,
    "minibatch": lambda system: system.minibatch(4),
    "without replacement": lambda system: system.minibatch(4, replace=False),
    "shared": lambda system: system.minibatch(4, shared=True),
    "bf16": lambda system: Reduced(system, "bf16"),
    "parts": lambda system: system.split(torch.arange(3))[1],
}


def networks(kind):
    torch.manual_seed(0)
    if kind == "convolutions":
        network, inputs, prior = md.networks.convnet((1, 4, 4), 3, (4,)), torch.randn(9, 1, 4, 4), md.GaussianPrior(1.0)
    else:
        network, inputs, prior = md.networks.mlp(2, 3, (5,)), torch.randn(9, 2), md.Box(0.6)
    return md.ParticleSystem(
        network, functional.cross_entropy, inputs, torch.arange(9) % 3, replicas=3, prior=prior,
        index=torch.randint(9, (3, 6)) if kind == "data of its own" else None,
    )  # fmt: skip


@pytest.mark.parametrize("force", FORCES)
@pytest.mark.parametrize("kind", ["walls", "data of its own", "convolutions"])
def test_every_force_in_a_graph_is_the_force(kind, force):
    """Law: replayed steps of networks, walls and minibatches included, are the steps, bit for bit."""
    phases = []
    for capture in (False, True):
        system = networks(kind)
        engine = Splitting(BAOAB, FORCES[force](system), 0.1, Langevin(0.5, friction=1.0))
        phases.append(engine.start(system.positions(seed=1), torch.zeros(3, system.dof), system.masses))
        steps = PlainSteps(system, engine)
        torch.manual_seed(4)
        (CapturedSteps(steps, unroll=2, recorder=FakeRecorder()) if capture else steps).advance(phases[-1], 7)
    assert_same(*phases)


def test_capturing_leaves_no_trace(captured):
    steps = captured(METHODS["HMC"]())
    phase = begin(steps.integrator)
    before, state = [x.clone() for x in tensors(phase)], torch.get_rng_state()
    inner = steps.integrator.inner.dt.clone()
    steps.advance(phase, 0)
    assert repr(steps) == "captured steps, 3 at a time"
    for x, y in zip([*tensors(phase), steps.integrator.inner.dt], [*before, inner], strict=True):
        assert torch.equal(x, y)
    assert torch.equal(state, torch.get_rng_state())


def test_a_replay_goes_on_from_the_generators_state(captured):
    """Law: two replays draw different numbers, and a saved state of the generator brings back what followed it."""
    steps = captured(Splitting(BAOAB, COUPLED, 0.05, Langevin(1.0, friction=1.0)))
    phase = begin(steps.integrator)
    saved, state = [x.clone() for x in tensors(phase)], torch.get_rng_state()
    ends = []
    for again in (False, False, True):
        if again:
            torch.set_rng_state(state)
        for x, y in zip(tensors(phase), saved, strict=True):
            x.copy_(y)
        steps.advance(phase, 5)
        ends.append(phase.q.clone())
    assert not torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2])


def test_changes_in_place_are_seen(captured):
    """Law: a schedule of temperature and dt acts on captured steps as on others, also where replicas differ."""

    def run(steps):
        phase = begin(steps.integrator)
        for step in range(1, 4):
            steps.advance(phase, 4)
            steps.integrator.dt.copy_(torch.tensor(0.05 / step))
            steps.integrator.temperature.copy_(torch.arange(4.0)[:, None] * step)
        return phase

    def build():
        return Splitting(OBABO, COUPLED, 0.05, Langevin(torch.ones(4, 1), friction=1.0))

    assert_same(run(captured(build())), run(Loop(build())))


def test_what_is_replaced_is_captured_anew(captured):
    steps, plain = captured(METHODS["Brownian"]()), Loop(METHODS["Brownian"]())
    ends = []
    for each in (steps, plain):
        for dt in (0.05, 0.01):
            each.integrator.dt = torch.tensor(dt, dtype=torch.float64)
            phase = begin(each.integrator)
            each.advance(phase, 5)
        ends.append(phase)
    assert_same(*ends)
    one, three, *fresh = steps._recorder.graphs
    assert one.released
    assert three.released
    assert [graph.replays for graph in fresh] == [2, 1]


class Peeking(NoBath):
    """A bath that asks for a number."""

    def __call__(self, p, m, bath, dt):
        if p.abs().max().item() > 1e9:
            p.zero_()


class Remembering(NoBath):
    """A bath that keeps a new tensor at every call."""

    def __call__(self, p, m, bath, dt):
        object.__setattr__(self, "last", p.clone())


@pytest.mark.parametrize(
    ("bath", "reason"),
    [(Peeking, "_local_scalar_dense"), (Remembering, "replaces integrator.thermostat.last")],
)
def test_what_cannot_be_captured_runs_as_it_is(captured, bath, reason):
    steps = captured(Splitting(OBABO, COUPLED, 0.05, bath()))
    if bath is Remembering:
        object.__setattr__(steps.integrator.thermostat, "last", torch.zeros(1))
    with pytest.warns(UserWarning, match=f"run one by one: .*{reason}") as told:
        phase = in_parts(steps)
    assert len(told) == 1
    assert repr(steps).startswith("step by step: ")
    assert_same(phase, plainly(Splitting(OBABO, COUPLED, 0.05, NoBath())))


def test_a_number_on_another_device_is_named(captured):
    steps = captured(Splitting(OBABO, COUPLED, 0.05, Langevin(1.0, friction=1.0)))
    phase = begin(steps.integrator)
    object.__setattr__(steps.integrator.thermostat, "target", torch.empty((), device="meta"))
    with pytest.warns(UserWarning, match=r"integrator.thermostat.target is on the device 'meta'"):
        steps.advance(phase, 1)


def test_without_a_gpu_there_are_no_graphs():
    steps = CapturedSteps(Loop(Splitting(OBABO, COUPLED, 0.05, Langevin(1.0, friction=1.0))))
    with pytest.warns(UserWarning, match="no graphs on the device 'cpu'"):
        phase = in_parts(steps)
    assert_same(phase, plainly(Splitting(OBABO, COUPLED, 0.05, Langevin(1.0, friction=1.0))))


class Breaking(FakeRecorder):
    """Refuses the graph of many steps, as a GPU may where the rehearsal saw nothing."""

    def record(self, run):
        if self.graphs:
            run()
            raise RuntimeError("capture is not permitted")
        return super().record(run)


def test_a_broken_capture_leaves_no_trace():
    def build():
        return Splitting(OBABO, COUPLED, 0.05, NoseHooverChain(1.0, tau=1.0))

    steps = CapturedSteps(Loop(build()), unroll=3, recorder=Breaking())
    with pytest.warns(UserWarning, match="capture is not permitted"):
        phase = in_parts(steps)
    assert steps._recorder.graphs[0].released
    assert_same(phase, plainly(build()))


def test_other_errors_are_raised_with_everything_put_back(captured):
    calls = []

    def force(q):
        calls.append(q)
        if len(calls) > 2:
            raise ValueError("the force is out of range")
        return COUPLED(q)

    steps = captured(Splitting(OBABO, force, 0.05, Langevin(1.0, friction=1.0)))
    phase = begin(steps.integrator)
    before, state = [x.clone() for x in tensors(phase)], torch.get_rng_state()
    with pytest.raises(ValueError, match="out of range"):
        steps.advance(phase, 3)
    assert all(torch.equal(x, y) for x, y in zip(tensors(phase), before, strict=True))
    assert torch.equal(state, torch.get_rng_state())


def test_release_gives_back_and_the_next_call_captures_anew(captured):
    steps = captured(METHODS["SGD"]())
    phase = begin(steps.integrator)
    steps.advance(phase, 6)
    steps.release()
    assert all(graph.released for graph in steps._recorder.graphs)
    steps.advance(phase, 6)
    assert_same(phase, plainly(METHODS["SGD"]()))


def test_blocks_are_whole_graphs_and_an_unroll_is_positive():
    for unroll, block in ((1, 100), (8, 96), (300, 300)):
        assert CapturedSteps(Loop(METHODS["SGD"]()), unroll=unroll).block == block
    with pytest.raises(ValueError, match="unroll = 0"):
        CapturedSteps(Loop(METHODS["SGD"]()), unroll=0)


@pytest.mark.filterwarnings("ignore:steps are not captured")
def test_the_tables_say_how_steps_ran(monkeypatch):
    """What was not captured is not called so."""
    monkeypatch.setattr(gpu, "_SECONDS", 0.01)
    monkeypatch.setattr(gpu, "_BLOCK", 2)
    ways = {name: gpu.WAYS[name] for name in ("eager", "captured")}
    rows = gpu.way_rows(CASES["a"], "a", 2, torch.device("cpu"), rounds=1, ways=ways)
    assert [(row["pair"], row["way"]) for row in rows] == [(p, w) for p in ("nhc", "baoab") for w in ways]
    assert all("no graphs on the device 'cpu'" in row["ran"] for row in rows if row["way"] == "captured")
    assert all(row["steps x replicas /s"] > 0 for row in rows)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_the_tables_say_so():
    assert [row["note"] for row in gpu.gpu_tables(1)] == ["not measured: no CUDA device"]
