"""Laws: what is said of curves over data sets is so of tables with known answers, as often as is claimed."""

import itertools
import json

import numpy as np
import pytest
import typer
from scipy.special import stdtrit
from scipy.stats import spearmanr
from typer.testing import CliRunner

import trajectories
from trajectories import NotRecorded, Writer, averaging
from trajectories.averaging import Curve
from trajectories.commands.averaging import averaging as command

Z, NOMINAL = 5.0, 0.95
T = np.geomspace(5e-4, 3.3e-2, 7)
A, B, C = 4e-4, 0.25, 0.02  # of the gap
LOW, FLOOR, BEND = 4e-3, 0.5, 0.06  # of the test loss: where it is least, how small, how bent in ln T
SPLITS, LAST = 8, 20
APP = typer.Typer()
APP.command()(command)


@pytest.fixture
def rng(seed):
    return np.random.default_rng(seed + 23)


def gap(t):
    return (A / t + B) * np.exp(-t / C)


def loss(t):
    return FLOOR + BEND * np.log(t / LOW) ** 2


def lopsided(t):
    return gap(t) + 0.02 + 25 * t


def made(rng, splits=SPLITS, noise=0.05, test=loss, t=T):
    """Curves of known gap and test loss; each data set adds something that it has at all temperatures."""
    shared = 0.05 * rng.normal(size=splits)

    def table(values):
        return values[:, None] * (1 + noise * rng.normal(size=(len(t), splits)) + shared)

    whole = table(test(t))
    return Curve(t, whole - table(gap(t)), whole)


def covers(held, tables):
    """Whether so many intervals held the truth as 95 % intervals do, by chance."""
    return held / tables >= NOMINAL - Z * np.sqrt(NOMINAL * (1 - NOMINAL) / tables)


def test_a_curve_has_the_gap_and_errors_of_paired_differences(rng):
    curve = made(rng)
    assert np.allclose(curve.gap, curve.test - curve.train)
    mean = curve.mean("gap")
    assert np.allclose(mean.value, curve.gap.mean(1))
    assert np.allclose(mean.error, curve.gap.std(1, ddof=1) / np.sqrt(SPLITS))
    with pytest.raises(ValueError, match="no 'test_accuracy' by temperature: there is gap, train, test"):
        curve.mean("test_accuracy")
    with pytest.raises(ValueError, match="positive and rising"):
        Curve(T[::-1], curve.train, curve.test)
    with pytest.raises(ValueError, match="all tables alike"):
        Curve(T, curve.train, curve.test[:3])


def test_the_steady_value_is_the_median_of_the_last_looks_without_spikes():
    """Law: looks above the median by more than 5 median absolute deviations are left out; below it for accuracies."""
    steps = np.arange(1, 13)
    looks = np.array([9, 9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 7.0, 8.0, 9.0])[:, None, None]
    kept = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6]  # median of all ten: 1.45, deviation .3, so spikes exceed 2.95
    assert averaging.steady(steps, looks, 10)[0, 0] == pytest.approx(np.median(kept))
    assert averaging.steady(steps, looks, 10, spikes="down")[0, 0] == pytest.approx(1.45)
    assert averaging.steady(steps, -looks, 10, spikes="down")[0, 0] == pytest.approx(-np.median(kept))
    edge = np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 8, 17.0, 17.1])[:, None, None]  # median 5, deviation 3
    assert averaging.steady(steps[:11], edge, 11)[0, 0] == 5.0


def test_each_temperature_counts_up_to_its_own_end():
    steps = np.arange(0, 40)
    looks = np.repeat(np.arange(40.0)[:, None, None], 2, axis=1)
    assert averaging.steady(steps, looks, 5, ends=[10, 39])[:, 0].tolist() == [8.0, 37.0]
    looks[8, 0] = np.nan
    assert np.isnan(averaging.steady(steps, looks, 5, ends=[10, 39])[0, 0])
    with pytest.raises(ValueError, match="last = 20 of 10 looks after step 0 at temperature number 1"):
        averaging.steady(steps, looks, 20, ends=[10, 39])
    with pytest.raises(ValueError, match='"up"'):
        averaging.steady(steps, looks, 5, spikes="both")
    with pytest.raises(ValueError, match=r"ends \(1,\)"):
        averaging.steady(steps, looks, 5, ends=[10])


