"""Laws: what is computed from a sweep of rates is that of exact states, within the errors that are claimed."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import trajectories
from trajectories import NotRecorded, Writer, sgd
from trajectories.commands.sgd import sgd as command
from trajectories.sgd.temperature import smooths

Z = 5.0
H, SIGMA2 = 0.9, 0.07  # curvature and noise of the minimum that most tests are about
RATES = np.geomspace(0.01, 0.15, 8)
D, SIGMA = 9, 1.3  # of the ideal gas
TABLES, NOMINAL = 200, 0.95
APP = typer.Typer()
APP.command()(command)


@pytest.fixture
def rng(seed):
    return np.random.default_rng(seed + 17)


def made(rng, seeds, noise=0.005, rates=RATES, d=2):
    """States at a quadratic minimum, with noise in U and S and an offset of S that a seed shares over all rates."""
    exact = sgd.quadratic_minimum(rates, H, SIGMA2, d)
    shape = (len(rates), seeds)
    energy = exact.energy[:, None] * (1 + noise * rng.normal(size=shape))
    return sgd.States(
        rates, energy, exact.entropy[:, None] + noise * rng.normal(size=shape) + rng.normal(size=seeds), d
    )


def covers(share, tables=TABLES):
    """Whether the share of intervals that held the truth is not below what 95 % intervals have, by chance."""
    return share >= NOMINAL - Z * np.sqrt(NOMINAL * (1 - NOMINAL) / tables)


def test_the_chain_at_a_quadratic_minimum_has_the_derived_energy_temperature_and_signal(rng):
    """Law: x' = (1 - eta h) x + eta xi has U = d T/2, T = dU/dS and SNR^2 = (eta h/2)/(1 - eta h/2) at any rate."""
    d, seeds, steps = 3, 40, 4000
    rates = np.geomspace(0.1, 1.5, 10)
    exact = sgd.quadratic_minimum(rates, H, SIGMA2, d)
    eta = rates[:, None, None]
    x = np.sqrt(exact.temperature / H)[:, None, None] * rng.normal(size=(len(rates), seeds, d))
    square, noise = np.zeros((len(rates), seeds)), np.zeros((len(rates), seeds))
    for _ in range(steps):
        xi = np.sqrt(SIGMA2) * rng.normal(size=x.shape)
        x = (1 - eta * H) * x + eta * xi
        square += np.square(x).sum(-1) / steps
        noise += np.square(xi).sum(-1) / steps
    states = sgd.States(rates, H * square / 2, d / 2 * np.log(2 * np.pi * np.e * square / d), d)
    assert np.abs(states.U.z(exact.energy)).max() < Z
    assert np.abs(sgd.signal_to_noise(H**2 * square, noise).z(exact.signal_to_noise)).max() < Z
    found, noiseless = (
        sgd.temperature(states, eps=1e-4),
        sgd.States(rates, exact.energy[:, None], exact.entropy[:, None], d),
    )
    bias = sgd.temperature(noiseless, eps=1e-4).value / exact.temperature  # chords and kernel, not noise
    off = (found.value / bias - exact.temperature) / found.error
    assert np.abs(bias[1:-1] - 1).max() < 0.08
    assert np.abs(off[1:-1]).max() < Z
    assert found.monotone
    assert found.monotone_share > 0.9


def test_bounds_are_those_of_the_definition_with_the_tolerance():
    """T_max = min (U_j - U_i + eps)/(S_j - S_i) over larger entropies, T_min the largest over smaller ones."""
    energy, entropy = np.array([0.0, 1.0, 3.0, 7.0]), np.array([0.0, 1.0, 2.0, 3.0])
    states = sgd.States(10.0 ** np.arange(4), energy[:, None], entropy[:, None], 1)
    found = sgd.temperature(states, eps=0.5)
    assert np.allclose(found.low[1:3], [0.5, 1.5])
    assert np.allclose(found.high[1:3], [2.5, 4.5])
    assert np.allclose(found.value[1:3], np.sqrt([0.5 * 2.5, 1.5 * 4.5]))
    assert found.reasons == ("no smaller rate", "", "", "no larger rate")
    assert np.isnan(found.error).all()


