"""Law: coloured noise has the memory of its drift, and samples oscillators as fast as the theory says."""

from math import log10

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from systems import FREE, Lattice, Z, deviation, vector
from test_gle import EVERY, SETS, T, maxwell

from integrators import BAOAB, Splitting
from thermostats.gle import delta_like, optimal_sampling, white_noise
from thermostats.gle_theory import harmonic_times, memory_kernel


@EVERY
def test_the_kernel_is_the_memory_of_the_drift(name):
    """C(t) = <p(0) p(t)>/mT = (e^{-A t})_pp obeys dC/dt = -a_pp C - int K C: so 1/C(z) = z + a_pp + K(z)."""
    a = SETS[name](T).drift
    for z in (0.7, 2.0):
        memory = quad(lambda t, z=z: memory_kernel(a, vector(t)[0]).item() * np.exp(-z * t), 0, 40, limit=400)[0]
        correlation = torch.linalg.inv(a + z * torch.eye(len(a), dtype=torch.float64))[0, 0].item()
        assert 1 / correlation == pytest.approx(z + a[0, 0].item() + memory, rel=1e-7)


def test_the_kernel_of_the_delta_like_set():
    w, d, gamma = 3.0, 0.2, 0.1
    t = torch.linspace(0, 20, 50, dtype=torch.float64)
    kernel = memory_kernel(delta_like(T, w, d, gamma).drift, t)
    torch.testing.assert_close(kernel, 2 * gamma * d * torch.exp(-d * t) * torch.cos(w * t), rtol=0, atol=1e-12)


@EVERY
def test_free_velocities_remember_as_the_drift_says(name):
    thermostat, dt = SETS[name](T), 0.4
    phase = (engine := Splitting(BAOAB, FREE, dt, thermostat)).start(0 * maxwell(12_000), maxwell(12_000), FREE.m)
    start = phase.p.clone()
    for n in range(1, 11):
        engine(phase)
        expected = torch.linalg.matrix_exp(-thermostat.drift * n * dt)[0, 0]
        assert deviation(start * phase.p / (FREE.m * T), expected) < Z


def test_white_noise_has_the_known_correlation_times():
    w, gamma = vector(0.1, 1.0, 7.0), 0.7
    of_v, of_h = harmonic_times(white_noise(T, gamma).drift, w)
    torch.testing.assert_close(of_v, 1 / (2 * gamma) + gamma / (2 * w**2), rtol=1e-12, atol=0)
    torch.testing.assert_close(of_h, 1 / gamma + gamma / (4 * w**2), rtol=1e-12, atol=0)


def test_the_delta_like_set_acts_in_its_line():
    """tau_H = 1/gamma + 1/2D at resonance, (1 + (w' - w)^2/D^2)/gamma beside it."""
    w, d = 20.0, 0.1
    for gamma in (0.02, 0.1, 0.5):
        at = harmonic_times(delta_like(T, w, d, gamma).drift, vector(w))[1].item()
        assert at == pytest.approx(1 / gamma + 1 / (2 * d), rel=0.01)
    gamma, away = 0.002, vector(-0.3, -0.1, 0.1, 0.3)
    beside = harmonic_times(delta_like(T, w, d, gamma).drift, w + away)[1]
    torch.testing.assert_close(beside, (1 + away**2 / d**2) / gamma, rtol=0.03, atol=0)


def efficiencies(drift, slowest, fastest):
    w = torch.logspace(log10(slowest), log10(fastest), 801, dtype=torch.float64)
    return [1 / (tau * w) for tau in harmonic_times(drift, w)]


@pytest.mark.parametrize(
    ("ratio", "least", "greatest", "total", "white"), [(1e2, 0.58, 0.62, 0.28, 0.198), (1e4, 0.39, 0.43, 0.18, 0.020)]
)
def test_optimal_sampling_is_as_efficient_as_its_table_says(ratio, least, greatest, total, white):
    slowest, fastest = 0.03, 0.03 * ratio
    of_v, of_h = efficiencies(optimal_sampling(T, slowest, fastest).drift, slowest, fastest)
    assert (of_v.min().item(), of_v.max().item()) == pytest.approx((least, greatest), abs=0.005)
    assert of_h.min().item() == pytest.approx(total, abs=0.005)
    rates = torch.logspace(log10(slowest) - 0.5, log10(fastest) + 0.5, 201, dtype=torch.float64)
    for which in range(2):
        each = [efficiencies(white_noise(T, rate).drift, slowest, fastest)[which].min() for rate in rates.tolist()]
        assert max(each).item() == pytest.approx(white, abs=0.001)


@pytest.mark.parametrize(
    ("thermostat", "fast", "slow"),
    [(delta_like(T, 2.0, 0.2, 0.2), [2], [0, 1, 3, 4, 5]), (optimal_sampling(T, 0.5, 6.0), [0, 1, 2, 3, 4, 5], [])],
    ids=["delta", "optimal"],
)
def test_oscillators_forget_their_energy_as_the_theory_says(thermostat, fast, slow):
    """<H(0) H(t)> - <H>^2 = T^2 sum R_ij^2/2; the resonant mode forgets in ten time units, the others do not."""
    w, dt = vector(0.5, 1.0, 2.0, 3.0, 4.5, 6.0), 0.02
    modes = Lattice(w**2, 0 * w, torch.ones_like(w))
    q, p = maxwell(3000, m=1 / w**2), maxwell(3000, m=torch.ones_like(w))
    phase = (engine := Splitting(BAOAB, modes, dt, thermostat)).start(q, p, modes.m)
    start = (w**2 * phase.q**2 + phase.p**2) / 2 - T
    for n in range(1, 501):
        engine(phase)
        if n in (25, 100, 250, 500):
            exact = forgotten(thermostat.drift, w, n * dt)
            seen = start * ((w**2 * phase.q**2 + phase.p**2) / 2 - T) / T**2
            assert deviation(seen, exact) < Z
    assert (exact[fast] < 0.3).all()
    assert (exact[slow] > 0.8).all()


def forgotten(drift, w, time):
    motion = drift.new_zeros(len(w), len(drift) + 1, len(drift) + 1)
    motion[:, 1:, 1:] = drift
    motion[:, 0, 1], motion[:, 1, 0] = -w, w
    return torch.linalg.matrix_exp(-motion * time)[:, :2, :2].square().sum((-1, -2)) / 2


def test_correlation_times_are_integrals_of_the_correlation():
    drift, w = SETS["two decades"](T).drift, vector(0.5, 2.0)
    for mode, expected in zip(w.tolist(), harmonic_times(drift, w)[1].tolist(), strict=True):
        seen = quad(lambda t, mode=mode: forgotten(drift, vector(mode), t).item(), 0, 80, limit=400)[0]
        assert seen == pytest.approx(expected, rel=1e-5)
