"""Law: replicas that change temperature have the canonical law of each rung, and free energies come out exactly."""

import copy
from math import log
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from systems import HARMONIC, MODES, LinearNetwork, Z, deviation, vector
from torch import nn

import mdnet as md
import trajectories
from integrators import BAOAB, OBABO, VERLET, Brownian, Splitting, kinetic_energy
from mdnet import tempering
from mdnet.tempering import (
    PopulationAnnealing,
    ReplicaExchange,
    SimulatedTempering,
    TemperingError,
    TemperingWarning,
    from_pilot,
    geometric,
    harmonic_acceptance,
    rungs_needed,
)
from thermostats import Berendsen, Langevin, NoseHooverChain

LADDER = geometric(0.5, 4.0, 5)
METHODS = {
    "BAOAB": lambda t: Splitting(BAOAB, HARMONIC, 0.5, Langevin(t, friction=1.0)),
    "Brownian": lambda t: Brownian(HARMONIC, 0.3, temperature=t),
    "massive chains": lambda t: Splitting(BAOAB, HARMONIC, 0.12, NoseHooverChain(t, tau=2.0, order=5, group="massive")),
}


def begin(lattice, replicas, action, method, *, q=None):
    """Start a lattice at the action's temperatures; returns integrator and phase."""
    temperatures = action.temperatures(replicas)
    engine = method(temperatures)
    q = torch.randn(replicas, lattice.dof, dtype=torch.float64) if q is None else q.clone()
    phase = engine.start(q, torch.randn_like(q) * torch.sqrt(temperatures * lattice.m), lattice.m)
    system = SimpleNamespace(replicas=replicas, dof=lattice.dof, stiffness=None, prior=None, shares_data=True)
    action.start(system, engine, phase)
    return engine, phase


def drive(action, engine, phase, steps, *, burn=0, look=dict):
    """Run, and keep what the action reports and what `look` sees right after it, each (attempts, replicas, ...)."""
    kept = []
    for step in range(1, steps + 1):
        engine(phase)
        if step % action.every == 0:
            seen = {name.partition("/")[2]: value for name, value in action(step, phase).items()} | look()
            if step > burn:
                kept.append({name: value.clone() for name, value in seen.items()})
    return SimpleNamespace(**{name: torch.stack([one[name] for one in kept]) for name in kept[0]})


def by_rung(seen, values, rungs):
    """Mean over time of the values (attempts, replicas, ...) at every rung of every ladder: (ladders, rungs, ...)."""
    order = seen.rung.unflatten(1, (-1, rungs)).argsort(-1)  # (attempts, ladders, rungs)
    values = values.unflatten(1, (-1, rungs))
    index = order.reshape(*order.shape, *[1] * (values.ndim - 3)).expand_as(values)
    return values.gather(2, index).mean(0)


def exchange(method, rule=ReplicaExchange, ladders=48, steps=1200):
    action = rule(LADDER, every=4)
    engine, phase = begin(HARMONIC, ladders * len(LADDER), action, method)
    return drive(action, engine, phase, steps, burn=200)


@pytest.mark.parametrize("method", METHODS)
def test_exchange_keeps_the_law_of_every_rung(method):
    seen = exchange(METHODS[method])
    exact = HARMONIC.dof * LADDER / 2
    assert deviation(by_rung(seen, seen.energy, 5), exact) < Z
    assert deviation(by_rung(seen, seen.energy**2, 5), exact**2 + HARMONIC.dof * LADDER**2 / 2) < Z


class Eager(ReplicaExchange):
    def _accept(self, pairs, low, high):
        return torch.ones_like(low, dtype=torch.bool)


class Backwards(ReplicaExchange):
    def _accept(self, pairs, low, high):
        return super()._accept(pairs, high, low)


@pytest.mark.parametrize("rule", [Eager, Backwards])
def test_energies_find_a_wrong_acceptance_out(rule):
    seen = exchange(METHODS["BAOAB"], rule, ladders=24, steps=600)
    assert deviation(by_rung(seen, seen.energy, 5), HARMONIC.dof * LADDER / 2) > 2 * Z