def test_the_error_over_seeds_is_that_of_a_mean():
    """Law: error^2 = s^2/n with s^2 from n - 1, and the jackknife's the same of a mean; nan of one seed."""
    values = np.array([[1.0, 3.0, 8.0]])
    assert sgd.over_seeds(values).error[0] == pytest.approx(values.std(ddof=1) / np.sqrt(3))
    assert sgd.jackknife(lambda mean: mean, values).error[0] == pytest.approx(values.std(ddof=1) / np.sqrt(3))
    assert np.isnan(sgd.over_seeds(values[:, :1]).error[0])


def test_smoothing_is_a_triangle_in_the_logarithm_of_the_rate():
    states = sgd.States(np.exp([0.0, 0.15, 0.45, 0.9]), np.array([[1.0], [2.0], [4.0], [8.0]]), np.zeros((4, 1)), 1)
    smoothed = sgd.smooth(states, 0.3).energy[:, 0]
    assert np.allclose(smoothed, [(1 + 2 * 0.5) / 1.5, (1 * 0.5 + 2) / 1.5, 4, 8])


def test_what_has_no_temperature_is_told_and_never_a_crash():
    """A curve that is not convex, an S that falls, values that are not finite: nan, with the reason."""
    rates, s = np.geomspace(1, 16, 5), np.arange(5.0)[:, None] * np.ones(4)
    concave = sgd.temperature(sgd.States(rates, np.sqrt(s), s, 1))
    assert concave.reasons[1:-1] == ("T_min > T_max: U(S) is not convex here",) * 3
    falling = sgd.temperature(sgd.States(rates, s**2, s[[0, 1, 3, 2, 4]], 1))
    assert falling.reasons[2:4] == ("S does not rise here",) * 2
    assert np.isfinite(falling.value[1])
    broken = s.copy()
    broken[[0, 2]] = -np.inf
    states = sgd.States(rates, s**2, broken, 1)
    found = sgd.temperature(states)
    assert found.reasons[:3] == ("U or S is not finite", "no smaller rate", "U or S is not finite")
    assert found.value[3] == pytest.approx(np.sqrt(4 * 7))  # chords from 1 to 3 and from 3 to 4
    assert list(sgd.free_energy(states, found).star) == [-1, -1, -1, 3, -1]
    assert sgd.convexity(states).convex is False
    still = sgd.temperature(sgd.States(rates, s, np.full_like(s, -np.inf), 1))
    assert np.isnan(still.value).all()
    assert not still.monotone
    assert np.isnan(sgd.power_law(rates, still.value, still.error, still.resampled).b.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rates": RATES[::-1]}, "sort"),
        ({"rates": RATES[:2]}, "three rates"),
        ({"entropy": np.ones((8, 3))}, "seeds"),
        ({"dimension": 0}, "dimension = 0"),
    ],
)
def test_states_that_do_not_fit_are_refused(change, told):
    with pytest.raises(ValueError, match=told):
        sgd.States(**{"rates": RATES, "energy": np.ones((8, 2)), "entropy": np.ones((8, 2)), "dimension": 2} | change)


@pytest.mark.parametrize("seeds", [3, 8])
def test_intervals_of_temperature_and_exponent_hold_the_truth_as_often_as_they_say(rng, seeds):
    """Law: 95 % intervals, by seeds whose whole curves are resampled, hold T and b in 95 % of made tables."""
    exact = sgd.quadratic_minimum(RATES, H, SIGMA2, 2)
    truth = sgd.temperature(sgd.States(RATES, exact.energy[:, None], exact.entropy[:, None], 2))
    exponent = sgd.power_law(RATES, truth.value, truth.error).b.value
    held, law = np.zeros(len(RATES)), 0
    for _ in range(TABLES):
        found = sgd.temperature(made(rng, seeds), resamples=100)
        low, high = found.interval.T
        held += (low < truth.value) & (truth.value < high)
        fit = sgd.power_law(RATES, found.value, found.error, found.resampled)
        law += fit.b_interval[0] < exponent < fit.b_interval[1]
    assert covers(held[1:-1].min() / TABLES)
    assert covers(law / TABLES)
    assert held[1:-1].max() < TABLES or seeds > 3


