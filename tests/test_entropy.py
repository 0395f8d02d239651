"""Law: every entropy agrees with its closed form, keeps the symmetries of one, and its error bar covers."""

import json
import math

import numpy as np
import pytest
from scipy import integrate, stats
from systems import Z
from typer import Typer
from typer.testing import CliRunner

from trajectories import NotRecorded, Trajectory, Writer, entropy
from trajectories.commands.entropy import entropy as command
from trajectories.entropy.neighbours import nearest
from trajectories.report.entropy_figures import entropy as figure
from trajectories.statistics import Estimate
from trajectories.storage.lazy import LazyArray

SHAPE = (50, 20)  # samples and replicas of one data set
MIXING = np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.2, -0.15, 0.9]])
PAIRS = MIXING @ MIXING.T


@pytest.fixture
def rng(request, seed):
    return np.random.default_rng([seed, len(request.node.name)])


def normal(d: int) -> float:
    return 0.5 * d * math.log(2 * math.pi * math.e)


def area(d: int) -> float:
    return math.log(2) + 0.5 * d * math.log(math.pi) - math.lgamma(0.5 * d)


def autoregressive(rng, shape: tuple[int, ...], phi: float) -> np.ndarray:
    """x_{i+1} = phi x_i + sqrt(1 - phi^2) noise, standard normal at each i."""
    x = rng.normal(size=shape)
    for i in range(1, shape[0]):
        x[i] = phi * x[i - 1] + math.sqrt(1 - phi**2) * x[i]
    return x


def two_peaks(rng, size) -> np.ndarray:
    return rng.choice([-2.0, 2.0], size=size) + 0.5 * rng.normal(size=size)


def two_peaks_entropy() -> float:
    def integrand(x):
        p = 0.5 * (stats.norm.pdf(x, -2, 0.5) + stats.norm.pdf(x, 2, 0.5))
        return -p * math.log(p)

    return integrate.quad(integrand, -6, 6, points=[-2, 0, 2])[0]


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def fisher(rng, d: int, kappa: float) -> np.ndarray:
    law = stats.vonmises_fisher(unit(np.ones(d)), kappa)
    return law.rvs(SHAPE[0] * SHAPE[1], random_state=rng).reshape(*SHAPE, d)


def fisher_entropy(d: int, kappa: float) -> float:
    return float(stats.vonmises_fisher(unit(np.ones(d)), kappa).entropy())


LAWS = {  # samples (samples, replicas, d) and their entropy
    "normal 1": (lambda rng: rng.normal(size=(*SHAPE, 1)), normal(1)),
    "normal 3": (lambda rng: rng.normal(size=(*SHAPE, 3)), normal(3)),
    "normal 10": (lambda rng: rng.normal(size=(*SHAPE, 10)), normal(10)),
    "correlated": (lambda rng: rng.normal(size=(*SHAPE, 3)) @ MIXING.T, normal(3) + 0.5 * np.linalg.slogdet(PAIRS)[1]),
    "cube": (lambda rng: rng.random(size=(*SHAPE, 2)), 0.0),
    "exponential": (lambda rng: rng.exponential(size=(*SHAPE, 1)), 1.0),
    "Laplace 3": (lambda rng: rng.laplace(size=(*SHAPE, 3)), 3 * (1 + math.log(2))),
    "Student": (lambda rng: rng.standard_t(5, size=(*SHAPE, 1)), float(stats.t(5).entropy())),
    "two peaks": (lambda rng: two_peaks(rng, (*SHAPE, 1)), two_peaks_entropy()),
    "sphere 3": (lambda rng: unit(rng.normal(size=(*SHAPE, 3))), area(3)),
    "sphere 20": (lambda rng: unit(rng.normal(size=(*SHAPE, 20))), area(20)),
    "Fisher 3": (lambda rng: fisher(rng, 3, 4.0), fisher_entropy(3, 4.0)),
    "Fisher 10": (lambda rng: fisher(rng, 10, 12.0), fisher_entropy(10, 12.0)),
}
FREQUENCIES = np.array([0.3, 1.0, 3.0])


def oscillators(form: str) -> float:
    x = FREQUENCIES
    if form == "schlitter":
        return 0.5 * float(np.log(1 + math.e**2 / x**2).sum())
    return float((x / np.expm1(x) - np.log(1 - np.exp(-x))).sum())


