"""Law: every offline estimate agrees with its closed form, and its error bar covers as often as it says."""

import math

import numpy as np
import pytest
from scipy import stats

from trajectories import ensemble, entropy, statistics, thermodynamics
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


@pytest.mark.parametrize(("replicas", "phi", "d"), [(1, 0.0, 5), (1, 0.7, 3), (8, 0.0, 40), (8, 0.7, 10)])
def test_gaussian_entropy_is_exact_within_its_error(replicas, phi, d):
    rng = np.random.default_rng(7)
    mixing = rng.normal(size=(d, d))
    exact = 0.5 * d * math.log(2 * math.pi * math.e) + np.linalg.slogdet(mixing)[1]
    z = [
        entropy.gaussian((autoregressive(rng, (400, replicas, d), phi) @ mixing).squeeze()).z(exact) for _ in range(40)
    ]
    assert np.abs(z).max() < 6
    assert abs(np.mean(z)) < 5 * np.std(z, ddof=1) / math.sqrt(40)
    assert 0.6 < np.std(z) < 1.6


def test_gaussian_entropy_needs_enough_samples():
    with pytest.raises(ValueError, match="sample longer"):
        entropy.gaussian(np.random.default_rng(8).normal(size=(10, 12)))
    with pytest.raises(ValueError, match="singular"):
        entropy.gaussian(np.ones((10, 2)))


def test_the_two_ensembles_average_over_different_axes():
    logits = np.random.default_rng(9).normal(size=(5, 3, 7, 4))
    assert ensemble.mean(logits, over="samples").shape == (3, 7, 4)
    assert ensemble.mean_softmax(logits).shape == (7, 4)
    np.testing.assert_allclose(
        ensemble.mean_softmax(logits, over="samples").mean(axis=0), ensemble.mean_softmax(logits)
    )
    np.testing.assert_allclose(ensemble.vote(logits).sum(axis=-1), 1.0)
    assert ensemble.accuracy(ensemble.vote(logits, over="samples"), np.zeros(7, int)).shape == (3,)
    with pytest.raises(ValueError, match="allowed are 'samples'"):
        ensemble.mean(logits, over="all")


def test_averaging_never_loses_in_convex_scores():
    rng = np.random.default_rng(10)
    logits, labels, targets = rng.normal(size=(6, 4, 50, 3)), rng.integers(0, 3, 50), rng.normal(size=(50, 3))
    members = ensemble.probabilities(logits)
    assert ensemble.nll(ensemble.mean_softmax(logits), labels) <= ensemble.nll(members, labels).mean()
    gap = ensemble.mse(logits, targets).mean() - ensemble.mse(ensemble.mean(logits), targets)
    assert gap == pytest.approx(np.square(ensemble.spread(logits)).mean())  # ambiguity decomposition


def test_calibration_of_labels_drawn_from_the_prediction():
    rng = np.random.default_rng(11)
    chances = ensemble.probabilities(2 * rng.normal(size=(20_000, 3)))
    labels = (rng.random(20_000)[:, None] > chances.cumsum(axis=1)).sum(axis=1)
    found = ensemble.calibration(chances, labels)
    assert found.ece < 0.02
    assert found.counts.sum() == 20_000
    assert ensemble.calibration(chances**3 / (chances**3).sum(1, keepdims=True), labels).ece > 0.1
    assert ensemble.nll(chances, labels) == pytest.approx(stats.entropy(chances, axis=1).mean(), abs=0.02)


def test_r2_is_one_for_the_truth_and_zero_for_its_mean():
    targets = np.random.default_rng(12).normal(size=(30, 2))
    assert ensemble.r2(targets, targets) == 1
    assert ensemble.r2(np.broadcast_to(targets.mean(axis=0), (30, 2)), targets) == pytest.approx(0)
    assert ensemble.probabilities(np.zeros((5, 1))).tolist() == [[0.5, 0.5]] * 5
