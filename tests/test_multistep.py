"""Law: multiple time steps are the inner motion kicked by the slow force: reversible, canonical, up to resonance."""

from dataclasses import replace
from math import cos, pi, sin

import pytest
import torch
from methods import continues_exactly, moments_off, positions
from systems import COUPLED, HARMONIC, MODES, Lattice, LinearNetwork, Z, deviation, slopes, vector
from test_linear_network import off, posterior, step

import mdnet as md
from integrators import (
    ABOBA,
    BAOAB,
    LEAPFROG,
    OBABO,
    OMELYAN,
    POSITION_VERLET,
    VERLET,
    Isokinetic,
    MultipleTimeSteps,
    Splitting,
    kinetic_energy,
    outer,
)
from thermostats import AdaptiveLangevin, Decoherence, Langevin, NoseHooverChain

M = COUPLED.m
ZERO = torch.zeros(6, dtype=torch.float64)
FAST = Lattice(COUPLED.k, ZERO, M, b=COUPLED.b)  # springs and bonds
SLOW = Lattice(ZERO, COUPLED.c, M, g=COUPLED.g)  # the quartic rest
NOTHING = Lattice(ZERO, ZERO, M)


def split(scheme, dt, repeats, bath=None, fast=FAST, slow=SLOW):
    return MultipleTimeSteps(Splitting(scheme, fast, dt / repeats, bath), slow, repeats)


def start(engine, replicas=64, temperature=0.5):
    torch.manual_seed(torch.initial_seed())
    q = 0.5 * torch.randn(replicas, 6, dtype=torch.float64)
    return engine.start(q, torch.randn_like(q) * torch.sqrt(temperature * M), M)


