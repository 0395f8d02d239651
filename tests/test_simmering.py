"""Simmering reaches its published claims on small problems, by the same code as the command."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import mdnet as md
import trajectories
from mdnet.experiments import simmering
from mdnet.experiments.results import Comparison


@pytest.fixture(autouse=True)
def _as_users_run_it(monkeypatch):
    monkeypatch.delenv("MDNET_ROUTE", raising=False)


def reproduce(name, folder, **options):
    runs, comparison, claims = simmering.reproduce(name, folder, progress=False, **options)
    failed = [claim for claim in claims if not claim.holds]
    return runs, comparison, failed


def test_the_noisy_sine_meets_every_claim(tmp_path):
    """S1 to S3: T follows the staircase, the error falls with and without restraint, members are worse alone."""
    runs, comparison, failed = reproduce("sine", tmp_path)
    assert not failed
    assert [run.name for run in runs] == ["sine-restrained", "sine-free"]
    results = json.loads((runs[0] / "results.json").read_text())
    assert len(results["rows"]) == len(comparison.scores) == 5
    with trajectories.open(runs[1]) as run:
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
    assert not reproduce("iris", tmp_path)[2]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seeds"), [("digits", 8), ("auto-mpg", 8), ("auto-mpg-single", 32)])
def test_the_restrained_ensembles_meet_their_claims(tmp_path, name, seeds):
    """S5 and S6; the free chains of AUTO-MPG gain nothing reliable, so they are reported and not claimed here.

    On horsepower alone a Langevin bath gains some 0.06, which 8 seeds do not tell from the 0.03 of its claim.
    """
    failed = reproduce(name, tmp_path, seeds=seeds)[2]
    assert [claim.name for claim in failed if "free: R²" not in claim.name] == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [100, 200, 300])
def test_the_noisy_sine_does_not_depend_on_the_seed(tmp_path, seed):
    """Eight seeds are too few for one claim: that the mean member is worse than Adam, by a tenth or so."""
    failed = reproduce("sine", tmp_path, seed=seed)[2]
    assert [claim.name for claim in failed if "individually" not in claim.name] == []


@pytest.mark.slow
def test_members_are_worse_alone_and_better_together(tmp_path):
    """S3 with seeds enough: the median ratio of the mean member's error to Adam's scatters by 0.05 then."""
    assert not reproduce("sine", tmp_path, seed=400, seeds=32)[2]


def test_unknown_problems_and_existing_runs_are_told_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="there are sine, iris"):
        simmering.reproduce("sin", tmp_path)
    (tmp_path / "sine-free").mkdir()
    (tmp_path / "sine-free" / "trajectory.h5").touch()
    with pytest.raises(md.OutputExistsError, match="overwrite"):
        simmering.reproduce("sine", tmp_path)


def test_seeds_are_independent_repetitions():
    problem = simmering.PROBLEMS["iris"]
    data = simmering.prepare(problem, seeds=3, seed=0)
    again = simmering.prepare(problem, seeds=1, seed=2)
    assert torch.equal(data.train[0][2], again.train[0][0])
    assert torch.equal(data.train[1][2], again.train[1][0])
    assert not torch.equal(data.train[0][0], data.train[0][1])
    assert data.index.shape == (3, 60)


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
