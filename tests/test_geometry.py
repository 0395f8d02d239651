"""Law: distances, overlaps, components, diffusion maps and alignments find the geometry that samples were given."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import signal, special, stats
from systems import Z

import trajectories
from trajectories import Writer, statistics
from trajectories.statistics import components, walking
from trajectories.storage.layout import Tensor


@pytest.fixture
def on_disk(tmp_path):
    """Put positions into a trajectory file, and read them from there."""
    opened = []

    def put(q: np.ndarray):
        _, replicas, dof = q.shape
        settings = {"table": [("w", (dof,), 0)], "replicas": replicas, "masses": np.ones(dof), "parameters": {}}
        with Writer.create(tmp_path / f"{len(opened)}.h5", **settings, dtype="float64") as writer:
            for i, one in enumerate(q):
                writer.frame(i, i, one)
        opened.append(trajectories.open(tmp_path / f"{len(opened)}.h5"))
        return opened[-1].positions

    yield put
    for run in opened:
        run.close()


def worst(values: np.ndarray, exact: np.ndarray, errors: np.ndarray, enough: np.ndarray) -> float:
    """The worst deviation in standard errors, of the bins that hold enough."""
    assert enough.sum() > 10
    return float(np.abs((values[enough] - exact[enough]) / errors[enough]).max())


def test_pair_distances_are_norms(seed):
    frame = np.random.default_rng(seed + 1).normal(size=(5, 9))
    a, b = np.triu_indices(5, 1)
    np.testing.assert_allclose(statistics.pair_distances(frame), np.linalg.norm(frame[a] - frame[b], axis=1))
    with pytest.raises(ValueError, match="2 replicas"):
        statistics.pair_distances(frame[:1])
    with pytest.raises(ValueError, match="a frame is"):
        statistics.pair_distances(frame[None])


@pytest.mark.parametrize("replicas", [2, 12])
def test_distances_of_gaussian_replicas_follow_chi(seed, replicas):
    """r^2 / (2 sigma^2) ~ chi^2_d, and g = 1 as they do not interact."""
    rng, d, sigma = np.random.default_rng(seed + 2), 6, 0.4
    found = statistics.radial_distribution(sigma * rng.normal(size=(1500, replicas, d)), bins=30)
    law = stats.chi(d, scale=sigma * math.sqrt(2))
    exact = np.diff(law.cdf(found.edges)) / np.diff(found.edges)
    enough = exact * np.diff(found.edges) * 1500 * replicas > 60
    assert worst(found.density, exact, found.error, enough) < Z
    assert worst(found.g, np.ones(30), found.g_error, enough) < Z
    z = (found.density - exact)[enough] / found.error[enough]
    assert 0.3 < z.std() < 1.6
    assert found.density @ np.diff(found.edges) == pytest.approx(1, abs=2e-3)  # but what only the reference reached
    wrong = stats.chi(d, scale=1.2 * sigma * math.sqrt(2))
    shifted = np.diff(wrong.cdf(found.edges)) / np.diff(found.edges)
    assert worst(found.density, shifted, found.error, enough) > Z


def test_replicas_that_attract_each_other_show_in_g(seed):
    """With w_a = c + x_a at each time, pairs are closer than far apart in time: g = p(sigma) / p(larger sigma)."""
    rng, d, replicas = np.random.default_rng(seed + 3), 4, 8
    common, own = rng.normal(size=(3000, 1, d)), rng.normal(size=(3000, replicas, d))
    found = statistics.radial_distribution(common + own, bins=np.linspace(0, 6, 31))
    near, far = (np.diff(stats.chi(d, scale=scale).cdf(found.edges)) for scale in (math.sqrt(2), 2.0))
    enough = far * 3000 * replicas > 100
    assert worst(found.g, near / far, found.g_error, enough & (near * 3000 * replicas > 100)) < Z
    assert found.g[2] > 2
    assert np.abs(found.g - 1).max() > 1


@pytest.mark.parametrize("nbytes", [64 << 20, 4000, 1])
def test_geometry_does_not_depend_on_the_blocks(seed, on_disk, monkeypatch, nbytes):
    x = np.random.default_rng(seed + 4).normal(size=(21, 5, 13))
    times, edges = np.arange(21), np.linspace(0, 10, 9)
    radial, q = statistics.radial_distribution(x, edges), statistics.overlap(x, "mean")
    automatic, self_overlap = statistics.radial_distribution(x), statistics.self_overlap(x, times)
    monkeypatch.setattr(walking, "BYTES", nbytes)
    monkeypatch.setattr(walking, "_PIECE", 10)
    stored = on_disk(x)
    for ours, theirs in (
        (radial, statistics.radial_distribution(stored, edges)),
        (automatic, statistics.radial_distribution(stored)),
        (q, statistics.overlap(stored, "mean")),
        (self_overlap, statistics.self_overlap(stored, times)),
    ):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)
    distances = np.array([statistics.pair_distances(one) for one in x])
    np.testing.assert_allclose(radial.density, np.histogram(distances, edges)[0] / distances.size / np.diff(edges))


@pytest.mark.parametrize("replicas", [2, 10])
def test_overlaps_of_independent_directions(seed, replicas):
    """P(q) ~ (1 - q^2)^((d - 3)/2): mean 0, variance 1/d."""
    rng, d = np.random.default_rng(seed + 5), 8
    found = statistics.overlap(3 * rng.normal(size=(2000, replicas, d)), bins=24)
    edges = np.linspace(-1, 1, 25)
    exact = np.diff(stats.beta((d - 1) / 2, (d - 1) / 2, loc=-1, scale=2).cdf(edges)) / np.diff(edges)
    enough = exact * 2000 * replicas / 12 > 30
    assert worst(found.density, exact, found.error, enough) < Z
    assert abs(found.mean.z(0.0)) < Z
    assert found.density @ np.diff(edges) == pytest.approx(1)
    np.testing.assert_allclose(found.matrix.diagonal(), 1)


def test_basins_are_peaks_of_the_overlap(seed):
    """Replicas in two opposite basins have q = +-1/(1 + noise), and stay in their blocks of the matrix."""
    rng, d = np.random.default_rng(seed + 6), 400
    basin = np.where(np.arange(6) < 3, 1.0, -1.0)[:, None] * np.ones(d)
    found = statistics.overlap(basin + 0.5 * rng.normal(size=(50, 6, d)))
    assert found.matrix[0, 1] == pytest.approx(0.8, abs=0.02)
    assert found.matrix[0, 5] == pytest.approx(-0.8, abs=0.02)
    assert found.density[np.abs(found.q) < 0.5].sum() == 0
    shifted = statistics.overlap(5 + rng.normal(size=(50, 6, d)), about=np.full(d, 5.0))
    assert abs(shifted.mean.value) < 0.05
    assert statistics.overlap(5 + rng.normal(size=(50, 6, d))).mean.value > 0.9
    with pytest.raises(ValueError, match="allowed are 'origin'"):
        statistics.overlap(basin[None], about="centre")
    with pytest.raises(ValueError, match="lies at the point"):
        statistics.overlap(np.zeros((2, 2, 3)))


@pytest.mark.parametrize("replicas", [2, 16])
def test_a_network_forgets_itself(seed, replicas):
    """q(t) of Gaussian weights with correlation c = exp(-t): c G 2F1(1/2, 1/2; d/2 + 1; c^2), G from Gammas."""
    rng, d, a = np.random.default_rng(seed + 7), 5, 0.95
    noise = rng.normal(size=(4000, replicas, d)) * math.sqrt(1 - a**2)
    noise[0] /= math.sqrt(1 - a**2)
    x = signal.lfilter([1.0], [1.0, -a], noise, axis=0)
    found = statistics.self_overlap(x, np.arange(4000), longest=60)
    c = a**found.lags
    front = 2 / d * math.exp(2 * (special.gammaln((d + 1) / 2) - special.gammaln(d / 2)))
    exact = front * c * special.hyp2f1(0.5, 0.5, d / 2 + 1, c**2)
    assert exact[0] == pytest.approx(1)
    assert found.replicas.shape == (61, 8 if replicas == 2 else 16)
    assert np.abs((found.values - exact)[1:] / found.error[1:]).max() < (Z if replicas > 4 else 2 * Z)
    np.testing.assert_allclose(found.values, exact, atol=0.1)


def test_overlaps_are_about_the_point_that_is_given(seed):
    x, times = np.random.default_rng(seed + 16).normal(size=(40, 4, 6)), np.arange(40)
    point = x.mean(axis=(0, 1))
    for analysis in (statistics.overlap, lambda *given: statistics.self_overlap(given[0], times, *given[1:])):
        plain, moved, shifted = analysis(x), analysis(x + 7, np.full(6, 7.0)), analysis(x + 7)
        middle, mean = analysis(x, point), analysis(x, "mean")
        for a, b in zip([*plain, *middle], [*moved, *mean], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-10)
        assert not np.allclose(plain[1], shifted[1], atol=0.1)


SPREAD = np.array([9.0, 4.0, 2.0] + [0.1] * 27)  # variances of a Gaussian in 30 dimensions


def gaussian(rng, frames: int, replicas: int, spread=SPREAD) -> tuple[np.ndarray, np.ndarray]:
    """Samples (frames, replicas, d) about 5, and the principal directions (d, d) as rows."""
    directions = stats.ortho_group.rvs(len(spread), random_state=rng).T
    return 5 + (rng.normal(size=(frames, replicas, len(spread))) * np.sqrt(spread)) @ directions, directions


def test_components_of_a_gaussian(seed):
    x, directions = gaussian(np.random.default_rng(seed + 8), 500, 16)
    found = statistics.principal_components(x, 3)
    assert max(abs(one.z(exact)) for one, exact in zip(found.variances, SPREAD, strict=False)) < Z
    np.testing.assert_allclose(np.abs(np.sum(found.directions * directions[:3], axis=1)), 1, atol=0.01)
    np.testing.assert_allclose(found.directions @ found.directions.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(found.explained, SPREAD[:3] / SPREAD.sum(), rtol=0.1)
    np.testing.assert_allclose(found.mean, x.mean(axis=(0, 1)))
    assert all(one[np.abs(one).argmax()] > 0 for one in found.directions)
    np.testing.assert_allclose(found.coordinates, (x - found.mean) @ found.directions.T, atol=1e-10)
    covariance = np.cov(x.reshape(-1, 30).T)
    leading = np.linalg.eigvalsh(covariance)[::-1]
    np.testing.assert_allclose([one.value for one in found.variances], leading[:3])
    assert statistics.principal_components(x, 30).explained.sum() == pytest.approx(1)


@pytest.mark.parametrize("exact", [4000, 5])
@pytest.mark.parametrize(("frames", "replicas"), [(60, 4), (3, 7)])
def test_components_do_not_depend_on_the_way(seed, on_disk, monkeypatch, exact, frames, replicas):
    """From coordinates or samples, in full or by iteration, in one block or in many, in memory or on disk."""
    rng = np.random.default_rng(seed + 9)
    x, _ = gaussian(rng, frames, replicas, np.array([90.0, 40.0, 20.0] + [0.01] * 27))
    u, s, v = np.linalg.svd((x - x.mean(axis=(0, 1))).reshape(-1, 30), full_matrices=False)
    monkeypatch.setattr(components, "_EXACT", exact)
    monkeypatch.setattr(walking, "_PIECE", 100)
    for nbytes in (64 << 20, 2000, 1):
        monkeypatch.setattr(walking, "BYTES", nbytes)
        found = statistics.principal_components(on_disk(x), 3)
        np.testing.assert_allclose([one.value for one in found.variances], s[:3] ** 2 / (len(u) - 1), rtol=1e-6)
        np.testing.assert_allclose(np.abs(np.sum(found.directions * v[:3], axis=1)), 1, atol=1e-6)
        np.testing.assert_allclose(found.directions @ found.directions.T, np.eye(3), atol=1e-9)
        np.testing.assert_allclose(found.explained, s[:3] ** 2 / np.square(s).sum(), rtol=1e-6)
        np.testing.assert_allclose(found.project(x), found.coordinates, atol=1e-9)


def test_errors_of_variances_cover(seed):
    rng, z = np.random.default_rng(seed + 10), []
    for _ in range(60):
        x, _ = gaussian(rng, 400, 8)
        z.append(
            [
                one.z(exact)
                for one, exact in zip(statistics.principal_components(x, 2).variances, SPREAD[:2], strict=True)
            ]
        )
    assert np.abs(np.mean(z, axis=0)).max() < Z / math.sqrt(60) * np.std(z)
    assert 0.8 < np.std(z) < 1.6  # Student's law with 7 degrees of freedom: 1.18


def test_noise_alone_has_the_edge_of_marchenko_and_pastur(seed):
    n, d = 400, 800
    found = statistics.principal_components(np.random.default_rng(seed + 11).normal(size=(n // 4, 4, d)), 1)
    assert found.variances[0].value == pytest.approx((1 + math.sqrt(d / n)) ** 2, rel=0.05)


def test_components_that_are_not_there():
    x = np.outer([1.0, 2.0, 4.0, 7.0], np.ones(30))
    assert statistics.principal_components(x, 1).explained == pytest.approx(1)
    for count, message in ((2, "1 directions only"), (4, "from 1 to 3"), (0, "from 1 to 3")):
        with pytest.raises(ValueError, match=message):
            statistics.principal_components(x, count)
    with pytest.raises(ValueError, match="moves"):
        statistics.principal_components(np.ones((5, 3)), 1)
    with pytest.raises(ValueError, match="30 coordinates"):
        statistics.principal_components(np.eye(5), 1).project(x)


@pytest.mark.parametrize("density", ["uniform", "linear"])
def test_diffusion_map_of_an_interval(density):
    """Eigenfunctions cos(k pi x) and rates (k pi)^2, whatever the density of samples along it."""
    u = (np.arange(1500) + 0.5) / 1500
    x = u if density == "uniform" else (np.sqrt(0.04 + 0.96 * u) - 0.2) / 0.8  # density 5 times as high at one end
    curve = np.stack([0.6 * x, 0.8 * x, np.zeros_like(x)], axis=1)
    found = statistics.diffusion_map(curve, 3, epsilon=3e-4)
    for k, psi in enumerate(found.coordinates.T, start=1):
        assert abs(np.corrcoef(psi, np.cos(k * math.pi * x))[0, 1]) > 0.9995
    np.testing.assert_allclose(found.rates / found.rates[0], [1, 4, 9], rtol=0.02)
    np.testing.assert_allclose(found.rates, (math.pi * np.arange(1, 4)) ** 2, rtol=0.04)
    assert (np.diff(found.eigenvalues) < 0).all()
    if density == "linear":  # without the correction for density it is another operator
        plain = statistics.diffusion_map(curve, 3, epsilon=3e-4, alpha=0.0)
        assert abs(plain.rates[0] / math.pi**2 - 1) > 0.2


def test_diffusion_map_of_a_ring(seed):
    """Sine and cosine come in pairs: rates 1, 1, 4, 4 on a circle of radius 1, also of random samples."""
    angles = np.random.default_rng(seed + 12).uniform(0, 2 * math.pi, 2000)
    found = statistics.diffusion_map(np.stack([np.cos(angles), np.sin(angles)], axis=1), 4, epsilon=0.02)
    np.testing.assert_allclose(found.rates, [1, 1, 4, 4], rtol=0.15)
    radius = np.hypot(*found.coordinates[:, :2].T)
    assert radius.std() < 0.1 * radius.mean()
    turned = np.unwrap(np.arctan2(*found.coordinates[np.argsort(angles), :2].T))
    assert abs(turned[-1] - turned[0]) == pytest.approx(2 * math.pi, rel=0.05)  # once around


def test_diffusion_map_refuses_what_it_cannot_map(seed):
    clouds = np.random.default_rng(seed + 13).normal(size=(60, 2)) + 100 * (np.arange(60) % 2)[:, None]
    with pytest.raises(ValueError, match="larger epsilon"):
        statistics.diffusion_map(clouds)
    assert statistics.diffusion_map(clouds, 1, epsilon=1e4).coordinates.shape == (60, 1)
    for change, message in (({"alpha": 2.0}, "alpha is 2.0"), ({"epsilon": -1.0}, "epsilon"), ({"count": 59}, "count")):
        with pytest.raises(ValueError, match=message):
            statistics.diffusion_map(clouds, **change)
    with pytest.raises(ValueError, match="coincide"):
        statistics.diffusion_map(np.zeros((30, 2)))


WIDTHS = (3, 12, 9, 7, 2)


def network_table(widths=WIDTHS, bias: bool = True) -> list[Tensor]:
    """Weights and biases of a multilayer perceptron, as torch names them."""
    table, offset = [], 0
    for k, (inputs, outputs) in enumerate(pairwise(widths)):
        for name, shape in (("weight", (outputs, inputs)), ("bias", (outputs,)))[: 2 if bias else 1]:
            table.append(Tensor(f"layers.{k}.{name}", shape, offset))
            offset += math.prod(shape)
    return table


def tensors(flat: np.ndarray, table) -> dict[str, np.ndarray]:
    return {one.name: flat[one.offset : one.offset + one.size].reshape(one.shape) for one in table}


def outputs(flat: np.ndarray, table, x: np.ndarray) -> np.ndarray:
    """The network with tanh between its layers."""
    named = tensors(flat, table)
    for k in range(len(WIDTHS) - 1):
        x = np.tanh(x) if k else x
        x = x @ named[f"layers.{k}.weight"].T + named.get(f"layers.{k}.bias", 0.0)
    return x


def disguised(rng, flat: np.ndarray, table, *, flips: bool) -> np.ndarray:
    """The same function with the hidden units in another order, and some of them upside down."""
    copy = flat.copy()
    named = tensors(copy, table)
    for k in range(len(WIDTHS) - 2):
        order, sign = rng.permutation(WIDTHS[k + 1]), rng.choice([-1.0, 1.0], WIDTHS[k + 1]) if flips else 1.0
        for name in (f"layers.{k}.weight", f"layers.{k}.bias"):
            if name in named:
                named[name][:] = (named[name][order].T * sign).T
        named[f"layers.{k + 1}.weight"][:] = named[f"layers.{k + 1}.weight"][:, order] * sign
    return copy


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("flips", [False, True])
def test_a_disguised_copy_has_no_distance(seed, flips, bias):
    rng, table = np.random.default_rng(seed + 14), network_table(bias=bias)
    for _ in range(10):
        reference = rng.normal(size=table[-1].offset + table[-1].size)
        copy = disguised(rng, reference, table, flips=flips)
        x = rng.normal(size=(20, WIDTHS[0]))
        np.testing.assert_allclose(outputs(copy, table, x), outputs(reference, table, x))
        found = statistics.aligned_rmsd(copy, reference, table, odd=flips)
        assert found.rmsd == 0
        assert found.plain == pytest.approx(math.sqrt(np.square(copy - reference).mean()))
        assert found.plain > 0.5
        assert (found.weights == reference).all()
        if flips:  # which order alone cannot undo
            assert statistics.aligned_rmsd(copy, reference, table).rmsd > 0.1


@pytest.mark.parametrize("odd", [False, True])
def test_alignment_never_takes_networks_apart_and_keeps_the_function(seed, odd):
    rng, table = np.random.default_rng(seed + 15), network_table()
    x = rng.normal(size=(20, WIDTHS[0]))
    for noise in (0.05, 0.3, 1.0, None):
        reference = rng.normal(size=table[-1].offset + table[-1].size)
        other = rng.normal(size=reference.shape)
        if noise is not None:
            other = disguised(rng, reference, table, flips=odd) + noise * other
        found = statistics.aligned_rmsd(other, reference, table, odd=odd)
        assert found.rmsd <= found.plain
        assert found.rmsd == pytest.approx(math.sqrt(np.square(found.weights - reference).mean()))
        np.testing.assert_allclose(outputs(found.weights, table, x), outputs(other, table, x))
        if noise == 0.05:
            assert found.rmsd == pytest.approx(noise, rel=0.2)
        first = tensors(other, table)["layers.0.weight"][found.permutations[0]] * found.signs[0][:, None]
        np.testing.assert_allclose(tensors(found.weights, table)["layers.0.weight"], first)
    same = statistics.aligned_rmsd(reference, reference, table, odd=odd)
    assert same.rmsd == same.plain == 0
    assert [order.tolist() for order in same.permutations] == [list(range(n)) for n in WIDTHS[1:-1]]


def test_alignment_starts_also_from_the_order_that_is_there(seed):
    """Where only the first layer differs, the order by incoming weights leads astray; the end is no farther."""
    rng, table = np.random.default_rng(seed + 17), network_table()
    first = WIDTHS[1] * (WIDTHS[0] + 1)
    for _ in range(10):
        reference = rng.normal(size=table[-1].offset + table[-1].size)
        other = reference + 0.9 * rng.normal(size=reference.shape)
        other[:first] = rng.normal(size=first)
        found = statistics.aligned_rmsd(other, reference, table)
        assert found.rmsd <= found.plain


def test_alignment_refuses_other_networks():
    table = network_table()
    flat = np.zeros(table[-1].offset + table[-1].size)
    with pytest.raises(ValueError, match="give one network"):
        statistics.aligned_rmsd(flat[None], flat, table)
    with pytest.raises(ValueError, match="does not take what"):
        statistics.aligned_rmsd(flat, flat, table, ["layers.1.weight", "layers.0.weight"])
    with pytest.raises(ValueError, match="has to name weights"):
        statistics.aligned_rmsd(flat, flat, table, ["layers.9.weight"])
    with pytest.raises(ValueError, match="belongs to no layer"):
        statistics.aligned_rmsd(np.append(flat, 0), np.append(flat, 0), [*table, Tensor("scale", (1,), len(flat))])
