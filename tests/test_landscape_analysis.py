"""Laws: what is computed from a landscape is that of its exact S, within the errors that are claimed."""

import json

import numpy as np
import pytest
import torch
from torch.nn.functional import mse_loss
from typer.testing import CliRunner

import mdnet as md
import trajectories
from integrators import OBABO, Splitting
from mdnet.landscape import BiasedForce, LogLoss, OneOverT, Recorded, Table, WangLandau, WellTempered
from mdnet.reporters import Scalars
from thermostats import Langevin
from trajectories import NotRecorded, landscape
from trajectories.__main__ import app
from trajectories.landscape import Axis, Curve, History, Landscape
from trajectories.landscape.convergence import temperatures

Z = 5.0
X = Axis("ln L", -3.0, -1.0, 40)
Y = Axis("ln L_test", -3.0, 2.0, 100)
COPIES = 20


def power_law(axis=X, dimension=10):
    """S = (D/2) ln L."""
    return dimension / 2 * axis.centres


def gaussian_ridge(slope=0.4, sigma=0.3):
    """S(x, y) = 5 x - (y - slope x)^2/(2 sigma^2): equilibrium and ridge both at slope x."""
    x, y = X.centres[:, None], Y.centres
    return 5 * x - 0.5 * ((y - slope * x) / sigma) ** 2


def counted(entropy, axes, per_bin, rng, copies=COPIES):
    """Tables that are counted `per_bin` times in each bin of x on average, x flat: S of the shares that y gets."""
    of_x = np.log(np.exp(entropy).sum(axis=1))
    law = np.exp(entropy - of_x[:, None])
    visits = np.stack([[rng.multinomial(per_bin, row / row.sum()) for row in law] for _ in range(copies)])
    with np.errstate(divide="ignore"):
        return Landscape(axes, of_x[:, None] + np.log(visits / per_bin), visits)


@pytest.fixture
def rng(seed):
    return np.random.default_rng(seed + 11)


def test_each_copy_is_normalised_and_aligned_where_all_have_been(rng):
    noise = 0.05
    each = power_law() + noise * rng.normal(size=(COPIES, X.bins)) + 100 * rng.normal(size=(COPIES, 1))
    each[3, :7] = -np.inf
    found = Landscape((X,), each)
    assert np.allclose(np.exp(found.entropy).sum(axis=1), 1)
    mean, error = found.mean(), found.error()
    away = mean - power_law()
    z = ((away - away[7:].mean()) / error)[7:]
    assert np.isnan(error[:7]).all()
    assert np.abs(z).max() < Z
    assert abs(np.mean(z**2) - (COPIES - 1) / (COPIES - 3)) < 5 * np.sqrt(2 / len(z)) * 1.3  # of Student's t
    assert abs(error[7:].mean() / (noise / np.sqrt(COPIES)) - 1) < 0.15
    assert found.copy(0).error() is None


def test_a_mean_counts_copies_that_have_not_been_there_as_none():
    each = np.zeros((2, 4))
    each[1, 0] = -np.inf
    found = Landscape((Axis("x", 0, 1, 4),), each)
    assert np.allclose(np.diff(found.mean()), [np.log(2), 0, 0])


def test_states_that_are_uniform_in_l_are_so_in_its_own_entropy():
    """Law: S in ln L of a uniform density in L is ln L, S in L is constant."""
    found = Landscape((X,), X.centres[None]).in_exponential()
    assert np.ptp(found) < 1e-12
    with pytest.raises(ValueError, match="marginal"):
        Landscape((X, Y), gaussian_ridge()[None]).in_exponential()