def test_free_energy_is_least_at_its_own_rate_and_not_with_entropies_permuted(rng):
    """Law: automatic for the tables that T is from; a statement of the measured ones, which the control fails."""
    states = made(rng, 8)
    found = sgd.temperature(states)
    smoothed = sgd.free_energy(sgd.smooth(states), found)
    assert smoothed.at_own == smoothed.told == np.isfinite(found.value).sum()
    measured = sgd.free_energy(states, found)
    assert measured.told == len(RATES) - 2
    assert measured.at_own >= measured.told - 1
    assert measured.shuffled.mean() < measured.told / 2
    assert measured.p < 0.02
    own = np.arange(1, len(RATES) - 1)
    assert np.all(measured.excess.value[own, own] == 0)
    assert np.nanmax(measured.excess.error) < 0.2 * np.nanmax(measured.error)  # what seeds share of S cancels
    with pytest.raises(ValueError, match="do not go with"):
        sgd.free_energy(made(rng, 2, rates=2 * RATES), found)


def test_least_f_of_other_seeds_is_no_construction(seed):
    """Law: where rates are far apart and eps = 0, F is least at its own T whatever the noise; of other seeds it is not.

    With little noise a convex U(S) has its least F at its own T in both; S of other rates has not.
    """
    draw, rates = np.random.default_rng(seed), np.geomspace(0.01, 0.1, 7)
    s = 10 * np.log(rates)[:, None] + np.zeros((7, 16))
    u = np.exp(s / 10)
    clear = sgd.States(rates, u + 1e-5 * draw.normal(size=u.shape), s, 10)
    assert not smooths(rates, 0.3)
    found = sgd.held_out(clear)
    assert (found.at_own, found.told) == (10, 10)
    assert found.p < 0.02
    assert found.shuffled.mean() < 4
    noisy = sgd.States(rates, u + 0.01 * draw.normal(size=u.shape), s, 10)
    everything, apart = sgd.free_energy(noisy, sgd.temperature(noisy)), sgd.held_out(noisy)
    assert everything.at_own == everything.told
    assert apart.at_own < apart.told
    one = sgd.States(rates, u[:, :1], s[:, :1], 10)
    assert (sgd.held_out(one).told, sgd.held_out(one).p) == (0, 1.0)


def test_convexity_holds_for_a_line_as_often_as_it_says_and_tells_both_curvatures(rng):
    """Law: of straight U(S) one in a hundred is refused; a concave curve is refused, a convex one clear."""
    rates, s = np.geomspace(1, 16, 6), np.arange(6.0)[:, None]
    refused = 0
    for _ in range(TABLES):
        noise = 0.05 * rng.normal(size=(2, 6, 10))
        refused += not sgd.convexity(sgd.States(rates, 2 * s + noise[0], s + noise[1], 1), level=0.1).convex
    assert abs(refused / TABLES - 0.1) < Z * np.sqrt(0.1 * 0.9 / TABLES)
    for curve, convex, clear in ((s**2, True, 4), (np.sqrt(s), False, 0)):
        found = sgd.convexity(sgd.States(rates, curve + 0.01 * rng.normal(size=(6, 10)), s + np.zeros(10), 1))
        assert found.convex is convex
        assert found.clear == clear
    assert sgd.convexity(sgd.States(rates, s**2, s, 1)).convex is None


def test_a_power_law_is_found_without_its_ends(rng):
    """Law: ln T = ln a + b ln eta, whatever the first and the last value are; errors are those of the fit."""
    values = 0.04 * RATES**1.1
    values[[0, -1]] = 7.0
    exact = sgd.power_law(RATES, values, np.full(8, np.nan))
    assert exact.b.value == pytest.approx(1.1)
    assert exact.a.value == pytest.approx(0.04)
    assert np.allclose(exact.at(RATES[2:4]), values[2:4])
    values, errors = 0.04 * RATES**1.1, np.linspace(0.01, 0.05, 8) * 0.04 * RATES**1.1
    z = []
    for _ in range(TABLES):
        found = sgd.power_law(RATES, values + errors * rng.normal(size=8), errors, ends=True)
        z.append(found.b.z(1.1))
    assert abs(np.mean(np.square(z)) - 1) < Z * np.sqrt(2 / TABLES) + 0.05  # + .05: weights are not the best
    with pytest.raises(ValueError, match="must all be"):
        sgd.power_law(RATES, values[1:], errors)


