"""Simmer is the dynamics of the package, one gradient a step, and an optimizer as torch's tests want one."""

from __future__ import annotations

import copy
import io
import pickle
import runpy
import sys
from math import exp, sqrt

import pytest
import torch
from systems import Z
from torch import nn
from torch.nn.functional import mse_loss
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau, StepLR

import mdnet as md
from integrators import BAOAB, Splitting
from mdnet.optimizer import Simmer
from mdnet.randomness import Stream
from thermostats import (
    GJF,
    AdaptiveLangevin,
    Andersen,
    Bussi,
    Langevin,
    NoBath,
    NoseHooverChain,
    NoseHooverLangevin,
    Several,
    optimal_sampling,
)
from thermostats.parameters import maxwell

T = 0.1
BATHS = {
    "langevin": lambda: Langevin(T, friction=1.0),
    "chain": lambda: NoseHooverChain(T, tau=0.5, order=5),
    "massive chains": lambda: NoseHooverChain(T, tau=1.0, group="massive"),
    "chains by layer": lambda: NoseHooverChain(T, tau=1.0, group="layer", sizes=(12, 4, 4, 1)),
    "bussi": lambda: Bussi(T, tau=0.5),
    "adaptive": lambda: AdaptiveLangevin(T, friction=1.0, tau=1.0),
    "hoover-langevin": lambda: NoseHooverLangevin(T, tau=0.5, friction=1.0),
    "andersen": lambda: Andersen(T, rate=1.0),
    "gjf": lambda: GJF(T, friction=1.0),
    "coloured": lambda: optimal_sampling(T, slowest=0.3, fastest=3.0),
    "several": lambda: Several((Langevin(T, friction=1.0), Bussi(T, tau=0.5)), sizes=(16, 5)),
    "none": NoBath,
}


def problem(dtype=torch.float64, hidden=(4,)):
    """A small network (21 parameters) and its data."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(20, 3, generator=generator, dtype=dtype)
    y = torch.randn(20, 1, generator=generator, dtype=dtype)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return md.networks.mlp(3, 1, hidden).to(dtype), x, y


def train(network, optimizer, x, y, steps, scheduler=None):
    for _ in range(steps):
        optimizer.zero_grad()
        mse_loss(network(x), y).backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()


def weights(network):
    return torch.cat([x.detach().flatten() for x in network.parameters()])


def same(a, b):
    """Whether two trees of dicts, lists, tensors and values are equal bit for bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def linear(**options):
    """A weight and a bias with gradients, and their optimizer: what torch's own tests step."""
    weight, bias = nn.Parameter(torch.randn(10, 5)), nn.Parameter(torch.randn(10))
    return weight, bias, Simmer([weight, bias], **options)


def closure_of(optimizer, weight, bias, inputs):
    def closure():
        optimizer.zero_grad()
        loss = (weight.mv(inputs) + bias).pow(2).sum()
        loss.backward()
        return loss

    return closure


@pytest.mark.parametrize("bath", BATHS)
def test_a_step_is_that_of_the_dynamics(bath):
    """Law: theta after every step is that of Splitting(BAOAB), to rounding, with any bath and the same numbers."""
    network, x, y = problem()
    system = md.ParticleSystem(network, mse_loss, x, y, dtype=torch.float64, prior=md.GaussianPrior(2.0, T))
    integrator = Splitting(BAOAB, system.force, 0.05, BATHS[bath]())
    optimizer = Simmer(network.parameters(), 0.05, T, BATHS[bath](), weight_decay=T / 2.0, seed=3)
    stream = Stream(3, torch.device("cpu"))
    with stream.active():
        q, m = system.positions(), torch.ones(system.dof, dtype=torch.float64)
        phase = integrator.start(q, maxwell(q, m, torch.tensor(T, dtype=torch.float64)), m)
    for _ in range(30):
        with stream.active():
            integrator(phase)
        train(network, optimizer, x, y, 1)
        torch.testing.assert_close(weights(network), phase.q[0], rtol=0, atol=1e-12)
    assert abs(phase.q - system.positions()).max() > 0.1


