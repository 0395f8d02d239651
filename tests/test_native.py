"""Law: native code computes what torch computes, to rounding: gradients, steps of every scheme and bath, resumes."""

from __future__ import annotations

import copy
import ctypes
import itertools
import pickle
import shutil

import numpy as np
import pytest
import torch
from systems import LinearNetwork, Z, deviation
from torch import nn
from torch.nn import functional

import mdnet as md
import thermostats
import trajectories
from integrators import (
    ABOBA,
    BAOAB,
    LEAPFROG,
    OBABO,
    POSITION_VERLET,
    VERLET,
    YOSHIDA4,
    Brownian,
    Isokinetic,
    Splitting,
    outer,
)
from mdnet.routes.native import library
from mdnet.routes.stepping import PlainSteps, stepper
from thermostats import Bussi, Langevin, NoseHooverChain, noise

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")

LADDER = torch.tensor([[0.1], [0.2], [0.3]])


def network(*sizes, activation=nn.Tanh, bias=True):
    layers = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after, bias=bias), activation()]
    return nn.Sequential(*layers[:-1])


def system(replicas=3, *, points=37, sizes=(3, 5, 4, 2), loss=functional.mse_loss, activation=nn.Tanh, bias=True,
           dtype=torch.float64, route="native", **options):  # fmt: skip
    rows = torch.Generator().manual_seed(1)
    x = torch.randn(points, sizes[0], generator=rows)
    y = torch.randn(points, sizes[-1], generator=rows)
    if loss is functional.cross_entropy:
        y = y.argmax(-1)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        made = network(*sizes, activation=activation, bias=bias)
    return md.ParticleSystem(made, loss, x, y, replicas=replicas, dtype=dtype, route=route, **options)


def equal(one, other, tolerance):
    scale = other.double().abs().max().clamp_min(1e-30)
    assert ((one.double() - other.double()).abs().max() / scale) < tolerance


# --- the gradient ---------------------------------------------------------------------------------------------------

SHAPES = {
    "one point": {"points": 1},
    "a vector and a bit": {"points": 17, "sizes": (1, 20, 20, 1)},
    "several blocks": {"points": 2003, "sizes": (17, 33, 9), "loss": functional.cross_entropy},
    "one layer": {"sizes": (4, 3), "loss": functional.cross_entropy},
    "without bias": {"bias": False},
    "sigmoid": {"activation": nn.Sigmoid},
    "relu": {"activation": nn.ReLU},
    "silu": {"activation": nn.SiLU},
    "prior": {"prior": md.GaussianPrior("fan_in", temperature=0.3), "scale": 37.0},
    "box": {"prior": md.Box(0.4)},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_force_is_that_of_torch(shape, dtype):
    native, plain = (system(dtype=dtype, route=route, **SHAPES[shape]) for route in ("native", "eager"))
    assert native.route == "native"
    q = 0.7 * torch.randn(3, native.dof, dtype=dtype)
    tolerance = 2e-6 if dtype == torch.float32 else 1e-13
    for one, other in zip(native.force(q), plain.force(q), strict=True):
        equal(one, other, tolerance)
    assert native.force.native is not None


def test_every_replica_may_have_data_of_its_own():
    index = torch.stack([torch.randperm(37)[:20] for _ in range(3)])
    native, plain = (system(index=index, route=route) for route in ("native", "eager"))
    q = torch.randn(3, native.dof, dtype=torch.float64)
    equal(native.force(q)[1], plain.force(q)[1], 1e-13)


def both(made, loss, x, y, **options):
    """The forces of one network by native code and by torch."""
    systems = [
        md.ParticleSystem(made, loss, x, y, replicas=3, dtype=torch.float64, route=route, **options)
        for route in ("native", "eager")
    ]
    q = torch.randn(3, systems[0].dof, dtype=torch.float64)
    return [each.force(q)[1] for each in systems]


def test_an_activation_that_stands_twice_acts_twice():
    tanh = nn.Tanh()
    made = nn.Sequential(nn.Linear(3, 5), tanh, nn.Linear(5, 4), tanh, nn.Linear(4, 2))
    equal(*both(made, functional.mse_loss, torch.randn(37, 3), torch.randn(37, 2)), 1e-13)


def test_class_labels_may_be_bytes():
    own = system(points=20, loss=functional.cross_entropy)
    same = md.ParticleSystem(own.network, functional.cross_entropy, own.inputs, own.targets.to(torch.uint8),
                             dtype=torch.float64, replicas=3, route="native")  # fmt: skip
    q = torch.randn(3, own.dof, dtype=torch.float64)
    equal(same.force(q)[1], own.force(q)[1], 1e-15)


def test_data_that_change_in_place_are_seen():
    own = system()
    q = torch.randn(3, own.dof, dtype=torch.float64)
    own.force(q)
    own.inputs.mul_(0.5)
    own.targets.add_(1.0)
    plain = system(route="eager")
    plain.inputs, plain.targets = own.inputs, own.targets
    equal(own.force(q)[1], plain.force(q)[1], 1e-13)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda own: pickle.loads(pickle.dumps(own))])
