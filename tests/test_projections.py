"""Law: what is projected while a run goes on is what one would project afterwards, and distances survive it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from sklearn.decomposition import IncrementalPCA
from systems import Z
from torch import nn
from torch.nn import functional

import mdnet as md
import trajectories
from integrators import BAOAB, Splitting
from mdnet import projections
from mdnet.projections import PrincipalComponents, RandomProjection
from thermostats import Langevin

REPLICAS = 6


def started(reporter, dof, replicas=REPLICAS, dtype=torch.float64):
    reporter.start(SimpleNamespace(dof=dof, replicas=replicas, dtype=dtype, device=torch.device("cpu")), None)
    return reporter


def report(reporter, q, step=0):
    return reporter(step, SimpleNamespace(q=q))


def simulation(folder, *reporters, dtype=torch.float64, **options):
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1))
    x = torch.randn(12, 2)
    system = md.ParticleSystem(
        network, functional.mse_loss, x, x.sum(-1, keepdim=True).sin(), replicas=REPLICAS, dtype=dtype
    )
    integrator = Splitting(BAOAB, system.force, 0.02, Langevin(temperature=0.1, friction=1.0))
    return md.Simulation(system, integrator, temperature=0.1, seed=5, output=folder, reporters=reporters, **options)


# -- random ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_projection_is_that_of_the_positions(tmp_path, dtype):
    projection = RandomProjection(4, every=5, seed=7)
    simulation(tmp_path / "run", md.Frames(5), projection, dtype=dtype).run(30, progress=False)
    with trajectories.open(tmp_path / "run") as run:
        q, y = np.asarray(run.positions, dtype=np.float64), run.observables["projection"]
        assert y.steps.tolist() == run.steps.tolist()
        assert y.shape == (7, REPLICAS, 4)
        tolerance = {"rtol": 0, "atol": 50 * torch.finfo(dtype).eps * np.abs(q).max()}
        np.testing.assert_allclose(y.values, q @ projection.matrix().double().numpy().T, **tolerance)
        assert run.parameters["reporters"]["RandomProjection"] == {"dimension": 4, "seed": 7}


def test_the_seed_makes_the_projection_however_it_is_held(monkeypatch):
    monkeypatch.setattr(projections, "_BLOCK", 48)
    q, results = torch.randn(REPLICAS, 101, dtype=torch.float64), []
    for held in (1 << 26, 0):
        monkeypatch.setattr(projections, "_HELD", held)
        torch.manual_seed(len(results))  # the caller's random numbers are none of its business
        reporter = started(RandomProjection(5, seed=3), 101)
        assert (reporter._held is None) == (held == 0)
        results += [report(reporter, q)["projection"], report(reporter, q)["projection"]]
    assert all(torch.equal(results[0], other) for other in results[1:])
    torch.testing.assert_close(results[0], q @ reporter.matrix().T)
    assert reporter.matrix().shape == (5, 101)
    assert not torch.equal(reporter.matrix(), started(RandomProjection(5, seed=4), 101).matrix())


def test_distances_are_kept(seed):
    """k |P x|^2/|x|^2 is chi-squared with k = dimension degrees of freedom: mean, variance, and no pair far off."""
    dimension, points = 64, torch.randn(12, 3000, dtype=torch.float64)
    gaps = (points[:, None] - points[None])[tuple(torch.triu_indices(12, 12, 1))]  # (pairs, dof)
    ratios = []
    for number in range(60):
        reporter = started(RandomProjection(dimension, seed=seed + number), 3000)
        ratios.append(report(reporter, gaps)["projection"].square().sum(-1) / gaps.square().sum(-1))
    ratio = torch.stack(ratios).numpy()  # (seeds, pairs)
    for values, exact in [(ratio, 1.0), ((ratio - 1) ** 2, 2 / dimension)]:
        by_seed = values.mean(1)
        assert abs(by_seed.mean() - exact) < Z * by_seed.std(ddof=1) / len(by_seed) ** 0.5
    missed = 1e-9 / ratio.size  # by Bonferroni the whole test fails by chance once in 10^9
    assert chi2.ppf(missed, dimension) < dimension * ratio.min()
    assert dimension * ratio.max() < chi2.isf(missed, dimension)


def test_looking_does_not_change_the_run(tmp_path):
    for name, reporters in {"plain": [], "seen": [RandomProjection(4, 3), PrincipalComponents(3, 3, learn=4)]}.items():
        simulation(tmp_path / name, md.Frames(3), *reporters).run(20, progress=False)
    with trajectories.open(tmp_path / "plain") as plain, trajectories.open(tmp_path / "seen") as seen:
        np.testing.assert_array_equal(np.asarray(plain.positions), np.asarray(seen.positions))


# -- principal -------------------------------------------------------------------------------------------------------


def batches(seed, count, replicas, dof, rank):
    """Samples about a mean far from zero, spread over `rank` directions with very different strengths."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.normal(size=(dof, rank)))[0] * np.geomspace(10, 0.01, rank)
    return rng.normal(size=(count, replicas, rank)) @ directions.T + 5 * rng.normal(size=dof)


