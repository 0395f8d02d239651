"""Law: ln Z, entropy and density of states come out exactly by every method, each within its own error bar."""

import math
import sys
from functools import cache

import numpy as np
import pytest
import torch
from scipy import integrate, special
from systems import LinearNetwork, Z
from test_tempering import Tempered

import mdnet as md
import trajectories
from integrators import BAOAB, Splitting
from mdnet.tempering import ReplicaExchange, geometric
from thermostats import Langevin
from trajectories import Writer, thermodynamics
from trajectories.thermodynamics import Ladder

LEVELS = np.geomspace(0.5, 4.0, 7)
MODES = 12
METHODS = ("MBAR", "integration", "BAR", "exponential, up", "exponential, down", "histograms")


@pytest.fixture
def rng(seed, request):
    return np.random.default_rng([seed, len(request.node.name)])


def harmonic(rng, levels=LEVELS, samples=200, replicas=20, modes=MODES):
    """Exact energies of harmonic modes: Gamma(modes/2, T)."""
    return Ladder(levels, [rng.gamma(modes / 2, t, (samples, replicas)) for t in levels])


def log_z_harmonic(levels, modes=MODES):
    return modes / 2 * np.log(levels / levels[0])


def quartic(rng, levels=LEVELS, samples=200, replicas=20, modes=MODES):
    """Exact energies of modes of U = x^4/4: x^4/4T is Gamma(1/4)."""
    return Ladder(levels, [rng.gamma(modes / 4, t, (samples, replicas)) for t in levels])


def network(rng, levels=LEVELS, samples=200, replicas=20):
    """The linear network, its exact energies and its exact ln Z and entropies."""
    exact = LinearNetwork(1)
    ladder = Ladder(levels, [exact.u0 + rng.gamma(len(exact.m) / 2, t, (samples, replicas)) for t in levels])
    log_z, entropy = (np.array([of(t) for t in levels.tolist()]) for of in (exact.log_z, exact.entropy))
    return ladder, log_z - log_z[0], entropy - entropy[0]


def systems(rng):
    ladder, log_z, entropy = network(rng)
    relative = np.log(LEVELS / LEVELS[0])
    return {
        "harmonic": (harmonic(rng), MODES / 2 * relative, MODES / 2 * relative),
        "quartic": (quartic(rng), MODES / 4 * relative, MODES / 4 * relative),
        "linear network": (ladder, log_z, entropy),
    }


@pytest.mark.parametrize("name", ["harmonic", "quartic", "linear network"])
def test_every_method_is_exact_within_its_error(rng, name):
    ladder, log_z, entropy = systems(rng)[name]
    found = thermodynamics.free_energies(ladder)
    assert [one.method for one in found.methods] == list(METHODS)
    table = str(found).split("\n\n")
    assert [part.count("\n") for part in table] == [len(LEVELS), len(LEVELS), 0]
    assert str(trajectories.statistics.Estimate(found.methods[1].log_z[3], found.methods[1].error[3])) in table[0]
    for one in found.methods:
        assert one.log_z[0] == one.entropy[0] == 0
        assert (np.abs(one.log_z - log_z)[1:] < Z * one.error[1:]).all(), one.method
        assert (np.abs(one.entropy - entropy)[1:] < Z * one.entropy_error[1:]).all(), one.method
        assert (one.error[1:] < 0.1).all()
        assert (np.abs(one.log_z - log_z - 0.5)[1:] > Z * one.error[1:]).all(), "half a unit would be seen"
    assert max(found.worst.values()) < 3  # they share their samples, so this is far outside
    mbar = found.methods[0]
    np.testing.assert_allclose(mbar.overlap.sum(axis=1), 1, rtol=1e-6)
    assert (mbar.n_effective > 4000).all()


