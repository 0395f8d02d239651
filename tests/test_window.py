"""The scan of temperatures chooses T without test rows, and its studies have the form of a page."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import trajectories
from mdnet.experiments import simmering
from mdnet.experiments.problems import PROBLEMS, prepare
from mdnet.experiments.results import Comparison, write
from mdnet.experiments.studies import dynamic, tempered, window
from mdnet.experiments.studies.finished import Finished

SEEDS = 2


def brief(name, **steps):
    """A problem with a tiny budget and a small network."""
    budget = {"hidden": (6,), "adam_steps": 30, "stages": 2, "stage_steps": 30, "sample_steps": 120} | steps
    return prepare(name, seeds=SEEDS, seed=5, problem=replace(PROBLEMS[name], **budget))


def finished(task, folder):
    overfit = simmering.overfit(task, progress=False)
    said = task.predict(task.particles(), overfit)
    comparison = Comparison(task.truth, task.problem.metric)
    comparison.add("Adam", said)
    predictions = {"Adam": said, "simmering, restrained": said}
    return Finished(task, folder, overfit, overfit, {}, predictions, comparison)


@pytest.fixture(autouse=True)
def _few_temperatures(monkeypatch):
    monkeypatch.setattr(window, "TEMPERATURES", (0.001, 0.03))
    monkeypatch.setattr(dynamic, "TEMPERATURES", (0.001, 0.03))
    monkeypatch.setattr(tempered, "TEMPERATURES", (0.001, 0.03))
    monkeypatch.setattr(window, "FINE", (0.001, 0.01, 0.05))
    monkeypatch.setattr(dynamic, "FIRST", (0.03, 0.001))
    monkeypatch.setattr(dynamic, "RUNGS", 3)
    yield
    window.scan.cache_clear()


def test_the_choice_sees_no_test_rows():
    """With other test rows the losses and the choice are the same bit for bit, and the predictions are not."""
    task = brief("iris")
    inputs, targets = task.data.test
    assert torch.equal(task.data.inputs[task.data.index], task.data.train[0])
    changed = replace(task.data, test=(inputs + 1, (targets + 1) % 3))
    overfit = simmering.overfit(task, progress=False)
    one, other = (window.scan(each, overfit) for each in (task, replace(task, data=changed)))
    np.testing.assert_array_equal(one.choice.losses, other.choice.losses)
    np.testing.assert_array_equal(one.choice.chosen, other.choice.chosen)
    assert not np.array_equal(one.predictions, other.predictions)


def test_a_scan_is_one_run_whose_temperatures_do_not_mix():
    """The predictions at each T come from the replicas of that T and seed: those of another T alone are the same."""
    task = brief("sine")
    overfit = simmering.overfit(task, progress=False)
    both = window.heated(task, (0.0001, 3.0), overfit=overfit)
    spread = both.std(1).mean((1, 2, 3))
    assert both.shape == (2, 2, SEEDS, 201, 1)
    assert spread[1] > 5 * spread[0]


def test_the_window_has_a_row_for_every_temperature_and_the_choice(tmp_path):
    task = brief("iris")
    done = finished(task, tmp_path)
    study = window.window(done)
    assert [row[0] for row in study.rows] == ["0.001", "0.03", "chosen on held-out rows"]
    assert all(len(row) == len(study.columns) for row in study.rows)
    assert sum(int(row[-1]) for row in study.rows[:-1]) == SEEDS
    said, note = window.predict(task, done.overfit)
    assert window.scan.cache_info().misses == 1  # the row of the main table costs nothing more
    assert said.shape == (2, SEEDS, 90, 3)
    assert f"{2 * 30 + 3 * (60 + 120)} gradients" in note
    assert write(tmp_path, "window", done.comparison, [], [], [study]).exists()
    assert (tmp_path / "window-1.svg").exists()


def test_a_sine_of_few_rows_has_its_claims(tmp_path):
    done = finished(brief("sine"), tmp_path)
    study = window.few_rows(done)
    assert window.narrow(done.task).data.index.shape == (SEEDS, window.ROWS)
    assert [row[0] for row in study.rows] == ["Adam", "0.001", "0.01", "0.05"]
    ratios = [float(row[2]) for row in study.rows[1:]]
    errors = np.array(study.numbers["errors"]).mean(1) / np.mean(study.numbers["adam"])
    np.testing.assert_allclose(ratios, errors, atol=0.0051)
    inside, best, hot = study.checks
    assert inside.holds == (ratios.index(min(ratios)) == 1)
    assert best.holds == (errors.min() < 0.6)
    assert hot.holds == (errors[-1] > 1)


@pytest.mark.slow
def test_dynamic_temperatures_stand_beside_each_other(tmp_path):
    task = brief("iris", sample_steps=600)
    study = dynamic.dynamic(finished(task, tmp_path))
    assert len(study.rows) == 7
    assert all(len(row) == len(study.columns) for row in study.rows)
    found = np.array(study.numbers["temperatures"][dynamic.STEERED])
    assert found.shape == (SEEDS,)
    assert ((found >= 0.001) & (found <= 0.03 * (1 + 1e-9))).all()
    assert 0 < study.numbers["acceptance"] <= 1
    assert (tmp_path / "dynamic" / "steered-from-0.03" / "trajectory.h5").exists()


def test_samples_of_a_ladder_are_sorted_by_rung(tmp_path):
    """What a rung says is what the replica said that was on it at that step."""
    task = brief("sine", sample_steps=600)
    overfit = simmering.overfit(task, progress=False)
    ladder = torch.tensor([0.001, 0.0012, 0.0014], dtype=torch.float64)  # so near that replicas change places
    said, acceptance = tempered.climb(finished(task, tmp_path), task, overfit, ladder, "climb")
    assert said.shape == (3, 10, SEEDS, 201, 1)
    assert acceptance > 0.1
    with trajectories.open(tmp_path / "dynamic" / "climb") as run:
        rungs, spoken = (run.observables[name] for name in ("tempering/rung", "test/prediction"))
        at, steps = np.asarray(rungs.values), np.asarray(rungs.steps)
        assert (at[-1] != at[0]).any()
        late = np.asarray(spoken.steps) > task.problem.heating
        for i, (step, outputs) in enumerate(zip(spoken.steps[late], spoken.values[late], strict=True)):
            for replica, rung in enumerate(at[steps == step][0]):
                np.testing.assert_array_equal(said[rung, i, replica // 3], outputs[replica])