def test_under_trained_temperatures_are_flagged_and_seldom_others(rng):
    """Law: about one stationary study in a hundred has a flag; a common drift of two deviations is seen."""
    steps, studies = np.arange(51, 101), 60
    flagged = 0
    for _ in range(studies):
        looks = 1 + 0.01 * rng.normal(size=(50, 7, SPLITS))
        flagged += averaging.stationarity(steps, looks).flags.any()
    assert flagged / studies <= 0.02 + Z * np.sqrt(0.02 / studies)
    looks[:, 0] -= 0.02 * np.log(steps / 51)[:, None] / np.log(100 / 51)
    found = averaging.stationarity(steps, looks, ends=np.full(7, 100))
    assert found.flags[0]
    assert np.abs(found.change.z(np.where(np.arange(7) == 0, -0.02, 0.0))).max() < 3 * Z


@pytest.mark.parametrize("splits", [4, 8])
def test_intervals_of_the_law_of_the_gap_hold_the_truth_as_often_as_they_say(rng, splits):
    tables, axis = 100, np.geomspace(T[0], T[-1], 5)
    held = {"a": 0, "b": 0, "c": 0}
    within = np.zeros(len(axis))
    for _ in range(tables):
        law = averaging.fit_gap(made(rng, splits), resamples=200)
        for name, truth in zip("abc", (A, B, C), strict=True):
            held[name] += law.intervals[name][0] <= truth <= law.intervals[name][1]
        low, high = law.band(axis)
        within += (low <= gap(axis)) & (gap(axis) <= high)
    assert all(covers(number, tables) for number in held.values())
    assert covers(within.min(), tables)


def test_the_law_of_the_gap_is_found_exactly_and_is_the_least_of_squares(rng):
    """Law: without noise a, b, c are those put in and R^2 = 1; with noise no parameters near by have a smaller sum."""
    exact = np.repeat(gap(T)[:, None], 2, axis=1)
    law = averaging.fit_gap(Curve(T, 0 * exact, exact))
    assert (law.a, law.b, law.c) == pytest.approx((A, B, C), rel=1e-5)
    assert law.r2 == pytest.approx(1)
    assert law.at(T) == pytest.approx(gap(T))
    curve = made(rng)
    law, mean = averaging.fit_gap(curve), curve.gap.mean(1)
    least = np.square(law.at(T) - mean).sum()
    for factors in itertools.product((0.999, 1.001), repeat=3):
        a, b, c = np.array([law.a, law.b, law.c]) * factors
        assert np.square((a / T + b) * np.exp(-T / c) - mean).sum() >= least
    assert law.r2 == pytest.approx(1 - least / np.square(mean - mean.mean()).sum())


def test_a_gap_without_that_law_is_told_and_never_a_crash(rng):
    few, rising = made(rng, t=T[:3]), np.exp(T / C)[:, None] + np.zeros((7, 3))
    assert "3 temperatures with a finite gap" in averaging.fit_gap(few).reason
    assert np.isnan(averaging.fit_gap(few).band(T)[0]).all()
    law = averaging.fit_gap(Curve(T, 0 * rising, rising))
    assert "is not positive" in law.reason
    lost = made(rng)
    lost.test[-1, 2] = np.inf
    assert averaging.fit_gap(lost).points.tolist() == [True] * 6 + [False]
    alone = averaging.fit_gap(made(rng, 1))
    assert np.isfinite(alone.c)
    assert np.isnan(alone.intervals["c"]).all()
    flat = np.ones((7, 3))
    assert np.isnan(averaging.fit_gap(Curve(T, flat, 2 * flat)).r2)
    said = averaging.predictions(Curve(T, 0 * rising, rising))
    assert said[0].holds is False


