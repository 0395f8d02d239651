"""Law: Monte Carlo of walkers without momenta samples the density of states, and exchange of windows changes no law."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from systems import Z, deviation
from test_enumeration import problem
from torch import nn
from torch.nn.functional import mse_loss

import mdnet as md
from mdnet.distributed.parts import method_part, system_part
from mdnet.distributed.world import ALONE
from mdnet.experiments.landscape.checks.binary import deviation as off
from mdnet.experiments.landscape.checks.binary import w3
from mdnet.experiments.landscape.checks.monte_carlo import w2
from mdnet.landscape import Axis, BiasedForce, Line, LogLoss, OfParameters, OneOverT, Recorded, Table, WangLandau
from mdnet.landscape.enumeration import enumerate_density, exact, states
from mdnet.landscape.exchange import WindowExchange
from mdnet.landscape.monte_carlo import MonteCarlo, walk_inside
from mdnet.landscape.moves import AllParameters, Flip, OneParameter
from trajectories.landscape.joining import join
from trajectories.landscape.landscape import Landscape


def square(replicas, dof=2, *, prior=md.Box(1.0), scale=1.0):
    """A linear network of so many weights, and x = |q|^2/2."""
    system = md.ParticleSystem(
        nn.Linear(dof, 1, bias=False), mse_loss, torch.eye(dof), torch.zeros(dof, 1), replicas=replicas, prior=prior,
        dtype=torch.float64, scale=scale,
    )  # fmt: skip
    return system, OfParameters(lambda q: q.square().sum() / 2, "half square")


class Silent:
    """A variable without gradient: the share of weights above zero, with 1, 1/2, 1/4, ... for their places."""

    name = "places"

    def __call__(self, q):
        raise AssertionError("it has no gradient")

    def value(self, q):
        return (q > 0).double() @ (0.5 ** torch.arange(q.shape[1], dtype=torch.float64))

    def part(self, rows):
        return self


def corners(system, seed):
    noise = torch.Generator().manual_seed(seed)
    return (torch.randint(2, (system.replicas, system.dof), generator=noise) * 2 - 1).to(system.dtype)


def test_flips_keep_detailed_balance(seed):
    """Law: on the 16 states of four signs flips sample e^{-n x}, each state as often as the exact law says."""
    system, _ = square(2000, 4)
    engine = MonteCarlo(BiasedForce(system, [Silent()], Line(1.5)), Flip())
    every = torch.cat(list(states(system)))
    weight = torch.exp(-1.5 * Silent().value(every))
    phase = engine.start(corners(system, seed), torch.zeros(2000, 4), system.masses)
    visits = torch.zeros(2000, 16, dtype=torch.float64)
    powers = 2 ** torch.arange(3, -1, -1)
    for step in range(130):
        engine(phase)
        if step >= 30:
            visits[torch.arange(2000), ((phase.q > 0).long() * powers).sum(1)] += 0.01
    assert deviation(visits, weight / weight.sum()) < Z


@pytest.mark.parametrize("move", [OneParameter(1.3), AllParameters(0.9)])
@pytest.mark.parametrize("scale", [1.0, 7.0])
def test_moves_in_a_box_sample_the_bias(move, scale):
    """Law: in a box the law of x = |q|^2/2 under b = n x is e^{-n x}, whatever the system's scale, and none leaves."""
    system, half = square(4000, 2, scale=scale)
    engine = MonteCarlo(BiasedForce(system, [half], Line(3.0), temperature=0.7), move, temperature=0.7)
    phase = engine.start(torch.zeros(4000, 2, dtype=torch.float64), torch.zeros(4000, 2), system.masses)
    for _ in range(60):
        engine(phase)
    grid = torch.linspace(-1, 1, 4001, dtype=torch.float64)
    density = torch.exp(-1.5 * grid.square())
    second = (density * grid.square()).sum() / density.sum()
    assert deviation(phase.q.square(), second) < Z
    assert phase.q.abs().max() <= 1
    assert torch.allclose(engine.force.x[:, 0], half.value(phase.q))
    assert torch.allclose(phase.u, 0.7 * 3.0 * half.value(phase.q))


def test_moves_beyond_the_box_are_rejected():
    """Law: of moves much longer than the box hardly any is accepted, as those beyond a wall come not back."""
    system, half = square(400, 1)
    engine = MonteCarlo(BiasedForce(system, [half], Line(0.0)), OneParameter(50.0))
    phase = engine.start(torch.zeros(400, 1, dtype=torch.float64), torch.zeros(400, 1), system.masses)
    engine(phase)
    assert 0 < int(phase.bath[0].sum()) < 30
    assert torch.isinf(engine.energy_error(phase)).sum() > 370