@pytest.mark.parametrize("bath", [None, Langevin(1.0, 1.0), NoseHooverChain(1.0, 1.0)], ids=str)
@pytest.mark.parametrize("repeats", [1, 4])
def test_without_a_slow_force_it_is_the_inner_scheme(repeats, bath):
    scheme = VERLET if bath is None else BAOAB
    inner, whole = (
        Splitting(scheme, COUPLED, 0.05, bath),
        split(scheme, 0.05 * repeats, repeats, bath, COUPLED, NOTHING),
    )
    a, b = start(inner), start(whole)
    torch.manual_seed(torch.initial_seed())
    for _ in range(10 * repeats):
        inner(a)
    torch.manual_seed(torch.initial_seed())
    for _ in range(10):
        whole(b)
    for name in ("q", "p", "f", "u", "heat"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("scheme", [VERLET, POSITION_VERLET, OMELYAN], ids=str)
def test_energy_error_is_of_second_order(scheme):
    errors = []
    for dt in (0.16, 0.08, 0.04):
        phase = start(engine := split(scheme, dt, 3))
        first, kept = phase.u + kinetic_energy(phase.p, M), []
        for _ in range(round(3.2 / dt)):
            engine(phase)
            engine.sync(phase)
            kept.append(phase.u + kinetic_energy(phase.p, M) - first)
        errors.append(torch.stack(kept).square().mean().sqrt().item())
    assert slopes(errors) == pytest.approx([2, 2], abs=0.25)


@pytest.mark.parametrize("scheme", [VERLET, ABOBA, OMELYAN], ids=str)
def test_u_and_f_are_those_of_the_whole(scheme):
    phase = start(engine := split(scheme, 0.1, 2, Langevin(1.0, 1.0) if scheme.has_bath else None))
    for _ in range(5):
        torch.testing.assert_close((phase.u, phase.f), COUPLED(phase.q), rtol=1e-12, atol=1e-12)
        engine(phase)
        engine.sync(phase)
    torch.testing.assert_close(engine.force(phase.q), COUPLED(phase.q), rtol=1e-12, atol=1e-12)


def test_it_is_reversible():
    phase = start(engine := split(VERLET, 0.1, 4))
    q, p = phase.q.clone(), phase.p.clone()
    for _ in range(100):
        engine(phase)
    assert (phase.q - q).abs().max() > 0.1
    phase.p.neg_()
    for _ in range(100):
        engine(phase)
    assert max((phase.q - q).abs().max(), (phase.p + p).abs().max()) < 1e-10


@pytest.mark.parametrize("scheme", [BAOAB, OBABO], ids=str)
def test_it_is_canonical_with_a_bath_inside(scheme):
    engine = split(scheme, 0.12, 3, Langevin(1.0, friction=1.0))
    assert engine.canonical
    assert engine.temperature is engine.inner.temperature
    assert moments_off(COUPLED, positions(engine, COUPLED, replicas=1024, burn=160, frames=8, every=32)) < Z


def test_isokinetic_motion_inside_is_kicked_isokinetically():
    def build(dt, bath=None):
        scheme = OMELYAN if bath is None else outer(OMELYAN)
        return MultipleTimeSteps(Isokinetic(scheme, FAST, dt / 2, temperature=1.0, thermostat=bath), SLOW, 2)

    errors = []
    for dt in (0.08, 0.04):
        phase = start(engine := build(dt))
        first = phase.u + kinetic_energy(phase.p, M)
        for _ in range(round(1.6 / dt)):
            engine(phase)
        kinetic = kinetic_energy(phase.p, M)
        torch.testing.assert_close(kinetic, torch.full_like(kinetic, 2.5), rtol=1e-12, atol=0)
        errors.append((phase.u + kinetic - phase.heat - first).square().mean().sqrt().item())
    assert slopes(errors) == pytest.approx([2], abs=0.25)
    assert engine.half_step(phase) is None
    engine = build(0.12, Decoherence(2.0))
    assert moments_off(COUPLED, positions(engine, COUPLED, replicas=768, burn=160, frames=8, every=32)) < Z


@pytest.mark.parametrize("scheme", [BAOAB, OBABO], ids=str)
def test_books_with_a_noisy_bath_inside(scheme):
    """<e^{-W/T}> = 1 at any dt for W = U + K - heat less its canonical start; <W> is of second order, sd(W) of first.

    Reference: Sivak, Chodera, Crooks, Phys. Rev. X 3, 011007 (2013).
    """
    temperature, work = 0.7, []
    fast, slow = Lattice(MODES.k, ZERO, M), Lattice(ZERO, MODES.c, M)
    for dt in (0.16, 0.08):
        engine = split(scheme, dt, 3, Langevin(temperature, 1.0), fast, slow)
        phase = engine.start(*MODES.sample(8192, temperature), M)
        first = phase.u + kinetic_energy(phase.p, M)
        for _ in range(round(3.2 / dt)):
            engine(phase)
        work.append(phase.u + kinetic_energy(phase.p, M) - phase.heat - first)
        weight = torch.exp(-work[-1] / temperature)
        assert deviation(weight, 1.0) < Z
        assert deviation(weight[:, None] * phase.q**2, MODES.moment(2, temperature)) < Z
    assert 3 < work[0].mean() / work[1].mean() < 5.5
    assert 1.5 < work[0].std() / work[1].std() < 3


def test_the_posterior_of_a_network_with_most_of_its_data_inside():
    network = LinearNetwork(256)
    system = network.system
    fast, slow = system.split(torch.arange(20))  # of 24 rows
    inner = Splitting(BAOAB, fast, step(network, 0.3), Langevin(1.0, friction=2.0))
    engine = MultipleTimeSteps(inner, slow, 3)
    q, u = posterior(network, engine, burn=150, frames=40, every=6)
    torch.testing.assert_close(engine.force(q[-1]), system.force(q[-1]), rtol=1e-10, atol=1e-10)
    assert max(off(network, q, network.covariance())) < Z
    assert deviation(u.mean(0), network.mean_energy()) < Z


def resonance(phase, k=0.3):
    """How far a mode of frequency 1 kicked by a slow spring k goes in steps of w dt = phase, and the prediction."""
    one = vector(1.0)
    fast, slow = Lattice(one, 0 * one, one), Lattice(k * one, 0 * one, one)
    engine = split(VERLET, phase, 100, fast=fast, slow=slow)
    state = engine.start(torch.ones(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64), one)
    most = 0.0
    for _ in range(150):
        engine(state)
        most = max(most, state.u.item())
    return most, abs(cos(phase) - k * phase / 2 * sin(phase)) > 1, engine.strain(one)


@pytest.mark.parametrize("phase", [0.5, 2.0, 0.99 * pi, 1.02 * pi, 4.5])
def test_resonance_bounds_the_outer_step(phase):
    """|cos w dt - (k dt/2w) sin w dt| > 1 just below pi/w, however short the inner steps are; stable again above."""
    most, unstable, strain = resonance(phase)
    assert unstable == (phase == 0.99 * pi)
    assert (most > 1e3) == unstable
    assert (strain.item() > 0.95) == (phase > 3)


def test_a_schedule_reaches_the_inner_steps():
    engine = split(VERLET, 0.4, 4)
    phase = start(engine)
    same = split(VERLET, 0.2, 4)
    other = start(same)
    engine.dt.fill_(0.2)
    for _ in range(5):
        engine(phase)
        same(other)
    assert engine.inner.dt.item() == 0.05
    torch.testing.assert_close(phase.q, other.q, rtol=0, atol=0)


def test_step_sizes_and_temperatures_may_differ_by_replica():
    dt, ladder = vector(0.04, 0.08)[:, None], vector(0.5, 2.0)[:, None]
    q, p = torch.randn(2, 6, dtype=torch.float64), torch.randn(2, 6, dtype=torch.float64)
    ends = []
    for rows in (slice(0, 2), slice(1, 2)):
        bath = NoseHooverChain(ladder[rows], 1.0)
        engine = MultipleTimeSteps(Splitting(BAOAB, FAST, dt[rows] / 2, bath), SLOW, 2)
        phase = engine.start(q[rows].clone(), p[rows].clone(), M)
        for _ in range(30):
            engine(phase)
        ends.append(phase.q[-1])
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-12)


