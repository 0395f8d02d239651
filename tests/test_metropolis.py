"""Law: hybrid Monte Carlo samples exp(-U/T) exactly at any step size, and keeps its books."""

import pytest
import torch
from methods import continues_exactly, moments_off, positions
from scipy.special import erfc
from systems import COUPLED, HARMONIC, MODES, Lattice, LinearNetwork, Z, deviation, vector
from test_linear_network import off, posterior, step

import mdnet as md
from integrators import (
    BAOAB,
    HMC,
    LEAPFROG,
    MALA,
    OBABO,
    OMELYAN,
    POSITION_VERLET,
    VERLET,
    YOSHIDA4,
    Scheme,
    Splitting,
    kinetic_energy,
)
from thermostats import Langevin

T = 0.7
K, M = HARMONIC.k, HARMONIC.m
LARGE = 1.3 / (K / M).sqrt().max().item()  # w dt = 1.3 for the stiffest mode
PARTIAL = {"refresh": 0.3, "steps": 1}


def harmonic(dof):
    """Modes of frequencies from 0.5 to 1.5."""
    return Lattice(torch.linspace(0.25, 2.25, dof, dtype=torch.float64), *torch.tensor([[0.0], [1.0]]).expand(2, dof))


def start(engine, system=HARMONIC, replicas=256, temperature=T):
    return engine.start(*system.sample(replicas, temperature), system.m)


@pytest.mark.parametrize("options", [{"steps": 3}, PARTIAL, {"steps": 1, "jitter": 0.0}], ids=str)
def test_it_is_exact_at_a_large_step(options):
    engine = HMC(HARMONIC, LARGE, temperature=T, **options)
    assert engine.canonical
    q = positions(engine, HARMONIC, replicas=2048, burn=60, frames=20, every=8)
    assert deviation(q.square().mean(0), T / K) < Z
    assert deviation((q**4).mean(0), 3 * (T / K) ** 2) < Z


def test_the_same_step_without_the_test_is_not():
    engine = Splitting(OBABO, HARMONIC, LARGE, Langevin(T, 1.0))
    q = positions(engine, HARMONIC, replicas=2048, burn=60, frames=20, every=8)
    assert deviation(q.square().mean(0), T / K) > 4 * Z


class Unturned(HMC):
    """Keeps the momenta of rejected proposals."""

    def __call__(self, phase):
        before = self.accepted(phase).clone()
        super().__call__(phase)
        phase.p.mul_(torch.where(self.accepted(phase) > before, 1.0, -1.0)[:, None])


@pytest.mark.parametrize("method", [HMC, Unturned])
def test_rejection_must_turn_the_momenta_round(method):
    engine = method(HARMONIC, 1.2 * LARGE, temperature=T, refresh=0.1, steps=1)
    q = positions(engine, HARMONIC, replicas=2048, burn=100, frames=20, every=10)
    assert (deviation(q.square().mean(0), T / K) < Z) == (method is HMC)


@pytest.mark.parametrize("options", [{"steps": 4}, {"steps": 2, "scheme": OMELYAN}, PARTIAL], ids=str)
@pytest.mark.parametrize("system", [COUPLED, MODES], ids=["coupled", "modes"])
def test_anharmonic_positions(system, options):
    engine = HMC(system, 0.4, temperature=1.0, **options)
    q = positions(engine, system, replicas=768, burn=120, frames=10, every=10)
    assert moments_off(system, q) < Z


def test_anharmonic_positions_in_single_precision():
    engine = HMC(MODES, 0.4, temperature=1.0, steps=4)
    q = positions(engine, MODES, replicas=768, burn=60, frames=10, every=10, dtype=torch.float32)
    assert moments_off(MODES, q) < Z


def test_the_posterior_of_a_network_at_a_large_step():
    network = LinearNetwork(256)
    q, u = posterior(network, HMC(network.system.force, step(network), temperature=1.0, steps=3), burn=60, every=4)
    assert max(off(network, q, network.covariance())) < Z
    assert deviation(u.mean(0), network.mean_energy()) < Z
    assert deviation((u - network.mean_energy()).square().mean(0), len(network.m) / 2) < Z


@pytest.mark.parametrize("options", [{"steps": 3}, PARTIAL, {"steps": 3, "scheme": POSITION_VERLET}], ids=str)
def test_energy_errors_obey_their_identities(options):
    """<e^{-dH/T}> = 1, and <min(1, e^{-dH/T})> = 2 P(dH < 0), in equilibrium.

    The step is small, for at a large one the first average rests on starts so rare that none is sampled.

    Reference: Creutz, Phys. Rev. D 38, 1228 (1988).
    """
    phase = start(engine := HMC(MODES, 0.3, temperature=T, **options), MODES, replicas=8192)
    weights, balances = [], []
    for _ in range(12):
        engine(phase)
        x = engine.energy_error(phase) / T
        weights.append(torch.exp(-x))
        balances.append(torch.exp(-x).clamp(max=1.0) - 2.0 * (x < 0))
    assert deviation(torch.stack(weights).mean(0), 1.0) < Z
    assert deviation(torch.stack(balances).mean(0), 0.0) < Z