def test_a_normal_prior_is_part_of_the_energy():
    """Law: with a normal prior of unit variance and b = x = n q_0 the law of q_0 is normal about -n."""
    system, _ = square(4000, 2, prior=md.GaussianPrior(1.0))
    force = BiasedForce(system, [OfParameters(lambda q: q[0], "first")], Line(0.8))
    phase = (engine := MonteCarlo(force, AllParameters(1.5))).start(
        torch.zeros(4000, 2, dtype=torch.float64), torch.zeros(4000, 2), system.masses
    )
    for _ in range(100):
        engine(phase)
    assert deviation(phase.q, torch.tensor([-0.8, 0.0])) < Z
    assert deviation((phase.q - torch.tensor([-0.8, 0.0])).square(), 1.0) < Z


def learnt(system, variables, axes, seed, *, windows=1, learn=200, count=300, record=()):
    """A finished run of walkers that flip signs, and its landscape."""
    table = Table(axes, system.replicas, windows=windows, sigma=0, overlap=0.5)
    force = BiasedForce(system, variables, table)
    action = WangLandau(OneOverT(0.1, 1, learn // 4), learn, exchange=5 if windows > 1 else 0, record=record)
    simulation = md.Simulation(
        system, MonteCarlo(force, Flip()), positions=walk_inside(force, corners(system, seed), Flip(), seed=seed),
        seed=seed, actions=[action], reporters=[md.Scalars(10**6)],
    )  # fmt: skip
    simulation.run(learn + count, progress=False)
    totals = action.counts.totals()
    recorded = len(record)
    entropy = table.entropy.view(*table.entropy.shape, *[1] * recorded)
    with np.errstate(divide="ignore"):
        tables = entropy.numpy() + np.log(totals["weights"].numpy())
    firsts = [round((part.low - axes[0].low) / axes[0].width) for part in table.parts]
    whole = join(tables, firsts, axes[0].bins, totals["visits"].numpy(), recorded)
    return simulation, Landscape((*axes, *(each.axis for each in record)), whole[None])


@pytest.mark.parametrize("case", ["one variable", "two variables", "recorded", "three windows"])
def test_the_table_is_that_of_enumeration(case, seed):
    """Law: ln Omega of a network of 12 signs is that of all its 4096 states within .1 in every populated bin."""
    system, variables, axes = problem((3, 3, 1), seed=4, replicas=1024)
    many = 1 if case in ("one variable", "three windows") else 2
    true = exact(axes[:many], enumerate_density(system, variables[:many], axes[:many]))
    flat = 2 if case == "two variables" else 1
    record = [Recorded(axes[1], variables[1])] if case == "recorded" else []
    windows = 3 if case == "three windows" else 1
    simulation, found = learnt(system, variables[:flat], axes[:flat], seed, windows=windows, record=record)
    assert off(found, true) < 0.1
    assert torch.equal(simulation.phase.q.abs(), torch.ones_like(simulation.phase.q))
    assert torch.equal(simulation.phase.f, torch.zeros_like(simulation.phase.q))


def test_variables_need_no_gradient(seed):
    """Law: a variable of which only values are known is sampled, 16 states being equally many in 16 bins."""
    system, _ = square(64, 4)
    _, found = learnt(system, [Silent()], [Axis("places", -1 / 16, 31 / 16, 16)], seed)
    assert np.abs(found.entropy - math.log(1 / 16)).max() < 0.1


def frozen(walkers, seed):
    """Tables of three windows and two copies, uneven and frozen, and walkers drawn from the exact law of their own."""
    noise = torch.Generator().manual_seed(seed)
    table = Table([Axis("x", 0.0, 12.0, 12)], walkers, windows=3, overlap=0.5, copies=2, sigma=0)
    table.entropy.copy_(1.5 * torch.randn(table.entropy.shape, generator=noise, dtype=torch.float64))
    states_of = torch.exp(torch.linspace(0, 3, 12, dtype=torch.float64))  # so many states in each bin
    first = table.low[:, 0].long()
    law = torch.stack([states_of[f : f + table.entropy.shape[1]] for f in first]) * torch.exp(-table.entropy)
    law /= law.sum(1, keepdim=True)
    bins = torch.multinomial(law[table.owner], 1, generator=noise)[:, 0]
    return table, law, (first[table.owner] + bins + 0.5)[:, None]


def worst(table, law, x):
    """The worst deviation of the share of a table's walkers in a bin from its law, in standard errors."""
    seen = torch.zeros_like(law).view(-1).index_add_(0, table.cells(x), torch.ones(len(x), dtype=torch.float64))
    many = torch.bincount(table.owner, minlength=len(law))[:, None]
    return float(((seen.view_as(law) - many * law) / (many * law * (1 - law)).sqrt()).abs().max())


def test_exchange_leaves_the_law_of_each_window(seed):
    """Law: walkers that have the law e^{-S_w} of their windows have it after many exchanges, and most have moved."""
    table, law, x = frozen(60_000, seed)
    exchange, before = WindowExchange(table, ALONE), table.owner.clone()
    for _ in range(10):
        exchange(x)
    assert worst(table, law, x) < Z
    assert table.inside(x).all()
    assert torch.equal(torch.bincount(table.owner), torch.bincount(before))  # as many in each
    assert (table.owner // 3 == before // 3).all()  # no walker leaves its copy
    assert (table.owner != before).double().mean() > 0.1
    tried, accepted = exchange.totals()
    assert tried.tolist() == [2 * 5 * 10_000] * 2
    assert (accepted > 0).all()
    assert (accepted < tried).all()


def test_a_wrong_rule_of_exchange_is_seen(seed, monkeypatch):
    """Law: to swap whenever both are inside of the other's window breaks the law, far beyond the gate."""
    table, law, x = frozen(60_000, seed)
    exchange = WindowExchange(table, ALONE)
    monkeypatch.setattr(torch, "rand_like", torch.zeros_like)  # ln 0: always accepted
    for _ in range(10):
        exchange(x)
    assert worst(table, law, x) > 3 * Z


@pytest.mark.parametrize("walkers", [6, 7, 23])
def test_each_walker_meets_one_of_the_next_window(walkers):
    """Law: partners are of neighbouring windows of one copy, each at most once, and turns alternate."""
    table = Table([Axis("x", 0.0, 12.0, 12)], walkers, windows=3, copies=2)
    exchange = WindowExchange(table, ALONE)
    count = torch.bincount(table.owner)
    for turn in range(4):
        exchange.attempts = turn
        low, high = exchange._pairs(table.owner)
        assert len(torch.cat([low, high]).unique()) == 2 * len(low)
        assert torch.equal(table.owner[high], table.owner[low] + 1)
        assert (table.owner[low] % 3 == turn % 2).all()
        assert len(low) == sum(min(count[t], count[t + 1]) for t in (turn % 2, 3 + turn % 2))


def run(folder: Path | None, steps, *, windows=3):
    """A run with everything in it: windows that exchange, widths that adapt and differ, and records."""
    system, half = square(12, 3)
    log = LogLoss(system, "ln L")
    table = Table([Axis("ln L", -5.0, 0.0, 20)], 12, windows=windows, sigma=1)
    force = BiasedForce(system, [log], table)
    start = walk_inside(force, torch.full((12, 3), 0.5, dtype=torch.float64), OneParameter(0.3))
    engine = MonteCarlo(force, OneParameter(torch.linspace(0.1, 1.0, 12)[:, None]))
    walk = WangLandau(
        OneOverT(0.1, 10, 20), 60, every=2, smooth=3, exchange=3 if windows > 1 else 0, write=10,
        record=[Recorded(Axis("half", 0.0, 1.5, 5), half)],
    )  # fmt: skip
    simulation = md.Simulation(
        system, engine, positions=start, seed=3, actions=[md.AdaptStep(40, every=1, acceptance=0.5), walk],
        output=folder, reporters=[md.Scalars(5)],
    )  # fmt: skip
    if steps:
        simulation.run(steps, progress=False)
    return simulation, walk


@pytest.mark.parametrize("first", [17, 40, 91])
def test_a_resumed_run_is_the_same_run(tmp_path, first):
    """Law: n + m steps in two runs are n + m steps in one, bit for bit: walkers, table, counts, swaps and widths."""
    whole, all_of_it = run(tmp_path / "whole", 120)
    run(tmp_path / "parts", first)
    parts, rest = run(tmp_path / "parts", 0)
    parts.resume().run(120 - first, progress=False)
    for name in ("q", "u"):
        assert torch.equal(getattr(whole.phase, name), getattr(parts.phase, name)), name
    for one, other in zip(whole.phase.bath, parts.phase.bath, strict=True):
        assert torch.equal(one, other)
    assert torch.equal(whole.integrator.dt, parts.integrator.dt)
    one, other = all_of_it.state(), rest.state()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name].nan_to_num(), other[name].nan_to_num()) for name in one)
    assert one["swaps"][1:].sum() > 0