def test_a_marginal_and_coarse_bins_are_sums_over_states(tmp_path):
    joint = Landscape((X, Y), gaussian_ridge()[None], np.ones((1, X.bins, Y.bins)), "exact")
    assert np.allclose(joint.marginal().entropy, np.log(np.exp(joint.entropy).sum(axis=2)))
    assert np.allclose(joint.marginal(1).entropy, np.log(np.exp(joint.entropy).sum(axis=1)))
    coarse = joint.coarse((4, 2))
    assert coarse.visits.shape == (1, 10, 50)
    assert (coarse.visits == 8).all()
    assert coarse.axes[0].low == X.low
    assert coarse.axes[0].width == pytest.approx(4 * X.width)
    assert np.allclose(np.exp(coarse.entropy[0, 2, 5]), np.exp(joint.entropy[0, 8:12, 10:12]).sum())
    coarse.save(tmp_path / "here.npz")
    again = Landscape.load(tmp_path / "here.npz")
    assert again.axes == coarse.axes
    assert again.method == "exact"
    assert np.array_equal(again.visits, coarse.visits)
    assert np.allclose(again.entropy, coarse.entropy, rtol=1e-14)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Landscape((X,), np.zeros(X.bins)), "copies"),
        (lambda: Landscape((X,), np.zeros((1, 3))), "of one or two axes"),
        (lambda: Landscape((X,), np.full((1, X.bins), np.nan)), "nan"),
        (lambda: Landscape((X,), np.full((1, X.bins), -np.inf)), "no state"),
        (lambda: Landscape((X,), np.zeros((1, X.bins)), np.zeros((2, X.bins))), "one shape"),
        (lambda: Landscape((X,), np.zeros((1, X.bins))).coarse(7), "divides"),
        (lambda: landscape.ridge(Landscape((X,), np.zeros((1, X.bins)))), "record="),
        (lambda: Curve(np.arange(3.0), np.zeros((2, 3))).at(3.5), "beyond"),
        (lambda: landscape.join(np.zeros((2, 4)), [0, 6], 10), "share no bin"),
        (lambda: landscape.join(np.zeros((2, 4)), [0, 7], 10), "does not lie"),
    ],
)
def test_what_does_not_fit_is_told(make, what):
    with pytest.raises(ValueError, match=what):
        make()


def test_a_difference_is_that_of_the_bins_in_common_after_the_best_constant():
    here = Landscape((X,), power_law()[None])
    part = X.part(10, 20)
    wave = 0.1 * np.sin(np.arange(20.0))
    other = Landscape((part,), (5 * part.centres + 7 + wave)[None])
    found = landscape.difference(here, other)
    assert found.bins == 20
    assert np.allclose(found.values, wave.mean() - wave)
    assert found.axes[0].low == pytest.approx(part.low)
    assert found.max == pytest.approx(np.abs(wave - wave.mean()).max())
    assert found.rms == pytest.approx(wave.std())
    assert found.error is None
    with pytest.raises(ValueError, match="coincide"):
        landscape.difference(here, Landscape((X._replace(low=-2.99),), power_law()[None]))
    with pytest.raises(ValueError, match="no range"):
        landscape.difference(here, Landscape((X._replace(low=1.0, high=3.0),), power_law()[None]))


def test_a_difference_leaves_out_bins_that_were_hardly_visited():
    visits = np.full((1, X.bins), 50.0)
    visits[0, :5] = 3
    off = power_law()
    off[:5] += 3
    found = landscape.difference(Landscape((X,), off[None], visits), Landscape((X,), power_law()[None]), at_least=10)
    assert found.bins == 35
    assert found.max < 1e-9


def windows_of(entropy, rng, per_bin):
    """Visits of four flat windows, 75 % of each shared with the next, and S of each with a constant of its own."""
    firsts, length = [0, 6, 11, 17], 23
    parts = np.stack([entropy[first : first + length] for first in firsts])
    edge = np.minimum(np.arange(length) + 1, np.arange(length)[::-1] + 1)
    share = np.minimum(1, edge / 6)  # few come to the ends of a window
    visits = rng.poisson(per_bin * share, parts.shape).astype(float)
    with np.errstate(divide="ignore"):
        noisy = parts + np.log(visits / (per_bin * share))
    return noisy + np.array([[3.0], [-40.0], [7.0], [0.5]]), firsts, visits


