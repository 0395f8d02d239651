"""Law: a cell is told by what is known of it: copies that share no bin, one copy or one bin cost no page."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import trajectories
from mdnet.experiments import results
from mdnet.experiments.commands import app
from mdnet.experiments.landscape import cells, claims, commands, reproduction
from mdnet.experiments.landscape.baselines import Crossings
from mdnet.experiments.landscape.method import Found, Plan
from mdnet.experiments.landscape.reproduction import claimed, reproduce
from mdnet.experiments.landscape.task import Walk
from mdnet.experiments.landscape.tasks import TASKS
from mdnet.experiments.landscape.telling import Cell, levels, studies, table
from mdnet.experiments.results import Table
from trajectories.landscape import Landscape, Row, summary

TASK = TASKS["spiral-regression"]
X, Y = TASK.axes
LEVELS = np.array([-2.0, -1.5, -1.0])
COPIES = 3
FEW = Walk(dt=0.003, friction=3.0, walkers=16, learn=300, count=1_500)
TOO_LITTLE = Row("flatness", np.nan, np.nan, "> 0.8", None, "it has not begun to count")


def known(where, copies=COPIES, y_middle=(0.0,) * COPIES):
    """S = 20 x - 50 (y - middle)^2 in the bins `where` (copies, x bins) of x, within .1 of a middle for each copy."""
    away = np.abs(Y.centres - np.array(y_middle)[:, None])  # (copies, y bins)
    s = 20 * X.centres[:, None] - 50 * away[:, None, :] ** 2
    s = np.where(np.asarray(where)[:, :, None] & (away[:, None, :] < 0.1), s, -np.inf)[:copies]
    return Landscape((X, Y), s, np.where(np.isfinite(s), 200.0, 0.0), "made up")


def between(low, high):
    return (X.centres > low) & (X.centres < high)


APART = known([between(-3, -2), between(-2, -1), between(-1, -0.6)])
ONE_BIN = known([between(-1.02, -1.0)] * COPIES)
FEW_BINS = known([between(-1.2, -1.0)] * COPIES)
ONE_COPY = known([between(-2.1, -0.6)] * COPIES, copies=1)
SPREAD = known([between(-2.1, -0.6)] * COPIES, y_middle=(-1.0, 0.0, 1.0))  # no bin of both in common, but of x
WHOLE = known([between(-2.1, -0.6)] * COPIES)
MADE = {"apart": APART, "one bin": ONE_BIN, "few bins": FEW_BINS, "one copy": ONE_COPY, "spread": SPREAD}


def trained():
    """Six networks that fall from -.5 to -2.1, and their ln L_test at the levels."""
    train = np.linspace(-0.5, -2.1, 20)[:, None].repeat(6, 1)
    metric = np.repeat(-0.2 + 0.01 * np.arange(6)[:, None], 3, 1)
    return Crossings(LEVELS, metric, np.arange(20.0), train, np.full((20, 6), -0.2), np.zeros(6))


def cell(found, folder, ladder=WHOLE, networks=True):
    plan = Plan(TASK, 30, 100, FEW, folder, copies=COPIES)
    return Cell(plan, Found(found, [TOO_LITTLE]), {"Adam": trained()} if networks else {}, ladder and Found(ladder))


@pytest.mark.parametrize(
    ("found", "ladder"),
    [*((found, WHOLE) for found in MADE.values()), (WHOLE, APART), (APART, APART), (ONE_BIN, None)],
    ids=[*MADE, "ladder apart", "both apart", "no ladder"],
)
def test_a_page_is_written_of_whatever_is_known(found, ladder, tmp_path):
    one = cell(found, tmp_path, ladder)
    results.write(tmp_path, "made up", table(one), claimed(one), reproduction.notes(one, "wlmd"), studies(one))
    told = json.loads((tmp_path / "results.json").read_text())
    assert [study["name"] for study in told["studies"]] == ["map", *["methods"] * (ladder is not None), "transitions"]
    assert told["rows"]
    converged = next(check for check in told["checks"] if check["name"] == "Converged: flatness")
    assert converged["verdict"] == "fail"
    assert "not begun" in converged["measured"]
    trajectories.report.write([tmp_path], tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert ("have no bin in common: count longer" in page) == (APART in (found, ladder))


def test_copies_without_a_common_bin_leave_the_trained_networks(tmp_path):
    one = cell(APART, tmp_path)
    assert levels(APART) == []
    assert table(one).columns == ["ln L_train", "Adam"]
    assert table(one).rows == [[f"{x:g}", "-0.1750 ± 0.0076"] for x in LEVELS]
    assert all(study.columns == ["not known"] for study in studies(one))
    agreed = claims.agreement(APART, WHOLE, low=-2, high=-0.6)
    assert not agreed.holds
    assert "too little to tell" in agreed.measured
    assert table(cell(APART, tmp_path, networks=False)).rows == []


def test_few_bins_are_told_one_by_one_and_without_a_slope(tmp_path):
    assert len(table(cell(FEW_BINS, tmp_path)).rows) == FEW_BINS.marginal().common.sum() == 10
    told = summary(FEW_BINS)
    assert np.isnan(told["S'"]).all()
    assert np.isfinite(told["S"]).all()
    assert np.isnan(summary(APART)["S"]).all()


def test_tables_that_share_places_in_x_alone_are_aligned_there():
    """Law: where copies share no bin of both variables, their S(x) agree."""
    mean = SPREAD.mean()
    assert np.isfinite(mean).any()
    each = SPREAD.aligned().max(axis=2)
    middle = [np.isfinite(s) for s in each]
    assert np.allclose(*(s[m] - s[m][0] for s, m in zip(each[:2], middle[:2], strict=True)))
    assert np.allclose(each[0][middle[0]], each[1][middle[1]], atol=0.1)


def test_cells_without_a_common_level_are_compared_in_words(tmp_path):
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        results.write(folder, "made up", Table([], []), [], [])
    pair = [cell(found, folder) for found, folder in zip((APART, WHOLE), folders, strict=True)]
    pair[1] = replace(pair[1], plan=replace(pair[1].plan, width=100))
    told = json.loads((cells.compared(pair, folders, tmp_path / "both") / "results.json").read_text())
    assert told["studies"][0]["caption"].startswith("There is no level of ln L_train")
    assert told["rows"] == [["30", "100", "not known", "not known"], ["100", "100", "not known", "not known"]]


@pytest.mark.parametrize(
    ("gain", "error", "said"),
    [(0.1, 0.02, "yes"), (-0.1, 0.02, "the reverse"), (0.03, 0.02, "undecided"), (0.03, np.nan, "not known")],
)
def test_an_advantage_is_one_beyond_two_standard_errors(gain, error, said):
    assert cells.sign(gain, error) == said


def test_a_ladder_that_fails_costs_no_page(tmp_path, monkeypatch):
    """Law: and batches are no larger than the rows."""

    def fails(plan):
        raise ValueError("48 of 64 walkers did not arrive")

    monkeypatch.setitem(reproduction.METHODS, "wlmd", lambda plan: Found(WHOLE, [TOO_LITTLE]))
    monkeypatch.setitem(reproduction.METHODS, "ladder", fails)
    short = replace(TASK, baseline=TASK.baseline._replace(epochs=1))
    reproduce(Plan(short, 4, 8, FEW, tmp_path, progress=False), "wlmd", seeds=2)
    told = json.loads((tmp_path / "results.json").read_text())
    assert "no ladder: 48 of 64 walkers did not arrive" in [check["measured"] for check in told["checks"]]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--width", "0"], "greater than or equal to 1"),
        (["--walkers", "3"], "3 walkers for 4 tables"),
        (["--method", "rewl", "--walkers", "12"], "take --walkers 16 or more"),
        (["--device", "gpu"], "unknown device 'gpu'"),
        (["--method", "exact"], "take --task spiral-classification"),
    ],
)
def test_what_cannot_be_run_is_refused_before_the_first_step(arguments, told, tmp_path):
    said = CliRunner().invoke(
        app, ["entropy-landscape", "--task", "spiral-regression", *arguments, "--out", str(tmp_path)]
    )
    assert said.exit_code in (1, 2)
    assert told in " ".join(said.output.replace("│", " ").split())
    assert not any(tmp_path.iterdir())


def test_stopping_tells_where_what_was_sampled_is(tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "reproduce", stopped)
    said = CliRunner().invoke(
        app, ["entropy-landscape", "--task", "spiral-regression", "--full", "--out", str(tmp_path)]
    )
    assert said.exit_code == 130
    assert "hours on one core" in said.output
    assert f"mdnet landscape {tmp_path}" in " ".join(said.output.split())


def test_growing_points_are_those_that_a_task_can_have():
    """Law: half of the points test, and each class of the spirals has a quarter in either part."""
    for name in commands.NAMES:
        task = TASKS.get(name + commands.SHORTENED, TASKS[name])
        points, multiple = commands.growing(task), 4 if name == "spiral-classification" else 2
        assert points[0] < points[1] == task.cells[0][1] < points[2]
        assert not any(n % multiple for n in points)
