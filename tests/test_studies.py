"""What the studies of simmering measure, on predictions and energies whose answers are known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mdnet.experiments import simmering, studies
from mdnet.experiments.problems import prepare
from mdnet.experiments.results import Comparison
from mdnet.experiments.studies import bath_measures, members
from mdnet.experiments.studies.baths import baths, planned
from mdnet.experiments.studies.finished import Finished
from mdnet.experiments.studies.growing import crossing, first, growing, growths, spread
from mdnet.experiments.studies.sampling import Sampled, sample
from mdnet.experiments.studies.uncertainty import bands, beyond, chances, uncertainty

Z = 5.0


def numbers(seed, salt=0):
    return np.random.default_rng([seed, salt])


def brief(name, **steps):
    problem = prepare(name, seeds=1, seed=1000).problem
    small = {"adam_steps": 20, "stage_steps": 10, "sample_steps": 200, "sample_every": 20}
    return prepare(name, seeds=4, seed=1000, problem=replace(problem, **small | steps))


def finish(task, folder):
    """A finished problem with its restrained run alone."""
    overfit = simmering.overfit(task, progress=False)
    run = simmering.ensembles(task)[0]
    said = simmering.simmer(task, run, folder / "restrained", start=overfit, progress=False)
    predictions = {"Adam": task.predict(task.particles(), overfit), run.method: said[:, 0]}
    comparison = Comparison(task.truth, task.problem.metric)
    for method, outputs in predictions.items():
        comparison.add(method, outputs)
    return Finished(task, folder, overfit, overfit, {run.method: folder / "restrained"}, predictions, comparison)


def test_the_gain_of_independent_members_takes_nineteen_of_many(seed):
    """Law: with k of K independent members the squared error falls by (1 - 1/k)/(1 - 1/K) of its whole fall."""
    task, total = brief("sine"), 256
    said = task.truth + numbers(seed).normal(size=(total, *task.truth.shape))
    for way in (first, spread):
        (growth,) = growths(task, "noise", said, "way", way)
        error = growth.values.std(1, ddof=1) / math.sqrt(task.seeds)
        assert (np.abs(growth.values.mean(1) - 1 / growth.counts) < Z * np.maximum(error, 0.02 / growth.counts)).all()
        needed = 1 / (1 - 0.95 * (1 - 1 / total))  # 18.6, read off a chord between 16 and 32
        assert crossing(growth, np.arange(task.seeds)) == pytest.approx(needed, rel=0.15)


def test_members_are_the_first_ones_or_spread_evenly():
    np.testing.assert_array_equal(first(3, 12), [0, 1, 2])
    np.testing.assert_array_equal(spread(3, 12), [2, 6, 10])
    np.testing.assert_array_equal(spread(12, 12), np.arange(12))


def test_an_ensemble_without_a_gain_says_so():
    task = brief("sine")
    said = np.broadcast_to(task.truth + 1, (4, *task.truth.shape))
    (growth,) = growths(task, "same", said, "first", first)
    assert math.isnan(crossing(growth, np.arange(task.seeds)))


def test_bands_of_an_honest_ensemble_hold_what_they_claim(seed):
    """Law: where y ~ N(0, s^2 + noise^2) and members ~ N(0, s^2), 90 % bands hold 90 %, and |error| grows with s."""
    task, source = brief("auto-mpg"), numbers(seed, 1)
    shape, noise = task.truth.shape, np.full(task.seeds, 0.1)
    sd = np.exp(source.normal(size=shape))
    drawn = sd * source.normal(size=shape)
    truth = drawn + 0.1 * source.normal(size=shape)
    honest = replace(task, data=replace(task.data, test=(task.data.test[0], _tensor(truth))))
    found = bands(honest, sd * source.normal(size=(400, *shape)), noise)
    rows = truth.size
    assert found["coverage"].mean() == pytest.approx(0.9, abs=Z * math.sqrt(0.09 / rows) + 0.005)
    assert (found["rank"] > 0.3).all()
    exact = 0.5 * np.log(2 * np.pi * math.e * (sd**2 + 0.01)).mean()
    assert found["nll"].mean() == pytest.approx(exact, abs=Z * math.sqrt(0.5 / rows) + 0.01)
    single = bands(honest, drawn[None], noise)
    assert "rank" not in single
    assert single["coverage"].mean() == pytest.approx(0.9, abs=Z * math.sqrt(0.09 / rows))
    assert bands(honest, np.zeros((1, *shape)), noise)["coverage"].mean() < 0.3


def test_chances_that_are_true_are_calibrated(seed):
    """Law: labels drawn from p have NLL <H(p)>, Brier's score <1 - sum p^2>, and no calibration error but noise."""
    task, source = brief("iris"), numbers(seed, 2)
    rows = 4000
    logits = 2 * source.normal(size=(1, task.seeds, rows, 3))
    p = np.exp(logits[0]) / np.exp(logits[0]).sum(-1, keepdims=True)
    labels = (source.random((task.seeds, rows, 1)) > p.cumsum(-1)).sum(-1)
    task = replace(task, data=replace(task.data, test=(task.data.test[0], _tensor(labels))))
    found = chances(task, logits)
    entropy = -(p * np.log(p)).sum(-1)
    assert found["nll"].mean() == pytest.approx(entropy.mean(), abs=0.03)
    assert found["brier"].mean() == pytest.approx((1 - (p**2).sum(-1)).mean(), abs=0.02)
    assert found["ece"].max() < 0.04
    assert (found["auroc"] > 0.6).all()
    assert (found["wrong"] > found["right"]).all()
    assert chances(task, 5 * logits)["ece"].min() > 0.1  # too sure