CLOSED = {  # estimator, law, and the estimator's bias there with 1000 samples: none, or as measured on many data sets
    ("gaussian", "normal 1"): None,
    ("gaussian", "normal 10"): None,
    ("gaussian", "correlated"): None,
    ("kozachenko_leonenko", "normal 1"): Estimate(-0.0047, 0.0010),
    ("kozachenko_leonenko", "normal 3"): Estimate(-0.0441, 0.0014),
    ("kozachenko_leonenko", "normal 10"): Estimate(0.1286, 0.0043),
    ("kozachenko_leonenko", "correlated"): Estimate(-0.0469, 0.0014),
    ("kozachenko_leonenko", "cube"): Estimate(0.0406, 0.0007),
    ("kozachenko_leonenko", "exponential"): Estimate(0.0002, 0.0012),
    ("kozachenko_leonenko", "Laplace 3"): Estimate(-0.0576, 0.0018),
    ("kozachenko_leonenko", "Student"): Estimate(-0.0039, 0.0012),
    ("kozachenko_leonenko", "two peaks"): Estimate(-0.0041, 0.0010),
    ("histogram", "normal 1"): Estimate(0.0014, 0.0005),
    ("histogram", "normal 3"): Estimate(-0.0064, 0.0010),
    ("histogram", "cube"): Estimate(-0.0043, 0.0001),
    ("histogram", "two peaks"): Estimate(0.0643, 0.0005),
    ("sphere", "sphere 3"): None,
    ("sphere", "sphere 20"): None,
    ("sphere", "Fisher 3"): Estimate(-0.0123, 0.0014),
    ("sphere", "Fisher 10"): Estimate(-0.0122, 0.0039),
    ("von_mises_fisher", "sphere 3"): None,
    ("von_mises_fisher", "sphere 20"): None,
    ("von_mises_fisher", "Fisher 3"): None,
    ("von_mises_fisher", "Fisher 10"): None,
    ("mutual_information_expansion", "correlated"): None,  # against its own second order
}


@pytest.mark.parametrize(("estimator", "law"), CLOSED)
def test_entropies_with_a_closed_form(rng, estimator, law):
    sample, exact = LAWS[law]
    if estimator == "mutual_information_expansion":
        exact = second_order(PAIRS)
    found = [getattr(entropy, estimator)(sample(rng)).value for _ in range(24)]
    bias, known = CLOSED[estimator, law] or (0.0, 0.0)
    error = math.hypot(np.std(found, ddof=1) / math.sqrt(len(found)), known)
    assert abs(np.mean(found) - exact - bias) < Z * error
    assert error < 0.05


@pytest.mark.parametrize(("d", "k"), [(2, 4), (3, 15), (12, 4), (12, 15)])
def test_few_points_on_the_sphere_are_enough_on_average(rng, d, k):
    """Caps are measured exactly, so the entropy of the uniform distribution has no bias for any number of samples."""
    found = [entropy.sphere(unit(rng.normal(size=(1, 20, d))), k).value for _ in range(300)]
    assert abs(np.mean(found) - area(d)) < Z * np.std(found, ddof=1) / math.sqrt(300) < 0.1


def second_order(correlations: np.ndarray) -> float:
    """The expansion of the entropy of a Gaussian in pairs, exactly."""
    rho = correlations / np.sqrt(np.outer(np.diag(correlations), np.diag(correlations)))
    single = normal(len(rho)) + 0.5 * np.log(np.diag(correlations)).sum()
    return float(single + 0.5 * np.log(1 - rho[np.triu_indices(len(rho), 1)] ** 2).sum())


def test_pairs_leave_out_what_three_have_in_common(rng):
    """Of three binary signs with noise, each pair is independent and the third is the product of two: S_2 = S_1."""
    signs = rng.choice([-1.0, 1.0], size=(100, 20, 2))
    x = np.concatenate([signs, signs.prod(axis=2, keepdims=True)], axis=2) + 0.2 * rng.normal(size=(100, 20, 3))
    single = integrate.quad(_peak, -3, 3, points=[-1, 0, 1])[0]
    first, second = (entropy.mutual_information_expansion(x, order) for order in (1, 2))
    assert abs(first.z(3 * single)) < Z
    assert abs(second.z(3 * single)) < Z
    assert abs(entropy.kozachenko_leonenko(x).value - (3 * single - math.log(2))) < 0.15  # a bit is missing
    correlated = rng.normal(size=(100, 20, 3)) @ MIXING.T
    gained = entropy.mutual_information_expansion(correlated, 1).value - second_order(PAIRS)
    assert gained == pytest.approx(normal(3) + 0.5 * np.log(np.diag(PAIRS)).sum() - second_order(PAIRS), abs=0.15)


