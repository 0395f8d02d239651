"""Law: Langevin dynamics in closed form, the damped oscillator and free Brownian motion."""

import pytest
import torch
from systems import FREE, Lattice, Z, deviation, slopes, vector

from integrators import BAOAB, OBABO, OMELYAN, Brownian, Splitting, outer
from thermostats import Langevin

M = FREE.m
SCHEMES = pytest.mark.parametrize("scheme", [BAOAB, OBABO, outer(OMELYAN)], ids=str)
K = vector(0.4, 0.9, 1.3, 2.4, 0.1, 0.05)
DAMPED = Lattice(K, torch.zeros_like(K), M)
GAMMA = vector(0.2, 1.0, 2.0 * (0.1 / 0.5) ** 0.5, 3.0)[:, None]  # by replica; under, critical and over damping


def damped(t):
    """x(t) from x = 1, v = 0.3: e^{-g t/2} (cos w t + (0.3 + g/2) sin(w t)/w), w^2 = k/m - g^2/4."""
    w = torch.sqrt((K / M - GAMMA**2 / 4).to(torch.complex128)) + 1e-9  # the limit where it is zero
    return (torch.exp(-GAMMA * t / 2) * (torch.cos(w * t) + (0.3 + GAMMA / 2) * torch.sin(w * t) / w)).real


def error(scheme, dt, steps):
    """The largest difference from the closed form on the way."""
    q, p = torch.ones(4, 6, dtype=torch.float64), (0.3 * M).repeat(4, 1)
    phase = (engine := Splitting(scheme, DAMPED, dt, Langevin(0.0, GAMMA))).start(q, p, M)
    worst = 0.0
    for n in range(1, steps + 1):
        engine(phase)
        worst = max(worst, (phase.q - damped(n * dt)).abs().max().item())
    return worst


@SCHEMES
def test_damped_oscillator(scheme):
    assert error(scheme, 0.05, 1000) < 0.02


@SCHEMES
def test_damped_oscillator_converges_at_second_order(scheme):
    assert slopes([error(scheme, dt, round(10 / dt)) for dt in (0.1, 0.05)])[0] == pytest.approx(2, abs=0.25)


def walk(engine, temperature, steps, replicas=40_000):
    """Positions and velocities of free particles after each step, from a canonical start at q = 0."""
    p = torch.randn(replicas, 6, dtype=torch.float64) * torch.sqrt(temperature * M)
    phase = engine.start(torch.zeros_like(p), p, M)
    for _ in range(steps):
        engine(phase)
        yield phase.q, phase.p / M


@SCHEMES
def test_free_brownian_motion(scheme):
    """<q^2> = 2 T/(m g^2) (g t - 1 + e^{-g t}), which grows to 2 T t/(m g): to 1 %."""
    temperature, gamma, dt, steps = 1.3, 2.0, 0.05, 120
    engine = Splitting(scheme, FREE, dt, Langevin(temperature, gamma))
    *_, (q, _) = walk(engine, temperature, steps, replicas=50_000)
    t = vector(gamma * dt * steps)
    expected = 2 * temperature / (M * gamma**2) * (t - 1 + torch.exp(-t))
    assert (q.square() / expected).mean().item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("gamma", [0.5, 8.0])
def test_free_brownian_motion_in_discrete_time(gamma):
    """BAOAB at any dt, with a = e^{-g dt}: exact sums over the correlated velocities."""
    temperature, dt, steps = 1.3, 0.5, 30
    n, a = steps, torch.exp(vector(-gamma * dt))
    *_, (q, _) = walk(Splitting(BAOAB, FREE, dt, Langevin(temperature, gamma)), temperature, steps)
    # the step is dt/2 (v_n + v_{n+1}), with <v_i v_j> = a^|i-j| T/m: the trapezoid rule, ends counted half
    weights = torch.ones(n + 1, dtype=torch.float64)
    weights[0] = weights[-1] = 0.5
    lags = (torch.arange(n + 1)[:, None] - torch.arange(n + 1)[None]).abs()
    assert deviation(q.square(), dt**2 * weights @ a**lags @ weights * temperature / M) < Z


def test_overdamped_motion_diffuses():
    """<q^2> = 2 T t/(m g) (1 - 1/2n): all steps share their noise with their neighbours, but the first and last."""
    temperature, gamma, dt, steps = vector(0.5, 2.0).repeat_interleave(20_000)[:, None], 1.5, 0.1, 50
    *_, (q, _) = walk(Brownian(FREE, dt, temperature=temperature, friction=gamma), temperature, steps)
    scaled = q.square() * M * gamma / (2 * temperature * dt * steps)
    for block in scaled.split(20_000):
        assert deviation(block, 1 - 1 / (2 * steps)) < Z
    assert scaled.mean().item() == pytest.approx(1 - 1 / (2 * steps), abs=0.01)


@SCHEMES
def test_velocities_forget_exponentially(scheme):
    """<v(0) v(t)> = (T/m) e^{-g t}, exactly at every step."""
    temperature, gamma, dt = 1.3, 0.8, 0.25
    start = None
    for n, (_, v) in enumerate(walk(Splitting(scheme, FREE, dt, Langevin(temperature, gamma)), temperature, 12)):
        start = v.clone() if start is None else start
        assert deviation(start * v * M / temperature, torch.exp(vector(-gamma * dt * n))) < Z