def test_harmonic_modes_exchange_with_the_exact_probability():
    seen = exchange(METHODS["BAOAB"])
    exact = harmonic_acceptance(LADDER, HARMONIC.dof)
    for pair in range(4):
        tried = (seen.pair == pair).unflatten(1, (-1, 5))
        rate = ((seen.accepted == 1).unflatten(1, (-1, 5)) & tried).sum((0, 2)) / tried.sum((0, 2))
        assert deviation(rate.double(), exact[pair]) < Z


def test_even_and_odd_pairs_take_turns_and_the_ladder_stays_full():
    seen = exchange(METHODS["BAOAB"], ladders=3, steps=600)
    for attempt, (pair, rung) in enumerate(zip(seen.pair, seen.rung, strict=True)):
        assert set(pair.tolist()) == ({0, 2, -1}, {1, 3, -1})[(attempt + 50) % 2]
        assert torch.equal(rung.view(3, 5).sort(-1).values, torch.arange(5).expand(3, 5))
    assert ((seen.accepted >= 0) == (seen.pair >= 0)).all()
    assert seen.rung.unique(dim=0).shape[0] > 10
    two = ReplicaExchange([0.5, 0.8], every=1)
    assert (drive(two, *begin(HARMONIC, 4, two, METHODS["BAOAB"]), 20).pair == 0).all()


class Unscaled(ReplicaExchange):
    """Leaves the momenta as they were."""

    def start(self, system, integrator, phase):
        super().start(system, integrator, phase)
        integrator.rescale = lambda phase, factor: None


@pytest.mark.parametrize("bath", ["Langevin", "massive chains"])
@pytest.mark.parametrize("rule", [ReplicaExchange, Unscaled])
def test_momenta_have_the_temperature_of_their_rung(rule, bath):
    action = rule(LADDER, every=2)
    baths = {
        "Langevin": lambda t: Splitting(OBABO, HARMONIC, 0.1, Langevin(t, friction=0.2)),
        "massive chains": lambda t: Splitting(
            OBABO, HARMONIC, 0.1, NoseHooverChain(t, tau=2.0, order=5, group="massive")
        ),
    }
    engine, phase = begin(HARMONIC, 48 * 5, action, baths[bath])
    seen = drive(action, engine, phase, 600, burn=200, look=lambda: {"p2": phase.p**2 / phase.m})
    off = deviation(by_rung(seen, seen.p2, 5).mean(-1), LADDER)
    assert off < Z if rule is ReplicaExchange else off > 2 * Z


def test_exchange_finds_both_wells_where_a_cold_run_does_not():
    ladder = geometric(0.02, 1.0, 8)
    right = torch.ones(32 * 8, MODES.dof, dtype=torch.float64)

    def method(t):
        return Splitting(BAOAB, MODES, 0.15, Langevin(t, friction=0.5))

    action = ReplicaExchange(ladder, every=10)
    engine, phase = begin(MODES, len(right), action, method, q=right)
    seen = drive(action, engine, phase, 5000, burn=1500, look=lambda: {"left": (phase.q[:, 4:] < 0).double()})
    coldest = by_rung(seen, seen.left, 8)[:, 0]  # (ladders, 2)
    assert deviation(coldest, 0.5) < Z
    assert coldest.mean() > 0.3
    cold = method(0.02)
    phase = cold.start(right.clone(), torch.randn_like(right) * torch.sqrt(0.02 * MODES.m), MODES.m)
    for _ in range(5000):
        cold(phase)
    assert (phase.q[:, 4:] > 0).double().mean() > 0.99


def linear(action, replicas, *, dtype=torch.float64, every_reports=(), bath=None, **options):
    """A simulation of the linear network at the action's temperatures, and the network."""
    network = LinearNetwork(replicas, dtype=dtype)
    bath = (bath or (lambda t: Langevin(t, friction=5.0)))(action.temperatures(replicas))
    engine = Splitting(BAOAB, network.system.force, 0.6 / network.largest_frequency(), bath)
    options = {"positions": network.mean.repeat(replicas, 1), "reporters": [md.Scalars(10**6)]} | options
    return network, md.Simulation(network.system, engine, actions=[action], **options)