def test_changes_of_step_and_temperature_act_between_steps():
    """Law: as under a schedule of Simulation: the former step closes with its own h, and momenta are drawn at T > 0."""
    network, x, y = problem()
    system = md.ParticleSystem(network, mse_loss, x, y, dtype=torch.float64)
    values = {"dt": md.Table((0, 10, 20), (0.05, 0.02, 0.08)), "temperature": md.Table((0, 15, 25), (0.0, T, T / 2))}
    integrator = Splitting(BAOAB, system.force, 0.05, NoseHooverChain(T, tau=0.5, order=5))
    optimizer = Simmer(network.parameters(), thermostat=NoseHooverChain(T, tau=0.5, order=5), seed=3)
    simulation = md.Simulation(system, integrator, temperature=0.0, schedule=values, seed=3)
    for step in range(40):
        simulation.run(1, progress=False)
        optimizer.param_groups[0] |= {"lr": values["dt"](step), "temperature": values["temperature"](step)}
        train(network, optimizer, x, y, 1)
        if step == 14:
            # the draws for momenta at T = 0 differ; from here on both draw alike
            optimizer._stream.states = simulation.stream.states
        torch.testing.assert_close(weights(network), simulation.phase.q[0], rtol=0, atol=1e-12)


def test_without_a_temperature_it_is_sgd_with_momentum():
    """Law: at T = 0 it is SGD with momentum c = e^{-gamma h} and rate h^2 (1 + c)/2, its first gradient halved."""
    network, x, y = problem()
    twin, h, friction = copy.deepcopy(network), 0.2, 0.7
    c = exp(-friction * h)
    optimizer = Simmer(network.parameters(), h, 0.0, Langevin(T, friction))
    sgd = torch.optim.SGD(twin.parameters(), lr=h**2 * (1 + c) / 2, momentum=c)
    for step in range(50):
        train(network, optimizer, x, y, 1)
        sgd.zero_grad()
        (mse_loss(twin(x), y) * (0.5 if step == 0 else 1.0)).backward()
        sgd.step()
    torch.testing.assert_close(weights(network), weights(twin), rtol=0, atol=1e-12)


class Copies(nn.Module):
    """R independent linear models of one data set, so that errors come from replicas: U = sum_r U_r."""

    def __init__(self, copies, features):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(copies, features, dtype=torch.float64))

    def forward(self, x):
        return self.weight @ x.T  # (copies, n)


@pytest.mark.parametrize("bath", ["langevin", "andersen"])  # baths that leave replicas apart
def test_the_ensemble_is_the_posterior(bath):
    """Law: <U> and covariance of linear regression are the exact ones, and the momenta have the temperature T.

    BAOAB samples a Gaussian's positions exactly at any h, and so do its momenta at the middle of the step.
    """
    x = torch.randn(12, 3, dtype=torch.float64)
    x *= torch.tensor([1.5, 1.0, 0.7], dtype=torch.float64)
    y = x @ torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64) + torch.randn(12, dtype=torch.float64)
    decay, copies = 0.5, 256
    hessian = x.T @ x / len(x) + decay * torch.eye(3, dtype=torch.float64)
    mean = torch.linalg.solve(hessian, x.T @ y / len(x))
    model = Copies(copies, 3)
    optimizer = Simmer(
        model.parameters(), 0.5, T, BATHS[bath](), weight_decay=decay, collect_every=3, burn_in=100
    )  # fmt: skip
    kinetic = []
    for step in range(700):
        optimizer.zero_grad()
        ((model(x) - y).square().mean(1) / 2).sum().backward()
        optimizer.step()
        if step >= 100:
            kinetic.append(optimizer.state[model.weight]["momentum"].square().mean(1))
    samples = torch.stack([model.weight.detach().clone() - mean for _ in optimizer.members()])
    energy = torch.einsum("srf,fg,srg->sr", samples, hessian, samples) / 2
    covariance = torch.einsum("srf,srg->rfg", samples, samples) / len(samples)
    checks = {"mean": (samples.mean(0), 0.0), "U": (energy.mean(0)[:, None], 3 * T / 2)}
    checks |= {"covariance": (covariance, T * hessian.inverse())}
    checks |= {"kinetic": (torch.stack(kinetic).mean(0)[:, None], T)}
    assert samples.shape == (200, copies, 3)
    for name, (values, exact) in checks.items():
        error = values.std(0) / sqrt(copies)
        assert ((values.mean(0) - exact).abs() < Z * error).all(), (name, (values.mean(0) - exact) / error)
    assert optimizer.kinetic_temperature()[0] == pytest.approx(T, rel=6 * sqrt(2 / (3 * copies)))


