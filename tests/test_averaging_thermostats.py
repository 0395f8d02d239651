"""SGD beside thermostats: what compares curves on made tables, what the runs report, and the study as a whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from systems import Z

import trajectories
from mdnet.data import load
from mdnet.experiments.data_averaging import thermostats
from mdnet.experiments.data_averaging.thermostat_comparison import apart, at_levels, differ, levels, pairing
from mdnet.experiments.data_averaging.thermostat_runs import PROBLEM, Runs, Where
from mdnet.experiments.free_energy.temperature_problems import Span
from mdnet.gradient_noise import gradient_noise
from mdnet.recording import OutputExistsError
from trajectories.averaging import Curve

SPLITS = 3
SMALL = replace(
    PROBLEM,
    model=replace(PROBLEM.model, rates=(0.3,) * 3, batch=(16, 4, 1), train=40, test=100, splits=SPLITS),
    temperatures=(1e-6, 1e-3, 1e-1), descent=Span(50, 10, 10), thermal=Span(50, 10, 10), thorough=3,
    minimise=(300, 0.01),
)  # fmt: skip


def made(train, gap):
    """A curve of training losses (n, splits) with these gaps."""
    return Curve(np.arange(1.0, len(train) + 1), train, train + gap)


def where(folder, seed=0):
    return Where(folder, seed, overwrite=False, progress=False)


@pytest.mark.parametrize("factor", [1.0, 0.7])
def test_the_gap_at_equal_loss_needs_no_temperature(seed, factor):
    """Law: where gap = factor (c_s - loss), c_s of the data set, the ratio is the factor whatever the ladders of T."""
    rng = np.random.default_rng(seed)
    top = rng.uniform(2.0, 3.0, 5)
    one, other = (rng.uniform(0.1, 1.0, (n, 5)) for n in (6, 9))  # in no order: noise may swap neighbours
    first, second = made(one, factor * (top - one)), made(other, top - other)
    found = apart((first, first.gap), (second, second.gap), levels([first, second]))
    np.testing.assert_allclose(found.ratio.value, factor, rtol=1e-9)
    assert abs(found.overall.value - factor) < 1e-9
    assert abs(found.change().value) < 1e-9
    assert (found.p < 1e-3) == (factor != 1)


def test_levels_are_reached_by_every_data_set(seed):
    """Law: every level lies between the extreme losses of each data set of each curve; with none, it is told."""
    train = np.sort(np.random.default_rng(seed).uniform(0.1, 1.0, (2, 7, 4)), axis=1)
    train[:, 0] *= 0.5
    curves = [made(each, each) for each in train]
    found = levels(curves)
    for curve in curves:
        assert (curve.train.min(axis=0) <= found[0] + 1e-12).all()
        assert (found[-1] - 1e-12 <= curve.train.max(axis=0)).all()
        np.testing.assert_allclose(at_levels(curve, curve.train, found), found[:, None].repeat(4, axis=1))
    with pytest.raises(ValueError, match="nothing in common"):
        levels([curves[0], made(train[0] + 5, train[0])])


def test_curves_that_are_alike_are_rarely_told_apart(seed):
    """Law: p of paired tables with one mean is uniform, though data sets differ; a shift of all rows is seen."""
    rng = np.random.default_rng(seed)
    by_split = rng.normal(size=8)
    noise = 0.1 * rng.normal(size=(2, 400, 7, 8))
    p = [differ(by_split + one, by_split + other) for one, other in zip(*noise, strict=True)]
    assert stats.kstest(p, "uniform").pvalue > 1e-6
    assert max(differ(one + 0.3, other) for one, other in zip(*noise[:, :20], strict=True)) < 1e-3


def test_only_the_pairing_takes_the_data_sets_out(seed):
    """Law: the mean square of differences is that of the noise, 2 s^2 (m - 1)/m, if paired, and more if permuted."""
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=(500, 8)) + 0.1 * rng.normal(size=(2, 500, 8))
    scatter = pairing(one, other)
    assert abs(scatter[0] / (2 * 0.01 * 7 / 8) - 1) < Z * np.sqrt(2 / (500 * 7))
    assert scatter[1:].min() > 10 * scatter[0]


def test_a_replica_is_its_temperature_and_its_data_set(tmp_path, seed, monkeypatch):
    """Law: at a rate near zero each T reads the losses at its data set's start, and noise (rate/2) Tr D/(B dof)."""
    monkeypatch.delenv("MDNET_ROUTE", raising=False)
    still = replace(SMALL, model=replace(SMALL.model, rates=(1e-9,) * 3), descent=Span(0, 60, 1), thorough=2)
    runs = Runs(still, where(tmp_path, seed))
    found = runs.descent()
    system = runs.particles(1)
    train = system.force.mean_loss(runs.start).numpy()
    np.testing.assert_allclose(found.curve.train, np.tile(train, (3, 1)), rtol=1e-5)
    x, y = still.model.data()
    test = system.evaluate(still.model.loss, runs.start, x[runs.test], y[runs.test], per_replica=True)
    np.testing.assert_allclose(found.curve.test, np.tile(test, (3, 1)), rtol=1e-5)
    np.testing.assert_allclose(found.spread, np.tile(runs.start.square().mean(-1), (3, 1)), rtol=1e-5)
    trace = gradient_noise(system, runs.start, size=1).total.numpy()
    exact = 1e-9 / 2 * trace / np.array([[16.0], [4.0], [1.0]]) / system.dof
    off = found.matched / exact - 1
    assert np.abs(off.mean(axis=1)).max() < 0.3  # of 30 looks at 8 batches; of single rows a few make most of the trace