class Tempered:
    """The exact law exp(-L/T - P/T_0) of the linear network: Gaussian."""

    def __init__(self, network, temperature, lowest):
        prior = torch.diag(1 / vector(*[0.5] * 6, *[2.0] * 2))
        data = network.stiffness - prior
        pull = network.stiffness @ network.mean  # of the data, as the prior has its centre at zero
        half = network.u0 + 0.5 * (network.mean @ pull).item()  # L = half - pull q + q data q/2
        precision = data / temperature + prior / lowest
        self.covariance = torch.linalg.inv(precision)
        self.mean = self.covariance @ pull / temperature
        self.energy = half - (pull @ self.mean).item()
        self.energy += 0.5 * (torch.trace(data @ self.covariance) + self.mean @ data @ self.mean).item()
        gaussian = 0.5 * torch.logdet(2 * torch.pi * self.covariance) + 0.5 * self.mean @ precision @ self.mean
        self.log_z = gaussian.item() - half / temperature


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_tempering_the_loss_alone_keeps_the_prior(dtype):
    ladder, ladders = geometric(1.0, 30.0, 5), 16
    action = ReplicaExchange(ladder, every=5, tempered="loss")
    network, run = linear(action, ladders * 5, dtype=dtype)
    run.run(150, progress=False)
    seen = drive(action, run.integrator, run.phase, 1000, look=lambda: {"q": run.phase.q.double()})
    laws = [Tempered(network, t, 1.0) for t in ladder.tolist()]
    assert deviation(by_rung(seen, seen.energy, 5), vector(*[law.energy for law in laws])) < Z
    q = by_rung(seen, seen.q, 5)
    assert deviation(q, torch.stack([law.mean for law in laws])) < Z
    products = by_rung(seen, seen.q[..., :, None] * seen.q[..., None, :], 5)
    exact = torch.stack([law.covariance + torch.outer(law.mean, law.mean) for law in laws])
    assert deviation(products, exact) < Z
    untempered = vector(*[network.mean_energy(t) for t in ladder.tolist()])
    assert deviation(by_rung(seen, seen.energy, 5), untempered) > 2 * Z


ACTIONS = {
    "exchange": lambda what: ReplicaExchange([0.5, 0.9, 1.6], every=3, tempered=what),
    "simulated": lambda what: SimulatedTempering([0.5, 0.9, 1.6], every=3, learn=120, tempered=what),
    "annealing": lambda what: PopulationAnnealing([1.6, 0.9, 0.5], every=3, populations=2, tempered=what),
}


@pytest.mark.parametrize("what", ["all", "loss"])
@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_keeps_the_books_and_leaves_the_force_right(name, what):
    action = ACTIONS[name](what)
    network, run = linear(action, 12, bath=lambda t: NoseHooverChain(t, tau=1.0))
    for step in range(1, 91):
        run.integrator(run.phase)
        phase = run.phase
        before, u = phase.u + kinetic_energy(phase.p, phase.m) - phase.heat, phase.u.clone()
        if step % 3 == 0:
            action(step, phase)
            exact = network.system.force(phase.q)
            torch.testing.assert_close((phase.u, phase.f), exact, rtol=1e-11, atol=1e-11)
        after = phase.u + kinetic_energy(phase.p, phase.m) - phase.heat
        torch.testing.assert_close(before, after, rtol=1e-12, atol=1e-12)
    if what == "loss":
        own = run.integrator.temperature / 0.5 / vector(*[0.5] * 6, *[2.0] * 2)
        torch.testing.assert_close(network.system.stiffness, own)
    assert torch.unique(run.integrator.temperature).numel() == (1 if name == "annealing" else 3)
    assert name != "annealing" or not torch.equal(u, phase.u) or action.stage == 2


def test_simulated_tempering_with_exact_weights_is_even_and_exact():
    weights = -HARMONIC.dof / 2 * LADDER.log()
    action = SimulatedTempering(LADDER, every=4, weights=weights)
    engine, phase = begin(HARMONIC, 240, action, METHODS["BAOAB"])
    seen = drive(action, engine, phase, 3000, burn=200)
    here = torch.nn.functional.one_hot(seen.rung, 5).double()  # (attempts, replicas, rungs)
    assert deviation(here.mean(0), 0.2) < Z
    rest = seen.energy - HARMONIC.dof * LADDER[seen.rung] / 2
    assert deviation((here * rest[..., None]).mean(0), 0.0) < Z
    torch.testing.assert_close(seen.weight, weights[seen.rung])