def decaying(rng, scaled, seeds=12):
    """Runs of three rates with U = e^-2x and S = -x, so T = 2 e^-2x, x = eta t or t."""
    rates, steps = np.array([0.01, 0.03, 0.1]), np.unique(np.geomspace(1, 1000, 120).astype(int))
    x = steps[:, None] * (rates if scaled else np.full(3, 0.02))
    noise = 1e-3 * rng.normal(size=(2, *x.shape, seeds))
    return rates, steps, x, np.exp(-2 * x)[..., None] * (1 + noise[0]), -x[..., None] + noise[1]


def test_temperature_along_a_run_is_the_slope_of_energy_against_entropy(rng):
    """Law: U = e^-2x, S = -x has T = 2 e^-2x at every time, for rates whose x differ; what stands still has none."""
    _, steps, x, energy, entropy = decaying(rng, scaled=True)
    found = sgd.along(steps, energy, entropy, width=0.3)
    exact = sgd.along(steps, np.exp(-2 * x)[..., None], -x[..., None], width=0.3)
    near = np.isfinite(found.value) & (x < 3)
    assert near.sum() > 100
    assert np.abs(exact.value / (2 * np.exp(-2 * x)) - 1)[near & (x < 0.3)].max() < 0.05  # lines through curves
    assert np.abs((found.value - exact.value) / found.error)[near].max() < Z + 1  # of some 200 points
    assert np.isnan(sgd.along(steps, energy, entropy * 0 + 1e-3 * rng.normal(size=entropy.shape)).value).mean() > 0.7
    entropy[60, 1] = -np.inf
    assert np.isnan(sgd.along(steps, energy, entropy).value[60]).tolist() == [False, True, False]


@pytest.mark.parametrize("scaled", [True, False])
def test_curves_fall_together_on_the_time_that_counts(rng, scaled):
    """Law: T(eta t) falls together at power 1, T(t) at power 0, and nowhere else as well."""
    rates, steps, _, energy, entropy = decaying(rng, scaled)
    found = sgd.collapse(rates, sgd.along(steps, energy, entropy))
    best, other = (10, 0) if scaled else (0, 10)
    assert found.power == pytest.approx(float(scaled), abs=0.101)
    assert found.spread[best] < 0.15 * found.spread[other]
    with pytest.raises(ValueError, match="two rates"):
        sgd.collapse(rates[:1], sgd.along(steps, energy, entropy))


def correlated(rng, c, samples=50, shape=(10, 4)):
    noise = rng.normal(size=(samples, *shape))
    for i in range(1, samples):
        noise[i] = c * noise[i - 1] + np.sqrt(1 - c**2) * noise[i]
    return noise


def test_drift_is_told_and_a_stationary_replica_seldom_accused(rng):
    """Law: p < .01 in about one of a hundred stationary replicas, three where samples are correlated; drift is seen."""
    steps = np.geomspace(100, 5000, 50)
    for c, most in ((0.0, 0.02), (0.5, 0.035), (0.8, 0.045)):
        accused = np.mean([sgd.drift(steps, correlated(rng, c)).p < 0.01 for _ in range(50)])
        assert accused < most

    def flagged(found, rates):
        return found.moved[rates].all() and found.moved.sum() <= len(rates) + 1  # one in a hundred is by chance

    one, curved = correlated(rng, 0.0), correlated(rng, 0.0)
    one[:, 7, 2] += 3.5 * np.linspace(0, 1, 50)
    one[3, 4, 1] = np.nan
    found = sgd.drift(steps, one)
    assert flagged(found, [4, 7])
    assert found.change[7, 2] == pytest.approx(3.5, abs=1.5)
    shared = correlated(rng, 0.0, shape=(10, 40))
    shared[:, 1] += np.linspace(0, 1, 50)[:, None]  # too little to be seen in one replica, but all seeds share it
    found = sgd.drift(steps, shared)
    assert flagged(found, [1])
    assert np.median(found.p[1]) > 0.005
    curved[:, 9, 0] += 100 * np.sin(np.linspace(0, 4 * np.pi, 50))  # slower than it was watched, and no line
    found = sgd.drift(steps, curved)
    assert flagged(found, [9])
    assert found.independent[9, 0] < 2
    assert not sgd.drift(steps, np.zeros((50, 1, 1))).moved.any()
    with pytest.raises(ValueError, match="eight or more"):
        sgd.drift(steps[:5], one[:5])