def by_best_slope(tables, firsts, bins):
    """The join that is usual: at the one bin of an overlap where d ln g/dx agree best."""
    whole, end = np.full(bins, -np.inf), 0
    for table, first in zip(tables, firsts, strict=True):
        if end == 0:
            whole[: len(table)], end = table, len(table)
            continue
        overlap = np.arange(first + 1, end - 1)
        slopes = np.gradient(whole[first:end])[1:-1] - np.gradient(table[: end - first])[1:-1]
        at = overlap[np.argmin(np.abs(slopes))]
        whole[at : first + len(table)] = table[at - first :] + whole[at] - table[at - first]
        end = first + len(table)
    return whole


def test_windows_join_without_a_seam():
    """Law: without noise the whole table comes back, whatever the constants; in one variable and in two."""
    for entropy in (power_law(), gaussian_ridge()):
        parts = np.stack([entropy[first : first + 25] + 9 * first for first in (0, 8, 15)])
        joined = landscape.join(parts, [0, 8, 15], X.bins)
        assert np.allclose(joined - joined.flat[0], entropy - entropy.flat[0], atol=1e-9)


def test_least_squares_join_windows_better_than_the_bin_of_the_best_slope(rng):
    """Law: nor are they as good without the visits as weights, that know how little the ends of a window tell."""
    far = np.zeros((3, 40))
    for trial in range(40):
        tables, firsts, visits = windows_of(power_law(), rng, 100)
        joined = landscape.join(np.where(np.isfinite(tables), tables, 0), firsts, X.bins)
        far[2, trial] = (joined - power_law()).std()
        for k, joined in enumerate(
            (landscape.join(tables, firsts, X.bins, visits), by_best_slope(tables, firsts, X.bins))
        ):
            far[k, trial] = (joined - power_law()).std()
    assert far[0].mean() < 0.8 * far[1].mean()
    worse = far[2] - far[0]
    assert worse.mean() > 2 * worse.std() / np.sqrt(len(worse))
    assert far[0].mean() < 0.13  # one bin has 0.1, and those at the ends of the whole up to 0.25


def test_the_constants_of_windows_come_of_the_sums_over_what_was_recorded(rng):
    """Law: of few counts a bin, the marginal of the joined table is that of x, without the bias of ln counts."""
    wide = counted(gaussian_ridge(), (X, Y), 60, rng, copies=4)
    firsts, length = [0, 6, 11, 17], 23
    parts = np.stack([wide.entropy[k, first : first + length] + 11 * k for k, first in enumerate(firsts)])
    visits = np.stack([wide.visits[k, first : first + length] for k, first in enumerate(firsts)])
    joined = landscape.join(parts, firsts, X.bins, visits, recorded=1)
    exact = np.log(np.exp(gaussian_ridge()).sum(axis=1))
    away = np.log(np.exp(joined).sum(axis=1)) - exact
    assert np.ptp(away) < 1e-9
    assert (np.isfinite(joined[6:11]).sum() > np.isfinite(parts[0, 6:11]).sum()) is np.True_


def test_equilibrium_and_ridge_of_a_gaussian_ridge_are_its_middle():
    found = Landscape((X, Y), gaussian_ridge()[None])
    assert np.allclose(landscape.equilibrium(found).mean, 0.4 * X.centres, atol=1e-4)
    assert np.allclose(landscape.ridge(found).mean, 0.4 * X.centres, atol=1e-9)
    assert landscape.ridge(found).error is None


def test_equilibrium_and_ridge_differ_where_the_law_is_skew():
    """Law: y ~ Gamma(4, .2) has the mean .8 and the mode .6."""
    y = Axis("L_test", 0.0, 6.0, 600)
    entropy = np.broadcast_to(3 * np.log(y.centres) - y.centres / 0.2, (X.bins, 600))
    found = Landscape((X, y), entropy[None])
    assert np.allclose(landscape.equilibrium(found).mean, 0.8, atol=1e-3)
    assert np.allclose(landscape.ridge(found).mean, 0.6, atol=0.02)