class Forgetful(SimulatedTempering):
    """Leaves the weights out of the acceptance."""

    def _accept(self, wanted, energy):
        return torch.log(torch.rand_like(energy)) < (self._inverse[self.rung] - self._inverse[wanted]) * energy


class Misled(SimulatedTempering):
    """Takes the energy at the wrong sign."""

    def _accept(self, wanted, energy):
        return super()._accept(wanted, -energy)


@pytest.mark.parametrize("rule", [Forgetful, Misled])
def test_rungs_find_a_wrong_walk_out(rule):
    action = rule(LADDER, every=4, weights=-HARMONIC.dof / 2 * LADDER.log())
    seen = drive(action, *begin(HARMONIC, 120, action, METHODS["BAOAB"]), 1000, burn=200)
    assert deviation(torch.nn.functional.one_hot(seen.rung, 5).double().mean(0)[:, :4], 0.2) > 2 * Z


@pytest.mark.parametrize("replicas", [40, 3])
def test_weights_are_learnt_and_then_stay(replicas):
    action = SimulatedTempering(LADDER, every=2, learn=3000)
    engine, phase = begin(HARMONIC, replicas, action, METHODS["BAOAB"])
    drive(action, engine, phase, 3000)
    learnt = action.weights.clone()
    exact = -HARMONIC.dof / 2 * (LADDER / LADDER[0]).log()
    assert (learnt - exact).abs().max() < (0.25 if replicas == 40 else 0.8)
    for step in range(3001, 3101):
        engine(phase)
        action(step, phase)
    assert torch.equal(learnt, action.weights)


FALLS = LADDER.flip(0)


class Upside(PopulationAnnealing):
    def _log_weights(self, energy):
        return -super()._log_weights(energy)


def anneal(rule, populations=64, size=48, every=6):
    """ln Z/Z_0 and mean energies by population at each stage, (stages, populations), from an exact start.

    The step is short, for at a long one BAOAB's momenta would have to leave Maxwell's law first, and so disturb q.
    """

    def method(t):
        return Splitting(BAOAB, HARMONIC, 0.1, Langevin(t, friction=1.0))

    action = rule(FALLS, every=every, populations=populations)
    q, _ = HARMONIC.sample(populations * size, FALLS[0].item())
    engine, phase = begin(HARMONIC, len(q), action, method, q=q)
    seen = drive(action, engine, phase, every * 4, look=lambda: {"after": phase.u})
    assert action(0, phase) == {}, "after the last temperature nothing happens"
    return seen.log_z[:, ::size], seen.after.unflatten(1, (populations, size)).mean(-1), seen


def errors(log_z, energy):
    """Deviations of <Z'/Z> and <Z'/Z (E - <E>)> over populations, which are exact for populations of any size."""
    exact = HARMONIC.dof / 2 * (FALLS[1:] / FALLS[0]).log()
    weight = torch.exp(log_z - exact[:, None])  # (stages, populations)
    rest = weight * (energy - HARMONIC.dof * FALLS[1:, None] / 2)
    return deviation(weight.T, 1.0), deviation(rest.T, 0.0)


@pytest.mark.parametrize("every", [1, 6])
def test_population_annealing_gives_unbiased_free_energies_and_averages(every):
    """However few steps there are between two falls."""
    log_z, energy, _ = anneal(PopulationAnnealing, populations=1000, every=every)
    assert max(errors(log_z, energy)) < Z


def test_energies_find_momenta_out_that_stay_where_positions_are_replaced(monkeypatch):
    """After a fall the momenta of two copies of one position are correlated with each other's positions."""

    class Staying(PopulationAnnealing):
        def start(self, system, integrator, phase):
            super().start(system, integrator, phase)
            integrator.select = lambda phase, rows: [x.copy_(x[rows]) for x in (phase.q, phase.f, phase.u)]

    monkeypatch.setattr(tempering.tempered, "_turn", lambda phase: None)
    log_z, energy, _ = anneal(Staying, populations=1000)
    assert errors(log_z, energy)[1] > Z


