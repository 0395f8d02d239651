"""Law: isokinetic dynamics keeps K exactly and U + K - heat to its order, and samples the positions canonically."""

import pytest
import torch
from methods import continues_exactly, moments_off, positions
from systems import COUPLED, HARMONIC, MODES, SYSTEMS, Lattice, LinearNetwork, Z, deviation, slopes, vector
from test_linear_network import off, posterior, step

import mdnet as md
from integrators import LEAPFROG, OMELYAN, VERLET, YOSHIDA4, Isokinetic, Splitting, kinetic_energy, outer
from thermostats import Decoherence, Langevin, NoBath

BARE = [VERLET, OMELYAN, YOSHIDA4]
MCLMC = outer(OMELYAN)
T = 0.7
ISOTROPIC = Lattice(*torch.tensor([[1.0], [0.0], [1.0]], dtype=torch.float64).expand(3, 6))


def build(scheme, system, dt, temperature=T, length=2.0):
    bath = Decoherence(length) if scheme.has_bath else None
    return Isokinetic(scheme, system, dt, temperature=temperature, thermostat=bath)


def conserved(scheme, system, dt, replicas=64, time=3.2):
    """U + K - heat less its start (steps, replicas), and the largest deviation of K."""
    torch.manual_seed(torch.initial_seed())
    q, p = (MODES if system.b else system).sample(replicas, 0.5)
    phase = (engine := build(scheme, system, dt)).start(q, p, system.m)
    start, constant = phase.u + kinetic_energy(phase.p, phase.m), (system.dof - 1) * T / 2
    kept, worst = [], 0.0
    for _ in range(round(time / dt)):
        engine(phase)
        kinetic = kinetic_energy(phase.p, phase.m)
        kept.append(phase.u + kinetic - phase.heat - start)
        worst = max(worst, (kinetic - constant).abs().max().item())
    return torch.stack(kept), worst


@pytest.mark.parametrize("scheme", BARE, ids=str)
@pytest.mark.parametrize("system", SYSTEMS)
def test_books_balance_to_the_order_of_the_scheme_and_k_is_constant(scheme, system):
    runs = [conserved(scheme, SYSTEMS[system], dt) for dt in (0.04, 0.02)]
    seen = slopes([error.square().mean().sqrt().item() for error, _ in runs])
    assert seen == pytest.approx([scheme.order], abs=0.25)
    assert max(worst for _, worst in runs) < 1e-12


def test_books_balance_with_turning():
    runs = [conserved(MCLMC, COUPLED, dt, replicas=1024) for dt in (0.1, 0.05)]
    first, second = (error.square().mean().sqrt().item() for error, _ in runs)
    assert 3 < first / second < 5.5
    assert max(worst for _, worst in runs) < 1e-12


def test_forces_of_any_strength_leave_k_constant():
    """Along and against the motion, at nearly no and at overwhelming strength: e^-d underflows long before."""
    strengths = vector(0.0, 1e-200, 1e-20, 1.0, 1e3, 1e20)

    def force(q):
        return torch.zeros(len(q), dtype=torch.float64), torch.outer(strengths, vector(1.0, 0.0, 0.0))

    for sign in (1.0, -1.0):
        engine = Isokinetic(VERLET, force, 0.1, temperature=T)
        p = vector(sign, 0.3, 0.2).repeat(6, 1)
        phase = engine.start(torch.zeros(6, 3, dtype=torch.float64), p, torch.ones(3, dtype=torch.float64))
        first = phase.p.clone()
        for _ in range(20):
            engine(phase)
            assert (kinetic_energy(phase.p, phase.m) - T).abs().max() < 1e-12
        torch.testing.assert_close(phase.p[:3], first[:3], rtol=1e-14, atol=1e-14)
        assert (phase.p[3:] - first[3:]).abs().amin(0)[0] > 0.01
        assert torch.isfinite(phase.heat).all()


@pytest.mark.parametrize(("dtype", "exact"), [(torch.float32, 1e-4), (torch.float64, 1e-8)], ids=str)
def test_a_force_straight_against_the_motion_does_no_harm(dtype, exact):
    strengths = torch.tensor([1e-3, 0.5, 100.0, 1e4, 1e6], dtype=dtype).repeat(200)[:, None]
    engine = Isokinetic(VERLET, MODES, 1.0, temperature=T)
    p = torch.randn(1000, 6, dtype=dtype)
    phase = engine.start(torch.zeros_like(p), p, MODES.m.to(dtype))
    phase.f.copy_(-strengths * phase.p)
    engine.kick(phase, vector(1.0))
    assert torch.isfinite(phase.heat).all()
    assert (kinetic_energy(phase.p, phase.m) / (2.5 * T) - 1).abs().max() < exact