@pytest.mark.parametrize("test", [loss, lopsided])
def test_intervals_of_the_optimum_hold_the_truth_as_often_as_they_say(rng, test):
    """Law: so do those of the least test loss and its depth, which are not too good by having been selected."""
    tables, axis = 150, np.geomspace(T[0], T[-1], 20001)
    best = axis[np.argmin(test(axis))]
    near = test(T[np.argmin(np.abs(np.log(T / best)))])
    quantile, held = stdtrit(SPLITS - 1, 0.5 + NOMINAL / 2), np.zeros(3)
    for _ in range(tables):
        found = averaging.optimum(made(rng, test=test), resamples=200)
        held[0] += found.interval[0] <= best <= found.interval[1]
        held[1] += abs(found.value.z(near)) < quantile
        held[2] += abs(found.depth.z(1 - near / test(T[0]))) < quantile
        assert found.interior
    assert covers(held.min(), tables)


def test_a_flat_curve_has_no_optimum_inside_and_no_depth(rng):
    """Law: free of selection, the depth of a flat curve is zero on average; both ends are seldom both worse."""
    tables = 150
    found = [averaging.optimum(made(rng, test=np.ones_like), resamples=20) for _ in range(tables)]
    depth = np.array([one.depth.value for one in found])
    assert abs(depth.mean()) < Z * depth.std() / np.sqrt(tables)
    assert np.mean([one.interior for one in found]) <= 0.05 + Z * np.sqrt(0.05 * 0.95 / tables)


def test_an_optimum_at_an_end_is_not_inside_and_accuracies_have_their_largest(rng):
    falling = averaging.optimum(made(rng, test=lambda t: 1 - 0.1 * np.log(t / T[0])))
    assert falling.temperature == pytest.approx(T[-1])
    assert not falling.interior
    curve = made(rng, noise=0.01)
    twin = Curve(T, curve.train, curve.test, test_accuracy=2 - curve.test)
    loss_, accuracy = averaging.optimum(twin), averaging.optimum(twin, "test_accuracy")
    assert accuracy.temperature == pytest.approx(loss_.temperature)
    assert accuracy.by_split == pytest.approx(2 - loss_.by_split)
    assert accuracy.depth.value > 0
    assert "four or more" in averaging.optimum(made(rng, t=T[:3])).reason
    with pytest.raises(ValueError, match="width = 0"):
        averaging.optimum(curve, width=0)


def test_rank_correlations_have_exact_chances(rng):
    """Law: rho is Spearman's, and p is that of all permutations: it is uniform over them where nothing depends."""
    y = rng.normal(size=(7, 3))
    tied = np.array([1.0, 1, 2, 3, 3, 3, 4])
    assert averaging.trend(tied, y).rho == pytest.approx(spearmanr(tied, y.mean(1)).statistic)
    found = averaging.trend(T, y)
    assert found.rho == pytest.approx(spearmanr(T, y.mean(1)).statistic)
    fall = averaging.trend(T, -T[:, None] + np.zeros(3))
    assert (fall.rho, fall.interval) == (pytest.approx(-1), (pytest.approx(-1), pytest.approx(-1)))
    assert fall.p == pytest.approx(2 / 5040)
    orders = list(itertools.permutations(range(5)))
    p = np.array([averaging.trend(T[:5], np.array(order, float)[:, None]).p for order in orders])
    assert all(np.mean(p <= level) <= level + 1e-12 for level in np.unique(p))
    assert all(np.mean(p <= level) == pytest.approx(level) for level in np.unique(p))
    many = rng.normal(size=(20, 1))
    assert averaging.trend(np.arange(20), many).p == pytest.approx(spearmanr(np.arange(20), many[:, 0]).pvalue)
    assert np.isnan(averaging.trend(T[:2], y[:2]).rho)
    assert np.isnan(averaging.trend(T, np.ones((7, 2))).p)


def test_the_interval_of_a_rank_correlation_holds_the_truth_unless_noise_hides_it(rng):
    held, tables = 0, 100
    truth = averaging.trend(T, loss(T)[:, None]).rho
    for _ in range(tables):
        low, high = averaging.trend(T, made(rng, noise=0.02).test).interval
        held += low - 1e-12 <= truth <= high + 1e-12
    assert covers(held, tables)