def test_acceptance_follows_the_complementary_error_function():
    """erfc(sqrt(<dH>/T)/2) where dH is a sum over many modes.

    Reference: Gupta, Irback, Karsch, Petersson, Phys. Lett. B 242, 437 (1990).
    """
    system = harmonic(400)
    for dt in (0.35, 0.5):
        q, p = (torch.randn(512, 400, dtype=torch.float64) * (T / x).sqrt() for x in (system.k, 1 / system.m))
        phase = (engine := HMC(system, dt, temperature=T, steps=5, jitter=0.0)).start(q, p, system.m)
        errors = []
        for _ in range(20):
            engine(phase)
            errors.append(engine.energy_error(phase).mean())
        mean = torch.stack(errors).mean().item()
        seen = engine.acceptance(phase).mean().item()
        assert 0.2 < seen < 0.97
        assert seen == pytest.approx(erfc((mean / T) ** 0.5 / 2), abs=0.015)


@pytest.mark.parametrize("options", [{"steps": 3}, PARTIAL], ids=str)
def test_the_books_are_what_is_seen(options):
    phase = start(engine := HMC(HARMONIC, LARGE, temperature=T, **options))
    assert engine.acceptance(phase).isnan().all()
    moves, chance = torch.zeros(256, dtype=torch.int64), torch.zeros(256, dtype=torch.float64)
    error, first = torch.zeros_like(chance), phase.u + kinetic_energy(phase.p, M)
    for _ in range(100):
        before = phase.q.clone()
        engine(phase)
        moved = (phase.q != before).any(-1)
        moves += moved
        chance += torch.exp(-engine.energy_error(phase) / T).clamp(max=1.0)
        error += torch.where(moved, engine.energy_error(phase), 0.0)
        torch.testing.assert_close((phase.u, phase.f), HARMONIC(phase.q), rtol=1e-12, atol=1e-12)
    assert (moves == engine.accepted(phase)).all()
    assert 20 < moves.double().mean() < 95
    torch.testing.assert_close(engine.acceptance(phase), chance / 100, rtol=1e-12, atol=0)
    assert deviation(moves / 100 - chance / 100, 0.0) < Z
    conserved = phase.u + kinetic_energy(phase.p, M) - phase.heat - first
    torch.testing.assert_close(conserved, error, rtol=0, atol=1e-10)


def test_a_rejected_proposal_leaves_all_but_the_sign_of_the_momenta():
    engine = HMC(HARMONIC, 50.0, temperature=T, steps=20, refresh=1e-12)
    phase = start(engine)
    q, p, u = phase.q.clone(), phase.p.clone(), phase.u.clone()
    for sign in (-1, 1, -1):
        engine(phase)
        torch.testing.assert_close((phase.q, phase.u), (q, u), rtol=0, atol=0)
        torch.testing.assert_close(phase.p, sign * p, rtol=1e-4, atol=1e-4)
    assert (engine.accepted(phase) == 0).all()
    assert engine.acceptance(phase).max() < 1e-100


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_energies_that_are_not_finite_are_rejected(value):
    """So they are walls: a mode cut off at |x| < 1 keeps its law inside."""

    def force(q):
        outside = (q.abs() > 1).any(-1)
        u = torch.where(outside, value, (q**2 / 2).sum(-1))
        return u, torch.where(outside[:, None], 0.0, -q)

    q = torch.zeros(4096, 1, dtype=torch.float64)
    phase = (engine := HMC(force, 0.5, temperature=1.0, steps=2)).start(q, torch.zeros_like(q), vector(1.0))
    kept = []
    for n in range(60):
        engine(phase)
        assert phase.q.abs().max() <= 1
        if n > 20:
            kept.append(phase.q[:, 0].square())
    assert torch.isfinite(engine.acceptance(phase)).all()
    assert torch.isfinite(phase.heat).all()
    assert deviation(torch.stack(kept).mean(0), 0.2911250947728) < Z  # 1 - 2 phi(1)/(2 Phi(1) - 1)