def gas(protocol, rate, second):
    """Exact T, V, p and S of an ideal gas whose direction has the entropy 2 ln T."""
    if protocol == "sphere":
        heat, radius = sgd.sphere_temperature(rate, second, SIGMA**2), second
        pressure = (D - 1) * heat / radius**2
    else:
        heat = (
            sgd.effective_rate_temperature(rate, SIGMA**2)
            if protocol == "elr"
            else sgd.fixed_rate_temperature(rate, second, SIGMA**2, D)
        )
        pressure, radius = second, sgd.stationary_radius(heat, second, D)
    return heat, radius, pressure, sgd.whole_entropy(2 * np.log(heat), radius, D)


def grid(protocol):
    second = np.geomspace(0.5, 4, 4) if protocol == "sphere" else np.geomspace(1e-4, 1e-2, 4)
    x, y = np.meshgrid(np.geomspace(1e-3, 1e-1, 4), second, indexing="ij")
    return x.ravel(), y.ravel()


@pytest.mark.parametrize("protocol", ["sphere", "elr", "lr"])
def test_the_exact_ideal_gas_obeys_state_maxwell_and_gibbs_in_each_protocol(rng, protocol):
    """Law: p V = R T, the slope of S along isotherms is R per ln V, and G = U - T S + p V is least at its own state."""
    rate, second = grid(protocol)
    heat, radius, pressure, entropy = gas(protocol, rate, second)
    step = rate * radius**2 if protocol == "elr" else rate  # at one radius, one temperature in all protocols
    assert np.allclose(sgd.sphere_temperature(step, radius, SIGMA**2), heat)
    assert np.allclose(sgd.equation_of_state(pressure[:, None], radius[:, None] ** 2 / 2, heat[:, None], D).value, 1)
    relation = sgd.maxwell(protocol, rate, second, entropy[:, None], D)
    assert relation.slope.value == pytest.approx(relation.expected)
    assert relation.deviation.value == pytest.approx(0)
    kept = np.arange(1, len(rate))  # a corner is missing, so that no symmetry hides a bend
    bent = (entropy + (np.log(rate) + np.log(second) - 1) ** 2)[kept, None]
    middle = np.log(rate[kept]).mean() + np.log(second[kept]).mean() - 1
    across = 2 * middle * {"sphere": 3, "elr": 1, "lr": 0}[protocol]
    assert sgd.maxwell(protocol, rate[kept], second[kept], bent, D).slope.value == pytest.approx(
        relation.expected + across
    )
    energy = 2 * heat  # dU = T dS of the direction
    tables = [np.repeat(table[:, None], 3, axis=1) for table in (energy, entropy, radius**2 / 2)]
    found = sgd.gibbs(*tables, heat, pressure)
    assert found.at_own == found.told == len(rate)
    assert found.shuffled.mean() < len(rate) / 3
    assert sgd.gibbs(*tables, heat, pressure[::-1]).at_own < len(rate) / 2


@pytest.mark.parametrize("protocol", ["sphere", "elr", "lr"])
def test_error_bars_of_the_gas_hold_the_truth_as_often_as_they_say(rng, protocol):
    """Law: |z| < t_.975 of seeds - 1 in 95 % of made tables, for the slope of S and for p V/(R T)."""
    rate, second = grid(protocol)
    heat, radius, pressure, entropy = gas(protocol, rate, second)
    seeds, quantile = 5, 2.776
    slope, state = 0, np.zeros(len(rate))
    for _ in range(TABLES):
        noise = rng.normal(size=(2, len(rate), seeds))
        relation = sgd.maxwell(protocol, rate, second, entropy[:, None] + 0.3 * noise[0] + rng.normal(size=seeds), D)
        slope += abs(relation.slope.z(relation.expected)) < quantile
        volume = radius[:, None] ** 2 / 2 * (1 + 0.05 * noise[1])
        state += np.abs(sgd.equation_of_state(pressure[:, None], volume, heat[:, None], D).z(1.0)) < quantile
    for share in (slope / TABLES, state.mean() / TABLES):
        assert abs(share - NOMINAL) < Z * np.sqrt(NOMINAL * (1 - NOMINAL) / TABLES)