def test_a_kick_is_the_exact_motion_in_a_constant_force():
    """dp = (f - zeta p) dt, integrated by small steps of a method of fourth order."""
    m, f, p = vector(1.0, 2.0, 0.5), vector(0.7, -1.1, 0.4), vector(-0.5, 0.9, 0.2)[None]
    engine = Isokinetic(VERLET, lambda q: (q.sum(-1), f.expand_as(q)), 1.0, temperature=T)
    phase = engine.start(torch.zeros_like(p), p.clone(), m)
    p = phase.p.clone()

    def change(p):
        return f - (f * p / m).sum() / (p * p / m).sum() * p

    engine.kick(phase, vector(1.5))
    work, h = 0.0, 1.5 / 2000
    for _ in range(2000):
        k1 = change(p)
        k2 = change(p + h / 2 * k1)
        k3 = change(p + h / 2 * k2)
        k4 = change(p + h * k3)
        work += h * (f * (p + h / 2 * k2) / m).sum()
        p = p + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    torch.testing.assert_close(phase.p, p, rtol=1e-10, atol=1e-10)
    assert -phase.heat.item() == pytest.approx(work.item(), rel=1e-5)


@pytest.mark.parametrize("scheme", BARE, ids=str)
@pytest.mark.parametrize("system", SYSTEMS)
def test_it_is_reversible(scheme, system):
    system = SYSTEMS[system]
    q = 0.8 * torch.randn(8, system.dof, dtype=torch.float64)
    phase = (engine := build(scheme, system, 0.02)).start(q.clone(), torch.randn_like(q), system.m)
    p = phase.p.clone()
    for _ in range(300):
        engine(phase)
    assert (phase.q - q).abs().max() > 0.1
    phase.p.neg_()
    for _ in range(300):
        engine(phase)
    assert max((phase.q - q).abs().max(), (phase.p + p).abs().max()) < 1e-9
    assert phase.heat.abs().max() < 1e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("system", [COUPLED, MODES], ids=["coupled", "modes"])
def test_mclmc_samples_the_positions(system, dtype):
    engine = build(MCLMC, system, 0.2, temperature=1.0)
    assert engine.canonical
    q = positions(engine, system, replicas=1024, burn=120, frames=8, every=24, dtype=dtype)
    assert moments_off(system, q) < Z


@pytest.mark.parametrize("turned", [True, False])
def test_without_turning_it_is_not_ergodic(turned):
    """Angular momenta of an isotropic oscillator are conserved directions: only a bath that turns mixes them."""
    engine = build(outer(VERLET) if turned else VERLET, ISOTROPIC, 0.1, temperature=1.0)
    q = positions(engine, ISOTROPIC, replicas=1024, burn=300, frames=6, every=48)
    assert (deviation(q.square().mean(0), 1.0) < Z) == turned


@pytest.mark.parametrize("bath", [NoBath(), Decoherence(float("inf"))], ids=repr)
def test_a_bath_that_does_nothing_changes_nothing(bath):
    q, p = MODES.sample(8, 1.0)
    ends = []
    for engine in (build(VERLET, MODES, 0.1), Isokinetic(outer(VERLET), MODES, 0.1, temperature=T, thermostat=bath)):
        phase = engine.start(q.clone(), p.clone(), MODES.m)
        for _ in range(50):
            engine(phase)
        ends.append(phase.q)
    torch.testing.assert_close(*ends, rtol=1e-11, atol=1e-11)


def test_it_samples_the_posterior_of_a_network():
    network = LinearNetwork(256)
    engine = build(MCLMC, network.system.force, step(network, 0.9), temperature=1.0, length=1.0)
    q, u = posterior(network, engine, burn=300, frames=40, every=8)
    assert max(off(network, q, network.covariance())) < Z
    assert deviation(u.mean(0), network.mean_energy()) < Z


def test_the_bias_of_the_posterior_falls_four_times_per_halving():
    """<U> of an isotropic oscillator, where a bias of second order in dt is large enough to be seen."""
    biases = []
    for dt in (1.2, 0.6):
        engine = build(outer(VERLET), ISOTROPIC, dt, temperature=1.0, length=3.0)
        q = positions(engine, ISOTROPIC, replicas=4096, burn=60, frames=60, every=4)
        energy = q.square().sum(-1).mean(0) / 2 - 3.0
        assert deviation(energy, 0.0) > Z
        biases.append(energy.mean().item())
    assert 3 < biases[0] / biases[1] < 5.5