def _peak(x: float) -> float:
    p = 0.5 * (stats.norm.pdf(x, -1, 0.2) + stats.norm.pdf(x, 1, 0.2))
    return -p * math.log(p) if p > 0 else 0.0


@pytest.mark.parametrize("form", ["schlitter", "oscillators"])
@pytest.mark.parametrize("replicas", [1, 20])
def test_oscillators_in_a_harmonic_well(rng, form, replicas):
    masses, temperature, hbar = np.array([2.0, 1.0, 0.5]), 0.7, 0.7  # so that hbar w / T are the FREQUENCIES
    spread = np.sqrt(temperature / masses) / FREQUENCIES
    found = [
        entropy.quasiharmonic(
            rng.normal(size=(1000 // replicas, replicas, 3)) * spread, masses, temperature, hbar=hbar, form=form
        ).value
        for _ in range(30)
    ]
    assert abs(np.mean(found) - oscillators(form)) < Z * np.std(found, ddof=1) / math.sqrt(30)


def test_oscillators_in_the_limits_of_hbar(rng):
    """Classically both are the Gaussian's positions and Maxwell's momenta in cells of 2 pi hbar; then all is frozen."""
    x, masses, temperature, hbar = rng.normal(size=(200, 20, 3)) @ MIXING.T, np.array([1.0, 2.0, 3.0]), 0.5, 1e-4
    momenta = 0.5 * np.log(2 * math.pi * math.e * masses * temperature).sum()
    classical = entropy.gaussian(x).value + momenta - 3 * math.log(2 * math.pi * hbar)
    schlitter, exact = (
        entropy.quasiharmonic(x, masses, temperature, hbar=hbar, form=form) for form in ("schlitter", "oscillators")
    )
    assert abs(schlitter.value - classical) < 0.01 * schlitter.error + 1e-3
    assert abs(exact.value - classical) < 0.01 * exact.error + 1e-3
    for form in ("schlitter", "oscillators"):
        assert entropy.quasiharmonic(x, masses, temperature, hbar=1e4, form=form).value == pytest.approx(0, abs=1e-6)
    cold = [entropy.quasiharmonic(x, masses, temperature, form=form).value for form in ("schlitter", "oscillators")]
    assert cold[0] > cold[1] > 0


SCALED = {  # estimator and the dimension that its entropy grows with
    "gaussian": (entropy.gaussian, 3),
    "ledoit-wolf": (lambda x: entropy.gaussian(x, shrinkage="ledoit-wolf"), 3),
    "kozachenko_leonenko": (entropy.kozachenko_leonenko, 3),
    "knn_graph": (lambda x: entropy.knn_graph(x, 10), 3),
    "knn_graph on a sphere": (lambda x: entropy.knn_graph(x, 10, dimension=2, power=0.7), 2),
    "histogram": (entropy.histogram, 3),
    "mutual_information_expansion": (entropy.mutual_information_expansion, 3),
    "sphere": (entropy.sphere, 2),
    "von_mises_fisher": (entropy.von_mises_fisher, 2),
    "cross_entropy": (lambda x: entropy.cross_entropy(x[:, :10], x[:, 10:], density="mixture"), 3),
}
TURNED = ("gaussian", "kozachenko_leonenko", "knn_graph", "knn_graph on a sphere", "sphere", "von_mises_fisher")


@pytest.mark.parametrize("name", SCALED)
def test_scaling_adds_d_ln_a(rng, name):
    estimator, d = SCALED[name]
    x = rng.normal(size=(*SHAPE, 3)) + np.array([1.0, 0.0, 0.0])
    found, scaled = estimator(x), estimator(3.7 * x)
    assert scaled.value - found.value == pytest.approx(d * math.log(3.7), rel=1e-9)
    assert scaled.error == pytest.approx(found.error, rel=1e-6)


@pytest.mark.parametrize("name", TURNED)
def test_a_rotation_changes_nothing(rng, name):
    estimator, _ = SCALED[name]
    x = rng.normal(size=(1, 1000, 3)) @ MIXING.T + np.array([1.0, 0.0, 0.0])  # no time, so no correlations to measure
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert estimator(x @ turn).value == pytest.approx(estimator(x).value, abs=1e-9)


def test_coordinates_of_different_scales_do_not_spoil_neighbours(rng):
    x, scales = rng.normal(size=(*SHAPE, 5)), np.geomspace(1, 1e4, 5)
    moved = entropy.kozachenko_leonenko(x * scales).value - entropy.kozachenko_leonenko(x).value
    assert moved == pytest.approx(np.log(scales).sum(), rel=1e-9)


CALIBRATED = {  # estimator of samples (samples, replicas, 2); a control follows below
    "gaussian": entropy.gaussian,
    "oscillators": lambda x: entropy.quasiharmonic(x, 1.0, 1.0, form="oscillators"),
    "kozachenko_leonenko": entropy.kozachenko_leonenko,
    "knn_graph": lambda x: entropy.knn_graph(x, 10),
    "histogram": entropy.histogram,
    "sphere": entropy.sphere,
    "von_mises_fisher": entropy.von_mises_fisher,
    "cross_entropy": lambda x: entropy.cross_entropy(x, np.random.default_rng(1).normal(size=(50, 2)) + 0.1),
}


def spread_of_z(estimator, samples) -> float:
    """Standard deviation over data sets of the deviation from the mean over all of them, in the estimated errors."""
    found = [estimator(x) for x in samples]
    centre = np.mean([one.value for one in found])
    return float(np.std([one.z(centre) for one in found]))


def some_slow(name):
    quick = ("gaussian", "kozachenko_leonenko", "knn_graph", "von_mises_fisher")
    return name if name in quick else pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.parametrize("name", [some_slow(name) for name in CALIBRATED])
def test_errors_from_replicas_cover(rng, name):
    """Twenty parts give a t distribution of 19 degrees of freedom, whose standard deviation is 1.06."""
    samples = (rng.normal(size=(25, 20, 2)) + np.array([0.5, 0.0]) for _ in range(200))
    assert 0.8 < spread_of_z(CALIBRATED[name], samples) < 1.25


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CALIBRATED, "mutual_information_expansion"])
@pytest.mark.parametrize("phi", [0.0, 0.8])
def test_errors_from_blocks_of_time_cover(rng, name, phi):
    estimator = CALIBRATED.get(name, entropy.mutual_information_expansion)
    samples = (autoregressive(rng, (5000, 1, 2), phi) + np.array([0.5, 0.0]) for _ in range(200))
    assert 0.8 < spread_of_z(estimator, samples) < 1.25