def test_samples_at_a_wrong_temperature_are_found_out(rng):
    ladder = harmonic(rng)
    ladder.energies[3][:] *= 1.5
    for one in thermodynamics.free_energies(ladder).methods:
        assert (np.abs(one.log_z - log_z_harmonic(LEVELS)) / np.maximum(one.error, 1e-9)).max() > Z, one.method


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 20], ids=["blocks of time", "independent replicas"])
def test_errors_are_the_scatter_of_repetitions(rng, replicas):
    """Of one replica and of twenty, correlated over time: 40 repetitions."""
    levels, found = np.array([1.0, 1.4, 2.0]), []
    for _ in range(40):
        energies = [slow(rng, t, 6000 // replicas, replicas) for t in levels]
        ladder = Ladder(levels, energies)
        for one in (
            thermodynamics.thermodynamic_integration(ladder),
            thermodynamics.mbar(ladder),
            thermodynamics.chained(ladder, "bar"),
            thermodynamics.chained(ladder, "up"),
            thermodynamics.wham(ladder, 60).free,
        ):
            statistical = math.sqrt(
                one.error[-1] ** 2 - (0 if one.discretisation is None else one.discretisation[-1]) ** 2
            )
            found.append((one.method, one.log_z[-1], statistical, one.entropy[-1], one.entropy_error[-1]))
    for method in {row[0] for row in found}:
        log_z, error, entropy, entropy_error = np.array([row[1:] for row in found if row[0] == method]).T
        assert 0.7 < math.sqrt(np.square(error).mean()) / log_z.std(ddof=1) < 1.5, method
        if method != "integration":  # whose entropy error holds the discretisation
            assert 0.7 < math.sqrt(np.square(entropy_error).mean()) / entropy.std(ddof=1) < 1.5, method


def slow(rng, temperature, samples, replicas, modes=6, phi=0.6):
    """Harmonic energies of autoregressive positions: exact at every sample, correlated between them."""
    x = rng.normal(size=(samples, replicas, modes))
    for i in range(1, samples):
        x[i] = phi * x[i - 1] + math.sqrt(1 - phi**2) * x[i]
    return temperature / 2 * np.square(x).sum(axis=-1)


@pytest.mark.parametrize("rungs", [2, 3, 4, 9])
def test_integration_knows_its_discretisation(rungs):
    """A ladder so coarse, with so many samples, that the discretisation is all the error there is."""
    levels = np.geomspace(1.0, min(9.0, 2.0 ** (rungs - 1)), rungs)
    betas, half = 1 / levels, MODES / 2
    ladder = Ladder(levels, [_exact_moments(half * t, half * t**2) for t in levels])
    found = thermodynamics.thermodynamic_integration(ladder)
    off = np.abs(found.log_z - half * np.log(levels / levels[0]))
    trapezoid = np.abs(np.cumsum(-np.diff(betas) * half * (levels[1:] + levels[:-1]) / 2) - half * np.log(levels[1:]))
    assert (off[1:] < trapezoid / 2).all()
    assert (off <= 1.5 * found.discretisation + 1e-12).all()
    if rungs > 2:  # of one interval it is the whole correction
        assert (found.discretisation[1:] < 8 * off[1:]).all()
    assert (found.error >= found.discretisation).all()


def _exact_moments(mean, variance, replicas=8):
    """A series whose mean and variance are exactly these, also in each replica."""
    signs = np.tile([1.0, -1.0], 50)[:, None] * np.ones(replicas)
    series = mean + math.sqrt(variance) * signs
    return mean + (series - mean) * math.sqrt(variance / series.var(ddof=1))


@cache
def double_well(temperature):
    """ln Z, <U> and the distribution of U = (x^2 - 1)^2 on a fine grid."""
    x = np.linspace(-4, 4, 80_001)
    u = (x**2 - 1) ** 2
    weight = np.exp(-u / temperature)
    return math.log(integrate.trapezoid(weight, x)), u, weight / weight.sum()


def test_an_anharmonic_well_is_exact_too(rng):
    levels = np.geomspace(0.2, 3.0, 8)
    energies, exact = [], []
    for t in levels.tolist():
        log_z, u, chance = double_well(t)
        energies.append(rng.choice(u, size=(100, 20, 5), p=chance).sum(axis=-1))  # five wells
        exact.append(5 * log_z)
    found = thermodynamics.free_energies(Ladder(levels, energies))
    for one in found.methods:
        assert (np.abs(one.log_z - exact + exact[0])[1:] < Z * one.error[1:]).all(), one.method


def test_two_temperatures_give_one_difference_either_way(rng):
    low, high = (rng.gamma(MODES / 2, t, (400, 20)) for t in (1.0, 1.5))
    exact = MODES / 2 * math.log(1.5)
    up, down = thermodynamics.fep(low, 1.0, 1.5), thermodynamics.fep(high, 1.5, 1.0)
    there, back = thermodynamics.bar(low, high, 1.0, 1.5), thermodynamics.bar(high, low, 1.5, 1.0)
    for estimate, answer in ((up, exact), (down, -exact), (there, exact), (back, -exact)):
        assert abs(estimate.z(answer)) < Z
        assert estimate.error < 0.05
    assert there.value == pytest.approx(-back.value, rel=1e-8)
    assert there.error < min(up.error, down.error)


class Uncorrelated(Ladder):
    """All of its samples are independent, and known to be."""

    def independent(self):
        return [one.ravel() for one in self.energies]


def test_histograms_agree_with_mbar_and_tell_the_density_of_states(rng):
    ladder = Uncorrelated(LEVELS, harmonic(rng).energies)
    states, mbar = thermodynamics.wham(ladder, 400), thermodynamics.mbar(ladder)
    assert np.abs(states.free.log_z - mbar.log_z).max() < 0.1 * mbar.error[1:].min()
    np.testing.assert_allclose(states.free.error[1:], mbar.error[1:], rtol=0.7)
    exact = (MODES / 2 - 1) * np.log(states.energies) - special.gammaln(MODES / 2) - MODES / 2 * math.log(LEVELS[0])
    known = np.isfinite(states.error) & (states.energies > 0.5)
    z = (states.log_g - exact)[known]
    z = (z - np.average(z, weights=states.error[known] ** -2)) / states.error[known]
    assert np.abs(z).max() < 8  # of three hundred bins, errors from twenty parts each
    assert 0.6 < np.std(z) < 1.5


def test_a_table_of_wang_landau_gives_canonical_averages():
    energies = np.linspace(0.005, 100, 20_000)
    found = thermodynamics.canonical(energies, (MODES / 2 - 1) * np.log(energies), LEVELS)
    assert found.mean_energy == pytest.approx(MODES / 2 * LEVELS, rel=1e-4)
    assert found.heat_capacity == pytest.approx(np.full(7, MODES / 2), rel=1e-3)
    assert found.log_z == pytest.approx(special.gammaln(MODES / 2) + MODES / 2 * np.log(LEVELS), rel=1e-4)
    assert found.entropy == pytest.approx(MODES / 2 + found.log_z, rel=1e-4)
    with pytest.raises(ValueError, match="must be positive"):
        thermodynamics.canonical(energies, energies, [0.0])


def test_the_microcanonical_temperature_of_harmonic_modes(rng):
    energies = np.linspace(2.0, 40.0, 200)
    exact = energies / (MODES / 2 - 1)
    smooth = thermodynamics.microcanonical_temperature(energies, (MODES / 2 - 1) * np.log(energies))
    assert smooth.temperature[20:-5] == pytest.approx(exact[20:-5], rel=0.01)
    assert np.isnan(smooth.error).all()
    energies = np.linspace(40.0, 80.0, 200)
    exact = energies / (MODES / 2 - 1)
    noisy = (MODES / 2 - 1) * np.log(energies) + 0.02 * rng.normal(size=(16, 200)) + rng.normal(size=(16, 1))
    tables = thermodynamics.microcanonical_temperature(energies, noisy, window=21)
    z = (tables.temperature - exact)[10:-10] / tables.error[10:-10]
    assert np.abs(z).max() < 8  # fifteen degrees of freedom in each error
    assert 0.6 < np.std(z) < 1.6


def test_the_density_of_states_of_samples_gives_the_microcanonical_temperature(rng):
    ladder = harmonic(rng, modes=30)
    everything = np.concatenate([one.ravel() for one in ladder.energies])
    states = thermodynamics.wham(ladder, np.quantile(everything, np.linspace(0, 1, 101)))
    found = thermodynamics.microcanonical_temperature(states.energies, states.log_g, left_out=states.left_out)
    inside = (found.energies > 12) & (found.energies < 60)
    exact = found.energies / (30 / 2 - 1)
    z = (found.temperature - exact)[inside] / found.error[inside]
    assert inside.sum() > 10
    assert np.abs(z).max() < Z
    assert np.abs(found.temperature / exact - 1)[inside].max() < 0.15
    wrong = found.energies / (30 / 2)
    assert np.abs((found.temperature - wrong)[inside] / found.error[inside]).max() > Z


@pytest.mark.parametrize("window", [2, 500])
def test_a_window_that_does_not_fit_is_refused(window):
    with pytest.raises(ValueError, match=f"window {window}"):
        thermodynamics.microcanonical_temperature(np.arange(20.0), np.arange(20.0), window=window)


class Posterior:
    """The losses of the linear network under exp(-b L) and its prior, exact at any b from 0 on."""

    def __init__(self):
        self.network = LinearNetwork(1)
        variance = torch.tensor([0.5] * 6 + [2.0] * 2, dtype=torch.float64)
        self.prior = torch.diag(1 / variance)
        self.data = self.network.stiffness - self.prior
        self.pull = self.network.stiffness @ self.network.mean
        self.half = self.network.u0 + 0.5 * (self.network.mean @ self.pull).item()
        self.log_evidence = self.network.log_z(1.0) - 0.5 * torch.logdet(2 * math.pi * torch.diag(variance)).item()

    def losses(self, rng, beta, shape):
        precision = beta * self.data + self.prior
        root = np.linalg.cholesky(torch.linalg.inv(precision).numpy())
        q = rng.normal(size=(*shape, 8)) @ root.T + beta * torch.linalg.solve(precision, self.pull).numpy()
        return self.half - q @ self.pull.numpy() + 0.5 * np.einsum("...i,ij,...j->...", q, self.data.numpy(), q)


def test_the_evidence_of_the_linear_network_is_exact(rng):
    posterior = Posterior()
    levels = np.geomspace(1.0, 2000.0, 14)
    ladder = Ladder(levels, [posterior.losses(rng, 1 / t, (100, 20)) for t in levels], "loss")
    found = thermodynamics.log_evidence(ladder, prior=posterior.losses(rng, 0.0, (100, 20)))
    for estimate in (found.integration, found.mbar):
        assert abs(estimate.z(posterior.log_evidence)) < Z
        assert estimate.error < 0.5
    assert abs(found.z) < Z
    assert found.integration.error > found.discretisation > 0
    coarse = Ladder(levels[::4], ladder.energies[::4], "loss")
    worse = thermodynamics.log_evidence(coarse, prior=posterior.losses(rng, 0.0, (100, 20)))
    assert worse.discretisation > 5 * found.discretisation
    assert abs(worse.integration.z(posterior.log_evidence)) < Z


def test_the_evidence_needs_the_prior_and_says_so(rng):
    ladder = harmonic(rng)
    with pytest.raises(ValueError, match='tempered="loss"'):
        thermodynamics.log_evidence(ladder)
    with pytest.raises(ValueError, match=r"ends at T = 4 .* give prior="):
        thermodynamics.log_evidence(Ladder(LEVELS, ladder.energies, "loss"))


def test_what_is_no_ladder_is_refused(rng):
    one = rng.normal(size=10)
    for levels, energies, message in (
        ([1.0], [one, one], "one series for each"),
        ([1.0, 1.0], [one, one], "positive and all different"),
        ([1.0, -2.0], [one, one], "positive and all different"),
        ([1.0, 2.0], [one, [np.nan]], "not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            Ladder(np.array(levels), energies)
    with pytest.raises(ValueError, match="allowed are 'all' and 'loss'"):
        Ladder(np.array([1.0]), [one], "prior")
    with pytest.raises(ValueError, match="needs 2 temperatures"):
        thermodynamics.free_energies(Ladder(np.array([1.0]), [one]))
    backwards = Ladder(np.array([2.0, 1.0]), [one + 5, one])
    assert backwards.temperatures.tolist() == [1.0, 2.0]
    assert backwards.means[0] == pytest.approx(one.mean())


def test_without_pymbar_it_says_how_to_get_it(rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "pymbar", None)
    with pytest.raises(trajectories.TrajectoryError, match=r"pip install mdnet\[validate\]"):
        thermodynamics.mbar(harmonic(rng))
    assert thermodynamics.thermodynamic_integration(harmonic(rng)).log_z[-1] > 0


def write(path, series, sets, every=10, **parameters):
    """A file with potential energies and set temperatures (samples, replicas)."""
    replicas = series.shape[1]
    table = [trajectories.storage.layout.Tensor("w", (2,), 0)]
    with Writer.create(
        path, table=table, replicas=replicas, masses=np.ones(2), dtype="float64", parameters=parameters
    ) as writer:
        for i, (row, level) in enumerate(zip(series, np.broadcast_to(sets, series.shape), strict=True)):
            writer.observable("potential_energy", i * every, 0.1 * i, row)
            writer.observable("set_temperature", i * every, 0.1 * i, level)
    return path


def test_runs_at_one_temperature_each_make_a_ladder(rng, tmp_path):
    paths = []
    for i, t in enumerate((2.0, 1.0, 2.0)):
        energies = rng.gamma(6.0, t, (100 + 10 * i, 4))
        if i == 1:
            energies[:30] += 1e3
        paths.append(write(tmp_path / f"{i}.h5", energies, np.full(4, t)))
    opened = [trajectories.open(path) for path in paths]
    found = thermodynamics.energies_by_temperature(opened)
    assert found.temperatures.tolist() == [1.0, 2.0]
    assert found.energies[0].shape[1] == 4
    assert found.energies[1].shape[1] == 8
    ends = [opened[i].observables["potential_energy"].values[-5:] for i in (0, 2)]
    np.testing.assert_array_equal(found.energies[1][-5:], np.concatenate(ends, axis=1))
    assert found.energies[0].max() < 1e3, "the start of the second run is no equilibrium"
    all_of_it = thermodynamics.energies_by_temperature(opened[1], start=0)
    assert all_of_it.energies[0].shape == (110, 4)
    assert all_of_it.energies[0].max() > 1e3
    for run in opened:
        run.close()


def test_a_schedule_is_refused_with_the_step_where_it_ends(rng, tmp_path):
    sets = np.where(np.arange(100) < 40, 2.0, 1.0)[:, None]
    write(tmp_path / "falls.h5", rng.gamma(6.0, 1.0, (100, 4)), sets)
    with trajectories.open(tmp_path / "falls.h5") as run:
        with pytest.raises(trajectories.TrajectoryError, match="start=400"):
            thermodynamics.energies_by_temperature(run)
        assert thermodynamics.energies_by_temperature(run, start=400).energies[0].shape == (60, 4)
    write(tmp_path / "cools.h5", rng.gamma(6.0, 1.0, (100, 4)), np.linspace(2, 1, 100)[:, None])
    with (
        trajectories.open(tmp_path / "cools.h5") as run,
        pytest.raises(trajectories.TrajectoryError, match="fixed ones"),
    ):
        thermodynamics.energies_by_temperature(run)


def test_a_run_of_a_ladder_has_the_exact_free_energies(tmp_path, seed):
    """Dynamics of a network, file and analysis: replicas at fixed temperatures."""
    torch.manual_seed(seed)
    levels = geometric(0.5, 4.0, 5)
    exact = LinearNetwork(80)
    engine = Splitting(
        BAOAB, exact.system.force, 0.6 / exact.largest_frequency(), Langevin(levels.repeat(16)[:, None], friction=5.0)
    )
    run = md.Simulation(exact.system, engine, output=tmp_path, seed=seed, reporters=[md.Scalars(8)])
    run.run(1200, progress=False)
    with trajectories.open(tmp_path) as run:
        ladder = thermodynamics.energies_by_temperature(run)
    assert [one.shape[1] for one in ladder.energies] == [16] * 5
    answer = np.array([exact.log_z(t) for t in levels.tolist()])
    for one in thermodynamics.free_energies(ladder).methods:
        assert (np.abs(one.log_z - answer + answer[0])[1:] < Z * one.error[1:]).all(), one.method


def test_replica_exchange_of_the_loss_gives_the_evidence(tmp_path, seed, rng):
    """Dynamics again: the loss tempered, the prior drawn from directly."""
    torch.manual_seed(seed)
    levels = geometric(1.0, 60.0, 8)
    action = ReplicaExchange(levels, every=4, tempered="loss")
    network = LinearNetwork(8 * 16)
    engine = Splitting(
        BAOAB, network.system.force, 0.6 / network.largest_frequency(), Langevin(action.temperatures(128), friction=5.0)
    )
    run = md.Simulation(
        network.system, engine, actions=[action], positions=network.mean.repeat(128, 1), output=tmp_path, seed=seed,
        reporters=[md.Scalars(20)],
    )  # fmt: skip
    run.run(1600, progress=False)
    with trajectories.open(tmp_path) as run:
        ladder = thermodynamics.energies_by_temperature(run)
        checks = {one.name: one.verdict for one in thermodynamics.canonical_checks(run)}
    assert checks.pop("configurational temperature") == checks.pop("equipartition") == "open", "not recorded"
    assert checks.pop("conserved quantity, change") != "failed", "a step this large drifts where momenta are turned"
    assert set(checks.values()) == {"passed"}
    assert ladder.tempered == "loss"
    assert [one.shape[1] for one in ladder.energies] == [16] * 8
    laws = [Tempered(LinearNetwork(1), t, 1.0).log_z for t in levels.tolist()]
    found = thermodynamics.thermodynamic_integration(ladder)
    assert (np.abs(found.log_z - np.array(laws) + laws[0])[1:] < Z * found.error[1:]).all()
    posterior = Posterior()
    evidence = thermodynamics.log_evidence(ladder, prior=posterior.losses(rng, 0.0, (100, 16)))
    for estimate in (evidence.integration, evidence.mbar):
        assert abs(estimate.z(posterior.log_evidence)) < Z
    assert evidence.mbar.error < 0.3