def test_temperatures_may_differ_by_replica_and_change():
    """K follows a temperature that is changed in place, and what that costs is booked."""
    ladder = vector(0.5, 2.0).repeat_interleave(512)[:, None]
    engine = build(MCLMC, MODES, 0.2, temperature=ladder.flip(0))
    phase = engine.start(torch.zeros(1024, 6, dtype=torch.float64), torch.zeros(1024, 6, dtype=torch.float64), MODES.m)
    start = phase.u + kinetic_energy(phase.p, phase.m)
    kept = []
    for n in range(360):
        if n == 40:
            engine.temperature.copy_(ladder)
        engine(phase)
        if n > 180 and n % 20 == 0:
            kept.append(phase.q.clone())
    torch.testing.assert_close(kinetic_energy(phase.p, phase.m), 2.5 * ladder[:, 0], rtol=1e-12, atol=0)
    error = phase.u + kinetic_energy(phase.p, phase.m) - phase.heat - start
    assert error.square().mean() < 0.01 * phase.heat.square().mean()
    for rows, temperature in zip(torch.stack(kept).split(512, 1), (0.5, 2.0), strict=True):
        assert deviation(rows.square().mean(0), MODES.moment(2, temperature)) < Z


def test_a_temperature_that_passes_through_zero_leaves_everything_finite():
    engine = build(MCLMC, MODES, 0.1)
    phase = engine.start(*MODES.sample(4, 1.0), MODES.m)
    for temperature in (0.0, 0.5):
        engine.temperature.fill_(temperature)
        for _ in range(10):
            engine(phase)
        assert kinetic_energy(phase.p, phase.m).max() == pytest.approx(2.5 * temperature)
    assert torch.isfinite(phase.q).all()
    assert torch.isfinite(phase.heat).all()


def test_each_replica_starts_with_its_k_and_a_direction_of_its_own():
    p = torch.zeros(3, 6, dtype=torch.float64)
    p[0] = 7.0
    phase = build(VERLET, MODES, 0.1).start(torch.zeros_like(p), p, MODES.m)
    torch.testing.assert_close(kinetic_energy(phase.p, MODES.m), torch.full((3,), 2.5 * T, dtype=torch.float64))
    assert phase.p[0].std() < 1e-12
    assert (phase.p[1] - phase.p[2]).abs().min() > 1e-6


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch itself; a fall back to eager is an error
def test_compiled_kicks_are_the_same():
    ends = []
    for compile in (False, True):
        torch.manual_seed(torch.initial_seed())
        q, p = MODES.sample(4, 1.0)
        engine = Isokinetic(VERLET, MODES, 0.1, temperature=vector(0.5, 1.0, 2.0, 3.0)[:, None], compile=compile)
        phase = engine.start(q, p, MODES.m)
        for _ in range(20):
            engine(phase)
        ends.append(torch.cat([phase.q, phase.p, phase.heat[:, None]], -1))
    torch.testing.assert_close(*ends, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Isokinetic(VERLET, MODES, 0.1, temperature=0.0), "temperature = 0.0 must be finite and positive"),
        (lambda: Isokinetic(MCLMC, MODES, 0.1, temperature=1.0), "no thermostat"),
        (lambda: Isokinetic(VERLET, MODES, 0.1, temperature=1.0, thermostat=NoBath()), "would never act"),
        (lambda: Isokinetic(MCLMC, MODES, 0.1, temperature=1.0, thermostat=Langevin(1.0, 1.0)), "Decoherence"),
        (lambda: Isokinetic(LEAPFROG, MODES, 0.1, temperature=1.0), "ahead of its positions"),
        (lambda: build(VERLET, MODES, 0.1).start(*torch.ones(2, 1, 1), vector(1.0)), "two or more"),
    ],
)
def test_what_cannot_be_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_the_half_step_is_none_of_its_business():
    phase = (engine := build(VERLET, HARMONIC, 0.1)).start(*HARMONIC.sample(2, 1.0), HARMONIC.m)
    assert engine.half_step(phase) is None
    assert engine.momenta(phase) is phase.p
    assert not Splitting(VERLET, HARMONIC, 0.1).canonical


@pytest.mark.parametrize("scheme", [VERLET, MCLMC], ids=str)
def test_resume(tmp_path, scheme):
    schedule = {"temperature": md.Linear(0.1, 0.3, 20), "dt": md.Linear(0.01, 0.03, 20)}
    continues_exactly(tmp_path, lambda system: build(scheme, system.force, 0.02), schedule)
