"""Law: native code of batch norms, frozen and scale-free layers, minibatches and SGD computes what torch computes."""

from __future__ import annotations

import shutil
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional

import mdnet as md
from integrators import BAOAB, OBABO, SGD, Splitting
from mdnet.networks.scale_invariant import UnitLinear
from mdnet.routes.native.steps import NativeLoop
from mdnet.routes.stepping import PlainSteps, stepper
from thermostats import Langevin, noise

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")


def _norms(affine, activation):
    return [nn.Linear(5, 7, bias=False), nn.BatchNorm1d(7, affine=affine), activation(),
            nn.Linear(7, 4), nn.BatchNorm1d(4, affine=affine), activation(), nn.Linear(4, 3)]  # fmt: skip


def _frozen(layer, bias=True):
    layer.weight.requires_grad_(False)
    if bias and layer.bias is not None:
        layer.bias.requires_grad_(False)
    return layer


NETWORKS = {
    "norms": lambda: _norms(False, nn.ReLU),
    "norms of tanh": lambda: _norms(False, nn.Tanh),
    "norms of silu": lambda: _norms(False, nn.SiLU),
    "affine norms": lambda: _norms(True, nn.ReLU),
    "a norm last": lambda: [nn.Linear(5, 3), nn.BatchNorm1d(3)],
    "a frozen end": lambda: [*_norms(False, nn.ReLU)[:-1], _frozen(nn.Linear(4, 3, bias=False))],
    "a frozen middle": lambda: [nn.Linear(5, 7), nn.Tanh(), _frozen(nn.Linear(7, 4)), nn.Tanh(), nn.Linear(4, 3)],
    "a frozen weight": lambda: [nn.Linear(5, 7), nn.Tanh(), _frozen(nn.Linear(7, 3), bias=False)],
    "a frozen norm": lambda: [nn.Linear(5, 7), _frozen(nn.BatchNorm1d(7)), nn.ReLU(), nn.Linear(7, 3)],
    "a unit layer": lambda: [UnitLinear(5, 3)],
    "unit layers": lambda: [UnitLinear(5, 7), nn.Tanh(), UnitLinear(7, 3)],
}


def system(name, *, route="native", points=41, replicas=3, dtype=torch.float64, **options):
    rows = torch.Generator().manual_seed(1)
    x, y = torch.randn(points, 5, generator=rows), torch.randint(3, (points,), generator=rows)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        made = nn.Sequential(OrderedDict((f"layer{k}", layer) for k, layer in enumerate(NETWORKS[name]())))
        for module in made:
            if isinstance(module, nn.BatchNorm1d) and module.affine:
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
    return md.ParticleSystem(
        made, functional.cross_entropy, x, y, replicas=replicas, dtype=dtype, route=route, **options
    )


def equal(one, other, tolerance):
    scale = other.double().abs().max().clamp_min(1e-30)
    assert (one.double() - other.double()).abs().max() / scale < tolerance


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_force_is_that_of_torch(name, dtype):
    native, plain = (system(name, dtype=dtype, route=route) for route in ("native", "eager"))
    q = torch.randn(3, native.dof, dtype=dtype)
    for one, other in zip(native.force(q), plain.force(q), strict=True):
        equal(one, other, 5e-6 if dtype == torch.float32 else 1e-12)


def test_a_norm_sees_all_rows_of_a_large_set():
    native, plain = (system("norms", route=route, points=3001, replicas=2) for route in ("native", "eager"))
    q = torch.randn(2, native.dof, dtype=torch.float64)
    equal(native.force(q)[1], plain.force(q)[1], 1e-12)


RATES = torch.tensor([[0.05], [0.1], [0.2]])
METHODS = {
    "plain": {},
    "on a sphere": {"radius": 1.0},
    "on the first sphere": {"radius": "start", "momentum": 0.5},
    "momentum": {"momentum": torch.tensor([[0.9], [0.5], [0.0]]), "weight_decay": 0.01},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "effective rate": {"effective": True, "weight_decay": 0.01},
}
DRAWS = {
    "a batch each": {"size": 9},
    "one for all": {"size": 9, "shared": True},
    "distinct rows": {"size": 9, "replace": False},
    "several blocks": {"size": 200},
    "sizes": {"size": (4, 2, 8)},
}


def moved(own, engine, *, native, blocks=(7, 1, 5)):
    """The phase after some steps, in blocks; the same rows and numbers are drawn by both."""
    torch.manual_seed(5)
    phase = engine.start(own.positions(seed=4), torch.zeros(own.replicas, own.dof, dtype=own.dtype), own.masses)
    each = stepper(own, engine, phase) if native else PlainSteps(own, engine)
    assert isinstance(each, NativeLoop) == native, each
    with noise.counted():
        for block in blocks if native else [sum(blocks)]:
            each.advance(phase, block)
    return phase