def test_both_thermostats_are_at_their_temperatures(tmp_path, seed, monkeypatch):
    """Law: halfway through a step 2 K/D = T, and <|grad U|^2> = T <laplacian U>, within the error of replicas."""
    monkeypatch.delenv("MDNET_ROUTE", raising=False)
    model = replace(SMALL.model, splits=6)
    short = replace(SMALL, model=model, temperatures=(1e-4, 1e-3), thermal=Span(500, 40, 20))
    runs = Runs(short, where(tmp_path, seed))
    for steady in (runs.langevin(), runs.chain()):
        for measured in (steady.kinetic, steady.configurational):
            ratio = (measured / steady.matched).mean(axis=0)
            error = ratio.std(ddof=1) / np.sqrt(len(ratio))
            assert abs(ratio.mean() - 1) < Z * error + 0.01  # of the step
            assert error < 0.05


def test_a_study_says_what_it_found(tmp_path, seed, monkeypatch):
    """A row for each method and T, its checks, pictures, numbers and conclusion, runs to read; none is overwritten."""
    monkeypatch.delenv("MDNET_ROUTE", raising=False)
    found = thermostats.study(tmp_path, seed=seed, progress=False, problem=SMALL)
    assert [row[0] for row in found.rows[::3]] == ["SGD", "Langevin", "Langevin again", "Nose-Hoover chain"]
    assert {len(row) for row in found.rows} == {len(found.columns)}
    assert len(found.checks) == 15
    assert found.numbers["conclusion"] in found.caption
    assert len(found.write(tmp_path)["figures"]) == len(list(tmp_path.glob("thermostats-*.svg"))) == 3
    with trajectories.open(tmp_path / "thermostats" / "sgd") as run:
        sweep = run.parameters["sweep"]
        assert list(sweep["batch"]) == [16] * SPLITS + [4] * SPLITS + [1] * SPLITS
        assert list(sweep["seed"]) == [seed + s for s in range(SPLITS)] * 3
    with pytest.raises(OutputExistsError):
        thermostats.study(tmp_path, seed=seed, progress=False, problem=SMALL)


def test_labels_are_replaced_alike_in_all_data_sets():
    """Law: the share of wrong labels among training rows is the same for every data set, but for chance."""
    rows = Runs(replace(PROBLEM, minimise=(0, 0.1)), where(None)).train
    wrong = (PROBLEM.model.data()[1] != load("digits").targets)[rows].double().mean(-1)
    assert (torch.abs(wrong - 0.09) < Z * (0.09 * 0.91 / 400) ** 0.5).all()


@pytest.mark.slow
def test_the_claims_hold(tmp_path, monkeypatch):
    """Thermostats hold their T and agree; SGD's gap follows another law than theirs at equal training loss."""
    monkeypatch.delenv("MDNET_ROUTE", raising=False)
    found = thermostats.study(tmp_path, progress=False)
    assert [(check.name, check.measured) for check in found.checks if not check.holds] == []