def test_groups_have_a_temperature_and_a_step_of_their_own():
    """Law: each group has its own bath, at its own temperature."""
    hot, cold = (nn.Parameter(torch.zeros(4000, dtype=dtype)) for dtype in (torch.float64, torch.float32))
    groups, bath = (
        [{"params": [cold], "lr": 0.1, "weight_decay": 3.0}, {"params": [hot], "temperature": 0.4}],
        Langevin(0.1, 1.0),
    )
    optimizer = Simmer(groups, 0.2, thermostat=bath)
    for _ in range(200):
        for x in (hot, cold):
            x.grad = x.detach().clone()
        optimizer.step()
    error = Z * sqrt(2 / 4000)
    assert float(hot.detach().square().mean()) == pytest.approx(0.4, rel=error)
    assert float(cold.detach().square().mean()) == pytest.approx(0.1 / 4, rel=error)
    assert optimizer.kinetic_temperature() == [pytest.approx(0.1, rel=error), pytest.approx(0.4, rel=error)]
    assert float(bath.temperature) == 0.1  # that of the caller is left alone


def test_noise_of_the_gradient_heats_and_the_adaptive_bath_takes_it_back():
    """Law: noise of variance s^2 heats by h s^2/(2 gamma); an adaptive bath keeps T between a kick and its relief.

    Its momenta have T - h^2 s^2/2 after it has acted and T + h^2 s^2/2 before, and 2K/N_f = T is their mean.
    """
    h, noise, measured = 0.2, 1.0, {}
    for name, bath in {"langevin": Langevin(T, 1.0), "adaptive": AdaptiveLangevin(T, 1.0, tau=1.0)}.items():
        x = nn.Parameter(torch.zeros(2000, dtype=torch.float64))
        optimizer, values = Simmer([x], h, thermostat=bath), []
        for _ in range(500):
            x.grad = x.detach() + noise * torch.randn(2000, dtype=torch.float64)
            optimizer.step()
            values += optimizer.kinetic_temperature()
        measured[name] = sum(values[100:]) / 400
    assert measured["langevin"] == pytest.approx(T + h * noise**2 / 2, rel=0.15)  # to first order in h
    assert measured["adaptive"] == pytest.approx(T - h**2 * noise**2 / 2, rel=0.03)


@pytest.mark.parametrize("bath", BATHS)
def test_training_that_was_saved_goes_on_bit_for_bit(bath):
    """Law: n + m steps through a file, read with weights_only, equal n + m steps, ensemble and random numbers too."""

    def make():
        network, *data = problem()
        return network, Simmer(network.parameters(), 0.05, T, BATHS[bath](), collect_every=2, keep=6), *data

    network, optimizer, x, y = make()
    train(network, optimizer, x, y, 25)
    file = io.BytesIO()
    torch.save([network.state_dict(), optimizer.state_dict()], file)
    train(network, optimizer, x, y, 25)
    file.seek(0)
    again, resumed, *_ = make()
    saved = torch.load(file, weights_only=True)
    before = copy.deepcopy(saved)
    again.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    train(again, resumed, x, y, 25)
    assert torch.equal(weights(network), weights(again))
    assert len(optimizer.ensemble) == len(resumed.ensemble) == 6
    assert same(optimizer.state_dict(), resumed.state_dict())
    assert same(saved, before)  # what was loaded is not what moves


