"""Law: inefficiencies, block errors, convergence diagnostics and spectra are those of the exact AR(1) process."""

import contextlib
import io
import math

import numpy as np
import pytest
from scipy import signal, stats
from systems import Z

from trajectories import statistics
from trajectories.statistics import averages

DRAWS = 24  # independent repetitions that a mean is judged by


def autoregressive(rng, shape: tuple[int, ...], a: float) -> np.ndarray:
    """x_{i+1} = a x_i + sqrt(1 - a^2) noise, stationary: variance 1, C(t) = a^t, g = (1 + a) / (1 - a)."""
    noise = rng.normal(size=shape) * math.sqrt(1 - a**2)
    noise[0] /= math.sqrt(1 - a**2)
    return signal.lfilter([1.0], [1.0, -a], noise, axis=0)


def variance_of_mean(n: int, a: float) -> float:
    """Exact variance of the mean of n successive samples."""
    return ((1 + a) / (1 - a) - 2 * a * (1 - a**n) / (n * (1 - a) ** 2)) / n


def deviation(draws, exact) -> float:
    """The worst deviation of the mean of independent draws (draws, ...) from the exact value, in standard errors."""
    draws = np.asarray(draws)
    return float(np.abs((draws.mean(axis=0) - exact) / draws.std(axis=0, ddof=1) * math.sqrt(len(draws))).max())


@pytest.fixture(scope="module")
def timeseries():
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        from pymbar import timeseries
    return timeseries


@pytest.mark.parametrize("a", [0.3, 0.9])
def test_inefficiency_is_the_exact_one_and_that_of_pymbar(seed, timeseries, a):
    rng, exact = np.random.default_rng(seed + 1), (1 + a) / (1 - a)
    draws = autoregressive(rng, (60_000, DRAWS), a)
    ours = statistics.inefficiencies(draws)
    theirs = np.array([timeseries.statistical_inefficiency(column) for column in draws.T])
    assert deviation(ours, exact) < Z
    assert deviation(theirs, exact) < Z
    assert ours.std() < 2 * theirs.std()
    assert deviation(ours, exact * 1.1) > Z  # a tenth off is seen


def test_inefficiency_sums_the_correlations_that_it_says(seed):
    """The FFT, its blocks and the attempt with short lags change nothing against the plain definition."""
    series = autoregressive(np.random.default_rng(seed + 2), (3000, 3), 0.8)
    centred = series - series.mean()
    correlation = sum(np.correlate(x, x, "full")[2999:] for x in centred.T) / np.square(centred).sum()
    pairs = correlation[::2] + correlation[1::2]
    pairs = np.minimum.accumulate(pairs[: np.argmax(pairs <= 0)])
    assert statistics.inefficiency(series) == pytest.approx(2 * pairs.sum() - 1, rel=1e-10)
    np.testing.assert_allclose(statistics.autocorrelation(series), correlation, atol=1e-12)
    slow = np.linspace(0, 1, 3000)[:, None] + 1e-3 * series  # does not decorrelate within the short lags
    assert statistics.inefficiency(slow) > 1000