def test_errors_see_correlations_between_samples(rng):
    """Control: the same samples in random order look independent, and the error of blocks is far too small."""
    x = [autoregressive(rng, (3000, 1, 2), 0.95) for _ in range(60)]
    assert spread_of_z(entropy.gaussian, x) < 1.6
    assert spread_of_z(entropy.gaussian, [rng.permutation(one) for one in x]) > 2


@pytest.mark.parametrize("name", ["von_mises_fisher", "histogram", "knn_graph"])
def test_fewer_than_four_blocks_of_ten_correlation_times_have_no_error(rng, name):
    x = autoregressive(rng, (1500, 1, 2), 0.99)
    assert CALIBRATED[name](x).error == math.inf
    assert math.isfinite(CALIBRATED[name](rng.permutation(x)).error)


def test_neighbours_in_time_are_no_neighbours_in_space(rng):
    """Samples taken often are near their successors; in random order, where this cannot be seen, S reads low."""
    x = [autoregressive(rng, (3000, 1, 4), 0.95) for _ in range(24)]
    found = np.array([entropy.kozachenko_leonenko(one).value for one in x])
    assert abs(found.mean() - normal(4)) < Z * found.std(ddof=1) / math.sqrt(24)
    shuffled = [entropy.kozachenko_leonenko(rng.permutation(one)).value for one in x]
    assert np.mean(shuffled) < normal(4) - 0.3