@pytest.mark.parametrize("way", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_copies_and_pickles_go_on_alike(way):
    """Law: network and optimizer copied together go on as the originals do, with all public attributes."""
    network, x, y = problem()
    optimizer = Simmer(network.parameters(), 0.05, T, NoseHooverLangevin(T, 0.5, 1.0), collect_every=5)
    train(network, optimizer, x, y, 12)
    twin, other = way((network, optimizer))
    train(network, optimizer, x, y, 12)
    train(twin, other, x, y, 12)
    assert torch.equal(weights(network), weights(twin))
    assert len(optimizer.ensemble) == len(other.ensemble) == 4
    public = [{name for name in vars(each) if not name.startswith("_")} for each in (optimizer, other)]
    assert public[0] == public[1]


def test_the_caller_s_random_numbers_are_left_alone():
    """Law: one seed makes the noise, whatever else draws; and without one, torch's seed does."""
    runs = []
    for seed, extra in ((5, 0), (5, 3), (None, 0), (None, 0)):
        torch.manual_seed(1)
        network, x, y = problem()
        optimizer = Simmer(network.parameters(), seed=seed)
        state = torch.get_rng_state()
        for _ in range(5):
            train(network, optimizer, x, y, 1)
            assert torch.equal(torch.get_rng_state(), state)
            torch.rand(extra)
            state = torch.get_rng_state()
        runs.append(weights(network))
    assert torch.equal(runs[0], runs[1])
    assert torch.equal(runs[2], runs[3])
    assert not torch.equal(runs[0], runs[2])


def fail_inside(blocks, x, expected):
    """Fail in the body of a `with`, or of the first of a loop's."""
    for block in [blocks] if hasattr(blocks, "__enter__") else blocks:
        with block:
            assert x[0].item() == expected
            raise ZeroDivisionError


def test_the_ensemble_is_thinned_evenly_and_put_into_the_live_weights():
    """Law: of n offered, `keep` or fewer stay, at multiples of one stride; members() shows each, and puts back."""
    x = nn.Parameter(torch.zeros(2))
    optimizer = Simmer([x], lr=0.0, collect_every=3, burn_in=10, keep=5)
    for step in range(1, 101):
        x.grad = torch.zeros(2)
        optimizer.step()
        x.data.fill_(step)  # after the step: a member shows the step before it
    seen = [int(x[0].item()) + 1 for _ in optimizer.members()]
    assert seen == [10 + 3 * 8 * k for k in range(1, 4)]
    assert x[0].item() == 100
    for blocks in (lambda: optimizer.member(0), lambda: (optimizer.member(0) for _ in optimizer.members())):
        with pytest.raises(ZeroDivisionError):
            fail_inside(blocks(), x, seen[0] - 1)
        assert x[0].item() == 100
    for _ in optimizer.members():
        break
    assert x[0].item() == 100
    optimizer.ensemble.stride = 1
    optimizer.collect()
    assert optimizer.ensemble[-1][0][0].item() == 100
    with pytest.raises(IndexError), optimizer.member(9):
        pass


def test_parameters_without_a_gradient_stay_and_come_back():
    """Law: who has no gradient neither moves nor is heated; baths with variables go on with the others."""
    network, x, y = problem()
    optimizer = Simmer(network.parameters(), 0.05, thermostat=NoseHooverChain(T, 0.5, group="massive"))
    for frozen in (True, False, True, False):
        network.output.requires_grad_(not frozen)
        before = network.output.weight.detach().clone(), network.hidden1.weight.detach().clone()
        train(network, optimizer, x, y, 4)
        assert torch.equal(before[0], network.output.weight) == frozen
        assert not torch.equal(before[1], network.hidden1.weight)
    optimizer.zero_grad()
    before = weights(network)
    optimizer.step()
    assert torch.equal(before, weights(network))


def test_groups_may_be_added_later():
    """A group that joins has its own bath, and members collected before show it as it was then."""
    network, x, y = problem()
    optimizer = Simmer(network.hidden1.parameters(), 0.05, T, collect_every=1)
    train(network, optimizer, x, y, 3)
    start = network.output.weight.detach().clone()
    optimizer.add_param_group({"params": network.output.parameters(), "lr": 0.02})
    train(network, optimizer, x, y, 3)
    with optimizer.member(1):
        assert torch.equal(network.output.weight, start)
    assert not torch.equal(network.output.weight, start)
    with pytest.raises(ValueError, match="Invalid learning rate: -1"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(2))], "lr": -1})
    assert len(optimizer.param_groups) == 2
    train(network, optimizer, x, y, 1)


@pytest.mark.parametrize("enabled", [True, False])
def test_a_gradient_scaler_changes_nothing(enabled):
    """Law: scaled and unscaled training are the same, and a step that the scaler leaves out is none."""
    plain, x, y = problem(torch.float32)
    network = copy.deepcopy(plain)
    train(plain, Simmer(plain.parameters(), temperature=T, seed=1), x, y, 6)
    optimizer = Simmer(network.parameters(), temperature=T, seed=1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=enabled)
    for step in range(7):
        optimizer.zero_grad()
        scaler.scale(mse_loss(network(x), y)).backward()
        if step == 3 and enabled:
            network.output.bias.grad.fill_(torch.inf)
        elif step == 3:
            continue
        scaler.step(optimizer)
        scaler.update()
    assert torch.equal(weights(plain), weights(network))