def test_a_system_that_has_run_can_be_copied(copied):
    own = system()
    q = torch.randn(3, own.dof, dtype=torch.float64)
    assert torch.equal(own.force(q)[1], copied(own).force(q)[1])


def test_what_would_be_read_beyond_its_end_is_refused():
    own = system(index=torch.zeros(3, 20, dtype=torch.int64))
    q = torch.randn(3, own.dof, dtype=torch.float64)
    for wrong in (q.float(), q[:, :-1], q[:2], q[0]):
        with pytest.raises(ValueError, match=r"the native force wants torch\.float64 of shape"):
            own.force(wrong)


@pytest.mark.parametrize("shared", [False, True])
def test_a_minibatch_has_the_force_of_its_rows(shared):
    native, plain = (system(route=route) for route in ("native", "eager"))
    q = torch.randn(3, native.dof, dtype=torch.float64)
    forces = []
    for each in (native, plain):
        torch.manual_seed(4)
        forces.append(each.minibatch(9, replace=False, shared=shared)(q)[1])
    equal(*forces, 1e-13)


@pytest.mark.parametrize("real", ["float", "double"])
@pytest.mark.parametrize("name", ["hyperbolic_tangent", "exponential", "logistic"])
def test_functions_are_right_to_the_last_places(name, real):
    """Against numpy in the next higher precision, in units of the last place."""
    source = f"""#define REAL {real}
    #include "lanes.h"
    extern "C" void map(real *x, long n) {{ for (long k = 0; k < n; k += LANES) store(x + k, {name}(load(x + k))); }}"""
    function = library.library(source).map
    function.argtypes = [ctypes.c_void_p, ctypes.c_long]
    dtype, wide = (np.float32, np.float64) if real == "float" else (np.float64, np.longdouble)
    reach = np.concatenate(
        [np.linspace(-30, 30, 400_000), np.geomspace(1e-7, 1, 111_936), -np.geomspace(1e-7, 1, 12_352)]
    )
    x = np.zeros(reach.size + 64, dtype)
    begin = -x.ctypes.data % 64 // x.itemsize
    values = x[begin : begin + reach.size]
    values[:] = reach
    exact = {
        "hyperbolic_tangent": np.tanh, "exponential": np.exp, "logistic": lambda v: 1 / (1 + np.exp(-v))
    }[name](values.astype(wide))  # fmt: skip
    function(values.ctypes.data, values.size)
    assert np.max(np.abs(values - exact) / np.spacing(np.abs(exact).astype(dtype))) < 3.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("activation", [nn.Tanh, nn.Sigmoid, nn.SiLU])
def test_saturated_units_are_those_of_torch(activation, dtype):
    """A bias sweeps a hidden unit from -200 to 200: far beyond where its exponential would overflow."""
    native, plain = (
        system(401, points=3, sizes=(1, 1, 1), activation=activation, dtype=dtype, route=route)
        for route in ("native", "eager")
    )
    q = torch.ones(401, native.dof, dtype=dtype)
    q[:, 1] = torch.linspace(-200, 200, 401)
    for one, other in zip(native.force(q), plain.force(q), strict=True):
        tolerance = 1e-5 if dtype == torch.float32 else 1e-13
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def test_a_divergence_stays_one():
    native = system(4)
    q = torch.randn(4, native.dof, dtype=torch.float64)
    q[1, 0], q[2, 3] = float("nan"), float("inf")
    u, f = native.force(q)
    assert torch.isfinite(u).tolist() == [True, False, False, True]
    assert torch.isfinite(f).all(-1).tolist()[::3] == [True, True]


# --- steps ----------------------------------------------------------------------------------------------------------