def learnt(reporter, samples):
    found = {}
    for number, batch in enumerate(samples):
        found = dict(report(reporter, torch.tensor(batch), number))
        assert bool(found) == (number >= len(samples) - 1)
    return {name.rpartition("/")[2]: value.numpy() for name, value in found.items()}


@pytest.mark.parametrize("block", [7, 1 << 20])
def test_components_are_those_of_incremental_pca(monkeypatch, seed, block):
    """scikit-learn's IncrementalPCA on the same batches, with as many components as are kept on the way."""
    monkeypatch.setattr(projections, "_BLOCK", block)
    samples = batches(seed, 12, 20, 50, rank=40)
    found = learnt(started(PrincipalComponents(4, learn=12), 50, replicas=20), samples)
    reference = IncrementalPCA(8)
    for batch in samples:
        reference.partial_fit(batch)
    np.testing.assert_allclose(found["mean"], reference.mean_, rtol=1e-10)
    np.testing.assert_allclose(found["variance"], reference.explained_variance_[:4], rtol=1e-9)
    signs = np.sign((found["components"] * reference.components_[:4]).sum(1))
    np.testing.assert_allclose(found["components"], signs[:, None] * reference.components_[:4], atol=1e-8)
    expected = reference.transform(samples[-1])[:, :4] * signs
    np.testing.assert_allclose(found["coordinates"], expected, atol=1e-6)


def test_components_are_exact_where_nothing_is_left_out(seed):
    samples = batches(seed, 9, 5, 30, rank=6)
    found = learnt(started(PrincipalComponents(4, learn=9), 30, replicas=5), samples)
    rows = samples.reshape(45, 30)
    _, lengths, directions = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    np.testing.assert_allclose(found["variance"], lengths[:4] ** 2 / 44, rtol=1e-9)
    np.testing.assert_allclose(np.abs((found["components"] * directions[:4]).sum(1)), 1.0, atol=1e-9)
    np.testing.assert_allclose(found["components"] @ found["components"].T, np.eye(4), atol=1e-9)
    assert (found["components"].max(1) > -found["components"].min(1)).all()  # their sign is settled


@pytest.mark.parametrize("n", [7, 14, 16, 23])
def test_learning_goes_on_where_it_stopped(tmp_path, n):
    """Law: n + m steps equal n, a resume and m, bit for bit, in the midst of learning, at its end and after it."""

    def make(name):
        keep = md.Frames(4), RandomProjection(4, 3), PrincipalComponents(3, 2, learn=8)
        return simulation(tmp_path / name, *keep, dtype=torch.float32)

    make("whole").run(30, progress=False)
    make("parts").run(n, progress=False)
    make("parts").resume().run(30 - n, progress=False)
    with trajectories.open(tmp_path / "whole") as a, trajectories.open(tmp_path / "parts") as b:
        assert a.observables["principal/coordinates"].steps.tolist() == list(range(14, 31, 2))
        assert dict(a.learnt).keys() == {"principal/components", "principal/mean", "principal/variance"}
        for one, other in [(a.observables, b.observables), (a.learnt, b.learnt)]:
            assert one.keys() == other.keys()
            for name in one:
                assert one[name].steps.tolist() == other[name].steps.tolist()
                np.testing.assert_array_equal(one[name].values, other[name].values, strict=True, err_msg=name)
        assert a.learnt["principal/components"].shape == (1, 3, a.dof)
        away = np.asarray(a.positions)[4] - a.learnt["principal/mean"].values[-1]
        coordinates = a.observables["principal/coordinates"].values[1]  # step 16
        np.testing.assert_allclose(coordinates, away @ a.learnt["principal/components"].values[-1].T, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomProjection(0), "dimension = 0 must be one or more"),
        (lambda: RandomProjection(3, every=0), "every = 0"),
        (lambda: PrincipalComponents(3, learn=0), "learn = 0 must be one or more"),
        (lambda: started(PrincipalComponents(12, learn=2), 50), "learn = 2 reports of 6 replicas"),
        (lambda: started(PrincipalComponents(51, learn=100), 50), "50 coordinates have fewer components"),
    ],
)
def test_projections_that_cannot_be_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