OPTIONS = [
    {},
    {"lr": 0.02},
    {"lr": torch.tensor(0.02)},
    {"weight_decay": 0.1},
    {"weight_decay": 0.1, "maximize": True},
    {"thermostat": Bussi(1e-3, tau=1.0)},
    {"thermostat": AdaptiveLangevin(1e-3, 1.0, tau=1.0), "collect_every": 2},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("contiguous", [True, False])
def test_it_goes_in_the_right_direction(options, contiguous):
    """The loss falls, or rises with maximize; with a closure, a scheduler, groups, and views of other tensors."""
    extra = () if contiguous else (2,)
    weight, bias = (nn.Parameter(torch.randn(*shape, *extra)[(..., *(0 for _ in extra))]) for shape in ((10, 5), (10,)))
    options = {"temperature": 1e-4, "lr": 0.02} | options
    optimizer = Simmer([{"params": [weight]}, {"params": [bias], "weight_decay": 0.0}], **options)
    schedulers = [StepLR(optimizer, step_size=10, gamma=0.9), ReduceLROnPlateau(optimizer)]
    closure = closure_of(optimizer, weight, bias, torch.randn(5))
    first = closure().item()
    for _ in range(20):
        loss = optimizer.step(closure)
        schedulers[0].step()
        schedulers[1].step(loss.detach())
    last = closure().item()
    assert last > first if options.get("maximize") else last < first
    assert "lr" in repr(optimizer)


def test_a_scheduler_may_bring_the_step_to_zero():
    network, x, y = problem()
    optimizer = Simmer(network.parameters(), 0.05, T)
    train(network, optimizer, x, y, 8, CosineAnnealingLR(optimizer, T_max=8))
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)
    optimizer.param_groups[0]["lr"] = 0.0
    before = weights(network)
    train(network, optimizer, x, y, 1)
    momenta = [optimizer.state[x]["momentum"].clone() for x in network.parameters()]
    train(network, optimizer, x, y, 1)  # h = 0, and the closing kick of h = 0
    assert torch.equal(before, weights(network))
    assert same(momenta, [optimizer.state[x]["momentum"] for x in network.parameters()])


def test_state_dicts_have_torch_s_form():
    """State is by parameter number, as tensors that follow its type; a state from before an option was there loads."""
    weight, bias, optimizer = linear(lr=0.02, temperature=1e-3)
    closure = closure_of(optimizer, weight, bias, torch.randn(5))
    for _ in range(10):
        optimizer.step(closure)
    state = copy.deepcopy(optimizer.state_dict())
    assert set(state) == {"state", "param_groups", "simmer"}
    assert set(state["state"]) == {0, 1}
    assert set(state["state"][0]) == {"momentum", "due"}
    assert set(state["param_groups"][0]) == {"params", "lr", "temperature", "weight_decay", "maximize"}
    del state["param_groups"][0]["maximize"]
    optimizer.load_state_dict(state)
    optimizer.step(closure)
    double = [nn.Parameter(x.detach().double()) for x in (weight, bias)]
    other = Simmer(double)
    other.load_state_dict(state)
    assert other.state[double[0]]["momentum"].dtype == torch.float64
    closure_of(other, *double, torch.randn(5, dtype=torch.float64))()
    other.step()
    named = Simmer([("weight", weight), ("bias", bias)])
    named.load_state_dict(state)
    assert named.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]


def test_state_dicts_that_do_not_fit_are_refused():
    weight, bias, optimizer = linear()
    state = optimizer.state_dict()
    with pytest.raises(ValueError, match="different number of parameter groups"):
        Simmer([{"params": [weight]}, {"params": [bias]}]).load_state_dict(state)
    with pytest.raises(ValueError, match="doesn't match the size"):
        Simmer([weight]).load_state_dict(state)
    with pytest.raises(ValueError, match="is of Langevin, not of Bussi"):
        Simmer([weight, bias], thermostat=Bussi(T, 1.0)).load_state_dict(state)
    with pytest.raises(ValueError, match="none of Simmer's"):
        optimizer.load_state_dict(torch.optim.SGD([weight, bias]).state_dict())