def test_a_bias_without_action_resumes_with_its_variables(tmp_path):
    """Law: x of the walkers that stay where they are is that of the checkpoint, too, not that of the start."""

    def made(steps):
        system, half = square(8, 2)
        engine = MonteCarlo(BiasedForce(system, [half], Line(2.0)), OneParameter(1.0))
        simulation = md.Simulation(system, engine, output=tmp_path / "run", seed=1, reporters=[md.Scalars(5)])
        if steps:
            simulation.run(steps, progress=False)
        return simulation

    before = made(30)
    after = made(0).resume()
    assert torch.equal(before.integrator.force.x, after.integrator.force.x)


def test_the_width_adapts_to_an_acceptance_and_is_frozen():
    """Law: AdaptStep brings the width of moves to the acceptance that is asked for, then leaves it."""
    system, half = square(400, 4)
    engine = MonteCarlo(BiasedForce(system, [half], Line(20.0)), OneParameter(0.01))
    quiet = [md.Scalars(10**6)]
    adapt = md.AdaptStep(200, every=1, acceptance=0.5)
    start = torch.zeros(400, 4, dtype=torch.float64)
    simulation = md.Simulation(system, engine, positions=start, actions=[adapt], reporters=quiet, seed=2)
    simulation.run(200, progress=False)
    width, bath = float(engine.dt), [each.clone() for each in simulation.phase.bath]
    simulation.run(200, progress=False)
    _, made, chance, *_ = (now - then for now, then in zip(simulation.phase.bath, bath, strict=True))
    assert float(engine.dt) == width > 0.1
    assert 0.4 < float(chance.sum() / made.sum()) < 0.6
    assert simulation.integrator.observables(simulation.phase)["acceptance"].shape == (400,)