def test_distances_are_exact_where_products_cancel(rng):
    """Pairs 1e-7 apart at distances of 10 from the mean, and samples near in time that are left out."""
    half = 10 * unit(rng.normal(size=(150, 30)))
    x = np.concatenate([half, half + 1e-7 * unit(rng.normal(size=(150, 30)))])[:, None, :]
    found, candidates = nearest(x, 3)
    apart = np.linalg.norm(x - x[:, 0], axis=2) + np.diag(np.full(300, np.inf))
    np.testing.assert_allclose(found, np.sort(apart, axis=1)[:, :3], rtol=1e-10)
    assert (candidates == 299).all()
    few, _ = nearest(np.ascontiguousarray(x[..., :4]), 3)  # by a tree
    np.testing.assert_allclose(
        few[:, 0], np.linalg.norm(x[:150, 0, :4] - x[150:, 0, :4], axis=1).repeat(2).reshape(150, 2).T.ravel()
    )
    two = x.reshape(100, 3, 30)
    found, candidates = nearest(two, 2, window=4)
    time, replica = np.divmod(np.arange(300), 3)
    apart[(replica == replica[:, None]) & (np.abs(time - time[:, None]) <= 4)] = np.inf
    np.testing.assert_allclose(found, np.sort(apart, axis=1)[:, :2], rtol=1e-10)
    assert (candidates == np.isfinite(apart).sum(axis=1)).all()


def test_the_graph_of_a_thousand_points_on_the_sphere_of_a_network(rng):
    x = unit(rng.normal(size=(1000, 24_408)))
    found = entropy.knn_graph(x, 50, dimension=24_407)
    assert found.value == pytest.approx(103_784.7, abs=3)
    assert 0 < found.error < 3


def test_the_error_of_the_graph_is_that_of_graphs_without_one_part(rng):
    """Also where all those near to a sample are of one other replica, so that leaving it out leaves none of them."""
    crowd = rng.normal(size=(40, 5, 2))
    crowd[:, 1] = crowd[0, 0] + 1e-3 * rng.normal(size=(40, 2))
    for x in (rng.normal(size=(40, 5, 2)), crowd):
        left_out = [entropy.knn_graph(np.delete(x, one, axis=1), 5).value for one in range(5)]
        assert entropy.knn_graph(x, 5).error == pytest.approx(math.sqrt(4 * np.var(left_out)), rel=1e-9)


@pytest.mark.parametrize("power", [0.5, 1.0, 1.5])
def test_the_entropy_of_a_graph_does_not_depend_on_the_number_of_samples(rng, power):
    few, many = (entropy.knn_graph(unit(rng.normal(size=(n, 20, 3))), 5, dimension=2, power=power) for n in (20, 160))
    assert abs(few.value - many.value) < Z * math.hypot(few.error, many.error) < 0.5


def test_the_graph_sees_a_change_of_one_scale_exactly_and_of_few_directions_in_part(rng):
    x = rng.normal(size=(500, 100))
    half = x.copy()
    half[:, ::2] /= 2
    seen = (entropy.knn_graph(half).value - entropy.knn_graph(x).value) / (-50 * math.log(2))
    assert 0.6 < seen < 0.9


@pytest.mark.parametrize(("d", "expected"), [(1, 1.0), (2, 2.1), (5, 5.0)])
def test_the_dimension_of_what_samples_lie_on(rng, d, expected):
    plane = np.linalg.qr(rng.normal(size=(12, d)))[0].T
    found = entropy.knn_dimension(rng.normal(size=(100, 20, d)) @ plane)
    assert found.value == pytest.approx(expected, abs=0.25)
    assert found.error < 0.15


@pytest.mark.parametrize("shrinkage", ["ledoit-wolf", "oas"])
def test_shrinkage_serves_where_samples_are_few_and_vanishes_where_they_are_many(rng, shrinkage):
    few = entropy.gaussian(rng.normal(size=(2, 20, 60)), shrinkage=shrinkage)
    assert few.value == pytest.approx(normal(60), abs=5)
    many = rng.normal(size=(1000, 20, 3)) @ MIXING.T
    found = entropy.gaussian(many, shrinkage=shrinkage)
    assert found.value == pytest.approx(entropy.gaussian(many).value, abs=found.error)
    assert abs(found.z(LAWS["correlated"][1])) < Z


def test_gaussian_entropy_needs_enough_samples(rng):
    with pytest.raises(ValueError, match="sample longer"):
        entropy.gaussian(rng.normal(size=(10, 12)))
    with pytest.raises(ValueError, match="singular"):
        entropy.gaussian(np.ones((10, 2)))


@pytest.mark.parametrize(("replicas", "phi", "d"), [(1, 0.0, 5), (1, 0.7, 3), (8, 0.0, 40), (8, 0.7, 10)])
def test_gaussian_entropy_is_exact_within_its_error(rng, replicas, phi, d):
    mixing = rng.normal(size=(d, d))
    exact = normal(d) + np.linalg.slogdet(mixing)[1]
    z = [
        entropy.gaussian((autoregressive(rng, (400, replicas, d), phi) @ mixing).squeeze()).z(exact) for _ in range(40)
    ]
    assert np.abs(z).max() < 6
    assert abs(np.mean(z)) < Z * np.std(z, ddof=1) / math.sqrt(40)
    assert 0.6 < np.std(z) < 1.6