def test_hooks_are_called():
    """Hooks around step, state_dict and load_state_dict run in torch's order, and profilers see the step by name."""
    weight, bias, optimizer = linear()
    closure, calls = closure_of(optimizer, weight, bias, torch.randn(5)), []
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    optimizer.register_state_dict_pre_hook(lambda each: calls.append("saving") or each.state.update(note={}))
    optimizer.register_state_dict_post_hook(lambda _, state: state | {"more": 1})
    optimizer.register_load_state_dict_pre_hook(lambda *_: calls.append("loading"))
    optimizer.register_load_state_dict_post_hook(lambda _: calls.append("loaded"))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        optimizer.step(closure)
    state = optimizer.state_dict()
    assert state["more"] == 1
    assert state["state"]["note"] == {}
    optimizer.load_state_dict(state)
    assert calls == ["before", "after", "saving", "loading", "loaded"]
    assert "Optimizer.step#Simmer.step" in {event.key for event in profiler.key_averages()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1e-2}, "Invalid learning rate: -0.01"),
        ({"lr": torch.tensor([0.1, 0.1])}, "Tensor lr must be 1-element"),
        ({"temperature": -1.0}, "Invalid temperature: -1.0"),
        ({"temperature": float("nan")}, "Invalid temperature: nan"),
        ({"weight_decay": -0.5}, "Invalid weight_decay value: -0.5"),
        ({"collect_every": 0}, "Invalid collect_every"),
        ({"burn_in": -1}, "Invalid .*burn_in"),
        ({"keep": 0}, "Invalid keep: 0"),
        ({"thermostat": "langevin"}, "Invalid thermostat: .langevin."),
        ({"thermostat": Langevin(torch.full((2, 1), T), 1.0)}, "each of several replicas"),
    ],
)
def test_wrong_values_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        linear(**options)


def test_wrong_parameters_are_refused():
    def zeros(dtype=torch.float32, **where):
        return nn.Parameter(torch.zeros(2, dtype=dtype, **where))

    x = zeros()
    with pytest.raises(TypeError, match="iterable of Tensors or dicts"):
        Simmer(x)
    with pytest.raises(ValueError, match="more than one parameter group"):
        Simmer([{"params": x}, {"params": x}])
    for dtype in (torch.complex64, torch.float16, torch.bfloat16):
        with pytest.raises(ValueError, match=f"not {dtype}"):
            Simmer([zeros(dtype)])
    with pytest.raises(ValueError, match="make it two"):
        Simmer([x, zeros(torch.float64)])
    with pytest.raises(ValueError, match="each device an optimizer"):
        Simmer([x, zeros(device="meta")])


def test_what_goes_wrong_between_steps_is_told_and_moves_nothing():
    weight, bias, optimizer = linear()
    closure_of(optimizer, weight, bias, torch.randn(5))()
    before = weight.detach().clone()
    optimizer.param_groups[0]["temperature"] = -1
    with pytest.raises(ValueError, match="Invalid temperature: -1"):
        optimizer.step()
    optimizer.param_groups[0]["temperature"] = T
    bias.grad = torch.ones(10).to_sparse()
    with pytest.raises(ValueError, match="sparse gradients"):
        optimizer.step()
    assert torch.equal(weight, before)
    assert optimizer.steps == 0


@pytest.mark.gpu
def test_on_a_gpu_it_does_the_same():
    """Law: steps agree with those on the CPU to rounding, and saved training goes on bit for bit."""
    ends = []
    for device in ("cpu", "cuda"):
        network, x, y = problem()
        chain = NoseHooverChain(T, tau=1.0, order=5)  # T = 0: no random numbers
        optimizer = Simmer(network.to(device).parameters(), 0.05, 0.0, chain, collect_every=5)
        train(network, optimizer, x.to(device), y.to(device), 20)
        assert optimizer.ensemble[-1][0].device.type == "cpu"
        ends.append(weights(network).cpu())
    torch.testing.assert_close(*ends, rtol=0, atol=1e-12)
    x, y = x.to("cuda"), y.to("cuda")
    optimizer = Simmer(network.parameters(), 0.05, T)
    train(network, optimizer, x, y, 5)
    again, state = copy.deepcopy(network), copy.deepcopy(optimizer.state_dict())
    resumed = Simmer(again.parameters(), 0.05, T)
    resumed.load_state_dict(state)
    train(network, optimizer, x, y, 5)
    train(again, resumed, x, y, 5)
    assert torch.equal(weights(network), weights(again))


def test_the_example_runs(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mnist", "digits"])
    runpy.run_module("mdnet.examples.mnist")
    accuracy = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
    assert len(accuracy) == 2
    assert min(accuracy) > 0.9
