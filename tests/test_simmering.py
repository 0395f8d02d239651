"""Simmering reaches its published claims on small problems, by the same code as the command."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import mdnet as md
import trajectories
from mdnet.data import Stack
from mdnet.experiments import reproduction, simmering
from mdnet.experiments.commands import app
from mdnet.experiments.jobs import Request, each
from mdnet.experiments.problems import PROBLEMS, prepare, published
from mdnet.experiments.results import Comparison
from mdnet.experiments.selection import choose


@pytest.fixture(autouse=True)
def _as_users_run_it(monkeypatch):
    monkeypatch.delenv("MDNET_ROUTE", raising=False)


def reproduce(name, folder, **options):
    done = reproduction.reproduce(name, folder, brief=True, progress=False, **options)
    return done, [check for check in done.checks if not check.holds]


def test_the_noisy_sine_meets_every_claim(tmp_path):
    """S1 to S3: T follows the staircase, the error falls with and without restraint, members are worse alone."""
    done, failed = reproduce("sine", tmp_path)
    assert not failed
    assert [run.relative_to(tmp_path) for run in done.runs] == [Path("sine/restrained"), Path("sine/free")]
    results = json.loads((done.folder / "results.json").read_text())
    assert len(results["rows"]) == len(done.comparison.scores) == 5
    assert results["runs"] == ["restrained", "free"]
    assert (done.folder / "report.html").is_file()
    with trajectories.open(done.runs[1]) as run:
        values = np.asarray(run.observables["set_temperature"].values)[:, 0]
        steps = np.asarray(run.observables["set_temperature"].steps)
        last = run.observables["test/prediction"].values[-1]
    # the exact staircase is stored: the value after k steps is the one that held during the k-th
    np.testing.assert_array_equal(
        values[1:], [0.003 / 5 + (0.003 - 0.003 / 5) * min((k - 1) // 500, 4) / 4 for k in steps[1:]]
    )
    assert last.shape == (8, 201, 1)


@pytest.mark.slow
def test_iris_meets_every_claim(tmp_path):
    assert not reproduce("iris", tmp_path)[1]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seeds"), [("digits", 8), ("auto-mpg", 8), ("auto-mpg-single", 32)])
def test_the_restrained_ensembles_meet_their_claims(tmp_path, name, seeds):
    """S5 and S6; the free chains of AUTO-MPG gain nothing reliable, so they are reported and not claimed here.

    On horsepower alone a Langevin bath gains some 0.06, which 8 seeds do not tell from the 0.03 of its claim.
    """
    failed = reproduce(name, tmp_path, seeds=seeds)[1]
    assert [claim.name for claim in failed if "free: R²" not in claim.name] == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [100, 200, 300])
def test_the_noisy_sine_does_not_depend_on_the_seed(tmp_path, seed):
    """Eight seeds are too few for one claim: that the mean member is worse than Adam, by a tenth or so."""
    failed = reproduce("sine", tmp_path, seed=seed)[1]
    assert [claim.name for claim in failed if "individually" not in claim.name] == []


@pytest.mark.slow
def test_members_are_worse_alone_and_better_together(tmp_path):
    """S3 with seeds enough: the median ratio of the mean member's error to Adam's scatters by 0.05 then."""
    assert not reproduce("sine", tmp_path, seed=400, seeds=32)[1]


def small(name, folder, **options):
    """A task of few steps, and a place for its runs."""
    task = prepare(name, seeds=2, seed=0)
    few = dataclasses.replace(task.problem, adam_steps=60, stages=2, stage_steps=20, sample_steps=40, **options)
    return dataclasses.replace(task, problem=few), folder / "run"


def test_ab_initio_spends_on_dynamics_what_adam_would_have_cost(tmp_path):
    """S7: the target holds from the first step, and samples count after as many steps as a retrofit's start costs."""
    task, folder = small("sine", tmp_path)
    run = simmering.Ensemble("hot", simmering.chain(0.01), 0.01)
    said = simmering.simmer(task, run, folder, start=simmering.starts(task), mode="ab-initio", copies=2, progress=False)
    assert said.shape == (2, 2, 2, 201, 1)
    with trajectories.open(folder) as file:
        assert set(np.asarray(file.observables["set_temperature"].values).ravel()) == {0.01}
        assert file.observables["test/prediction"].steps[-1] == task.problem.budget == 140
        np.testing.assert_array_equal(said[-1, 1, 0], file.observables["test/prediction"].values[-1][1])


@pytest.mark.parametrize("heating", simmering.HEATINGS)
def test_every_heating_ends_at_the_target_of_each_replica(tmp_path, heating):
    """Law: T rises, reaches the target by the last stage, and holds it while sampling; it may differ by replica."""
    task, folder = small("sine", tmp_path)
    target = torch.tensor([[0.01], [0.02]], dtype=torch.float64)
    run = simmering.Ensemble("ladder", simmering.chain(target), target)
    simmering.simmer(task, run, folder, start=simmering.starts(task), heating=heating, progress=False)
    with trajectories.open(folder) as file:
        steps = np.asarray(file.observables["set_temperature"].steps)
        values = np.asarray(file.observables["set_temperature"].values)
    assert (np.diff(values[1:], axis=0) >= 0).all()
    np.testing.assert_allclose(values[steps > 40], np.tile([0.01, 0.02], ((steps > 40).sum(), 1)))