def test_a_part_of_the_walkers_takes_its_widths_and_owners():
    """Law: divided over ranks a method keeps the widths, windows and variables of its own walkers."""
    system, _ = square(6)
    table = Table([Axis("places", 0.0, 2.0, 8)], 6, windows=2, overlap=0.5)
    engine = MonteCarlo(BiasedForce(system, [Silent()], table), OneParameter(torch.arange(1.0, 7.0)[:, None]))
    rows = slice(2, 5)
    own = system_part(system, rows, slice(0, 2))
    part = method_part(engine, system, own, rows)
    assert part.dt.flatten().tolist() == [3.0, 4.0, 5.0]
    assert torch.equal(part.force.bias.owner, table.owner[rows])
    assert part.force.system is own
    assert torch.equal(part.force(torch.ones(3, 2, dtype=torch.float64))[1], torch.zeros(3, 2))


def test_walkers_come_into_their_windows():
    """Law: moves bring walkers inside; those who were stay where they were."""
    system, variables, axes = problem((3, 3, 1), seed=1, replicas=12)
    table = Table(axes[:1], 12, windows=3, overlap=0.2, sigma=0)
    force = BiasedForce(system, variables[:1], table)
    q = corners(system, 1)
    inside = table.inside(force.look(q))
    there = walk_inside(force, q, Flip())
    assert table.inside(force.look(there)).all()
    assert torch.equal(there[inside], q[inside])
    assert not inside.all()


def test_what_does_not_fit_is_refused():
    system, half = square(4)
    table = Table([Axis("half", 0.0, 1.0, 8)], 4)
    force = BiasedForce(system, [half], table)
    with pytest.raises(ValueError, match="needs a BiasedForce"):
        MonteCarlo(system.force, Flip())
    with pytest.raises(ValueError, match=r"at temperature 2\.0"):
        MonteCarlo(force, Flip(), temperature=2.0)
    with pytest.raises(ValueError, match="width = 0"):
        MonteCarlo(force, OneParameter(0.0))
    with pytest.raises(ValueError, match="shape"):
        MonteCarlo(force, AllParameters(torch.ones(4)))
    with pytest.raises(ValueError, match="one window"):
        WindowExchange(table, ALONE)
    with pytest.raises(ValueError, match="lie in the box"):
        walk_inside(force, torch.full((4, 2), 3.0), Flip())
    with pytest.raises(ValueError, match="has to be a Table"):
        walk_inside(BiasedForce(system, [half], Line(1.0)), torch.zeros(4, 2), Flip())
    away = BiasedForce(system, [half], Table([Axis("half", 5.0, 6.0, 8)], 4))
    with pytest.raises(ValueError, match="4 of 4 walkers did not come"):
        walk_inside(away, torch.ones(4, 2, dtype=torch.float64), Flip(), steps=3)


@pytest.mark.slow
def test_harmonic_states_are_those_of_theory(seed):
    """W2: on |q|^2/2 in ten dimensions the slope of S is 5 within 3 %, the rms error at most .2, in each copy."""
    assert all(check.holds for check in w2(seed))


@pytest.mark.slow
def test_binary_states_are_those_of_enumeration(seed):
    """W3: ln Omega of 5-3-1 within .1 in every populated bin: of one accuracy, of two, and in windows."""
    assert all(check.holds for check in w3(seed))