def test_errors_of_equilibrium_and_ridge_are_those_of_counting(rng):
    found = counted(gaussian_ridge(), (X, Y), 400, rng)
    for curve, sigma in ((landscape.equilibrium(found), 0.3 / np.sqrt(400)), (landscape.ridge(found), None)):
        z = (curve.mean - 0.4 * X.centres) / curve.error
        assert np.abs(z).max() < Z
        assert abs(np.mean(z**2) - (COPIES - 1) / (COPIES - 3)) < 6.5 * np.sqrt(2 / X.bins)
        if sigma is not None:
            assert abs(curve.error.mean() * np.sqrt(COPIES) / sigma - 1) < 0.15


def double_well(gap=2.0):
    """Modes of y at -1 and 1, the second lower by `gap`, with a barrier of about 5 below it."""
    y = Y.centres
    modes = np.exp(-0.5 * ((y + 1) / 0.3) ** 2) + np.exp(-gap - 0.5 * ((y - 1) / 0.3) ** 2)
    return 5 * X.centres[:, None] + np.log(modes)


def test_two_modes_are_found_exactly_where_they_are():
    found = landscape.bimodality(Landscape((X, Y), double_well()[None]))
    assert found.found.all()
    assert np.allclose(found.modes, [-1, 1], atol=Y.width)
    assert np.allclose(found.gap, 2, atol=0.01)
    assert (found.barrier > 2).all()
    assert not landscape.bimodality(Landscape((X, Y), double_well(gap=6.0)[None])).found.any()
    assert not landscape.bimodality(Landscape((X, Y), gaussian_ridge()[None])).found.any()


def test_noise_makes_no_second_mode_and_hides_none(rng):
    """Law: few counts of one mode never look like two; those of two modes are found, with copies and with one."""
    for copies, per_bin in ((1, 200), (5, 50), (5, 1000)):
        one = counted(gaussian_ridge(sigma=0.6), (X, Y), per_bin, rng, copies)
        assert not landscape.bimodality(one).found.any()
    two = counted(double_well(gap=0.5), (X, Y), 2000, rng, 5)
    found = landscape.bimodality(two)
    assert found.found.mean() > 0.9
    assert np.allclose(found.modes[found.found], [-1, 1], atol=0.3)


def test_the_advantage_is_zero_where_the_baseline_samples_equilibrium(rng):
    """Law: networks drawn from the landscape have no advantage over it: z is a normal number, whatever the sign."""
    levels, z = np.array([-2.5, -2.0, -1.5]), []
    for _ in range(30):
        found = counted(gaussian_ridge(), (X, Y), 200, rng)
        metric = 0.4 * levels + 0.3 * rng.normal(size=(40, 3))
        metric[rng.random((40, 3)) < 0.2] = np.nan
        z.append(landscape.advantage(found, levels, metric).z)
    z = np.array(z)
    assert np.abs(z).max() < Z
    assert abs(np.mean(z**2) - 1.06) < 5 * np.sqrt(2 / z.size)


def test_the_advantage_is_positive_where_equilibrium_is_better(rng):
    found = counted(gaussian_ridge(), (X, Y), 2000, rng)
    metric = 0.4 * -2.0 + 0.25 + 0.1 * rng.normal(size=(50, 1))
    metric[7] = np.nan
    lower, higher = (landscape.advantage(found, [-2.0], metric, better) for better in ("lower", "higher"))
    assert lower.seeds.tolist() == [49]
    assert abs(lower.gain[0] - 0.25) < Z * lower.error[0]
    assert lower.z[0] > 5
    assert higher.gain[0] == -lower.gain[0]
    assert landscape.advantage(found.copy(0), [-2.0], metric).z is None
    with pytest.raises(ValueError, match="better"):
        landscape.advantage(found, [-2.0], metric, "best")
    with pytest.raises(ValueError, match="beyond"):
        landscape.advantage(found, [3.0], metric)