def test_predictions_hold_where_they_are_put_in_and_not_else(rng):
    """Law: of permuted temperatures neither a trend nor an optimum is claimed but by chance."""
    said = averaging.predictions(Curve(T, made(rng).test * 0 + np.sqrt(T)[:, None], made(rng, test=lopsided).test))
    assert [one.prediction for one in said] == ["A", "B", "C"]
    assert said[1].holds
    assert said[2].holds
    whole = averaging.predictions(made(rng))
    assert whole[0].holds
    assert "R²" in whole[0].evidence
    wrong, tables = 0, 60
    for _ in range(tables):
        base = made(rng)
        order = rng.permutation(7)
        wrong += averaging.predictions(Curve(T, base.train[order], base.test[order]))[0].holds is not None
    assert wrong / tables <= 0.05 + Z * np.sqrt(0.05 * 0.95 / tables)


def several(rng, shift, splits=SPLITS):
    """Three curves, each larger than the last by a factor 1 + shift, on the same data sets."""
    shared = 0.1 * rng.normal(size=splits)
    return [
        Curve(T, 0 * x, x)
        for k in range(3)
        for x in [loss(T)[:, None] * (1 + shift * (k - 1)) * (1 + 0.03 * rng.normal(size=(7, splits)) + shared)]
    ]


def test_curves_that_fall_together_are_told_from_those_that_do_not(rng):
    """Law: the spread is that put in, with noise taken away; p is uniform where the curves are alike."""
    tables, alike = 60, []
    for _ in range(tables):
        found = averaging.collapse(several(rng, 0.0), resamples=20)
        alike.append((found.trend.p, found.interval[0] == 0, abs(found.change.z(0)) < stdtrit(SPLITS - 1, 0.975)))
    p, none, change = np.array(alike).T
    assert np.mean(p < 0.1) <= 0.1 + Z * np.sqrt(0.09 / tables)
    assert covers(none.sum(), tables)
    assert covers(change.sum(), tables)
    held = 0
    for _ in range(tables):
        found = averaging.collapse(several(rng, 0.05), resamples=20)
        held += found.interval[0] <= 0.05 <= found.interval[1]  # deviations -.05, 0, .05: standard deviation .05
        assert found.trend.p < 0.01
        assert found.change.value > 0
    assert covers(held, tables)
    assert found.ordered > 0.5
    assert averaging.collapse(several(rng, -0.05)).trend.rho < 0
    wide = averaging.collapse(several(rng, 0.2))
    assert (wide.ordered, wide.trend.rho) == (1.0, 1.0)
    assert abs(wide.largest.value) == pytest.approx(0.2, abs=0.05)


def test_the_chance_of_an_order_of_curves_is_exact(rng):
    """Law: data sets that all rank K curves alike have p = 2/K!^m."""
    assert averaging.collapse(several(rng, 0.2, 4)).trend.p == pytest.approx(2 / 6**4)
    assert averaging.collapse(several(rng, 0.2, 5)[:2]).trend.p == pytest.approx(2 / 2**5)
    with pytest.raises(ValueError, match="1 curves: give 2 to 8"):
        averaging.collapse([made(rng)])
    with pytest.raises(ValueError, match="at the same temperatures"):
        averaging.collapse([made(rng), made(rng, t=2 * T)])
    with pytest.raises(ValueError, match="one data set"):
        averaging.collapse([made(rng, 1), made(rng, 1)])


def test_the_line_of_sigma_against_loss_has_its_slope_and_correlation(rng):
    """Law: intervals of correlation and slope hold the truth, that of many data sets, as often as they say."""
    tables, held = 100, np.zeros(3)

    def drawn(splits):
        x = loss(T)[:, None] * (1 + 0.05 * rng.normal(size=(7, splits)))
        return x, 0.3 + 2 * x + 0.15 * rng.normal(size=(7, splits))

    truth = np.corrcoef(*(table.ravel() for table in drawn(20_000)))[0, 1]
    for _ in range(tables):
        found = averaging.scatter_of_loss(*drawn(SPLITS), resamples=200)
        held[0] += found.interval[0] <= truth <= found.interval[1]
        held[1] += abs(found.slope.z(2)) < stdtrit(SPLITS - 1, 0.975)
        held[2] += abs(found.intercept.z(0.3)) < stdtrit(SPLITS - 1, 0.975)
    assert covers(held.min(), tables)
    x, y = drawn(5)
    line = averaging.scatter_of_loss(x, 0.3 + 2 * x)
    assert (line.intercept.value, line.intercept.error) == pytest.approx((0.3, 0.0), abs=1e-9)
    assert line.correlation == pytest.approx(1)
    plain = averaging.scatter_of_loss(x, y)
    assert plain.correlation == pytest.approx(np.corrcoef(x.ravel(), y.ravel())[0, 1])
    assert (plain.slope.value, plain.intercept.value) == pytest.approx(tuple(np.polyfit(x.ravel(), y.ravel(), 1)))


