"""Law: a generalised Langevin bath bath is solved exactly, canonical at any step, and continues exactly."""

from math import sqrt

import numpy as np
import pytest
import torch
from scipy.linalg import solve_discrete_lyapunov
from systems import FREE, HARMONIC, MODES, Z, deviation, discrete_variance, slopes, vector
from test_resume import make_system

import mdnet as md
from integrators import BAOAB, OBABO, OMELYAN, VERLET, Splitting, kinetic_energy, outer
from mdnet.config.options import Choice
from mdnet.priors import mirror
from thermostats import Langevin
from thermostats.gle import GLE, delta_like, optimal_sampling, white_noise

T, M = 1.3, HARMONIC.m
SETS = {
    "white": lambda temperature: white_noise(temperature, friction=0.8),
    "delta": lambda temperature: delta_like(temperature, frequency=1.1, width=0.5, friction=0.4),
    "two decades": lambda temperature: optimal_sampling(temperature, slowest=0.2, fastest=5.0),
    "four decades": lambda temperature: optimal_sampling(temperature, slowest=0.02, fastest=50.0),
    "symmetric": lambda temperature: GLE(temperature, [[1.0, 0.8], [0.8, 0.7]]),
    "no eigenbasis": lambda temperature: GLE(temperature, [[0.0, 0.6], [-0.6, 1.2]]),
}
EVERY = pytest.mark.parametrize("name", SETS)
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
SCHEMES = pytest.mark.parametrize("scheme", [BAOAB, OBABO, outer(OMELYAN)], ids=str)
LADDER = (0.5, 1.0, 4.0)


def extended(bath, p, m=M):
    """The momenta and the auxiliary ones in units of one mass, (replicas, n + 1, dof), float64."""
    return torch.cat([(p / torch.sqrt(m))[None], bath[0]]).transpose(0, 1).double()


def products(state):
    return state[:, :, None] * state[:, None]  # (replicas, n + 1, n + 1, dof)


def maxwell(replicas, temperature=T, m=M):
    return torch.randn(replicas, len(m), dtype=torch.float64) * torch.sqrt(temperature * m)


@EVERY
@pytest.mark.parametrize("times", [1, 2])
def test_a_time_span_is_solved_exactly_and_composes(name, times):
    """From a given u and s at its law: mean E_iu u, covariance T (1 - E_u E_u^T), with E = e^{-A dt}."""
    thermostat, dt = SETS[name](T), 0.9
    start = vector(0.0, 2.0, -1.0, 3.0, 0.5, -4.0)
    bath = thermostat.bath(p := start.repeat(12_000, 1))
    for _ in range(times):
        thermostat(p, M, bath, vector(dt / times)[0])
    first = torch.linalg.matrix_exp(-thermostat.drift * dt)[:, 0]
    rest = extended(bath, p) - first[:, None] * start / torch.sqrt(M)
    covariance = T * (torch.eye(len(first), dtype=torch.float64) - first[:, None] * first)
    assert deviation(rest, 0.0) < Z
    assert deviation(products(rest), covariance[..., None]) < Z


@EVERY
@pytest.mark.parametrize("dt", [1e-4, 0.03, 1.0, 40.0])
def test_its_matrices_compose_and_keep_the_canonical_law(name, dt):
    thermostat = SETS[name](T)
    (change, spread), (twice, wide) = (thermostat.propagator(vector(x)[0]) for x in (dt, 2 * dt))
    one = torch.eye(len(change), dtype=torch.float64)
    kept, noise = one + change, spread @ spread.mT
    tolerance = 1e-11 * (1 + dt * thermostat.drift.abs().sum())
    assert (kept - torch.linalg.matrix_exp(-dt * thermostat.drift)).abs().max() < 1e-13
    assert (kept @ kept - one - twice).abs().max() < tolerance
    assert (kept @ noise @ kept.mT + noise - wide @ wide.mT).abs().max() < tolerance
    assert (kept @ kept.mT + noise - one).abs().max() < tolerance