def test_inefficiencies_are_those_of_each_series(seed, monkeypatch):
    rng = np.random.default_rng(seed + 3)
    series = np.stack([5 * i + autoregressive(rng, (4000,), a) for i, a in enumerate((0.0, 0.5, 0.95))], axis=1)
    each = [statistics.inefficiency(column) for column in series.T]
    np.testing.assert_allclose(statistics.inefficiencies(series), each, rtol=1e-10)
    monkeypatch.setattr(averages, "_BYTES", 1)  # one column at a time
    np.testing.assert_allclose(statistics.inefficiencies(series), each, rtol=1e-10)
    assert statistics.inefficiency(series) > 100  # about the common mean they are stuck
    assert statistics.inefficiencies(np.full((10, 2), 0.1)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("replicas", [1, 4])
def test_block_errors_are_exact_at_every_size(seed, replicas):
    rng, n, a = np.random.default_rng(seed + 4), 1024, 0.8
    draws = [statistics.blocks(autoregressive(rng, (n, replicas), a)) for _ in range(300)]
    total = variance_of_mean(n, a) / replicas
    for i, size in enumerate(draws[0].sizes):
        count = n * replicas // size
        exact = (variance_of_mean(int(size), a) - total) / (count - 1)
        squares = np.array([one.errors[i] ** 2 for one in draws])
        assert deviation(squares, exact) < Z, size
        if size >= 128 and count >= 8:  # nearly independent blocks: their error of the error holds
            told = np.mean([one.error_of_error[i] for one in draws])
            assert told == pytest.approx(np.std([one.errors[i] for one in draws]), rel=0.2)


def test_the_plateau_of_the_blocks_is_the_error_of_the_mean(seed):
    rng, n, a = np.random.default_rng(seed + 5), 1 << 15, 0.9
    plateaus = [statistics.blocks(autoregressive(rng, (n, 1), a)).plateau for _ in range(DRAWS)]
    exact = math.sqrt(variance_of_mean(n, a))
    assert np.mean([one.value for one in plateaus]) == pytest.approx(exact, rel=0.1)
    assert max(abs(one.z(exact)) for one in plateaus) < Z
    naive = statistics.blocks(autoregressive(rng, (n, 1), a)).errors[0]
    assert naive < exact / 3
    short = statistics.blocks(autoregressive(rng, (64, 1), 0.999))
    assert short.chosen is None
    assert math.isnan(short.plateau.value)
    assert statistics.blocks(np.full(64, 0.5)).plateau.value == 0


@pytest.mark.parametrize("a", [-0.5, 0.0, 0.8])
def test_converged_replicas_are_told_to_be(seed, a):
    rng, n = np.random.default_rng(seed + 6), 4000
    draws = [statistics.convergence(autoregressive(rng, (n, 4), a)) for _ in range(DRAWS)]
    exact = 4 * n * (1 - a) / (1 + a)
    assert max(one.rhat for one in draws) < 1.01
    assert np.mean([one.ess_bulk for one in draws]) == pytest.approx(exact, rel=0.1)
    assert np.mean([one.mcse_mean for one in draws]) == pytest.approx(math.sqrt(variance_of_mean(n, a) / 4), rel=0.1)
    squared = 4 * n * (1 - a**2) / (1 + a**2)  # the correlation of x^2 is a^(2t)
    assert np.mean([one.mcse_sd for one in draws]) == pytest.approx(math.sqrt(0.5 / squared), rel=0.1)
    assert all(0 < one.ess_tail < 4 * 4 * n for one in draws)


def test_replicas_that_differ_in_place_or_width_have_not_converged(seed):
    rng = np.random.default_rng(seed + 7)
    white = rng.normal(size=(1000, 4))
    assert statistics.rhat(white) < 1.01
    assert statistics.rhat(white + np.array([0, 0, 0, 2])) > 1.1
    assert statistics.rhat(white * [1, 1, 1, 3]) > 1.1  # equal means: seen in the folded ranks
    assert statistics.rhat(np.cumsum(white, axis=0)[:, 0]) > 1.1  # one replica, its halves
    assert statistics.convergence(white + np.array([0, 0, 0, 5])).ess_bulk < 20
    assert statistics.convergence(white).rhat == statistics.rhat(white)
    with pytest.raises(ValueError, match="at least 8"):
        statistics.rhat(white[:7])


@pytest.mark.parametrize("replicas", [1, 6])
def test_spectral_density_integrates_to_the_variance(seed, replicas):
    series = 3 + autoregressive(np.random.default_rng(seed + 8), (4000, replicas), 0.7)
    found = statistics.spectral_density(series, 0.25 * np.arange(4000), longest=200)
    assert found.frequencies[[0, -1]].tolist() == [0.0, 2.0]  # to half the sampling rate
    assert np.trapezoid(found.density, found.frequencies) == pytest.approx(series.var(), rel=1e-12)
    assert found.density.min() > 0
    cut = statistics.autocovariance(series, longest=200)
    assert cut.shape == (201, max(4, replicas))
    assert cut[0].mean() == pytest.approx(series.var(), rel=1e-12)


def test_spectral_density_of_an_autoregressive_series(seed):
    rng, n, a, dt, longest = np.random.default_rng(seed + 9), 20_000, 0.7, 0.5, 256
    found = statistics.spectral_density(autoregressive(rng, (n, 48), a), dt * np.arange(n), longest=longest)
    exact = 2 * dt * (1 - a**2) / (1 - 2 * a * np.cos(2 * np.pi * found.frequencies * dt) + a**2)
    u = np.arange(longest + 1) / longest  # what the window leaves of it, at every frequency
    window = np.where(u <= 0.5, 1 - 6 * u**2 + 6 * u**3, 2 * (1 - u) ** 3) * (1 - np.arange(longest + 1) / n)
    terms = 2 * window * a ** np.arange(longest + 1)
    terms[0] /= 2
    smeared = 2 * dt * np.cos(2 * np.pi * dt * np.outer(found.frequencies, np.arange(longest + 1))) @ terms
    z = (found.density - smeared + 2 * dt * window_of_mean(longest, n, a, 48, found)) / found.error
    assert np.abs(z).max() < Z + 1  # over 257 frequencies
    assert 0.5 < z.std() < 1.5
    np.testing.assert_allclose(smeared, exact, rtol=0.01)


def window_of_mean(longest: int, n: int, a: float, replicas: int, found) -> np.ndarray:
    """What subtracting the sample's own mean, over all replicas, takes from the density: only at low frequencies."""
    u = np.arange(longest + 1) / longest
    window = np.where(u <= 0.5, 1 - 6 * u**2 + 6 * u**3, 2 * (1 - u) ** 3)
    phases = np.cos(np.pi * np.outer(np.arange(len(found.frequencies)), np.arange(longest + 1)) / longest)
    return variance_of_mean(n, a) / replicas * (2 * phases @ window - window[0])


def test_a_wave_is_a_peak_at_its_frequency(seed):
    times = 0.1 * np.arange(4000)
    wave = np.sin(2 * np.pi * 0.8 * times) + 0.1 * np.random.default_rng(seed + 10).normal(size=4000)
    found = statistics.spectral_density(wave, times)
    assert found.frequencies[found.density.argmax()] == pytest.approx(0.8, abs=0.01)
    shown = np.abs(found.frequencies - 0.8) < 0.05
    assert np.trapezoid(found.density[shown], found.frequencies[shown]) == pytest.approx(0.5, abs=0.02)
    tone = statistics.spectral_density(np.sin(2 * np.pi * 0.8 * times), times)
    assert tone.density.min() > -1e-12  # nowhere negative, so no power is made up beside a peak
    with pytest.raises(ValueError, match="evenly"):
        statistics.spectral_density(wave, times**2)
    with pytest.raises(ValueError, match="longest lag is 2000"):
        statistics.spectral_density(wave, times, longest=2000)


@pytest.mark.parametrize("replicas", [1, 8])
def test_plateau_and_mean_agree_on_coverage(seed, replicas):
    """z of the mean by the block plateau follows Student's law about as well as that of `mean`."""
    rng, z = np.random.default_rng(seed + 11), []
    for _ in range(200):
        series = autoregressive(rng, (2000, replicas), 0.8)
        z.append(series.mean() / statistics.blocks(series).plateau.value)
    covered = np.mean(np.abs(z) < stats.norm.ppf(0.95))
    assert abs(covered - 0.9) < Z * math.sqrt(0.9 * 0.1 / 200)
