"""Law: a bath acts for a time span exactly: it composes, books its energy, and knows its limits."""

from math import log

import pytest
import torch
from systems import ADAPTIVE, CHAINS, COLLECTIVE, COUPLED, SIZES, STOCHASTIC, THERMOSTATS, Z, deviation, slopes, vector

from integrators import BAOAB, Splitting, kinetic_energy, outer
from integrators import VERLET as verlet
from thermostats import (
    GJF,
    Andersen,
    Berendsen,
    Bussi,
    Decoherence,
    Langevin,
    NoBath,
    NoseHooverChain,
    VelocityRescaling,
)

M = COUPLED.m
GROUPS = {"global": {}, "layer": {"group": "layer", "sizes": SIZES}, "massive": {"group": "massive"}}
ALL = THERMOSTATS | {
    "Berendsen": lambda temperature, sizes: Berendsen(temperature, tau=0.5),
    "VelocityRescaling": lambda temperature, sizes: VelocityRescaling(temperature),
    "Decoherence": lambda temperature, sizes: Decoherence(length=2.0),
    "NoBath": lambda temperature, sizes: NoBath(),
}
COLDLESS = CHAINS | ADAPTIVE | COLLECTIVE  # their masses vanish at T = 0
HEATED = [name for name in ALL if name not in ("Decoherence", "NoBath")]


def maxwell(replicas, temperature=1.0, m=M):
    return torch.randn(replicas, len(m), dtype=torch.float64) * torch.sqrt(temperature * m)


def act(thermostat, p, dt, times=1, m=M):
    """Let a bath act on a copy of p for the time dt, in so many parts; return p and the bath."""
    p = p.clone()
    bath = thermostat.bath(p)
    for _ in range(times):
        thermostat(p, m, bath, torch.as_tensor(dt / times, dtype=torch.float64))
    return p, bath


def mismatch(order, dt, *, group="global", substeps=1, links=3):
    """The root mean square of energy(bath) + heat after a time 1.6 of nothing but the chain, over N_f T."""
    chain = NoseHooverChain(1.0, tau=1.0, order=order, substeps=substeps, links=links, **GROUPS[group])
    hot = maxwell(256, temperature=2.0)
    p, bath = act(chain, hot, 1.6, times=round(1.6 / dt))
    heat = kinetic_energy(p, M) - kinetic_energy(hot, M)
    assert (heat.abs() > 0.1).any()
    return ((chain.energy(bath) + heat).square().mean().sqrt() / len(M)).item()


@pytest.mark.parametrize("links", [1, 3, 5])
@pytest.mark.parametrize("group", GROUPS)
def test_chain_energy_is_the_heat_it_took(group, links):
    assert mismatch(7, 0.02, group=group, substeps=2, links=links) < 1e-9


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(("factors", "order"), [(1, 2), (3, 4), (5, 4), (7, 6)])
def test_chain_energy_has_the_order_of_its_factorisation(factors, order, group):
    errors = []
    for dt in (0.1, 0.05, 0.025):
        torch.manual_seed(torch.initial_seed())
        errors.append(mismatch(factors, dt, group=group))
    assert slopes(errors)[-1] == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("scheme", [BAOAB, outer(verlet)], ids=str)
@pytest.mark.parametrize("group", GROUPS)
def test_the_engine_books_the_chain_energy_as_heat(group, scheme):
    chain = NoseHooverChain(vector(0.5, 1.0, 2.0)[:, None], tau=2.0, order=7, substeps=2, **GROUPS[group])
    engine = Splitting(scheme, COUPLED, 0.02, chain)
    phase = engine.start(torch.randn(3, 6, dtype=torch.float64), maxwell(3), M)
    for _ in range(300):
        engine(phase)
    assert phase.heat.abs().min() > 0.01
    assert ((chain.energy(phase.bath) + phase.heat).abs() / phase.heat.abs().max()).max() < 1e-9