@EVERY
@DTYPES
def test_it_keeps_its_law_at_every_temperature(name, dtype):
    temperature = vector(*LADDER).repeat_interleave(6000)[:, None]
    thermostat, p = SETS[name](temperature), maxwell(18_000, temperature).to(dtype)
    bath = thermostat.bath(p)
    for _ in range(4):
        thermostat(p, M.to(dtype), bath, vector(0.4)[0])
    assert p.dtype == bath[0].dtype == dtype
    for state, t in zip(extended(bath, p).split(6000), LADDER, strict=True):
        one = torch.eye(state.shape[1], dtype=torch.float64)[..., None]
        assert deviation(products(state) / t, one) < Z
        assert deviation(state**4 / t**2, 3.0) < Z


def bias(change, spread):
    """The worst error of the stationary covariance of (u, s), over T, under repeated use of these matrices."""
    kept = np.eye(len(change)) + change.double().numpy()
    covariance = solve_discrete_lyapunov(kept, (spread.double() @ spread.double().mT).numpy())
    return np.abs(np.linalg.eigvalsh(covariance) - 1).max()


def test_in_float32_slow_auxiliary_momenta_keep_their_temperature():
    """Rounding e^{-A dt} itself to float32 would not: what is lost of 1 - a dt changes the rate a."""
    change, spread = optimal_sampling(T, 0.01, 100.0).propagator(vector(0.002)[0])
    one = torch.eye(len(change), dtype=torch.float64)
    assert bias(change.float(), spread.float()) < 1e-5
    assert bias((one + change).float().double() - one, spread.float()) > 1e-3


def test_white_noise_is_langevin():
    ladder, dt = vector(*LADDER)[:, None], vector(0.3)[0]
    other = (one := maxwell(3)).clone()
    for thermostat, p in ((white_noise(ladder, 0.7), one), (Langevin(ladder, 0.7), other)):
        bath = thermostat.bath(p)
        torch.manual_seed(3)
        for _ in range(5):
            thermostat(p, M, bath, dt)
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)


def test_without_temperature_it_only_cools_and_replicas_are_apart():
    dt, start = vector(0.1, 0.5, 2.0)[:, None], maxwell(3)
    thermostat = SETS["two decades"](0.0)
    together, bath = start.clone(), thermostat.bath(start)
    assert (bath[0] == 0).all()
    for _ in range(3):
        thermostat(together, M, bath, dt)
    for i in range(3):
        first = torch.linalg.matrix_exp(-3 * dt[i] * thermostat.drift)[:, :1]
        expected = first * start[i] / torch.sqrt(M)
        torch.testing.assert_close(extended(bath, together)[i], expected, rtol=1e-11, atol=1e-12)


def discrete_law(scheme, thermostat, k, m, dt):
    """The exact covariance of (q, p, s) at the end of a step, for any dt: the step is linear, its noise normal."""
    size = len(thermostat.drift) + 1
    step, noise = np.eye(size), np.zeros((size, size))
    root = np.diag([1.0, sqrt(m), *[1.0] * (size - 2)])
    for letter, fraction in scheme.steps:
        factor, added = np.eye(size), np.zeros((size, size))
        if letter == "A":
            factor[0, 1] = fraction * dt / m
        elif letter == "B":
            factor[1, 0] = -fraction * dt * k
        else:
            change, spread = (x.numpy() for x in thermostat.propagator(vector(fraction * dt)[0]))
            factor[1:, 1:] += change
            added[1:, 1:] = T * spread @ spread.T
            factor, added = root @ factor @ np.linalg.inv(root), root @ added @ root
        step, noise = factor @ step, factor @ noise @ factor.T + added
    return solve_discrete_lyapunov(step, noise)


def moments(covariance):
    """<q^2>, <p^2>, <q p>"""
    return vector(covariance[0, 0], covariance[1, 1], covariance[0, 1])


def exact_moments(scheme, thermostat, dt):
    """The same of all harmonic modes, (3, dof)."""
    pairs = zip(HARMONIC.k.tolist(), M.tolist(), strict=True)
    return torch.stack([moments(discrete_law(scheme, thermostat, k, m, dt)) for k, m in pairs], -1)


