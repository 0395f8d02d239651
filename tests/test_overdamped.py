"""Law: overdamped Langevin dynamics has the closed forms of its discrete steps, Brownian's those of the ensemble."""

import pytest
import torch
from methods import continues_exactly, moments_off, positions
from systems import HARMONIC, MODES, Z, deviation, vector

import mdnet as md
from integrators import Brownian, EulerMaruyama

T, DT = 0.7, 0.6
METHODS = [Brownian, EulerMaruyama]
K, M = HARMONIC.k, HARMONIC.m


def rate(dt=DT, friction=1.0):
    """h = dt/(m gamma)."""
    return dt / (M * friction)


def noisy(strength):
    """The harmonic force with noise of this standard deviation, drawn afresh at every evaluation."""

    def force(q):
        u, f = HARMONIC(q)
        return u, f + strength * torch.randn_like(f)

    force.stochastic = True
    return force


def variance(engine, frames=20):
    q = positions(engine, HARMONIC, replicas=2048, burn=60, frames=frames, every=15)
    return q.square().mean(0)


def test_euler_maruyama_has_its_own_discrete_law_and_not_the_ensemble():
    """<q^2> = T/(k - h k^2/2)."""
    seen = variance(EulerMaruyama(HARMONIC, DT, temperature=T))
    assert deviation(seen, T / (K - rate() * K**2 / 2)) < Z
    assert deviation(seen, T / K) > 4 * Z


def test_averaged_noise_has_the_ensemble_at_the_same_step():
    assert deviation(variance(Brownian(HARMONIC, DT, temperature=T)), T / K) < Z


@pytest.mark.parametrize("method", METHODS)
def test_one_step_is_its_formula(method):
    dt, friction = 0.3, vector(0.5, 2.0)[:, None]
    engine = method(MODES, dt, temperature=T, friction=friction)
    phase = engine.start(torch.randn(2, 6, dtype=torch.float64), torch.zeros(2, 6, dtype=torch.float64), MODES.m)
    h, before = rate(dt, friction), phase.p / torch.sqrt(T * MODES.m)  # R_n
    drifted = phase.q + h * phase.f
    engine(phase)
    after = phase.p / torch.sqrt(T * MODES.m)
    if method is Brownian:
        expected = drifted + torch.sqrt(T * h / 2) * (before + after)
    else:
        expected = drifted + torch.sqrt(2 * T * h) * after
    torch.testing.assert_close(phase.q, expected, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close((phase.u, phase.f), MODES(phase.q))


def test_with_a_minibatch_it_is_stochastic_gradient_langevin_dynamics():
    """Force noise of variance s^2 heats: <q^2> = (T + h s^2/2)/(k - h k^2/2)."""
    engine = EulerMaruyama(noisy(1.5), DT, temperature=T)
    assert not engine.canonical
    seen = variance(engine)
    stiffness = K - rate() * K**2 / 2
    assert deviation(seen, (T + rate() * 1.5**2 / 2) / stiffness) < Z
    assert deviation(seen, T / stiffness) > 4 * Z


@pytest.mark.parametrize("method", METHODS)
def test_double_wells_at_a_small_step(method):
    dt = 0.1 if method is Brownian else 0.01
    q = positions(method(MODES, dt, temperature=1.0), MODES, replicas=768, burn=round(8 / dt), frames=3, every=100)
    assert method(MODES, dt, temperature=1.0).canonical
    assert moments_off(MODES, q) < Z


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_the_unfolded_path_in_a_box_is_free_brownian_motion(method, dtype):
    """A wall mirrors what is kept of the noise too: <X^2> = 2 T t/(m gamma) of the unfolded path X."""
    system = md.ParticleSystem(
        torch.nn.Linear(1, 1), lambda output, target: 0.0 * output.sum(), torch.ones(1, 1), torch.ones(1, 1),
        replicas=8192, prior=md.Box(0.4), dtype=dtype,
    )  # fmt: skip
    engine, steps = method(system.force, 0.05, temperature=1.0, friction=2.0), 40
    phase = engine.start(torch.zeros(8192, 2, dtype=dtype), torch.zeros(8192, 2, dtype=dtype), system.masses)
    path, side = torch.zeros_like(phase.q), torch.ones_like(phase.q)
    for _ in range(steps):
        before = phase.q.clone()
        engine(phase)
        path += side * (phase.q - before)
        sign = system.fold(phase.q)
        engine.mirror(phase, sign)
        side *= sign
    assert phase.q.abs().max() <= 0.4 < path.abs().max()
    assert deviation(path.double().square(), 2 * 0.05 * steps / 2.0) < Z


@pytest.mark.parametrize("method", METHODS)
def test_temperatures_may_differ_by_replica(method):
    ladder = vector(0.25, 4.0).repeat_interleave(1024)[:, None]
    q = positions(method(HARMONIC, 0.02, temperature=ladder), HARMONIC, replicas=2048, burn=600, frames=3, every=60)
    for rows, temperature in zip(q.split(1024, 1), (0.25, 4.0), strict=True):
        assert deviation(rows.square().mean(0), temperature / K) < Z


@pytest.mark.parametrize("method", METHODS)
def test_strain_is_one_at_the_longest_stable_step(method):
    frequency = (K / M).sqrt().max()
    longest = 2 / frequency**2
    for factor in (0.97, 1.03):
        engine = method(HARMONIC, factor * longest.item(), temperature=0.0)
        phase = engine.start(torch.ones(1, 6, dtype=torch.float64), torch.zeros(1, 6, dtype=torch.float64), M)
        for _ in range(400):
            engine(phase)
        assert (phase.u.item() > 1e3) == (factor > 1) == (engine.strain(frequency[None]).item() > 1)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_out_of_range_is_refused(method):
    for options in ({"temperature": -1.0}, {"temperature": 1.0, "friction": 0.0}, {"temperature": float("nan")}):
        name, value = list(options.items())[-1]
        with pytest.raises(ValueError, match=f"{name} = {value} must be finite"):
            method(HARMONIC, 0.1, **options)


def test_resume(tmp_path):
    schedule = {"temperature": md.Linear(0.1, 0.3, 20), "dt": md.Linear(0.01, 0.03, 20)}
    continues_exactly(tmp_path, lambda system: EulerMaruyama(system.force, 0.02, temperature=0.1), schedule)