def _layers(own):
    return NoseHooverChain(0.1, tau=0.5, order=1, group="layer", sizes=own.sizes)


BATHS = {
    "langevin": lambda own: Langevin(LADDER, 1.0),
    "gjf": lambda own: thermostats.GJF(0.1, 1.0),
    "chain": lambda own: NoseHooverChain(LADDER, tau=0.5, order=1),
    "chains of layers": _layers,
    "massive chains": lambda own: NoseHooverChain(0.1, tau=0.5, order=1, group="massive"),
    "nose-hoover-langevin": lambda own: thermostats.NoseHooverLangevin(0.1, tau=0.5, friction=1.0),
    "adaptive": lambda own: thermostats.AdaptiveLangevin(0.1, tau=0.5, friction=1.0),
    "andersen": lambda own: thermostats.Andersen(0.1, rate=1.0),
    "berendsen": lambda own: thermostats.Berendsen(0.1, tau=0.5),
    "rescaling": lambda own: thermostats.VelocityRescaling(0.1),
    "none": lambda own: thermostats.NoBath(),
}
SCHEMES = {each.name: each for each in (BAOAB, OBABO, ABOBA, outer(YOSHIDA4))}
BARE = {each.name: each for each in (VERLET, LEAPFROG, POSITION_VERLET)}
PRIORS = {"free": None, "prior": md.GaussianPrior(temperature=0.1), "box": md.Box(0.5)}
QUICK = {
    ("BAOAB", "langevin", "box"), ("BAOAB", "chain", "prior"), ("OBABO", "massive chains", "free"),
    ("OBABO", "adaptive", "free"), ("ABOBA", "andersen", "prior"),
}  # fmt: skip
PRODUCT = [
    pytest.param(s, b, p, marks=[] if (s, b, p) in QUICK else pytest.mark.slow)
    for s in SCHEMES for b in BATHS for p in PRIORS
]  # fmt: skip


def moved(own, engine, steps, *, native, blocks=None):
    """The phase after some steps; the same numbers are drawn by both."""
    torch.manual_seed(5)
    q = 0.3 * torch.randn(own.replicas, own.dof, dtype=own.dtype)
    phase = engine.start(q, torch.randn_like(q), own.masses)
    each = stepper(own, engine, phase) if native else PlainSteps(own, engine)
    assert isinstance(each, PlainSteps) != native, each
    with noise.counted():
        for block in blocks or [steps]:
            each.advance(phase, block)
    return phase


def assert_same(one, other, tolerance):
    for name in ("q", "p", "f", "u", "heat"):
        equal(getattr(one, name), getattr(other, name), tolerance)
    for variable, like in zip(one.bath, other.bath, strict=True):
        equal(variable, like, tolerance)


@pytest.mark.parametrize(("scheme", "bath", "prior"), PRODUCT)
def test_a_step_is_that_of_torch(scheme, bath, prior):
    phases = []
    for native in (True, False):
        own = system(prior=PRIORS[prior], masses={"0": 1.0, "2": 2.0, "4": 0.5}, route="native")
        engine = Splitting(SCHEMES[scheme], own.force, 0.05, BATHS[bath](own))
        phases.append(moved(own, engine, 12, native=native))
    assert_same(*phases, 1e-11)


@pytest.mark.parametrize("prior", ["prior", pytest.param("box", marks=pytest.mark.slow)])
@pytest.mark.parametrize("bath", ["langevin", pytest.param("chain", marks=pytest.mark.slow)])
@pytest.mark.parametrize("force", ["of all data", "of minibatches"])
@pytest.mark.parametrize("route", ["module", "native"])
def test_a_step_around_another_gradient_is_that_of_torch(route, force, bath, prior):
    """Law: between gradients of any route, of all data or of minibatches, native code does what torch does."""
    phases = []
    for native in (True, False):
        own = system(prior=PRIORS[prior], route=route)
        engine = Splitting(OBABO, own.force if "all" in force else own.minibatch(9), 0.05, BATHS[bath](own))
        phases.append(moved(own, engine, 12, native=native))
    assert_same(*phases, 1e-11)


@pytest.mark.parametrize("scheme", BARE)
def test_a_step_without_bath_is_that_of_torch(scheme):
    phases = []
    for native in (True, False):
        own = system(route="native")
        phases.append(moved(own, Splitting(BARE[scheme], own.force, 0.05), 12, native=native))
    assert_same(*phases, 1e-11)