@pytest.mark.parametrize("times", [1, 2])
def test_langevin_is_the_exact_ornstein_uhlenbeck_process(times):
    gamma, dt, temperature = 0.7, 0.9, 1.3
    start = vector(0.0, 2.0, -1.0, 3.0, 0.5, -4.0)
    p, _ = act(Langevin(temperature, gamma), start.repeat(40_000, 1), dt, times)
    decay = torch.exp(vector(-gamma * dt))
    variance = (1 - decay**2) * M * temperature
    rest = p - decay * start
    assert deviation(rest, 0.0) < Z
    assert deviation(rest**2, variance) < Z
    assert deviation(rest**4, 3 * variance**2) < Z
    assert deviation(rest[:, 1:] * rest[:, :-1], 0.0) < Z


@pytest.mark.parametrize("times", [1, 2])
def test_andersen_collides_with_the_exact_probability(times):
    rate, dt, temperature = 0.7, 0.9, 1.3
    start = vector(0.1, 2.0, -1.0, 3.0, 0.5, -4.0)
    p, _ = act(Andersen(temperature, rate), start.repeat(40_000, 1), dt, times)
    kept = torch.exp(vector(-rate * dt))
    assert deviation((p == start).double(), kept) < Z
    assert deviation(p, kept * start) < Z
    assert deviation(p**2, kept * start**2 + (1 - kept) * M * temperature) < Z
    hit = (p != start).double()
    assert deviation(hit[:, 1:] * hit[:, :-1], (1 - kept) ** 2) < Z


@pytest.mark.parametrize("times", [1, 2])
def test_bussi_moves_the_kinetic_energy_by_its_exact_law(times):
    tau, dt, temperature = 0.8, 0.5, 1.3
    start = vector(0.3, 2.0, -1.0, 1.0, 0.5, -2.0)
    p, _ = act(Bussi(temperature, tau), start.repeat(40_000, 1), dt, times)
    k0, k, n = kinetic_energy(start, M), kinetic_energy(p, M), len(M)
    c = torch.exp(vector(-dt / tau))
    rest = (k - c * k0 - (1 - c) * n * temperature / 2)[:, None]
    variance = (1 - c) ** 2 * n * temperature**2 / 2 + 2 * c * (1 - c) * k0 * temperature
    third = temperature**3 * (n * (1 - c) ** 3 + 6 * c * (1 - c) ** 2 * k0 / temperature)
    assert deviation(rest, 0.0) < Z
    assert deviation(rest**2, variance) < Z
    assert deviation(rest**3, third) < Z
    assert (torch.nn.functional.cosine_similarity(p, start[None]).abs() - 1).abs().max() < 1e-12


def test_bussi_of_one_particle_is_langevin():
    start, m, gamma = vector(1.5), vector(2.0), 0.7
    p, _ = act(Bussi(1.3, tau=1 / (2 * gamma)), start.repeat(40_000, 1), 0.9, m=m)
    decay = torch.exp(vector(-gamma * 0.9))
    assert deviation(p, decay * start) < Z
    assert deviation((p - decay * start) ** 2, (1 - decay**2) * m * 1.3) < Z