def test_half_step_momenta_are_those_before_the_closing_kicks():
    engine = split(BAOAB, 0.3, 1, Langevin(1.0, 1.0))  # one repeat: BAOAB of the whole
    phase = start(engine)
    engine(phase)
    torch.testing.assert_close(engine.half_step(phase), phase.p - 0.15 * phase.f)
    assert engine.momenta(phase) is phase.p


def test_a_mirror_turns_both_forces():
    phase = start(engine := split(VERLET, 0.1, 2))
    twin = replace(phase, bath=tuple(x.clone() for x in phase.bath), **{n: getattr(phase, n).clone() for n in "qpfu"})
    sign = -torch.ones_like(phase.q)
    phase.q.neg_()
    engine.mirror(phase, sign)
    torch.testing.assert_close(phase.f, -twin.f, rtol=0, atol=0)
    for _ in range(20):  # the potential is even, so the mirrored path is the mirror of the path
        engine(phase)
        engine(twin)
    torch.testing.assert_close(phase.q, -twin.q, rtol=0, atol=0)
    torch.testing.assert_close(phase.f, -twin.f, rtol=0, atol=0)


def test_a_replica_that_is_put_elsewhere_has_all_that_belongs_to_its_position():
    phase = start(engine := split(BAOAB, 0.1, 2, NoseHooverChain(1.0, 1.0)), replicas=4)
    for _ in range(3):
        engine(phase)
    rows = torch.tensor([1, 0, 3, 3])
    end = phase.q.clone(), phase.u.clone(), phase.f.clone()
    engine.select(phase, rows)
    torch.testing.assert_close((phase.q, phase.u, phase.f), tuple(x[rows] for x in end), rtol=0, atol=0)
    for _ in range(3):
        torch.testing.assert_close((phase.q[2], phase.u[2]), (phase.q[3], phase.u[3]), rtol=0, atol=0)
        torch.testing.assert_close((phase.u, phase.f), COUPLED(phase.q), rtol=1e-12, atol=1e-12)
        engine(phase)
    assert (phase.q[0] - phase.q[1]).abs().max() > 0.1


def test_rescale_reaches_momenta_and_bath():
    phase = start(engine := split(BAOAB, 0.1, 2, NoseHooverChain(1.0, 1.0)))
    for _ in range(5):
        engine(phase)
    p, links = phase.p.clone(), phase.bath[4].clone()
    engine.rescale(phase, torch.full((64, 1), 2.0))
    torch.testing.assert_close((phase.p, phase.bath[4]), (2 * p, 2 * links))


def noisy(q):
    return SLOW(q)


noisy.stochastic = True


def test_a_minibatch_outside_is_canonical_only_where_it_is_compensated():
    langevin, adaptive = Langevin(1.0, 1.0), AdaptiveLangevin(1.0, friction=1.0, tau=1.0)
    assert split(BAOAB, 0.1, 2, langevin).canonical
    engine = split(BAOAB, 0.1, 2, langevin, slow=noisy)
    assert engine.stochastic
    assert not engine.canonical
    assert split(BAOAB, 0.1, 2, adaptive, slow=noisy).canonical
    assert not split(VERLET, 0.1, 2).canonical


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch itself; a fall back to eager is an error
def test_compiled_inner_steps_are_the_same():
    ends = []
    for compile in (False, True):
        inner = Splitting(OMELYAN, FAST, 0.05, compile=compile)
        phase = start(engine := MultipleTimeSteps(inner, SLOW, 2), replicas=4)
        for _ in range(20):
            engine(phase)
        ends.append(torch.cat([phase.q, phase.p], -1))
    torch.testing.assert_close(*ends, rtol=1e-11, atol=1e-11)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="repeats = 0"):
        MultipleTimeSteps(Splitting(VERLET, HARMONIC, 0.1), HARMONIC, 0)
    with pytest.raises(ValueError, match="ahead of its positions"):
        split(LEAPFROG, 0.1, 2)


@pytest.mark.parametrize("bath", ["none", "langevin", "chain"])
def test_resume(tmp_path, bath):
    def build(system):
        fast, slow = system.split(torch.arange(8))  # of 12 rows
        baths = {"none": None, "langevin": Langevin(0.1, 1.0), "chain": NoseHooverChain(0.1, 0.5)}
        inner = Splitting(POSITION_VERLET if bath == "none" else BAOAB, fast, 0.01, baths[bath])
        return MultipleTimeSteps(inner, slow, 3)

    schedule = {"dt": md.Linear(0.01, 0.06, 20)}
    if bath != "none":
        schedule["temperature"] = md.Linear(0.1, 0.3, 20)
    continues_exactly(tmp_path, build, schedule)