def test_free_energies_find_wrong_weights_out():
    log_z, _, _ = anneal(Upside)
    exact = HARMONIC.dof / 2 * (FALLS[1:] / FALLS[0]).log()
    assert ((log_z.mean(1) - exact).abs() > 2 * Z * log_z.std(1) / 8).all()


def test_families_die_out_and_stay_in_their_population():
    _, _, seen = anneal(PopulationAnnealing, populations=4)
    sizes = [len(row.unique()) for row in seen.family]
    assert sorted(sizes, reverse=True) == sizes
    assert 4 <= sizes[-1] < sizes[0] < 192
    assert torch.equal(seen.family // 48, (torch.arange(192) // 48).expand(4, 192))
    assert seen.stage[:, 0].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["massive chains", "Brownian"])
def test_copies_take_everything_along_and_part_by_their_momenta(name):
    """Brownian noise is no momentum: it is correlated with the position, and the next one parts the copies."""
    action = PopulationAnnealing([2.0, 0.7], every=5)
    engine, phase = begin(HARMONIC, 64, action, METHODS[name])
    for _ in range(5):
        engine(phase)
    before = copy.deepcopy(phase)
    action(5, phase)
    rows, cooling = action.family, 0.7 / 2.0
    for after, old in ((phase.q, before.q), (phase.f, before.f), (phase.u, before.u)):
        assert torch.equal(after, old[rows])
    if name == "Brownian":
        torch.testing.assert_close(phase.p, before.p[rows] * cooling**0.5)
    else:
        kinetic = [kinetic_energy(p, HARMONIC.m) for p in (phase.p, before.p[rows])]
        torch.testing.assert_close(kinetic[0], kinetic[1] * cooling)
        torch.testing.assert_close(phase.bath[0], before.bath[0][rows] * cooling**0.5)
        assert torch.equal(phase.bath[1], before.bath[1][rows])
        assert torch.equal(phase.bath[2], before.bath[2])
    assert len(phase.q.unique(dim=0)) < 60
    for _ in range(5):
        engine(phase)
    assert len(phase.q.unique(dim=0)) == 64


def test_new_directions_keep_the_law_of_the_momenta():
    m = HARMONIC.m
    p = torch.randn(20_000, 6, dtype=torch.float64) * torch.sqrt(2.0 * m)
    phase = SimpleNamespace(p=p.clone(), m=m)
    tempering.tempered._turn(phase)
    reduced = phase.p / torch.sqrt(2.0 * m)
    assert deviation(reduced**2, 1.0) < Z
    assert deviation(reduced**4, 3.0) < Z
    assert deviation(reduced[:, 1:] * reduced[:, :-1], 0.0) < Z
    assert deviation(phase.p * p, 0.0) < Z
    torch.testing.assert_close(kinetic_energy(phase.p, m), kinetic_energy(p, m))


def test_resampling_copies_as_evenly_as_can_be_and_without_bias():
    weights = torch.softmax(torch.randn(1, 16, dtype=torch.float64), -1).repeat(4000, 1)
    rows = tempering.annealing._resample(weights).view(4000, 16) - torch.arange(0, 64000, 16)[:, None]
    counts = torch.nn.functional.one_hot(rows, 16).sum(1).double()
    assert ((counts - 16 * weights).abs() < 1).all()
    assert deviation(counts, 16 * weights[0]) < Z


@pytest.mark.parametrize("what", ["all", "loss"])
@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize("stop", [4, 31])
def test_a_resume_is_exact(tmp_path, name, what, stop):
    def run(folder):
        torch.manual_seed(7)  # of the network's own weights
        options = {"output": tmp_path / folder, "reporters": [md.Scalars(3), md.Frames(4, force=True)]}
        return linear(ACTIONS[name](what), 12, bath=lambda t: NoseHooverChain(t, tau=1.0), **options)[1]

    run("whole").run(60, progress=False)
    run("parts").run(stop, progress=False)
    run("parts").resume().run(60 - stop, progress=False)
    with trajectories.open(tmp_path / "whole") as a, trajectories.open(tmp_path / "parts") as b:
        np.testing.assert_array_equal(np.asarray(a.positions), np.asarray(b.positions))
        assert "tempering/energy" in a.observables
        for series in a.observables:
            np.testing.assert_array_equal(a.observables[series].values, b.observables[series].values, err_msg=series)
            np.testing.assert_array_equal(a.observables[series].steps, b.observables[series].steps, err_msg=series)


