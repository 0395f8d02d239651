"""Law: every offline estimate agrees with its closed form, and its error bar covers as often as it says."""

import math

import numpy as np
import pytest
from scipy import stats

from trajectories import statistics, thermodynamics
from trajectories.statistics import Estimate


def autoregressive(rng, shape: tuple[int, ...], phi: float) -> np.ndarray:
    """x_{i+1} = phi x_i + sqrt(1 - phi^2) noise: mean 0, variance 1, C(t) = phi^t, g = (1 + phi) / (1 - phi)."""
    noise = rng.normal(size=shape)
    x = np.empty(shape)
    x[0] = noise[0]
    for i in range(1, shape[0]):
        x[i] = phi * x[i - 1] + math.sqrt(1 - phi**2) * noise[i]
    return x


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, 0.98])
def test_inefficiency_of_an_autoregressive_series(phi):
    rng = np.random.default_rng(0)
    exact = (1 + phi) / (1 - phi)
    measured = np.array([statistics.inefficiency(autoregressive(rng, (10_000, 4), phi)) for _ in range(20)])
    assert abs(measured.mean() - exact) < 5 * measured.std(ddof=1) / math.sqrt(20) + 0.03 * exact
    series = autoregressive(rng, (10_000, 4), phi)
    assert statistics.effective_samples(series) == pytest.approx(40_000 / statistics.inefficiency(series))
    assert np.diff(statistics.decorrelate(series))[0] == math.ceil(statistics.inefficiency(series))


def test_replicas_stuck_in_different_places_are_not_independent_samples():
    rng = np.random.default_rng(1)
    stuck = rng.normal(size=(500, 4)) + 20 * np.arange(4)
    assert statistics.effective_samples(stuck) < 20


@pytest.mark.parametrize(("replicas", "law"), [(1, stats.norm), (8, stats.t(7)), (32, stats.t(31))])
def test_errors_of_means_cover(replicas, law):
    rng = np.random.default_rng(2)
    z = [statistics.mean(autoregressive(rng, (2000, replicas), 0.8)).z(0.0) for _ in range(200)]
    covered = np.mean(np.abs(z) < law.ppf(0.95))  # 90 %
    assert abs(covered - 0.9) < 5 * math.sqrt(0.9 * 0.1 / 200)


def test_equilibration_finds_the_end_of_the_transient():
    rng = np.random.default_rng(3)
    series = autoregressive(rng, (2000, 2), 0.5) + 20 * np.exp(-np.arange(2000) / 40)[:, None]
    assert 100 < statistics.equilibrated(series) < 400
    assert statistics.equilibrated(autoregressive(rng, (2000, 2), 0.5)) < 1000
    stationary = [statistics.equilibrated(autoregressive(rng, (2000, 16), 0.9)) for _ in range(20)]
    assert stationary.count(0) >= 14  # of 20 are kept whole
    common = autoregressive(rng, (2000, 16), 0.9) + 3 * np.exp(-np.arange(2000) / 50)[:, None]
    assert 50 < statistics.equilibrated(common) < 300  # 3 widths off for 50 samples, but so in every replica
    long = rng.normal(size=(50_000, 2)) + 20 * np.exp(-np.arange(50_000) / 1000)[:, None]
    assert 3000 < statistics.equilibrated(long) < 10_000


def test_a_constant_has_no_error():
    assert statistics.mean(np.full((10, 2), 0.1)) == Estimate(pytest.approx(0.1), pytest.approx(0, abs=1e-15))
    assert statistics.inefficiency(np.full(10, 0.1)) == 1.0
    assert Estimate(1.0, 0.0).z(0.5) == math.inf


@pytest.mark.parametrize("bad", [[], np.zeros((2, 2, 2)), [1.0, np.nan]])
def test_what_is_not_a_series_is_refused(bad):
    with pytest.raises(ValueError, match=r"series|finite"):
        statistics.mean(bad)


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.00998728, 3.7e-5), "0.009987 ± 0.000037"),
        (Estimate(123.456, 2.0), "123.5 ± 2.0"),
        (Estimate(1.2345e-9, 1e-11), "(1.234 ± 0.010)e-9"),
        (Estimate(5.0, 0.0), "5 ± 0"),
    ],
)
def test_estimates_print_two_digits_of_the_error(estimate, text):
    assert str(estimate) == text


@pytest.mark.parametrize("replicas", [1, 16])
def test_kinetic_law_accepts_the_canonical_one(replicas):
    rng = np.random.default_rng(4)
    temperature = np.linspace(0.5, 2.0, replicas)
    laws = [
        thermodynamics.kinetic_law(rng.gamma(5.0, temperature, size=(1000, replicas)), dof=10, temperature=temperature)
        for _ in range(40)
    ]
    assert stats.kstest([law.p_value for law in laws], "uniform").pvalue > 0.01
    assert max(abs(law.mean_z) for law in laws) < 5
    assert max(abs(law.width_z) for law in laws) < 5


def test_kinetic_law_rejects_a_narrow_one_with_the_right_mean():
    rng = np.random.default_rng(5)
    kinetic = 5.0 + 0.6 * (rng.gamma(5.0, 1.0, size=(1000, 8)) - 5.0)  # a Nose-Hoover thermostat without a chain
    law = thermodynamics.kinetic_law(kinetic, dof=10, temperature=1.0)
    assert abs(law.mean_z) < 5
    assert law.p_value < 1e-6
    assert law.width == pytest.approx(0.6, abs=0.02)
    assert law.width_z < -10


@pytest.mark.parametrize("replicas", [1, 16])
def test_drift_is_found_within_its_error(replicas):
    rng = np.random.default_rng(6)
    times = 0.1 * np.arange(1000)
    z = []
    for _ in range(50):
        drift = thermodynamics.drift(autoregressive(rng, (1000, replicas), 0.7) + 0.3 * times[:, None], times)
        z.append(drift.overall.z(0.3))
    assert drift.replicas.shape == drift.errors.shape == (replicas,)
    assert np.abs(z).max() < 5
    assert 0.7 < np.std(z) < 1.6