def test_a_fitted_density_bounds_from_above_by_its_divergence(rng):
    """<-ln q> = S + KL for the Gaussian fitted to others; a mixture comes nearer to two peaks, never below them."""
    others = 0.3 + 1.5 * rng.normal(size=(50_000, 2))
    exact = normal(2) + 2 * (math.log(1.5) + (1 + 0.3**2) / (2 * 1.5**2) - 0.5)
    assert abs(entropy.cross_entropy(rng.normal(size=(500, 20, 2)), others).z(exact)) < Z
    peaks, more = two_peaks(rng, (100, 20, 1)), two_peaks(rng, (2000, 1))
    gaussian, mixture = (entropy.cross_entropy(peaks, more, density=one) for one in ("gaussian", "mixture"))
    assert gaussian.value > mixture.value + 0.3
    assert abs(mixture.z(two_peaks_entropy())) < Z
    assert gaussian.value == pytest.approx(normal(1) + 0.5 * math.log(4.25), abs=0.1)


def test_energies_of_two_ensembles_bound_the_difference_of_their_entropies(rng):
    """Harmonic wells k x^2 / 2 at T = 1, k = 1 and 4: S_2 - S_1 = -(1/2) ln 4 between -3/2 and -3/8 a coordinate."""
    first, second = rng.normal(size=(500, 20, 3)), 0.5 * rng.normal(size=(500, 20, 3))
    energy = [lambda x, k=k: 0.5 * k * np.square(x).sum(axis=2) for k in (1, 4)]
    bounds = entropy.difference_bounds(energy[0](first), energy[1](first), energy[0](second), energy[1](second))
    assert abs(bounds.lower.z(3 * (1 - 4) / 2)) < Z
    assert abs(bounds.upper.z(3 * (0.25 - 1) / 2)) < Z
    assert bounds.lower.value < -1.5 * math.log(4) < bounds.upper.value
    same = entropy.difference_bounds(*[energy[0](first)] * 4)
    assert same.lower.value == same.upper.value == 0