def test_isokinetic_motion_is_that_of_torch():
    phases = []
    for native in (True, False):
        own = system()
        engine = Isokinetic(outer(VERLET), own.force, 0.05, temperature=LADDER, thermostat=thermostats.Decoherence(1.0))
        phases.append(moved(own, engine, 12, native=native))
    assert_same(*phases, 1e-11)


@pytest.mark.parametrize("replicas", [1, 11])
def test_any_number_of_replicas_moves_in_float32(replicas):
    phases = []
    for native in (True, False):
        own = system(replicas, dtype=torch.float32)
        phases.append(moved(own, Splitting(BAOAB, own.force, 0.05, Langevin(0.1, 1.0)), 12, native=native))
    assert_same(*phases, 2e-5)


def test_blocks_and_threads_change_no_bit():
    def run(blocks, threads):
        own = system(19, dtype=torch.float32)
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return moved(own, Splitting(BAOAB, own.force, 0.05, Langevin(0.1, 1.0)), 0, native=True, blocks=blocks)
        finally:
            torch.set_num_threads(before)

    whole = run([9], 1)
    for other in (run([1, 5, 3], 1), run([9], 3)):
        assert all(torch.equal(getattr(whole, name), getattr(other, name)) for name in ("q", "p", "f", "u", "heat"))
        assert torch.equal(whole.bath[0], other.bath[0])


def test_a_replica_alone_draws_what_it_draws_among_all():
    own, alone = system(5), system(1)
    together = moved(own, engine := Splitting(BAOAB, own.force, 0.05, Langevin(0.1, 1.0)), 0, native=True, blocks=[1])
    start = engine.start(together.q.clone(), together.p.clone(), own.masses)
    start.bath[0].copy_(together.bath[0])
    single = (own_engine := Splitting(BAOAB, alone.force, 0.05, Langevin(0.1, 1.0))).start(
        together.q[3:4].clone(), together.p[3:4].clone(), alone.masses
    )
    single.bath[0].copy_(together.bath[0])
    single.bath[0][3] = 3
    stepper(own, engine, start).advance(start, 6)
    stepper(alone, own_engine, single).advance(single, 6)
    assert torch.equal(start.q[3:4], single.q)


@pytest.mark.parametrize("bath", ["langevin", "massive"])
def test_the_posterior_is_sampled(bath):
    linear = LinearNetwork(512, route="native")
    made = Langevin(1.0, 2.0) if bath == "langevin" else NoseHooverChain(1.0, tau=0.5, order=1, group="massive")
    scheme = BAOAB if bath == "langevin" else outer(VERLET)
    dt = (1.3 if bath == "langevin" else 0.15) / linear.largest_frequency()
    engine = Splitting(scheme, linear.system.force, dt, made)
    q = linear.system.positions()
    phase, kept = engine.start(q, torch.randn_like(q) * linear.m.sqrt(), linear.system.masses), []
    steps = stepper(linear.system, engine, phase)
    assert not isinstance(steps, PlainSteps)
    for frame in range(80):
        steps.advance(phase, 20)
        if frame >= 20:
            kept.append(phase.q - linear.mean)
    rest = torch.stack(kept)
    products = (rest[..., :, None] * rest[..., None, :]).mean(0)
    assert max(deviation(rest.mean(0), 0.0), deviation(products, linear.covariance())) < Z


def test_a_run_goes_on_bit_for_bit(tmp_path):
    def simulation(folder):
        own = system(dtype=torch.float32, prior=md.GaussianPrior(temperature=0.1))
        engine = Splitting(OBABO, own.force, 0.02, Langevin(0.1, 1.0))
        rise = {"temperature": md.Staircase(0.0, 0.1, stages=2, every=11)}
        made = md.Simulation(own, engine, output=folder, reporters=[md.Scalars(3), md.Frames(4)], schedule=rise)
        assert not isinstance(made.stepper, PlainSteps)
        return made

    simulation(tmp_path / "whole").run(60, progress=False)
    simulation(tmp_path / "parts").run(29, progress=False)
    simulation(tmp_path / "parts").resume().run(31, progress=False)
    with trajectories.open(tmp_path / "whole") as a, trajectories.open(tmp_path / "parts") as b:
        np.testing.assert_array_equal(np.asarray(a.positions), np.asarray(b.positions))
        np.testing.assert_array_equal(a.observables["heat"].values[:], b.observables["heat"].values[:])