def assert_same(one, other, tolerance):
    for name in ("q", "p", "f", "u", "heat"):
        equal(getattr(one, name), getattr(other, name), tolerance)


@pytest.mark.parametrize("method", METHODS)
def test_a_step_of_descent_is_that_of_torch(method):
    phases = []
    for native in (True, False):
        own = system("a frozen end", masses={"layer0": 2.0, "layer3": 1.0})
        phases.append(moved(own, SGD(own.minibatch(9), RATES, **METHODS[method]), native=native))
    assert_same(*phases, 1e-10)


@pytest.mark.parametrize("own_data", [False, True])
@pytest.mark.parametrize("draw", DRAWS)
def test_a_minibatch_inside_the_loop_has_the_rows_that_torch_draws(draw, own_data):
    index = torch.stack([torch.randperm(41, generator=torch.Generator().manual_seed(k))[:30] for k in range(3)])
    phases = []
    for native in (True, False):
        own = system("unit layers", index=index if own_data else None)
        phases.append(moved(own, SGD(own.minibatch(**DRAWS[draw]), RATES), native=native))
    assert_same(*phases, 1e-11)


@pytest.mark.parametrize("scheme", [BAOAB, OBABO])
def test_dynamics_with_minibatches_run_inside_the_loop(scheme):
    """Law: with the same rows and the same noise a step is torch's."""
    phases = []
    for native in (True, False):
        own = system("a frozen middle", prior=md.GaussianPrior(temperature=0.1), scale=41.0)
        engine = Splitting(scheme, own.minibatch(9), 0.01, Langevin(0.1, 1.0))
        phases.append(moved(own, engine, native=native))
    assert_same(*phases, 1e-11)


@pytest.mark.parametrize("minibatch", [False, True])
def test_frozen_weights_may_change(minibatch):
    """Law: after a change in place the energy is that of the new weights, on all rows and on drawn ones."""
    own, fresh = system("a frozen end"), system("a frozen end")
    q = own.positions(seed=4)
    engines = []
    for each in (own, fresh):
        torch.manual_seed(5)
        engines.append(SGD(each.minibatch(9) if minibatch else each.force, 0.1))
        if each is own:
            before = moved(own, engines[0], native=True).u
        with torch.no_grad():
            list(each.network.children())[-1].weight.mul_(3.0)
    assert not torch.allclose(own.energy(q), before)
    equal(own.energy(q), fresh.energy(q), 1e-12)
    assert_same(*(moved(each, engine, native=True) for each, engine in zip((own, fresh), engines, strict=True)), 1e-11)


def test_threads_and_a_single_replica_change_no_bit():
    own, found = system("norms", replicas=40), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        try:
            found.append(moved(own, SGD(own.minibatch(8, shared=True), 0.1), native=True).q)
        finally:
            torch.set_num_threads(1)
    assert torch.equal(*found)
    alone = system("norms", replicas=1)
    equal(moved(alone, SGD(alone.minibatch(8), 0.1), native=True).q,
          moved(alone, SGD(alone.minibatch(8), 0.1), native=False).q, 1e-11)  # fmt: skip


def test_a_run_goes_on_bit_for_bit(tmp_path):
    def simulation(**options):
        own = system("norms", dtype=torch.float32)
        method = SGD(own.minibatch(9), RATES, radius=1.0)
        return md.Simulation(own, method, seed=3, reporters=[md.Scalars(10)], **options)

    whole = simulation()
    assert isinstance(whole.stepper, NativeLoop)
    whole.run(150, progress=False)
    simulation(output=tmp_path).run(73, progress=False)
    second = simulation(output=tmp_path).resume()
    second.run(77, progress=False)
    assert torch.equal(whole.phase.q, second.phase.q)


def test_a_batch_of_one_row_has_no_spread():
    """The error says what batch norm needs."""
    own = system("norms")
    with pytest.raises(ValueError, match=r"two rows|more than 1 value"):
        md.Simulation(own, SGD(own.minibatch(1), 0.1))


def test_data_that_change_in_place_are_seen_by_minibatches():
    phases = []
    for native in (True, False):
        torch.manual_seed(5)
        own = system("unit layers")
        method = SGD(own.minibatch(9), RATES)
        phase = method.start(own.positions(seed=4), torch.zeros(3, own.dof, dtype=own.dtype), own.masses)
        each = stepper(own, method, phase) if native else PlainSteps(own, method)
        each.advance(phase, 2)
        own.inputs.mul_(0.5)
        own.targets.copy_((own.targets + 1) % 3)
        each.advance(phase, 2)
        phases.append(phase)
    assert_same(*phases, 1e-12)