def test_the_grid_reaches_half_a_range_beyond_the_training_inputs():
    inputs, inside = members.beyond(brief("sine"))
    assert inputs.shape == (4, 400, 1)
    assert (inputs.min(), inputs.max()) == pytest.approx((-2, 2))
    assert (inputs[:, inside].abs() <= 1 + 1e-6).all()
    assert (inputs[:, ~inside].abs() > 1).all()


def test_observed_targets_of_a_known_truth_are_noisy_and_new():
    task = brief("sine")
    noise = members.observed(task) - task.truth
    assert noise.std() == pytest.approx(0.3, rel=Z / math.sqrt(2 * noise.size))
    assert np.abs(np.corrcoef(noise[..., 0]))[~np.eye(4, dtype=bool)].max() < Z / math.sqrt(201)
    iris = brief("iris")
    assert members.observed(iris) is not None
    np.testing.assert_array_equal(members.observed(iris), iris.truth)


def canonical(seed, salt, *, dof=20, temperature=0.5, samples=4000, seeds=8):
    source = numbers(seed, salt)
    potential, kinetic = source.gamma(dof / 2, temperature, size=(2, samples, seeds))
    layers = 1 + 0.01 * source.normal(size=(seeds, 3))
    return Sampled(potential, kinetic, layers, np.empty(0), 2.0, True)


def test_the_measures_tell_a_canonical_run_from_another(seed):
    """Law: two canonical runs agree in <U>, in its law, and in sd(K) = T sqrt(N_f/2); others do not."""
    reference, run = canonical(seed, 3), canonical(seed, 4)
    assert abs(bath_measures.difference(run, reference, 5.0).z(0)) < Z
    distance, p = bath_measures.law(run, reference)
    assert distance.max() < 0.06
    assert p > 1e-6
    assert bath_measures.width(run, 0.5, 20)[0] == pytest.approx(1, abs=0.03)
    assert abs(bath_measures.worst_layer(run).z(1)) < 8  # the farthest of three, t-distributed with 7 degrees
    assert bath_measures.effective(run) == pytest.approx(4000, rel=0.2)

    layers = np.where(np.arange(3) == 1, 0.5, 1.0) * run.layers
    quiet = replace(run, potential=run.potential + 0.5, kinetic=5 + (run.kinetic - 5) / 3, layers=layers)
    assert bath_measures.difference(quiet, reference, 5.0).value == pytest.approx(0.1, abs=0.02)
    assert bath_measures.law(quiet, reference)[1] < 1e-6
    assert bath_measures.width(quiet, 0.5, 20)[0] == pytest.approx(1 / 3, abs=0.02)
    assert bath_measures.worst_layer(quiet).value == pytest.approx(0.5, abs=0.02)


def test_every_bath_and_every_ensemble_has_its_rows(tmp_path, monkeypatch):
    """A short problem with all its baths; the reference, which is its own, is off by nothing."""
    monkeypatch.setattr(studies.baths, "LONGER", 2)
    task = brief("sine", stage_steps=4, sample_steps=100, sample_every=10)
    finished = finish(task, tmp_path)
    run = sample(task, simmering.chain(task.problem.temperature), start=finished.overfit)
    assert run.predictions.shape == (10, *task.truth.shape)
    assert run.potential.shape == run.kinetic.shape == (10, task.seeds)
    assert run.layers.shape == (task.seeds, 6)
    table = baths(finished)
    assert [row[0] for row in table.rows] == [*planned(task.problem), "reference"]
    assert table.numbers["reference"]["off"] == (0.0, 0.0)
    assert len(table.numbers["reference"]["energy"]) == task.seeds
    assert "chain, 10 links" in table.caption
    assert [row[:2] for row in growing(finished).rows] == [
        ["simmering, restrained", way] for way in ("first", "spread")
    ]


def test_uncertainty_reads_the_frames_at_the_target(tmp_path):
    """The networks at the target answer as the run recorded, and those of one weight vector have no spread."""
    task = brief("sine", stage_steps=20, sample_steps=200, sample_every=100)
    finished = finish(task, tmp_path)
    method = members.restrained(finished)
    found = members.weights(finished, method)
    assert found.shape[:2] == (2, task.seeds)
    again = members.outputs(task, found, task.data.test[0])
    np.testing.assert_allclose(again, finished.predictions[method], atol=1e-5)
    study = uncertainty(finished)
    assert [row[0] for row in study.rows] == list(finished.predictions)
    ratio = beyond(finished, method, known=True)["outside"]
    assert study.numbers[method]["outside"] == pytest.approx(ratio.tolist())
    assert study.checks[0].holds == bool((ratio > 1).mean() >= 7 / 8)


def test_uncertainty_of_classes_has_a_row_a_method(tmp_path):
    finished = finish(brief("iris"), tmp_path)
    study = uncertainty(finished)
    assert [row[0] for row in study.rows] == list(finished.predictions)
    assert study.columns[1] == "NLL"
    nll = finished.comparison.scores["Adam"].nll
    np.testing.assert_allclose(study.numbers["Adam"]["nll"], nll)


def _tensor(values):
    return torch.as_tensor(values)