REFUSED = {
    "one axis": (lambda x: entropy.gaussian(x[:, 0, 0]), r"values\[:, None\]"),
    "not finite": (lambda x: entropy.sphere(np.where(x > 2, np.nan, x)), "is not finite"),
    "repeated": (lambda x: entropy.kozachenko_leonenko(np.repeat(x[:1], 6, axis=1)), "leave out repeated samples"),
    "follows": (lambda x: entropy.kozachenko_leonenko(np.concatenate([x, 2 * x], axis=2)), "singular"),
    "few for k": (lambda x: entropy.kozachenko_leonenko(x[:1, :9], k=9), "among 8 others"),
    "few for d": (lambda x: entropy.kozachenko_leonenko(x[:1, :4]), "at least 5 samples"),
    "power": (lambda x: entropy.knn_graph(x, power=3.0), "between 0 and the dimension 3"),
    "one coordinate": (lambda x: entropy.knn_graph(x[..., :1]), "power=0.5"),
    "no neighbours": (lambda x: entropy.knn_graph(x[:1], k=20), "between 1 and 19"),
    "no length": (lambda x: entropy.knn_graph(np.ones((80, 2))), "has no length"),
    "few for a slope": (lambda x: entropy.knn_dimension(x[:2], 10), "160 samples"),
    "histogram": (lambda x: entropy.histogram(np.concatenate([x, x], axis=2)), "up to 3"),
    "bins": (lambda x: entropy.histogram(x, 0), "at least one"),
    "no move": (lambda x: entropy.histogram(0 * x), "coordinate 0 does not move"),
    "order": (lambda x: entropy.mutual_information_expansion(x, 3), "allowed are 1 and 2"),
    "pairs": (lambda x: entropy.mutual_information_expansion(np.tile(x, 22)), "2145 pairs"),
    "one direction": (lambda x: entropy.von_mises_fisher(np.ones((50, 3))), "the same way"),
    "no direction": (lambda x: entropy.sphere(x[..., :1]), "two coordinates"),
    "zero": (lambda x: entropy.sphere(np.where(np.arange(50)[:, None, None] == 3, 0, x)), "20 samples are zero"),
    "masses": (lambda x: entropy.quasiharmonic(x, -1.0, 1.0), "above zero"),
    "form": (lambda x: entropy.quasiharmonic(x, 1.0, 1.0, form="classical"), "'schlitter' and 'oscillators'"),
    "shrinkage": (lambda x: entropy.gaussian(x, shrinkage="lasso"), "'ledoit-wolf', 'oas' and None"),
    "density": (lambda x: entropy.cross_entropy(x, x, density="kde"), "'gaussian' and 'mixture'"),
    "other d": (lambda x: entropy.cross_entropy(x, x[..., :2]), "3 coordinates, the others 2"),
    "few others": (lambda x: entropy.cross_entropy(x, x[:1, :4]), "too few"),
    "no names": (lambda x: entropy.compare(x, tensors=["w"]), "have no names"),
    "projection": (lambda x: entropy.compare(x, projection=0), "1 or more"),
    "frozen": (lambda x: entropy.compare(0 * x), "no coordinate moves"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_estimated_is_refused(rng, case):
    call, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        call(rng.normal(size=(*SHAPE, 3)))


def values(found: entropy.Comparison, of: str) -> dict[str, Estimate]:
    return {row.name: row.estimate for row in found.rows if row.estimate and row.of.endswith(of)}


def test_a_comparison_agrees_on_a_gaussian_and_names_who_does_not_on_another(rng):
    found = entropy.compare(rng.normal(size=(*SHAPE, 2)) / np.array([1.0, 2.0]), masses=1.0, temperature=1.0)
    assert found.disagreements == ()
    exact = normal(2) - math.log(2)
    for name in ("gaussian", "kozachenko_leonenko", "histogram", "mutual_information_expansion"):
        assert abs(values(found, "coordinates")[name].z(exact)) < Z
    assert values(found, "coordinates")["quasiharmonic"].value == pytest.approx(
        0.5 * math.log(1 + math.e**2) + 0.5 * math.log(1 + math.e**2 / 4), abs=0.2
    )
    other = entropy.compare(two_peaks(rng, (*SHAPE, 2)))
    assert any("gaussian lies above kozachenko_leonenko" in one for one in other.disagreements)
    assert any("not of its form" in one for one in other.disagreements)
    assert all("von_mises" not in row.name for row in other.rows)


def test_a_comparison_says_when_neighbours_fail_and_looks_at_principal_components(rng):
    x = rng.normal(size=(*SHAPE, 24))
    x[..., :2] *= np.array([30.0, 20.0])
    x[..., 5] = 3.0
    found = entropy.compare(x)
    assert "without 1 coordinates that do not move" in found.what
    assert any("neighbours are too far apart at d = 23" in one for one in found.disagreements)
    assert entropy.compare(x, projection=2).rows[0].of == "first 2 principal components"
    narrow = entropy.compare(np.concatenate([x] * 3, axis=2)[:3, :20] + rng.normal(size=(3, 20, 72)), projection=2)
    wide = values(entropy.compare(x, projection=2), "components")["gaussian"]
    assert abs(wide.z(normal(2) + math.log(600))) < Z  # of many samples
    assert values(narrow, "components")["gaussian"].value == pytest.approx(normal(2) + math.log(1800), abs=1.5)


def test_a_comparison_knows_the_sphere_and_prints_one_line_an_estimator(rng):
    found = entropy.compare(7 * unit(rng.normal(size=(*SHAPE, 4))))
    assert [row.name for row in found.rows] == ["sphere", "von_mises_fisher", "knn_graph"]
    assert abs(values(found, "coordinates")["sphere"].z(area(4) + 3 * math.log(7))) < Z
    lines = str(found).splitlines()
    assert len([line for line in lines if line.startswith("  ")]) == 3
    assert lines[2] == f"4 coordinates: 1000 samples, worth {found.rows[0].independent:.0f} independent ones"
    assert str(found.rows[0].estimate) in lines[3]
    told = json.loads(json.dumps(found.as_dict()))
    assert told["rows"][0]["estimate"]["value"] == found.rows[0].estimate.value
    assert told["rows"][0]["kind"] == "absolute"


def simulate(rng, folder, temperatures, *, frames=150, dof=6):
    """Write a run whose tensors a (2,), b (rest) are Gaussian of variance T after a transient of 30 frames at T = 9."""
    table, replicas = [("a", (2,), 0), ("b", (dof - 2,), 2)], len(temperatures)
    with Writer.create(folder, table=table, replicas=replicas, masses=np.ones(dof), parameters={}) as writer:
        for i in range(frames):
            t = np.where(i < 30, 9.0, temperatures)
            q = rng.normal(size=(replicas, dof)) * np.sqrt(t)[:, None]
            writer.observable("set_temperature", 10 * i, float(i), t)
            writer.observable("potential_energy", 10 * i, float(i), 0.5 * np.square(q).sum(axis=1))
            writer.frame(10 * i, float(i), q)
    return folder


def test_a_run_is_compared_in_its_equilibrated_part(rng, tmp_path):
    path = simulate(rng, tmp_path / "trajectory.h5", np.full(8, 0.5))
    with Trajectory(path) as run:
        found = entropy.compare(run)
        layer = entropy.compare(run, tensors=["a"])
        thin = entropy.compare(run, at_most=100)
        with pytest.raises(NotRecorded, match="did you mean"):
            entropy.compare(run, tensors=["aa"])
        with pytest.raises(ValueError, match=r"at the temperatures 0\.5"):
            entropy.compare(run, temperature=0.7)
        assert "</svg>" in figure(run).svg
    exact = 0.5 * math.log(0.5)
    assert abs(values(found, "coordinates")["gaussian"].z(normal(6) + 6 * exact)) < Z
    assert values(found, "coordinates")["quasiharmonic"].value == pytest.approx(
        6 * 0.5 * math.log(1 + 0.25 * math.e**2), abs=0.5
    )
    assert "from step" in found.what
    assert layer.rows[0].dimension == 2
    assert abs(values(layer, "coordinates")["histogram"].z(normal(2) + 2 * exact)) < Z
    assert 48 <= thin.rows[0].samples <= 100
    app = Typer()
    app.command()(command)
    printed = CliRunner().invoke(app, [str(path), "--tensor", "a", "--json"])
    assert printed.exit_code == 0
    assert json.loads(printed.stdout)["rows"][0]["dimension"] == 2
    assert "kozachenko_leonenko" in CliRunner().invoke(app, [str(path)]).stdout


def test_replicas_at_other_temperatures_are_not_mixed(rng, tmp_path):
    path = simulate(rng, tmp_path / "trajectory.h5", np.array([0.5, 2.0] * 6))
    with Trajectory(path) as run:
        with pytest.raises(ValueError, match=r"temperatures 0\.5, 2"):
            entropy.compare(run)
        assert "T = 0.5" in figure(run).caption  # the picture is that of the coldest
        hot = entropy.compare(run, temperature=2.0, tensors=["b"])
    assert abs(values(hot, "coordinates")["gaussian"].z(normal(4) + 2 * math.log(2))) < Z


def test_a_large_run_is_read_in_part(rng, tmp_path, monkeypatch):
    path = simulate(rng, tmp_path / "trajectory.h5", np.ones(30), frames=300)
    read, whole = [], LazyArray.__getitem__
    monkeypatch.setattr(LazyArray, "__getitem__", lambda lazy, key: read.append(found := whole(lazy, key)) or found)
    with Trajectory(path) as run:
        found = entropy.compare(run, at_most=200)
        few = entropy.compare(run, at_most=10)
    assert found.rows[0].samples <= 200
    assert few.rows[0].samples <= 10
    assert sum(one.size for one in read) <= 210 * 6


def test_a_run_without_frames_has_no_entropy(tmp_path):
    with Writer.create(
        tmp_path / "trajectory.h5", table=[("w", (2,), 0)], replicas=1, masses=np.ones(2), parameters={}
    ) as writer:
        writer.observable("potential_energy", 0, 0.0, np.ones(1))
    with Trajectory(tmp_path) as run, pytest.raises(NotRecorded, match="0 frames after equilibration"):
        entropy.compare(run)


def test_pairs_need_as_many_samples(rng):
    found = {row.name: row for row in entropy.compare(rng.normal(size=(200, 30))).rows if row.of == "30 coordinates"}
    assert found["mutual_information_expansion"].estimate is None
    assert "435 pairs" in found["mutual_information_expansion"].note


def test_the_graph_takes_its_numbers_by_position(rng):
    samples = rng.normal(size=(200, 3))
    assert entropy.knn_graph(samples, 10, 2, 0.5) == entropy.knn_graph(samples, k=10, dimension=2, power=0.5)