def test_a_power_law_has_the_temperature_and_heat_capacity_of_an_ideal_gas():
    """Law: S = (D/2) ln L has T = L/(D/2 - 1) and C = D/2 - 1 in L, and so it has in an axis of L itself."""
    found = landscape.microcanonical(Landscape((X,), power_law()[None]))
    assert np.allclose(found.temperature, np.exp(X.centres) / 4)
    assert np.allclose(found.heat_capacity, 4)
    assert found.temperature_error is None
    level = Axis("L", 1.0, 2.0, 100)
    other = landscape.microcanonical(Landscape((level,), 4 * np.log(level.centres)[None]), logarithm=False)
    assert np.allclose(other.temperature, level.centres / 4, rtol=1e-2)
    assert np.allclose(other.temperature[5:-5], level.centres[5:-5] / 4, rtol=1e-3)
    assert np.allclose(other.heat_capacity[15:-15], 4, rtol=1e-2)


def test_errors_of_slopes_and_temperatures_are_calibrated(rng):
    z = []
    for _ in range(20):
        each = power_law() + 0.05 * rng.normal(size=(COPIES, X.bins))
        found = landscape.microcanonical(Landscape((X,), each))
        places = slice(5, -5, 11)  # apart, so that they are independent
        z.append((found.slope.mean - 5)[places] / found.slope.error[places])
        z.append(
            (found.temperature / found.level * 4 - 1)[places] / (found.temperature_error / found.level * 4)[places]
        )
    z = np.array(z)
    assert np.abs(z[::2]).max() < Z
    for one in (z[::2], z[1::2]):
        assert abs(np.mean(one**2) - (COPIES - 1) / (COPIES - 3)) < 6 * np.sqrt(2 / one.size)


def test_canonical_averages_are_those_of_the_density_of_states():
    """Law: S = (D/2) ln L has <L> = D T/2 and C = D/2; a window that cuts the law says so."""
    axis = Axis("ln L", -8.0, 5.0, 1300)
    found = landscape.canonical(Landscape((axis,), power_law(axis)[None]), [0.1, 0.5, 1.0])
    assert np.allclose(found.energy.mean, 5 * found.energy.x, rtol=1e-3)
    assert np.allclose(found.heat_capacity.mean, 5, rtol=1e-3)
    assert (found.at_ends < 1e-6).all()
    assert landscape.canonical(Landscape((X,), power_law()[None]), [0.5]).at_ends[0] > 0.01
    with pytest.raises(ValueError, match="rise"):
        landscape.canonical(Landscape((X,), power_law()[None]), [2.0, 1.0])


ENERGY = Axis("E", 0.0, 10.0, 200)


def two_phases(beta=1.5):
    """e^{S(E) - beta E} has two equal normal modes at 3 and 7."""
    e = ENERGY.centres
    return beta * e + np.log(np.exp(-0.5 * ((e - 3) / 0.7) ** 2) + np.exp(-0.5 * ((e - 7) / 0.7) ** 2))


def test_a_convex_intruder_is_a_first_order_transition(rng):
    """Law: two phases in equilibrium at beta have two equal modes there, and S is convex between them."""
    each = two_phases() + 0.01 * rng.normal(size=(8, ENERGY.bins))
    for tables in (two_phases()[None], each):
        (found,) = landscape.transitions(Landscape((ENERGY,), tables), logarithm=False)
        assert 3 < found.low < 5 < found.high < 7
        assert found.temperature == pytest.approx(1 / 1.5, rel=0.01)
        assert np.allclose(found.modes, [3, 7], atol=0.2)
        assert found.barrier == pytest.approx(0.5 * (2 / 0.7) ** 2 - np.log(2), abs=0.1)