def test_another_ladder_is_another_run(tmp_path):
    linear(ReplicaExchange([0.5, 1.0]), 4, output=tmp_path)[1].run(5, progress=False)
    with pytest.raises(md.ResumeError, match=r"actions: saved .*1\.0.* now .*1\.1"):
        linear(ReplicaExchange([0.5, 1.1]), 4, output=tmp_path)[1].resume()


def with_scalar_temperature():
    system = LinearNetwork(4).system
    action = ReplicaExchange([0.5, 1.0])
    md.Simulation(system, Splitting(BAOAB, system.force, 0.05, Langevin(0.5, 1.0)), actions=[action])


def with_engine(engine, action=None, **options):
    system = LinearNetwork(4, **options).system
    md.Simulation(system, engine(system), actions=[action or ReplicaExchange([0.5, 1.0])])


def langevin(system, scale=1.0, force=None):
    return Splitting(BAOAB, force or system.force, 0.05, Langevin(scale * vector(0.5, 1.0, 0.5, 1.0)[:, None], 1.0))


def with_schedule():
    linear(ReplicaExchange([0.5, 1.0]), 4, schedule={"temperature": md.Constant(1.0)})


ROWS = torch.stack([torch.arange(12) + 3 * r for r in range(4)])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: ReplicaExchange([1.0]), "two or more"),
        (lambda: ReplicaExchange([1.0, 0.5]), "rise"),
        (lambda: ReplicaExchange([0.0, 0.5]), "positive"),
        (lambda: ReplicaExchange([0.5, 1.0], every=0), "every = 0"),
        (lambda: ReplicaExchange([0.5, 1.0], tempered="prior"), "'all' and 'loss'"),
        (lambda: ReplicaExchange([0.5, 1.0, 2.0]).temperatures(7), r"replicas=6"),
        (lambda: ReplicaExchange([0.5, 1.0], ladders=3).temperatures(4), r"replicas=6"),
        (with_scalar_temperature, r"temperature=action.temperatures\(4\)"),
        (lambda: with_engine(lambda s: langevin(s, 1.1)), "starts it at"),
        (lambda: with_engine(lambda s: Splitting(VERLET, s.force, 0.05)), "has none; give it a thermostat"),
        (lambda: with_engine(lambda s: langevin(s, force=s.minibatch(8))), "minibatch"),
        (lambda: with_engine(langevin, index=ROWS), "same index"),
        (
            lambda: with_engine(
                lambda s: langevin(s, force=lambda q: s.force(q)), ReplicaExchange([0.5, 1.0], tempered="loss")
            ),
            "another force",
        ),
        (with_schedule, "temperature is set by ReplicaExchange"),
        (lambda: SimulatedTempering([0.5, 1.0]), "fewer than 16 attempts"),
        (lambda: SimulatedTempering([0.5, 1.0], weights=[1.0]), "2 finite numbers"),
        (lambda: SimulatedTempering([0.5, 1.0], weights=[1.0, 0.0], learn=-1), "learn = -1"),
        (lambda: PopulationAnnealing([0.5, 1.0]), "falling"),
        (lambda: PopulationAnnealing([1.0]), "two or more"),
        (lambda: PopulationAnnealing([1.0, 0.5], populations=0), "populations = 0"),
        (lambda: PopulationAnnealing([1.0, 0.5], populations=3).temperatures(7), "replicas=6"),
        (lambda: geometric(2.0, 1.0, 4), "0 < low < high"),
        (lambda: geometric(1.0, 2.0, 1), "rungs = 1"),
        (lambda: rungs_needed(1.0, 2.0, 0), "dof = 0"),
        (lambda: pilot(LinearNetwork(2)), "4 replicas or more"),
        (lambda: pilot(LinearNetwork(4), acceptance=1.5), "between 0 and 1"),
    ],
)
def test_bad_input_is_told(bad, message):
    with pytest.raises(ValueError, match=message):
        bad()