@pytest.mark.parametrize("protocol", ["elr", "lr"])
def test_one_step_keeps_the_discrete_radius_on_average(rng, protocol):
    """Law: E|w'|^2 = |w|^2 at the discrete radius for rates that are not small, where the continuous one fails."""
    rate, decay, mean = (0.05, 0.3, 0.5) if protocol == "elr" else (0.5, 0.3, 0.5)
    trace = (D - 1) * SIGMA**2 + mean**2

    def growth(radius, samples=200_000):
        w = np.eye(D)[0] * radius
        across = np.zeros((samples, D))
        across[:, 1:] = SIGMA * rng.normal(size=(samples, D - 1)) + mean * np.eye(D - 1)[0]
        eta = rate * radius**2 if protocol == "elr" else rate
        norms = np.square(w - eta * (across / radius + decay * w)).sum(-1) / radius**2
        return (norms.mean() - 1) / (norms.std() / np.sqrt(samples))

    exact = float(sgd.discrete_radius(protocol, rate, decay, trace))
    heat = (
        sgd.effective_rate_temperature(rate, SIGMA**2)
        if protocol == "elr"
        else sgd.fixed_rate_temperature(rate, decay, SIGMA**2, D)
    )
    assert abs(growth(exact)) < Z
    assert abs(growth(float(sgd.stationary_radius(heat, decay, D)))) > 2 * Z
    small = sgd.discrete_radius(protocol, 1e-7, decay, (D - 1) * SIGMA**2)
    heat = heat * (1e-7 / rate) ** (1.0 if protocol == "elr" else 0.5)
    assert small == pytest.approx(sgd.stationary_radius(heat, decay, D), rel=1e-4)


def test_the_pressure_on_a_sphere_is_the_decay_that_would_keep_its_radius():
    """Law: the discrete radius at the pressure of a sphere is that of the sphere."""
    pressure = sgd.sphere_pressure(0.4, 3.0, 12.0)
    assert sgd.discrete_radius("lr", 0.4, pressure, 12.0) == pytest.approx(3.0)
    assert sgd.noise_variance((D - 1) * SIGMA**2 / 4, 2.0, D) == pytest.approx(SIGMA**2)
    with pytest.raises(ValueError, match="smaller rate"):
        sgd.sphere_pressure(10.0, 1.0, 12.0)
    with pytest.raises(ValueError, match="allowed are 'lr' and 'elr'"):
        sgd.discrete_radius("sphere", 0.1, 0.1, 1.0)
    with pytest.raises(ValueError, match="above 1"):
        sgd.discrete_radius("elr", 1.0, 0.1, 2.0)


def test_a_relation_of_maxwell_needs_points_along_an_isotherm():
    """One temperature and two radii are enough; points across all isotherms are refused."""
    rate = np.array([1.0, 4.0])  # eta/r^2 is 1
    found = sgd.maxwell("sphere", rate, np.array([1.0, 2.0]), np.array([[0.0], [8 * np.log(2)]]), D)
    assert found.slope.value == pytest.approx(found.expected)
    with pytest.raises(ValueError, match="isotherm"):
        sgd.maxwell("elr", np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 4.0]), np.ones((3, 2)), D)
    with pytest.raises(ValueError, match="sphere, elr, lr"):
        sgd.maxwell("cube", rate, rate, np.ones((2, 2)), D)


SEEDS, LAST = 6, 20


def write(folder, rng, sweep=None, *, rates=RATES, entropy=True):
    """A sweep of states at the minimum: 60 samples of U, the first 40 far off; S and gradients at the last steps."""
    exact = sgd.quadratic_minimum(rates, H, SIGMA2, 2)
    replicas = len(rates) * SEEDS
    given = sweep or {"rate": np.repeat(rates, SEEDS), "seed": np.tile(np.arange(SEEDS), len(rates)), "batch": 32}
    energy, s, snr = (np.repeat(one, SEEDS) for one in (exact.energy, exact.entropy, exact.signal_to_noise))
    with Writer.create(
        folder / "trajectory.h5", table=[("w", (3,), 0)], replicas=replicas, masses=np.ones(3),
        parameters={"sweep": given}, dtype="float64",
    ) as writer:  # fmt: skip
        for i, step in enumerate([0, *np.unique(np.geomspace(1, 50_000, 75).astype(int))[-59:].tolist()]):
            early = 1000 if i < 40 else 1
            writer.observable("potential_energy", step, step, early * energy * (1 + 0.01 * rng.normal(size=replicas)))
            if i >= 50 and entropy:
                writer.observable("graph_entropy", step, step, s + 0.01 * rng.normal(size=replicas))
            writer.observable("gradient_squared", step, step, early * snr**2)
            writer.observable("noise_squared", step, step, np.ones(replicas))
    return folder