def test_noise_makes_no_transition(rng):
    """Law: not even where S in L is all but straight, -d2S/dL2 less than its noise."""
    for k in range(20):
        each = power_law(dimension=(2.2, 10)[k % 2]) + 0.05 * rng.normal(size=(5, X.bins))
        assert not landscape.transitions(Landscape((X,), each))


def test_the_convexity_of_ln_l_is_not_that_of_l():
    """Law: S = L^2/2 is convex in ln L and in L; ln L - L, concave in L, stays so though S in ln L has n' < 0."""
    axis = Axis("ln L", -1.0, 1.0, 100)
    level = np.exp(axis.centres)
    convex = landscape.microcanonical(Landscape((axis,), (axis.centres + level**2 / 2)[None]))
    assert np.allclose(convex.convexity.mean[12:-12], level[12:-12] ** 2, rtol=0.02)
    concave = landscape.microcanonical(Landscape((axis,), (2 * axis.centres - level**2 / 2)[None]))
    assert (concave.convexity.mean < 0).all()


DIMENSION, LEARN, STEPS, WALKERS = 10, 1000, 4000, 64


def walk(folder, learn=LEARN, steps=STEPS, weights=None, windows=1):
    """U = |q|^2/2 in ten dimensions, S = 5 ln U; y, the loss once more, is counted beside it."""
    torch.manual_seed(3)
    rows = torch.eye(DIMENSION) * (DIMENSION / 2) ** 0.5
    system = md.ParticleSystem(
        torch.nn.Linear(DIMENSION, 1, bias=False), mse_loss, rows, torch.zeros(DIMENSION, 1), replicas=WALKERS,
        prior=md.Box(2.0), dtype=torch.float64,
    )  # fmt: skip
    axis = Axis("ln U", -2.0, 0.4, 30)
    table = Table([axis], WALKERS, copies=4, windows=windows, sigma=2)
    force = BiasedForce(system, [LogLoss(system, "ln U")], table)
    beside = [Recorded(Axis("ln U again", -2.4, 0.8, 40), LogLoss(system, "ln U again"))]
    action = WangLandau(weights or OneOverT(0.05, max(1, learn // 10), max(1, learn // 4)), learn, record=beside)
    low, width = table.low[table.owner], table.width * table.entropy.shape[1]
    x = low + width * (0.1 + 0.8 * torch.rand(WALKERS, 1, dtype=torch.float64))
    q = torch.randn(WALKERS, DIMENSION, dtype=torch.float64)
    sim = md.Simulation(
        system, Splitting(OBABO, force, 0.15, Langevin(1.0, 1.0)), seed=1,
        positions=q * (2 * x.exp()).sqrt() / q.norm(dim=1)[:, None],
        output=folder, actions=[action], reporters=[Scalars(10**6)],
    )  # fmt: skip
    sim.run(steps)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MDNET_ROUTE", raising=False)
        return walk(tmp_path_factory.mktemp("walk") / "run")


def test_a_landscape_is_read_from_the_file_of_a_run(run):
    """Law: S is 5 ln U; y, being x, is counted in the bins of x."""
    with trajectories.open(run) as opened:
        joint, alone = landscape.of_run(opened), landscape.of_run(opened, keep=["ln U"])
    assert joint.copies == alone.copies == 4
    assert [axis.name for axis in joint.axes] == ["ln U", "ln U again"]
    assert np.allclose(joint.marginal().entropy, alone.entropy)
    assert joint.visits.sum() == WALKERS * (STEPS - LEARN)
    x = alone.axes[0].centres
    slopes = np.array([np.polyfit(x[2:-2], s[2:-2], 1)[0] for s in alone.entropy])
    assert abs(slopes.mean() - DIMENSION / 2) < Z * slopes.std(ddof=1) / 2 + 0.01
    y = landscape.equilibrium(joint)
    assert np.abs(y.mean - x).max() < joint.axes[1].width


def test_history_is_cumulative(run):
    with trajectories.open(run) as opened:
        history = History(opened)
        middle = history.counted[len(history.counted) // 2]
        first, second, whole = (history.landscape(*part) for part in ((middle,), (-1, middle), (-1,)))
        assert np.array_equal(first.visits + second.visits, whole.visits)
        assert history.landscape(3).visits is None
        assert "learnt" in history.landscape(3).method
        assert history.steps[history.before_counting()] == LEARN
        with pytest.raises(ValueError, match="the run has"):
            landscape.of_run(opened, keep=["ln V"])


def test_a_verdict_tells_each_thing_that_is_wanted(run):
    with trajectories.open(run) as opened:
        rows = {row.name: row for row in landscape.verdict(opened)}
        value, error = temperatures(History(opened))
    assert set(rows) == {"flatness", "round trips", "halves", "temperature", "acceptance", "beyond"}
    assert rows["acceptance"].holds
    assert 0.7 < rows["acceptance"].value < 1
    assert rows["beyond"].holds
    assert 0 < rows["flatness"].value < 1
    assert rows["round trips"].value > 1
    assert rows["halves"].value < 1
    z = (value - 1) / error
    assert np.abs(z).max() < Z
    assert abs(np.mean(z**2) - 1) < 5 * np.sqrt(2 / z.size)


def test_the_command_prints_and_exports(run, tmp_path):
    runner = CliRunner()
    said = runner.invoke(app, ["landscape", str(run), "--export", str(tmp_path / "s.npz")])
    assert said.exit_code == 0, said.output
    assert "flatness" in said.output
    assert Landscape.load(tmp_path / "s.npz").copies == 4
    told = json.loads(runner.invoke(app, ["landscape", str(run), "--json", "--at", "-1"]).output)
    assert told["at"]["ln U"] == [-1.0]
    assert abs(told["at"]["S'"][0] - DIMENSION / 2) < Z * max(0.1, told["at"]["S'_error"][0])
    assert {row["name"] for row in told["verdict"]} >= {"flatness", "halves"}
    assert runner.invoke(app, ["landscape", str(run), "--at", "7"]).exit_code == 1


def test_a_run_that_has_not_counted_is_flagged_and_holds_nothing(tmp_path, monkeypatch):
    """Law: what is learnt alone is S; of a well-tempered bias, (1 - 1/gamma) S: both come back as S."""
    monkeypatch.delenv("MDNET_ROUTE", raising=False)
    for name, weights in (("flat", None), ("tempered", WellTempered(0.05, 2.0))):
        with trajectories.open(walk(tmp_path / name, learn=1000, steps=1000, weights=weights)) as opened:
            found = landscape.of_run(opened)
            rows = landscape.verdict(opened)
        assert found.visits is None
        assert [axis.name for axis in found.axes] == ["ln U"]
        assert all(row.holds is None for row in rows)
        s = found.mean()
        assert abs(np.polyfit(found.axes[0].centres[5:], s[5:], 1)[0] - 5) < 1.2  # unscaled it is 2.5


def test_the_windows_of_a_run_are_joined(tmp_path, monkeypatch):
    """Law: S over both windows of each copy is 5 ln U; walkers that may not exchange windows are a fault."""
    monkeypatch.delenv("MDNET_ROUTE", raising=False)
    with trajectories.open(walk(tmp_path / "run", learn=500, steps=2000, windows=2)) as opened:
        history = History(opened)
        rows = {row.name: row for row in landscape.verdict(opened)}
    assert history.firsts == [0, 6]
    with trajectories.open(tmp_path / "run") as opened:
        found = landscape.of_run(opened, keep=["ln U"])
    x, s = found.axes[0].centres, found.mean()
    assert found.copies == 4
    assert abs(np.polyfit(x[2:-2], s[2:-2], 1)[0] - 5) < 0.3
    assert found.visits.sum() == WALKERS * 1500
    assert rows["exchanges"].holds is False


def test_a_run_without_a_table_says_so(tmp_path):
    system = md.ParticleSystem(torch.nn.Linear(2, 1), mse_loss, torch.ones(3, 2), torch.ones(3, 1), prior=md.Box(1.0))
    md.Simulation(system, Splitting(OBABO, system.force, 0.1, Langevin(1.0, 1.0)), output=tmp_path / "run").run(2)
    with trajectories.open(tmp_path / "run") as opened, pytest.raises(NotRecorded, match="no table of states"):
        landscape.of_run(opened)


def made_up(folder, *, kinetic=1.0, uneven=1.0, drift=0.0, trips=100.0, accepted=0.9, beyond=0.0, visits=5000.0):
    """The file of a run of two tables of 20 bins and 8 walkers, as good or bad as it is told to be."""
    axis, rng, walkers = Axis("ln L", -2.0, 0.0, 20), np.random.default_rng(0), 8
    steps = 2 * 20 * visits / walkers / (1 - beyond)
    given = {
        "bias": {"kind": "table", "axes": [axis.as_dict()], "lows": [-2.0], "bins": [20], "copies": 2, "sigma": 5.0},
        "temperature": 1.0, "variables": ["ln L"], "learn": 100, "every": 1, "factor": None,
        "record": [Axis("y", 0.0, 1.0, 2).as_dict()],
    }  # fmt: skip
    with trajectories.Writer.create(
        folder, table=[("a", (1000,), 0)], replicas=walkers, masses=np.ones(1000), parameters={"landscape": given},
        dtype="float64",
    ) as writer:  # fmt: skip
        sums = {"visits": np.zeros((2, 20, 2)), "weights": np.zeros((2, 20, 2)), "kinetic": np.zeros((2, 20))}
        for k in range(11):
            if k:
                came = np.full((2, 20, 2), visits / 20)
                came[:, 0] *= uneven
                came *= visits * 4 / came.sum()
                warm = came.sum(-1) * (1 + np.sqrt(2 / 1000 / came.sum(-1)) * rng.normal(size=(2, 20)))
                warm[:, 0] *= kinetic
                sums["visits"], sums["kinetic"] = sums["visits"] + came, sums["kinetic"] + warm
                sums["weights"] = sums["weights"] + came * np.exp(drift * (k > 5) * np.linspace(0, 1, 20)[:, None])
            tests = np.array([1e5, accepted * 1e5, trips * walkers / 2])[:, None] * np.ones(2) * k / 10
            for name, value in {**sums, "entropy": np.ones((2, 20)), "tested": tests}.items():
                writer.learnt(f"landscape/{name}", 100 + round(k * steps / 10), 0.0, value)
    with trajectories.open(folder) as opened:
        assert np.allclose(temperatures(History(opened))[1][1:], np.sqrt(1 / 1000 / visits), rtol=0.25)
        return {row.name: row for row in landscape.verdict(opened)}


def test_a_verdict_holds_for_a_good_run_and_fails_for_what_is_bad(tmp_path):
    """Law: each row fails of its own reason alone, and data that are too few do not pass."""
    good = made_up(tmp_path / "good.h5")
    assert all(row.holds for row in good.values()), good
    bad = {
        "temperature": {"kinetic": 1.06},
        "flatness": {"uneven": 0.5},
        "halves": {"drift": 2.0},
        "round trips": {"trips": 3.0},
        "acceptance": {"accepted": 0.1},
    }
    for name, how in bad.items():
        rows = made_up(tmp_path / f"{name}.h5", **how)
        assert [row.name for row in rows.values() if not row.holds] == [name]
        assert rows[name].holds is False
        if name == "halves":
            assert rows[name].value == pytest.approx(1.0)
    lost = made_up(tmp_path / "lost.h5", beyond=0.05)
    assert lost["beyond"].holds is False
    assert lost["temperature"].holds is None
    few = made_up(tmp_path / "few.h5", visits=2.0)
    assert [few[name].holds for name in ("flatness", "halves", "temperature")] == [None, None, None]
