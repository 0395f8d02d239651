"""Law: displacements, diffusion, velocity correlations and vibrations are those of free and harmonic motion."""

import math

import numpy as np
import pytest
from scipy import signal
from systems import Z

import trajectories
from trajectories import Writer, statistics
from trajectories.statistics import lagged, walking


def walk(rng, n: int, replicas: int, dof: int, *, step: float = 1.0) -> np.ndarray:
    """Free Brownian motion (n, replicas, dof): independent steps of variance step^2."""
    return np.cumsum(step * rng.normal(size=(n, replicas, dof)), axis=0)


def relaxing(rng, n: int, replicas: int, dof: int, rate: float, dt: float) -> np.ndarray:
    """Stationary Ornstein-Uhlenbeck process of variance 1, exact at any dt: C(t) = exp(-rate t)."""
    a = math.exp(-rate * dt)
    noise = rng.normal(size=(n, replicas, dof)) * math.sqrt(1 - a**2)
    noise[0] /= math.sqrt(1 - a**2)
    return signal.lfilter([1.0], [1.0, -a], noise, axis=0)


def oscillators(rng, n: int, replicas: int, k, m, dt: float, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Harmonic modes that start from the canonical law and move by Newton's: positions and velocities."""
    omega = np.sqrt(k / m)
    x, v = rng.normal(size=(2, replicas, len(k)))
    x, v = x * np.sqrt(temperature / k), v * np.sqrt(temperature / m)
    phase = (dt * np.arange(n))[:, None, None] * omega
    return x * np.cos(phase) + v / omega * np.sin(phase), v * np.cos(phase) - x * omega * np.sin(phase)


def plain(x: np.ndarray, lag: int, share: np.ndarray) -> np.ndarray:
    """MSD by its definition, (replicas,)."""
    return (np.square(x[lag:] - x[: len(x) - lag]) @ share).mean(axis=0)


@pytest.fixture
def on_disk(tmp_path):
    """Put positions (and velocities) into a trajectory file and open it."""
    opened = []

    def put(q: np.ndarray, v: np.ndarray | None = None):
        n, replicas, dof = q.shape
        path = tmp_path / f"{len(opened)}.h5"
        with Writer.create(
            path, table=[("w", (dof,), 0)], replicas=replicas, masses=np.ones(dof), parameters={}, dtype="float64"
        ) as writer:
            for i in range(n):
                writer.frame(i, 0.5 * i, q[i], velocity=None if v is None else v[i])
        opened.append(trajectories.open(path))
        return opened[-1]

    yield put
    for run in opened:
        run.close()


@pytest.mark.parametrize("longest", [3, 20, 59])
@pytest.mark.parametrize("nbytes", [64 << 20, 200_000, 20_000])
@pytest.mark.parametrize("few", [0, 200])
def test_displacement_is_its_definition(seed, on_disk, monkeypatch, longest, nbytes, few):
    """By FFT or by matrix products, in one block or many, in memory or on disk, and with a large offset."""
    rng = np.random.default_rng(seed + 1)
    x, masses = 1e5 + walk(rng, 120, 5, 150), rng.uniform(0.5, 2, 150)
    monkeypatch.setattr(lagged, "_FEW_FRAMES", few)
    for module in (walking, lagged):
        monkeypatch.setattr(module, "BYTES", nbytes)
    for stored in (x, on_disk(x).positions):
        found = statistics.mean_squared_displacement(stored, 0.5 * np.arange(120), masses, longest=longest)
        exact = np.array([plain(x, lag, masses / masses.sum()) for lag in range(longest + 1)])
        np.testing.assert_allclose(found.replicas, exact, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.lags, 0.5 * np.arange(longest + 1))
        np.testing.assert_allclose(found.error, exact.std(axis=1, ddof=1) / math.sqrt(5), atol=1e-9)


def test_what_is_analysed_is_not_changed(seed):
    x = walk(np.random.default_rng(seed + 2), 40, 4, 3)
    before = x.copy()
    statistics.mean_squared_displacement(x, np.arange(40))
    statistics.velocity_autocorrelation(x, np.arange(40))
    statistics.self_overlap(x, np.arange(40))
    assert (x == before).all()


@pytest.mark.parametrize("replicas", [1, 24])
def test_free_brownian_motion_diffuses(seed, replicas):
    """MSD = 2 D t, with a single replica as with many."""
    rng, dt, diffusion = np.random.default_rng(seed + 3), 0.1, 0.7
    x = walk(rng, 2000, replicas, 40, step=math.sqrt(2 * diffusion * dt))
    found = statistics.mean_squared_displacement(x, dt * np.arange(2000), longest=100)
    assert found.replicas.shape == (101, max(4, replicas))
    slope = statistics.diffusion(found, (0.1, 10.0))
    assert slope.error < 0.05 * diffusion
    if replicas > 1:  # four sections are too few for a gate in standard errors
        z = (found.msd[1:] - 2 * diffusion * found.lags[1:]) / found.error[1:]
        assert np.abs(z).max() < Z
        assert abs(slope.z(diffusion)) < Z
    np.testing.assert_allclose(found.msd[1:], 2 * diffusion * found.lags[1:], rtol=0.2)
    with pytest.raises(ValueError, match="widen"):
        statistics.diffusion(found, (0.11, 0.19))


def test_errors_of_diffusion_cover(seed):
    rng, z = np.random.default_rng(seed + 4), []
    for _ in range(100):
        found = statistics.mean_squared_displacement(walk(rng, 200, 8, 3), np.arange(200), longest=20)
        z.append(statistics.diffusion(found, (1, 20)).z(0.5))
    assert abs(np.mean(z)) < Z * np.std(z, ddof=1) / 10
    assert 0.8 < np.std(z) < 1.6  # Student's law with 7 degrees of freedom: 1.18


def test_a_harmonic_well_confines(seed):
    """MSD = 2 T / k (1 - exp(-rate t)) for an overdamped particle in a well."""
    rng, dt, rate = np.random.default_rng(seed + 5), 0.05, 0.8
    x = relaxing(rng, 4000, 32, 10, rate, dt)
    found = statistics.mean_squared_displacement(x, dt * np.arange(4000), longest=200)
    exact = 2 * (1 - np.exp(-rate * found.lags))
    z = (found.msd[1:] - exact[1:]) / found.error[1:]
    assert np.abs(z).max() < Z
    free = (found.msd[1:] - 2 * rate * found.lags[1:]) / found.error[1:]
    assert np.abs(free).max() > 20  # it is not free


@pytest.mark.parametrize("nbytes", [64 << 20, 1000])
def test_velocities_of_harmonic_modes_correlate_as_cosines(seed, on_disk, monkeypatch, nbytes):
    """<m v(0) v(t)> = T mean_i cos(w_i t), and unnormalised T at t = 0."""
    rng, temperature, dt = np.random.default_rng(seed + 6), 0.3, 0.5
    k, m = np.array([0.4, 1.0, 2.5]), np.array([1.0, 2.0, 0.5])
    q, v = oscillators(rng, 200, 128, k, m, dt, temperature)
    for module in (walking, lagged):
        monkeypatch.setattr(module, "BYTES", nbytes)
    stored = on_disk(q, v).velocities if nbytes == 1000 else v
    found = statistics.velocity_autocorrelation(stored, dt * np.arange(200), m, longest=30)
    exact = np.cos(np.outer(found.lags, np.sqrt(k / m))).mean(axis=1)
    assert np.abs((found.values - temperature * exact) / found.error).max() < Z
    assert np.abs((found.normalised - exact)[1:] / found.normalised_error[1:]).max() < Z
    assert found.normalised[0] == 1
    direct = [(v[lag:] * v[: 200 - lag] @ m / 3).mean(axis=0) for lag in range(31)]
    np.testing.assert_allclose(found.replicas, direct, atol=1e-12)


def test_friction_makes_velocities_forget(seed):
    """A free Langevin particle: <m v(0) v(t)> = T exp(-gamma t), and its integral is m D."""
    rng, dt, gamma = np.random.default_rng(seed + 7), 0.1, 1.3
    v = relaxing(rng, 3000, 48, 12, gamma, dt)
    found = statistics.velocity_autocorrelation(v, dt * np.arange(3000), longest=60)
    z = (found.normalised - np.exp(-gamma * found.lags))[1:] / found.normalised_error[1:]
    assert np.abs(z).max() < Z


def test_vibrations_are_the_modes_and_each_counts_once(seed):
    rng, dt, temperature = np.random.default_rng(seed + 8), 0.1, 0.7
    k, m = np.array([1.0, 9.0, 50.0]), np.array([1.0, 1.0, 2.0])  # frequencies 1, 3, 5
    _, v = oscillators(rng, 4000, 64, k, m, dt, temperature)
    found = statistics.vibrational_density(v, dt * np.arange(4000), m, longest=1000)
    assert found.frequencies[-1] == pytest.approx(math.pi / dt)
    assert np.trapezoid(found.density, found.frequencies) == pytest.approx(1, rel=1e-12)
    for omega in np.sqrt(k / m):
        near = np.abs(found.frequencies - omega) < 0.5
        assert found.frequencies[near][found.density[near].argmax()] == pytest.approx(omega, abs=math.pi / dt / 1000)
    v *= np.sqrt(temperature / np.square(v * np.sqrt(m)).mean(axis=0) / 1.0)  # each mode of each replica at T
    found = statistics.vibrational_density(v, dt * np.arange(4000), m, longest=1000)
    for omega in np.sqrt(k / m):
        near = np.abs(found.frequencies - omega) < 1.0
        share = np.trapezoid(found.density[near], found.frequencies[near])
        assert share == pytest.approx(1 / 3, abs=1e-3)  # the tails of the window reach further


def test_shares_of_unequal_modes_agree_within_their_errors(seed):
    rng, dt = np.random.default_rng(seed + 9), 0.1
    k = np.array([1.0, 25.0])
    _, v = oscillators(rng, 3000, 400, k, np.ones(2), dt, 1.0)
    found = statistics.vibrational_density(v, dt * np.arange(3000), longest=600)
    peaks = [int(np.abs(found.frequencies - omega).argmin()) for omega in (1.0, 5.0)]
    difference = found.density[peaks[0]] - found.density[peaks[1]]
    assert abs(difference) < Z * np.hypot(*found.error[peaks])
    assert found.error[peaks[0]] < 0.1 * found.density[peaks[0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times": np.arange(9)}, "one a frame"),
        ({"times": np.arange(10) ** 2}, "evenly"),
        ({"masses": np.zeros(3)}, "positive"),
        ({"masses": np.ones(4)}, r"\(3,\)"),
        ({"longest": 10}, "from 1 to 9"),
        ({"positions": np.ones((10, 2, 3, 4))}, "samples, replicas, dof"),
        ({"positions": np.full((10, 4, 3), np.nan)}, "sample 0 is not finite"),
    ],
)
def test_what_cannot_be_analysed_is_refused(change, message):
    given = {"positions": np.ones((10, 4, 3)), "times": np.arange(10)} | change
    with pytest.raises(ValueError, match=message):
        statistics.mean_squared_displacement(**given)


def test_nothing_moves():
    for analysis in (statistics.velocity_autocorrelation, statistics.vibrational_density):
        with pytest.raises(ValueError, match="zero"):
            analysis(np.zeros((10, 4, 3)), np.arange(10))