class Bath:
    """A user's bath without variables."""

    canonical = False

    def __init__(self):
        self.calls, self.factor = 0, torch.tensor(0.9, dtype=torch.float64)

    def bath(self, p):
        return ()


class Counting(Bath):
    def __call__(self, p, m, bath, dt):
        self.calls += 1
        if self.calls % 3:
            p.mul_(0.9)


class Replacing(Bath):
    def __call__(self, p, m, bath, dt):
        self.factor = self.factor * 0.99
        p.mul_(self.factor)


class Changing(Bath):
    def __call__(self, p, m, bath, dt):
        self.factor.mul_(0.99)
        p.mul_(self.factor)


class Mixing(Bath):
    def __call__(self, p, m, bath, dt):
        p.sub_(0.1 * p[:1])


class Floor(Bath):
    def __call__(self, p, m, bath, dt):
        p.copy_(torch.div(10 * p, 1.0, rounding_mode="floor") / 10)


class Late(Bath):
    def __call__(self, p, m, bath, dt):
        p.mul_(1 / (1 + torch.arange(1, p.shape[1] + 1, dtype=p.dtype).view(1, -1)))


class Negating(Bath):
    def __call__(self, p, m, bath, dt):
        p.mul_(torch.where(~(p > 0.1), 0.9, 1.0))


@pytest.mark.parametrize("bath", [Counting, Replacing, Changing, Mixing, Floor, Late])
def test_a_bath_that_cannot_be_written_out_runs_in_torch_from_its_own_beginning(bath):
    """Law: tracing leaves no mark on a bath, and what changes outside the phase and the bath is not traced."""
    phases = []
    for native in (True, False):
        own, made = system(), bath()
        engine = Splitting(BAOAB, own.force, 0.05, made)
        phase = engine.start(0.1 * own.positions(seed=0), own.positions(seed=1), own.masses)
        each = stepper(own, engine, phase) if native else PlainSteps(own, engine)
        assert isinstance(each, PlainSteps)
        assert (made.calls, made.factor.item()) == (0, 0.9)
        each.advance(phase, 7)
        phases.append(phase)
    assert torch.equal(phases[0].p, phases[1].p)


def test_a_truth_value_is_negated():
    phases = []
    for native in (True, False):
        own = system()
        phases.append(moved(own, Splitting(BAOAB, own.force, 0.05, Negating()), 3, native=native))
    assert_same(*phases, 1e-11)


def _new_step(own, engine, phase):
    engine.dt = engine.dt * 0.3


def _new_bath(own, engine, phase):
    engine.thermostat = Langevin(0.5, 2.0)


def _new_positions(own, engine, phase):
    phase.q = 0.9 * phase.q


def _more_data(own, engine, phase):
    own.inputs, own.targets = own.inputs.repeat(9, 1), 2 * own.targets.repeat(9, 1)


CHANGES = [_new_step, pytest.param(_new_bath, marks=pytest.mark.slow), _new_positions, _more_data]


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_replaced_between_blocks_is_seen(change):
    phases = []
    for native in (True, False):
        own = system()
        engine = Splitting(BAOAB, own.force, 0.05, Langevin(0.1, 1.0))
        phase = engine.start(0.1 * own.positions(seed=0), own.positions(seed=1), own.masses)
        phase.bath[0].copy_(torch.tensor([5, 6, 0, 0]))
        each = stepper(own, engine, phase) if native else PlainSteps(own, engine)
        assert isinstance(each, PlainSteps) != native
        with noise.counted():
            each.advance(phase, 2)
            change(own, engine, phase)
            each.advance(phase, 2)
        phases.append(phase)
    assert_same(*phases, 1e-11)


# --- what has no native code ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"activation": nn.GELU}, "no native code for GELU"),
        ({"loss": functional.l1_loss}, "no native code for the loss l1_loss"),
        ({"sizes": (3, 300, 2)}, "a layer is 300 wide"),
        ({"dtype": torch.bfloat16}, "not torch.bfloat16"),
    ],
)
def test_what_does_not_fit_is_named_and_runs_in_torch(options, reason, monkeypatch):
    monkeypatch.delenv("MDNET_ROUTE", raising=False)
    with pytest.raises(ValueError, match=reason):
        system(route="native", **options)
    assert reason in system(route="auto", **options).why