def test_mala_is_its_formula():
    """q' = q + dt^2 f/2m + dt sqrt(T/m) R, and dH/T = -log of pi(q') k(q', q)/(pi(q) k(q, q'))."""
    dt = 0.6
    phase = start(engine := MALA(MODES, dt, temperature=T), MODES, replicas=64)
    generator = torch.get_rng_state()
    q, u, f = phase.q.clone(), phase.u.clone(), phase.f.clone()
    engine(phase)
    torch.set_rng_state(generator)
    drift, width = dt**2 / (2 * MODES.m), dt * torch.sqrt(T / MODES.m)
    proposal = q + drift * f + width * torch.randn_like(q)
    new_u, new_f = MODES(proposal)
    forward = ((proposal - q - drift * f) / width).square().sum(-1) / 2
    backward = ((q - proposal - drift * new_f) / width).square().sum(-1) / 2
    torch.testing.assert_close(engine.energy_error(phase) / T, (new_u - u) / T + backward - forward)
    moved = engine.accepted(phase) > 0
    assert 10 < moved.sum() < 64
    torch.testing.assert_close(phase.q, torch.where(moved[:, None], proposal, q))
    assert repr(engine).startswith("MALA(VERLET, dt=0.6, steps=1")


def test_mala_samples_the_positions():
    q = positions(MALA(MODES, 0.6, temperature=1.0), MODES, replicas=1024, burn=150, frames=10, every=15)
    assert moments_off(MODES, q) < Z


@pytest.mark.parametrize("jitter", [0.0, 0.1])
def test_jitter_frees_modes_that_return_to_their_start(jitter):
    """Four steps of w dt = sqrt(2) are a whole period of VERLET: all is accepted, and nothing moves."""
    system = Lattice(*torch.tensor([[1.0], [0.0], [1.0]], dtype=torch.float64).expand(3, 2))
    engine = HMC(system, 2**0.5, temperature=1.0, steps=4, jitter=jitter)
    q = positions(engine, system, replicas=1024, burn=100, frames=10, every=10)
    assert (deviation(q.square().mean(0), 1.0) < Z) == (jitter > 0)


def test_temperatures_and_steps_may_differ_by_replica():
    ladder, dt = vector(0.25, 4.0).repeat_interleave(1024)[:, None], vector(0.15, 0.3).repeat(1024)[:, None]
    engine = HMC(MODES, dt, temperature=ladder, steps=6)
    q = positions(engine, MODES, replicas=2048, burn=100, frames=8, every=6)
    for rows, temperature in zip(q.split(1024, 1), (0.25, 4.0), strict=True):
        assert deviation(rows.square().mean(0), MODES.moment(2, temperature)) < Z


def test_at_zero_temperature_the_energy_never_rises():
    engine = HMC(COUPLED, 0.3, temperature=0.0, steps=2)
    phase = start(engine, MODES)
    u = phase.u.clone()
    for _ in range(200):
        before = phase.u.clone()
        engine(phase)
        assert (phase.u <= before).all()
    assert phase.u.mean() < 0.05 * u.mean()
    assert torch.isfinite(engine.acceptance(phase)).all()


def test_strain_is_that_of_the_longest_step():
    engine = HMC(HARMONIC, vector(1.0, 2.0)[:, None], temperature=1.0, steps=1, jitter=0.25)
    torch.testing.assert_close(engine.strain(vector(1.0, 1.0)), vector(1.25, 2.5) / 2, rtol=1e-2, atol=0)


def noisy(q):
    return HARMONIC(q)


noisy.stochastic = True


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": 0}, "steps = 0"),
        ({"temperature": -1.0}, "temperature = -1.0"),
        ({"refresh": 0.0}, "refresh = 0.0 must be finite and above 0 and at most 1"),
        ({"refresh": 1.1}, "refresh = 1.1"),
        ({"jitter": 1.0}, "jitter = 1.0"),
        ({"scheme": BAOAB}, "BAOAB has a bath"),
        ({"scheme": LEAPFROG}, "LEAPFROG is no palindrome"),
        ({"scheme": Scheme("MINE", (("A", 0.4), ("B", 1.0), ("A", 0.6)))}, "MINE is no palindrome"),
        ({"force": noisy}, "minibatch"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        HMC(**({"force": HARMONIC, "dt": 0.1, "temperature": 1.0, "steps": 1} | options))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch itself; a fall back to eager is an error
def test_compiled_proposals_are_the_same():
    ends = []
    for compile in (False, True):
        torch.manual_seed(torch.initial_seed())
        phase = start(engine := HMC(MODES, 0.4, temperature=T, steps=4, compile=compile), MODES, replicas=8)
        for _ in range(10):
            engine(phase)
        ends.append(phase.q)
    torch.testing.assert_close(*ends, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("options", [{"steps": 3}, PARTIAL, {"steps": 2, "scheme": YOSHIDA4}], ids=str)
def test_resume(tmp_path, options):
    schedule = {"temperature": md.Linear(0.1, 0.3, 20), "dt": md.Linear(0.1, 0.3, 20)}
    continues_exactly(tmp_path, lambda system: HMC(system.force, 0.2, temperature=0.1, **options), schedule)


def test_resume_of_mala(tmp_path):
    continues_exactly(tmp_path, lambda system: MALA(system.force, 0.2, temperature=0.1))


def test_the_default_scheme_is_velocity_verlet():
    assert HMC(HARMONIC, 0.1, temperature=1.0, steps=1).inner.scheme is VERLET