def test_what_will_hardly_work_is_warned_of():
    network = nn.Linear(200, 1)
    x = torch.randn(4, 200)
    wide = md.ParticleSystem(
        network, nn.functional.mse_loss, x, x[:, :1], replicas=4, prior=md.GaussianPrior(), dtype=torch.float64
    )
    with pytest.warns(TemperingWarning, match="201 harmonic degrees"):
        md.Simulation(wide, langevin(wide), actions=[ReplicaExchange([0.5, 1.0])])
    with pytest.warns(TemperingWarning, match="canonical"):
        linear(ReplicaExchange([0.5, 1.0]), 4, bath=lambda t: Berendsen(t, tau=1.0))


def test_frozen_layers_need_no_rungs():
    network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    frozen = copy.deepcopy(network)
    frozen[0].requires_grad_(False)
    systems = [
        md.ParticleSystem(each, nn.functional.mse_loss, torch.randn(5, 3), torch.randn(5, 1))
        for each in (network, frozen)
    ]
    many, few = (rungs_needed(0.1, 10.0, system.dof) for system in systems)
    assert [system.dof for system in systems] == [41, 9]
    assert many > 1.5 * few


def pilot(network, low=1.0, high=16.0, dt=0.1, **options):
    def integrator(t):
        return Splitting(BAOAB, network.system.force, dt, Langevin(t, 5.0))

    options = {"steps": 600, "positions": network.mean.repeat(network.system.replicas, 1)} | options
    return from_pilot(network.system, integrator, low, high, **options)


def test_ladders_by_formula():
    ladder = geometric(0.1, 10.0, 5)
    torch.testing.assert_close(ladder[1:] / ladder[:-1], torch.full((4,), 100**0.25, dtype=torch.float64))
    assert rungs_needed(1.0, 10.0, 800) == 1 + 25  # ln 10/ln 1.1 = 24.2
    assert harmonic_acceptance([1.0, 1.0], 10) == pytest.approx([1.0])
    dense = geometric(1.0, 10.0, rungs_needed(1.0, 10.0, 800))
    assert harmonic_acceptance(dense, 800) == pytest.approx([0.16] * 25, abs=0.04)  # erfc(1), as promised


def test_a_pilot_run_places_rungs_that_exchange_as_predicted():
    """Eight modes are not quite normal in energy: prediction and the exact acceptance agree to 0.06."""
    network = LinearNetwork(96)
    found = pilot(network, acceptance=0.3)
    exact = harmonic_acceptance(found.ladder, 8)
    assert found.ladder[[0, -1]].tolist() == pytest.approx([1.0, 16.0])
    assert found.acceptance.min() >= 0.3 - 1e-6
    assert np.ptp(found.acceptance) < 0.01
    assert np.abs(found.acceptance - exact).max() < 0.06
    expected = [network.log_z(1.0) - network.log_z(t) for t in found.ladder.tolist()]
    assert found.weights == pytest.approx(expected, abs=1.0)
    assert f"{len(found.ladder)} rungs from T = 1 to 16" in str(found)
    sparse = pilot(network, acceptance=0.1)
    assert len(sparse.ladder) < len(found.ladder)


def test_tempering_the_loss_needs_fewer_rungs_and_leaves_the_prior_alone():
    network = LinearNetwork(48, n=4)  # four data, so that the prior holds half of the modes
    before = network.system.stiffness
    everything, loss = (pilot(network, high=100.0, dt=0.06, tempered=what) for what in ("all", "loss"))
    assert len(loss.ladder) < len(everything.ladder)
    assert network.system.stiffness is before


def test_a_hopeless_ladder_is_refused_with_the_remedies():
    network = LinearNetwork(24)
    with pytest.raises(TemperingError, match=r"8 moving parameters need \d+ rungs.*tempered='loss'.*requires_grad_"):
        pilot(network, acceptance=0.9, at_most=10)


def test_a_ladder_describes_itself():
    action = ReplicaExchange(geometric(1.0, 4.0, 3), every=7, ladders=2)
    assert repr(action) == "ReplicaExchange(ladder=[1.0, 2.0, 4.0], every=7, tempered='all', ladders=2)"
    assert action.temperatures(6).flatten().tolist() == pytest.approx([1.0, 2.0, 4.0] * 2)
    assert log(action.ladder[1]) == pytest.approx(log(4.0) / 2)