def test_the_gap_of_crossed_means_is_the_covariance_of_density_and_loss(rng):
    """Law: for densities rho_i and losses U_i on a grid, test less train is -sum Cov(rho, U); for exp(-beta v) >= 0."""
    sets, grid, beta = 150, 60, 1.5
    v = rng.normal(size=(sets, grid))
    rho = np.exp(-beta * v)
    rho /= rho.sum(1, keepdims=True)
    exact = -((rho - rho.mean(0)) * (v - v.mean(0))).sum() / (sets - 1)
    found = averaging.crossed_gap(rho @ v.T)
    assert found.value == pytest.approx(exact)
    assert found.value > 0
    unpaired = averaging.crossed_gap(rho @ rng.normal(size=(sets, grid)).T)
    assert abs(unpaired.z(0)) < Z
    with pytest.raises(ValueError, match="data sets"):
        averaging.crossed_gap(rho)


def test_the_optimal_temperature_is_where_the_mean_test_loss_is_least(rng):
    """Law: with v normal over data sets, exp(-2 v/T - a) averaged over them has the least <U> at the T told there."""
    x = np.linspace(-6, 6, 4001)
    mean, variance, crossed = 0.5 * x**2, 0.01 * (x - 4) ** 2, -0.3 * x  # of v, of v, of v with a
    test = (x - 0.3) ** 2

    def density(t):
        log = -2 * mean / t + 2 * variance / t**2 + 2 * crossed / t
        return np.exp(log - log.max()) / np.exp(log - log.max()).sum()

    axis = np.linspace(0.2, 3.0, 5601)
    best = axis[np.argmin([density(t) @ test for t in axis])]
    assert axis[0] < best < axis[-1]
    k = rng.choice(len(x), size=20_000, p=density(best))
    sign = np.array([1.0, -1.0, 1.0, -1.0]) * np.sqrt(3 / 4)  # mean zero, unbiased variance one
    v = mean[k, None] + np.sqrt(variance[k, None]) * sign
    a = (crossed / np.sqrt(np.maximum(variance, 1e-12)))[k, None] * sign
    found = averaging.optimal_temperature(np.repeat(test[k, None], 4, axis=1), v, a)
    assert abs(found.z(best)) < Z
    assert found.error < 0.2 * best
    flat = averaging.optimal_temperature(np.ones((30, 4)), v[:30])
    assert np.isnan(flat.value)
    with pytest.raises(ValueError, match="three samples"):
        averaging.optimal_temperature(v[:2], v[:2])


def write(folder, rng, *, curves=2, missing=()):
    """A run of the curve `made` for each of the batches; runs go on, wrongly, beyond their ends."""
    curve = [made(rng) for _ in range(curves)]
    table = {
        "potential_energy": np.concatenate([one.train for one in curve]),
        "test/loss": np.concatenate([one.test for one in curve]),
        "test/accuracy": np.concatenate([1 - one.test / 4 for one in curve]),
        "test/loss_sd": np.concatenate([2 * one.test for one in curve]),
    }
    batch = np.repeat(np.arange(1, curves + 1) * 32.0, len(T))
    rate = batch * np.tile(T, curves)
    ends = np.where(np.arange(len(rate)) == 0, 100, 200)
    sweep = {
        "rate": np.repeat(rate, SPLITS), "batch": np.repeat(batch, SPLITS), "end": np.repeat(ends, SPLITS),
        "seed": np.tile(np.arange(SPLITS), len(rate)), "variant": "sgd",
    }  # fmt: skip
    kept = {name: value for name, value in sweep.items() if name not in missing}
    replicas = len(rate) * SPLITS
    with Writer.create(
        folder / "trajectory.h5", table=[("w", (2,), 0)], replicas=replicas, masses=np.ones(2),
        parameters={"sweep": kept}, dtype="float64",
    ) as file:  # fmt: skip
        for step in range(0, 201, 5):
            beyond = np.where(step > ends, 5.0, 1.0)[:, None]
            for name, values in table.items():
                file.observable(
                    name, step, step, (beyond * values * (1 + 0.01 * rng.normal(size=values.shape))).ravel()
                )
    return curve