@EVERY
@SCHEMES
def test_memory_does_not_change_the_discrete_law(name, scheme):
    """O keeps p canonical and apart from s and q, the rest of the step conserves a form of q and p: as without s."""
    x2, p2 = discrete_variance(scheme, HARMONIC.k, M, 0.9, T)
    found = exact_moments(scheme, SETS[name](T), 0.9)
    torch.testing.assert_close(found, torch.stack([x2, p2, 0 * x2]), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("scheme", [BAOAB, OBABO], ids=str)
@pytest.mark.parametrize("name", ["delta", "two decades"])
def test_modes_are_sampled_by_the_discrete_law(name, scheme):
    q = torch.zeros(1200, 6, dtype=torch.float64)
    phase = (engine := Splitting(scheme, HARMONIC, 0.9, SETS[name](T))).start(q, maxwell(1200, 0.3 * T), M)
    kept = []
    for step in range(360):
        engine(phase)
        if step >= 120 and step % 12 == 0:
            kept.append(torch.stack([phase.q**2, phase.p**2, phase.q * phase.p], 1))
    samples = torch.stack(kept).mean(0)
    assert deviation(samples, exact_moments(scheme, SETS[name](T), 0.9)) < Z
    if scheme is OBABO:  # the gate tells the discrete law from the limit of small steps
        assert deviation(samples[:, :2], torch.stack([T / HARMONIC.k, T * M])) > Z


def books(system, name, dt, replicas, temperature=0.5):
    """U + K - heat less its start over T, at every step for a time 6.4 from the canonical law: (steps, replicas)."""
    q, p = system.sample(replicas, temperature)
    phase = (engine := Splitting(outer(VERLET), system, dt, SETS[name](temperature))).start(q, p, system.m)
    start, kept = phase.u + kinetic_energy(p, system.m), []
    for _ in range(round(6.4 / dt)):
        engine(phase)
        kept.append((phase.u + kinetic_energy(phase.p, phase.m) - phase.heat - start) / temperature)
    assert phase.heat.abs().mean() > 0.1
    return torch.stack(kept)


@EVERY
def test_heat_is_booked(name):
    """The conserved quantity is so to second order, and exp(-error/T) is one on average at any step."""
    errors = [books(HARMONIC, name, dt, 500).square().mean().sqrt().item() for dt in (0.08, 0.04)]
    assert slopes(errors)[0] == pytest.approx(2, abs=0.25)
    error = books(MODES, name, 0.2, 2000)[-1]
    assert error.std() > 0.05
    assert deviation(torch.exp(-error)[:, None], 1.0) < Z


@EVERY
def test_a_wall_mirrors_the_auxiliary_momenta_too(name):
    """Without noise a path between mirrors is the free path, folded: s, being odd in its coordinate, turns round."""
    wall = torch.full((6,), 0.7, dtype=torch.float64)
    p, auxiliary = maxwell(64), SETS[name](T).bath(maxwell(64))[0]
    paths = []
    for _ in range(2):
        engine = Splitting(BAOAB, FREE, 0.3, SETS[name](0.0))
        paths.append((engine, engine.start(torch.zeros_like(p), p.clone(), FREE.m)))
        paths[-1][1].bath[0].copy_(auxiliary)
    (free, open_), (boxed, closed) = paths
    for _ in range(40):
        free(open_)
        boxed(closed)
        folded, sign = mirror(closed.q, wall)
        closed.q.copy_(folded)
        boxed.mirror(closed, sign)
        torch.testing.assert_close(closed.q, mirror(open_.q, wall)[0], rtol=0, atol=1e-11)
    assert (open_.q.abs() > 0.7).any()


def test_a_free_particle_in_a_box_spreads_evenly_and_stays_warm():
    def nothing(output, target):
        return 0.0 * torch.nn.functional.mse_loss(output, target)

    x = torch.ones(4, 3, dtype=torch.float64)
    system = md.ParticleSystem(
        torch.nn.Linear(3, 2), nothing, x, x[:, :2], replicas=2000, prior=md.Box(0.8), dtype=torch.float64
    )
    engine = Splitting(BAOAB, system.force, 0.3, SETS["two decades"](T))
    simulation = md.Simulation(system, engine, positions=torch.zeros(2000, 8, dtype=torch.float64), seed=1)
    simulation.run(60, progress=False)
    q, p = simulation.phase.q, simulation.phase.p
    assert q.abs().max() <= 0.8
    assert deviation(q**2, 0.8**2 / 3) < Z
    assert deviation(q**4, 0.8**4 / 5) < Z
    assert deviation(p**2, T) < Z
    assert deviation(simulation.phase.bath[0].transpose(0, 1) ** 2, T) < Z


def test_new_temperatures_rescale_the_auxiliary_momenta():
    thermostat = SETS["delta"](1.0)
    before = (bath := thermostat.bath(maxwell(3)))[0].clone()
    thermostat.rescale(bath, factor := vector(0.5, 1.0, 2.0)[:, None])
    assert torch.equal(bath[0], before * factor)


@DTYPES
def test_continuation_is_exact(tmp_path, dtype):
    def simulation(folder):
        system = make_system(dtype, prior=md.GaussianPrior(1.0))
        engine = Splitting(OBABO, system.force, 0.02, SETS["delta"](0.1))
        schedule = {"temperature": md.Linear(0.1, 0.2, 20)}
        return md.Simulation(system, engine, seed=5, output=tmp_path / folder, schedule=schedule)

    (whole := simulation("whole")).run(30, progress=False)
    simulation("parts").run(17, progress=False)
    torch.manual_seed(99)
    (parts := simulation("parts").resume()).run(13, progress=False)
    for name in ("q", "p", "heat"):
        assert torch.equal(getattr(whole.phase, name), getattr(parts.phase, name))
    assert all(torch.equal(a, b) for a, b in zip(whole.phase.bath, parts.phase.bath, strict=True))


def test_a_run_file_can_build_the_sets():
    makers = {"optimal": optimal_sampling, "delta": delta_like, "white": white_noise}
    options = Choice("name", makers).model("optimal")(name="optimal", temperature=[0.1, 0.2], slowest=0.1, fastest=5)
    assert options.make().temperature.tolist() == [[0.1], [0.2]]
    made = Choice("name", makers).model("delta")(name="delta", temperature=1, frequency=2.0, width=0.1, friction=0.1)
    assert made.make().drift.shape == (3, 3)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: GLE(1.0, [[1.0, 2.0]]), r"shape \(1, 2\); it must be square"),
        (lambda: GLE(1.0, [[float("nan")]]), "must be finite"),
        (lambda: GLE(1.0, [[1.0, 2.0], [2.0, 1.0]]), r"eigenvalue -2, .* add 1 to the diagonal"),
        (lambda: GLE(1.0, [[0.0, 1.0], [-1.0, 0.0]]), "eigenvalue of real part .* never reaches the temperature"),
        (lambda: GLE(-1.0, [[1.0]]), "temperature = -1.0 must be finite and not negative"),
        (lambda: white_noise(1.0, 0.0), "friction = 0.0 must be finite and positive"),
        (lambda: delta_like(1.0, 1.0, -0.1, 1.0), "width = -0.1 must be finite and positive"),
        (lambda: optimal_sampling(1.0, 2.0, 1.0), "slowest = 2.0 is above fastest = 1.0"),
        (lambda: optimal_sampling(1.0, 1e-3, 100.0), "100000 is more than the largest table covers, 10000"),
    ],
)
def test_what_is_wrong_is_named(make, named):
    with pytest.raises(ValueError, match=named):
        make()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_it_samples_the_same_law():
    thermostat, dt = SETS["two decades"](T), 0.9
    engine = Splitting(OBABO, HARMONIC, dt, thermostat, compile=True)
    phase = engine.start(torch.zeros(5000, 6), maxwell(5000).float(), M.float())
    for _ in range(200):
        engine(phase)
    q, p = phase.q.double(), phase.p.double()
    assert deviation(torch.stack([q**2, p**2, q * p], 1), exact_moments(OBABO, thermostat, dt)) < Z