def test_berendsen_relaxes_exponentially():
    start = maxwell(16, temperature=3.0)
    once, twice = (act(Berendsen(1.3, tau=0.8), start, 0.5, times)[0] for times in (1, 2))
    target = 6 * 1.3 / 2
    expected = target + (kinetic_energy(start, M) - target) * torch.exp(vector(-0.5 / 0.8))
    torch.testing.assert_close(kinetic_energy(once, M), expected, rtol=1e-13, atol=0)
    torch.testing.assert_close(once, twice, rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", STOCHASTIC)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_bath_keeps_the_law_of_maxwell(name, dtype):
    temperature = vector(0.5, 1.0, 4.0).repeat_interleave(20_000)[:, None]
    p = maxwell(60_000, temperature).to(dtype)
    for _ in range(3):
        (bath := STOCHASTIC[name](temperature, SIZES))(p, M.to(dtype), bath.bath(p), vector(0.4))
    reduced = p.double().square() / (M * temperature)
    for block in reduced.split(20_000):
        assert deviation(block, 1.0) < Z
        assert deviation(block**2, 3.0) < Z
        assert deviation(block[:, 1:] * block[:, :-1], 1.0) < Z


@pytest.mark.parametrize(
    ("bath", "factor"),
    [
        (Langevin(0.0, 0.7), -0.7),
        (GJF(0.0, 0.7), log((1 - 0.315) / (1 + 0.315)) / 0.9),
        (Bussi(0.0, 0.8), -0.5 / 0.8),
        (Berendsen(0.0, 0.8), -0.5 / 0.8),
        (VelocityRescaling(0.0), -float("inf")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_at_zero_temperature_a_bath_only_cools(bath, factor):
    start = maxwell(16)
    torch.testing.assert_close(act(bath, start, 0.9)[0], start * torch.exp(vector(0.9 * factor)), rtol=1e-13, atol=0)


def test_at_zero_temperature_a_collision_stops_a_particle():
    p, start = act(Andersen(0.0, 0.7), ones := torch.ones(4000, 6, dtype=torch.float64), 0.9)[0], ones
    assert ((p == 0) | (p == start)).all()
    assert deviation((p == 0).double(), 1 - torch.exp(vector(-0.7 * 0.9))) < Z


@pytest.mark.parametrize(("name", "temperature"), [(n, t) for n in ALL for t in (0.0, 1.0) if t or n not in COLDLESS])
@pytest.mark.parametrize("dof", [1, 6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_zero_momenta_do_no_harm(name, dof, dtype, temperature):
    p, m = torch.zeros(5, dof, dtype=dtype), torch.ones(dof, dtype=dtype)
    thermostat = ALL[name](temperature, (1, 2, 3) if dof == 6 else (1,))
    bath = thermostat.bath(p)
    for _ in range(3):
        thermostat(p, m, bath, vector(0.3))
    assert all(torch.isfinite(x).all() for x in (p, *bath))


@pytest.mark.parametrize("name", ALL)
def test_a_bath_acts_in_place(name):
    engine = Splitting(BAOAB, COUPLED, 0.05, ALL[name](1.0, SIZES))
    phase = engine.start(torch.zeros(99, 6, dtype=torch.float64), maxwell(99), M)
    tensors = (phase.q, phase.p, phase.f, phase.u, phase.heat, *phase.bath)
    addresses, before = [x.data_ptr() for x in tensors], phase.p.clone()
    assert engine.thermostat(phase.p, M, phase.bath, vector(0.1)) is None
    assert torch.equal(before, phase.p) == (name == "NoBath")
    engine(phase)
    after = (phase.q, phase.p, phase.f, phase.u, phase.heat, *phase.bath)
    assert all(x is y for x, y in zip(tensors, after, strict=True))
    assert [x.data_ptr() for x in after] == addresses
    assert not torch.equal(before, phase.p)


@pytest.mark.parametrize("name", HEATED)
def test_a_schedule_changes_the_temperature_in_place(name):
    engine = Splitting(BAOAB, COUPLED, 0.05, ALL[name](1.0, SIZES))
    phase = engine.start(torch.zeros(256, 6, dtype=torch.float64), maxwell(256, 0.01), M)
    engine.temperature.fill_(0.01)
    for _ in range(10):
        engine(phase)
    cold = kinetic_energy(phase.p, M).mean()
    engine.temperature.fill_(4.0)
    for _ in range(60):
        engine(phase)
    assert kinetic_energy(phase.p, M).mean() > 4 * cold


@pytest.mark.parametrize("name", ["Berendsen", "VelocityRescaling", *GROUPS])
def test_a_deterministic_bath_treats_replicas_apart(name):
    temperature, start = vector(0.5, 1.0, 4.0)[:, None], maxwell(3)
    together, _ = act(ALL[name](temperature, SIZES), start, 0.3)
    alone = [act(ALL[name](t.item(), SIZES), row[None], 0.3)[0] for t, row in zip(temperature, start, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-12, atol=1e-12)