def test_tied_layers_run_in_torch(monkeypatch):
    monkeypatch.delenv("MDNET_ROUTE", raising=False)
    made = network(3, 5, 5, 2)
    made[2].weight = nn.Linear(5, 5).weight
    made[4] = made[2]
    x, y = torch.randn(9, 3), torch.randn(9, 5)
    own = md.ParticleSystem(made, functional.mse_loss, x, y, replicas=2)
    assert own.route != "native"
    assert "tied" in own.why


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


class Halving(nn.Dropout):
    def forward(self, x):
        return 0.5 * x


def _hooked():
    made = nn.Linear(4, 4)
    made.register_forward_hook(lambda module, inputs, output: 2 * output)
    return made


@pytest.mark.parametrize("middle", [lambda: Residual(nn.Linear(4, 4)), Halving, _hooked])
def test_a_layer_that_does_more_than_its_kind_is_refused(middle):
    made = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), middle(), nn.Linear(4, 2))
    with pytest.raises(ValueError, match=r"no native code for|has hooks"):
        both(made, functional.mse_loss, torch.randn(9, 3), torch.randn(9, 2))


def test_targets_that_cross_entropy_reads_in_another_way_are_refused():
    made, x = nn.Linear(3, 2), torch.randn(9, 3)
    left_out = torch.tensor([0, 1, -100] * 3)
    with pytest.raises(ValueError, match="labels below zero"):
        both(made, functional.cross_entropy, x, left_out)
    with pytest.raises(ValueError, match="neither classes nor probabilities"):
        both(made, functional.cross_entropy, x[:, None], torch.zeros(9, 2, dtype=torch.int64))


def test_an_unknown_route_is_refused():
    with pytest.raises(ValueError, match=r"unknown route 'nativ'; did you mean 'native'\?"):
        system(route="nativ")


def test_other_dynamics_go_step_by_step_and_say_why():
    own = system(prior=md.GaussianPrior(temperature=0.1))
    engines = {
        "Brownian does not tell the parts": Brownian(own.force, 0.05, temperature=0.1),
        "randn_like": Splitting(BAOAB, own.force, 0.05, Bussi(0.1, tau=0.5)),
        "no mean loss with a prior": Splitting(BAOAB, own.split()[0], 0.05, Langevin(0.1, 1.0)),
    }
    for words, engine in engines.items():
        q = own.positions(seed=0)
        phase = engine.start(q, torch.randn_like(q), own.masses)
        each = stepper(own, engine, phase)
        assert isinstance(each, PlainSteps)
        assert words in repr(each)
        each.advance(phase, 2)


def test_without_a_compiler_the_program_says_so(monkeypatch, tmp_path):
    monkeypatch.delenv("MDNET_ROUTE", raising=False)
    monkeypatch.setenv("CXX", "no-such-compiler")
    own = system(route="auto")
    assert own.route == "eager"
    assert "no C++ compiler" in own.why


def test_a_compiler_that_fails_is_told_once_and_torch_goes_on(monkeypatch, tmp_path):
    monkeypatch.setenv("MDNET_CACHE", str(tmp_path))
    monkeypatch.setenv("CXX", "false")
    library._loaded.cache_clear()
    own = system(points=23)
    q = torch.randn(3, own.dof, dtype=torch.float64)
    with pytest.warns(UserWarning, match="could not be compiled and runs in plain torch"):
        found = own.force(q)
    equal(found[1], system(points=23, route="eager").force(q)[1], 1e-15)
    own.force(q)  # no second warning
    engine = Splitting(BAOAB, own.force, 0.05, Langevin(0.1, 1.0))
    phase = engine.start(q, torch.randn_like(q), own.masses)
    with pytest.warns(UserWarning, match="native steps could not be compiled and run in plain torch"):
        stepper(own, engine, phase).advance(phase, 2)


def test_a_library_is_compiled_once(monkeypatch, tmp_path):
    monkeypatch.setenv("MDNET_CACHE", str(tmp_path))
    library._loaded.cache_clear()
    own = system(points=29, sizes=(2, 2))
    q = torch.randn(3, own.dof, dtype=torch.float64)
    own.force(q)
    made = [(path, path.stat().st_mtime_ns) for path in tmp_path.glob("*.so")]
    assert len(made) == 1
    library._loaded.cache_clear()
    system(points=29, sizes=(2, 2)).force(q)
    assert [(path, path.stat().st_mtime_ns) for path in tmp_path.glob("*.so")] == made