def test_a_sweep_is_read_by_rate_and_seed(tmp_path, rng):
    """Means over the last samples, of each observable those it has since; what was still on its way is told."""
    exact = sgd.quadratic_minimum(RATES, H, SIGMA2, 2)
    with trajectories.open(write(tmp_path, rng)) as run:
        found = sgd.stationary(run, LAST)
        steps, both = sgd.series(run)
        moved = sgd.stationary(run, 40).drift.moved
    assert found.sweep.rates == pytest.approx(RATES)
    assert found.sweep.points["batch"].tolist() == [32] * len(RATES)
    assert found.sweep.seeds.tolist() == list(range(SEEDS))
    assert np.allclose(found["potential_energy"] / exact.energy[:, None], 1, atol=0.02)
    assert np.allclose(found.states.entropy, exact.entropy[:, None], atol=0.03)
    assert np.allclose(found.signal_to_noise.value, exact.signal_to_noise)
    assert found.drift.moved.sum() <= 1
    assert moved.all()
    assert len(steps) == 10
    assert both["graph_entropy"].shape == both["potential_energy"].shape == (10, len(RATES), SEEDS)
    with pytest.raises(NotRecorded, match="no 'radius' was recorded"):
        found["radius"]


def test_a_file_that_holds_no_ordered_sweep_is_refused_with_the_remedy(tmp_path, rng):
    orders = {"rate": np.tile(RATES, SEEDS), "seed": np.repeat(np.arange(SEEDS), len(RATES))}
    for name in ("none", "other", "short"):
        (tmp_path / name).mkdir()
    with (
        trajectories.open(write(tmp_path / "none", rng, {"rates": 1})) as run,
        pytest.raises(NotRecorded, match="seed"),
    ):
        sgd.sweep(run)
    other, short = write(tmp_path / "other", rng, orders), write(tmp_path / "short", rng)
    with trajectories.open(other) as run, pytest.raises(ValueError, match="point x seeds"):
        sgd.stationary(run)
    with trajectories.open(short) as run, pytest.raises(ValueError, match="no more than there are"):
        sgd.stationary(run, 500)


def test_the_command_tells_the_table_and_what_holds_of_it(tmp_path, rng):
    """As lines for readers, and as JSON for programs; without an entropy there is no temperature, and it says so."""
    (tmp_path / "bare").mkdir()
    write(tmp_path, rng), write(tmp_path / "bare", rng, entropy=False)
    lines = CliRunner().invoke(APP, [str(tmp_path), "--last", str(LAST)])
    assert lines.exit_code == 0
    for part in ("8 points of 6 seeds", "T_min", "no larger rate", "F least at its own rate", "T = a eta^b", "SNR"):
        assert part in lines.output
    told = json.loads(CliRunner().invoke(APP, [str(tmp_path), "--last", str(LAST), "--json"]).output)
    exact = sgd.quadratic_minimum(RATES, H, SIGMA2, 2)
    assert told["points"]["U"] == pytest.approx(exact.energy.tolist(), rel=0.01)
    assert told["points"]["T"][0] is None
    assert told["points"]["T"][1:-1] == pytest.approx(exact.temperature[1:-1].tolist(), rel=0.2)
    assert told["power_law"]["b"] == pytest.approx(1.0, abs=0.15)
    assert told["least_at_own"] <= told["of"] == 6
    bare = CliRunner().invoke(APP, [str(tmp_path / "bare"), "--last", str(LAST)])
    assert bare.exit_code == 0
    assert "no temperature: that takes an entropy" in bare.output
    assert CliRunner().invoke(APP, [str(tmp_path), "--last", "500"]).exit_code != 0