def test_a_run_is_read_by_temperature_and_data_set_up_to_its_own_ends(tmp_path, rng):
    (tmp_path / "two").mkdir()
    exact, both = write(tmp_path, rng, curves=1), write(tmp_path / "two", rng)
    with trajectories.open(tmp_path) as run:
        curve = averaging.curve(run, LAST)
        found = averaging.averaged(run, LAST)[""]
    assert curve.temperatures == pytest.approx(T)
    assert np.allclose(curve.test, exact[0].test, rtol=0.02)
    assert np.allclose(curve.train, exact[0].train, rtol=0.02)
    assert curve.train_accuracy is None
    assert found.deviation / curve.test == pytest.approx(2, rel=0.02)
    assert found.batches.tolist() == [32] * 7
    with trajectories.open(tmp_path / "two") as run:
        apart = averaging.averaged(run, LAST, "batch")
        with pytest.raises(ValueError, match="a temperature twice; tell the curves apart by"):
            averaging.curve(run, LAST)
        with pytest.raises(ValueError, match="swept no 'colour'"):
            averaging.averaged(run, LAST, "colour")
    assert list(apart) == ["32", "64"]
    assert np.allclose(apart["64"].curve.test, both[1].test, rtol=0.02)


def test_a_run_that_tells_no_temperatures_is_refused_with_the_remedy(tmp_path, rng):
    write(tmp_path, rng, curves=1, missing=("batch",))
    with trajectories.open(tmp_path) as run, pytest.raises(NotRecorded, match='needs "temperature" or "batch"'):
        averaging.curve(run, LAST)


def test_the_command_tells_the_table_and_what_holds_of_it(tmp_path, rng):
    """As lines for readers and as JSON for programs; several curves are told apart and compared."""
    (tmp_path / "two").mkdir()
    write(tmp_path, rng, curves=1), write(tmp_path / "two", rng)
    lines = CliRunner().invoke(APP, [str(tmp_path), "--last", str(LAST)])
    assert lines.exit_code == 0
    for part in ("7 temperatures of 8 data sets", "test accuracy", "stationary", "T_opt", "A the gap falls", "sigma_l"):
        assert part in lines.output
    told = json.loads(CliRunner().invoke(APP, [str(tmp_path), "--last", str(LAST), "--json"]).output)
    assert told["points"]["T"] == pytest.approx(T.tolist())
    assert len(told["points"]["test_error"]) == 7
    assert told["predictions"]["A"]["holds"] is True
    assert told["optimum"]["interior"] is True
    assert told["sigma_l"]["slope"] == pytest.approx(2, abs=0.2)
    two = CliRunner().invoke(APP, [str(tmp_path / "two"), "--last", str(LAST), "--by", "batch"])
    assert two.exit_code == 0
    assert "batch = 64" in two.output
    assert "at equal T lie" in two.output
    assert CliRunner().invoke(APP, [str(tmp_path), "--last", "500"]).exit_code != 0


def test_one_data_set_tells_values_without_errors(rng):
    alone = made(rng, 1)
    best = averaging.optimum(alone)
    assert T[0] < best.temperature < T[-1]
    assert np.isnan([*best.interval, best.depth.error]).all()
    assert not best.interior
    assert averaging.predictions(alone)[1].holds is None
    assert np.isnan(averaging.trend(T, alone.gap).interval[0])
    found = averaging.scatter_of_loss(alone.test, 2 * alone.test)
    assert found.correlation == pytest.approx(1)
    assert np.isnan(found.slope.error)