def test_the_published_schedule_rises_to_a_twentieth_by_hundredths():
    """T = 0.01, 0.02, ... 0.05, a thousand steps each, dt = 0.002."""
    preset = published(PROBLEMS["sine"])
    rise = simmering.HEATINGS["staircase"](preset.temperature, preset.stages, preset.stage_steps)
    np.testing.assert_allclose(
        [rise(step) for step in (0, 999, 1000, 3500, 4000, 9000)], [0.01, 0.01, 0.02, 0.04, 0.05, 0.05]
    )
    assert preset.dt == 0.002
    assert preset.heating == 5000


def test_settings_are_chosen_without_a_look_at_the_test_rows():
    """Law: the choice is the value of least loss on held-out training rows, by seed, whatever the test targets are."""
    task = prepare("sine", seeds=3, seed=0)
    blind = dataclasses.replace(task, data=Stack(task.data.train, (task.data.test[0], task.data.test[1] * np.nan)))

    def shifted(task, values):
        """Predicts the truth plus a value: the least value is best."""
        x = task.data.test[0].numpy()
        return np.stack([(np.sin(2 * np.pi * x) + value)[None] for value in values])

    for which in (task, blind):
        choice = choose(which, shifted, [2.0, 0.0, 1.0, np.nan])
        assert choice.places.tolist() == [1, 1, 1]
        assert choice.chosen.tolist() == [0, 0, 0]
    assert "0 (3)" in choice.note
    with pytest.raises(ValueError, match="one or more"):
        choose(task, shifted, [])


def test_held_out_rows_are_training_rows_and_are_not_trained_on():
    task = prepare("iris", seeds=3, seed=0)
    part = task.held_out
    for s in range(3):
        rows = {tuple(x) for x in task.data.train[0][s].tolist()}
        assert {tuple(x) for x in torch.cat([part.data.train[0][s], part.data.test[0][s]]).tolist()} == rows
    assert part.data.train[0].shape == (3, 45, 4)
    assert part.data.test[0].shape == (3, 15, 4)


def test_unknown_problems_and_existing_runs_are_told_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'sine'"):
        reproduction.reproduce("sin", tmp_path)
    with pytest.raises(ValueError, match="unknown heating 'stairs'; did you mean 'staircase'"):
        reproduction.reproduce("sine", tmp_path, heating="stairs")
    request = Request(tmp_path, None, 0, "retrofit", "staircase", True, False)
    with pytest.raises(ValueError, match="did you mean 'mnist'"):
        next(each(["sine", "mnsit"], request, jobs=1, threads=1))
    (tmp_path / "sine" / "free").mkdir(parents=True)
    (tmp_path / "sine" / "free" / "trajectory.h5").touch()
    with pytest.raises(md.OutputExistsError, match="overwrite"):
        reproduction.reproduce("sine", tmp_path)


def test_seeds_are_independent_repetitions():
    data, again = prepare("iris", seeds=3, seed=0).data, prepare("iris", seeds=1, seed=2).data
    assert torch.equal(data.train[0][2], again.train[0][0])
    assert torch.equal(data.train[1][2], again.train[1][0])
    assert not torch.equal(data.train[0][0], data.train[0][1])
    assert data.index.shape == (3, 60)


@pytest.mark.slow
def test_the_command_runs_problems_at_once_and_its_exit_status_is_the_verdict(tmp_path):
    """With two jobs the results are those of one; a check that fails (two seeds are few) makes --check exit with 1."""
    words = ["simmering", "--brief", "--seeds", "2", "--problem", "iris", "--problem", "sine", "--check"]
    done = CliRunner().invoke(app, [*words, "--jobs", "2", "--out", str(tmp_path)])
    found = {name: json.loads((tmp_path / name / "results.json").read_text()) for name in ("iris", "sine")}
    failed = any(check["verdict"] == "fail" for one in found.values() for check in one["checks"])
    assert done.exit_code == int(failed), done.output
    assert done.output.count("report:") == 2
    again = reproduction.reproduce("iris", tmp_path / "one", seeds=2, brief=True, progress=False)
    assert again.comparison.rows == found["iris"]["rows"]


def test_a_comparison_scores_ensembles_seed_by_seed():
    targets = np.array([[0, 1, 1], [1, 1, 0]])
    logits = np.zeros((3, 2, 3, 2))
    logits[..., 1] = [[[-1, 1, 1], [1, 1, 1]], [[-1, 1, -1], [1, 1, -1]], [[1, 1, 1], [1, -1, -1]]]
    comparison = Comparison(targets, "accuracy")
    comparison.add("one", logits[:1])
    comparison.add("three", logits)
    assert comparison.scores["one"].members is None
    np.testing.assert_allclose(comparison.scores["one"].ensemble, [1, 2 / 3])
    np.testing.assert_allclose(comparison.scores["three"].ensemble, [1, 1])
    np.testing.assert_allclose(comparison.scores["three"].members, [7 / 9, 7 / 9])
    assert comparison.better("three", "one").tolist() == [False, True]
    assert comparison.rows[1][-1] == "1/2"


def test_a_comparison_of_errors_prefers_the_smaller():
    targets = np.zeros((2, 4, 1))
    comparison = Comparison(targets, "mse")
    comparison.add("one", np.full((1, 2, 4, 1), 2.0))
    comparison.add("two", np.stack([np.full((2, 4, 1), 3.0), np.full((2, 4, 1), -2.0)]))
    assert comparison.ratio("two", "one") == pytest.approx(0.25 / 4)
    assert comparison.better("two", "one").all()
    assert comparison.scores["two"].members == pytest.approx([6.5, 6.5])
