"""The reproduction of a cell of the entropy landscape by every method in a few steps: tables, claims, errors."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import trajectories
from mdnet.experiments.commands import app
from mdnet.experiments.landscape import cells, claims, laws, network_laws
from mdnet.experiments.landscape.baselines import Crossings
from mdnet.experiments.landscape.method import METHODS, Plan
from mdnet.experiments.landscape.reproduction import reproduce
from mdnet.experiments.landscape.task import Walk
from mdnet.experiments.landscape.tasks import TASKS
from mdnet.experiments.landscape.telling import levels
from mdnet.experiments.results import Check
from mdnet.recording import OutputExistsError
from trajectories.landscape import Axis, Landscape
from trajectories.landscape.ladder import from_run

FEW = Walk(dt=0.003, friction=3.0, walkers=16, learn=300, count=1_500)


def plan(folder, task="spiral-regression", cell=(30, 100), **changes):
    short = replace(TASKS[task], low=-1.0, high=-0.5)
    short = replace(short, baseline=short.baseline._replace(epochs=60))
    return Plan(short, *cell, FEW, folder, copies=2, progress=False, **changes)


def results(folder):
    return json.loads((folder / "results.json").read_text())


@pytest.mark.parametrize("method", ["wlmd", "rewl", "ladder"])
def test_every_method_over_the_loss_ends_in_one_page(method, tmp_path, monkeypatch):
    monkeypatch.delenv("MDNET_ROUTE", raising=False)
    monkeypatch.setattr("mdnet.experiments.landscape.method.PILOT", 100)
    monkeypatch.setattr("mdnet.experiments.landscape.method.WINDOWS", 2)
    cell = reproduce(plan(tmp_path), method, seeds=3, control=False)
    found = results(tmp_path)
    assert found["title"].endswith(f"N = 100, {method}")
    assert {"Adam", "advantage over Adam in the box", "advantage over SGD"} <= set(found["columns"])
    assert [study["name"] for study in found["studies"]] == ["map", "transitions"]
    assert cell.found.landscape.axes == plan(tmp_path).task.axes
    page = (tmp_path / "report.html").read_text()
    assert "Entropy over ln L_train and ln L_test" in page
    with pytest.raises(OutputExistsError):
        reproduce(plan(tmp_path), method, seeds=3, control=False)


def test_a_stopped_walk_goes_on_bit_for_bit(tmp_path, monkeypatch):
    """Law: a walk stopped anywhere and resumed finds the landscape of one that was not."""
    monkeypatch.delenv("MDNET_ROUTE", raising=False)
    whole = METHODS["wlmd"](plan(tmp_path / "whole"))

    def stopped(simulation, steps, **options):
        simulation.run(steps // 3, progress=False)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("mdnet.experiments.landscape.method.finish", stopped)
        with pytest.raises(KeyboardInterrupt):
            METHODS["wlmd"](plan(tmp_path / "stopped"))
    resumed = METHODS["wlmd"](plan(tmp_path / "stopped", resume=True))
    np.testing.assert_array_equal(resumed.landscape.entropy, whole.landscape.entropy)
    again = METHODS["wlmd"](plan(tmp_path / "stopped", resume=True))  # nothing is left to do
    np.testing.assert_array_equal(again.landscape.entropy, whole.landscape.entropy)


def test_monte_carlo_of_a_classification_counts_accuracies(tmp_path):
    cell = reproduce(plan(tmp_path, "spiral-classification", (2, 80)), "wlmc", seeds=3)
    train, test = cell.found.landscape.axes
    assert (train.name, train.bins, test.name, test.bins) == ("train accuracy", 41, "test accuracy", 41)
    assert cell.trained == {}
    assert results(tmp_path)["columns"][0] == "train accuracy"


def test_enumeration_counts_all_states_of_a_network_of_signs(tmp_path):
    cell = reproduce(plan(tmp_path, "spiral-classification", (2, 80)), "exact")
    assert cell.found.landscape.method == "exact"
    with pytest.raises(ValueError, match=r"'spiral-regression' has no network whose states can be counted"):
        reproduce(plan(tmp_path / "other"), "exact")


def test_a_ladder_beside_the_table_is_compared_with_it(tmp_path, monkeypatch):
    monkeypatch.delenv("MDNET_ROUTE", raising=False)
    monkeypatch.setattr("mdnet.experiments.landscape.method.PILOT", 100)
    cell = reproduce(plan(tmp_path), "wlmd", seeds=3)
    found = results(tmp_path)
    assert [study["name"] for study in found["studies"]] == ["map", "methods", "transitions"]
    assert any("by ladder with MBAR" in check["name"] for check in found["checks"])
    assert cell.ladder is not None
    assert found["runs"] == ["wlmd", "ladder"]


def test_cells_are_compared_at_a_level_that_all_know(tmp_path, monkeypatch):
    monkeypatch.delenv("MDNET_ROUTE", raising=False)
    folders = [tmp_path / "8", tmp_path / "30"]
    found = [
        reproduce(plan(folder, cell=(int(folder.name), 100)), "wlmd", seeds=3, control=False) for folder in folders
    ]
    at, gains = cells.advantages(found)
    assert at in levels(found[0].found.landscape)
    assert set(gains) == {(8, 100), (30, 100)}
    out = cells.compared(found, folders, tmp_path / "both")
    assert len(results(out)["rows"]) == 2


def test_a_cell_is_walked_in_fewer_steps_where_a_gradient_costs_more():
    task = TASKS["spiral-regression"]
    assert task.shortened(30, 100) == task.short
    wide = task.shortened(100, 200)
    assert 0.03 < wide.learn / task.short.learn < 0.06
    assert task.shortened(1000, 500).learn == 400


X, Y = Axis.of_width("ln L_train", -3.2, -0.6, 0.02), Axis.of_width("ln L_test", -1, 1, 0.02)


def made_up(slope=66.0, shift=0.0, copies=3):
    """S = slope x and the published ridge, moved by `shift`."""
    x, y = X.centres[:, None], Y.centres
    ridge = np.interp(x, [-2.0, -1.5, -1.0], [-0.42, -0.35, -0.18]) + shift
    s = slope * x - (y - ridge) ** 2 / 0.02
    return Landscape((X, Y), np.stack([s] * copies), np.full((copies, *s.shape), 1e3), "made up")


def trained(value):
    """Six networks that pass ln L_train = -2 and come back to it, their metrics around `value`."""
    train = np.repeat(np.array([-1.0, -2.02, -2.5, -1.98])[:, None], 6, 1)
    test = value + 0.01 * np.arange(-2.5, 3) + np.array([9.0, -0.1, 9.0, 0.1])[:, None]
    return Crossings(np.array([-2.0]), np.full((6, 1), value), np.arange(4.0), train, test, np.zeros(6))


def test_all_times_at_a_loss_count_and_networks_count_once():
    mean, error = trained(-0.2).around(-2.0)
    assert mean == pytest.approx(-0.2)
    assert error == pytest.approx(0.01 * np.std(np.arange(6), ddof=1) / np.sqrt(6))
    assert np.isnan(trained(-0.2).around(-4.0)).all()


def test_the_published_numbers_hold_of_a_landscape_that_has_them():
    assert all(check.holds for check in claims.published(made_up(), trained(-0.225)))


@pytest.mark.parametrize(
    ("found", "adam", "fails"),
    [
        (made_up(shift=0.1), -0.2, "Ridge: ln L_test at ln L_train = -1"),
        (made_up(slope=90.0), -0.2, "S(-1) - S(-3)"),
        (made_up(), -0.05, "Adam: ln L_test at ln L_train = -2"),
        (made_up(), -0.4, "Advantage at ln L_train = -2"),
    ],
)
def test_the_published_numbers_fail_of_one_that_has_not(found, adam, fails):
    assert fails in [check.name for check in claims.published(found, trained(adam)) if not check.holds]


def test_two_methods_agree_within_one_k_b_and_not_beyond():
    other = made_up(slope=66.5)
    assert claims.agreement(made_up(), made_up(), low=-2, high=-0.6).holds
    assert not claims.agreement(made_up(), made_up(slope=70.0), low=-2, high=-0.6).holds
    assert claims.agreement(made_up(), other, low=-2, high=-0.6).holds


def test_a_law_does_not_begin_where_a_run_of_another_is(tmp_path, monkeypatch):
    """What may not be replaced, or is unknown, is told before anything runs."""
    begun = []
    for law in ("W3", "W5", "W6"):
        monkeypatch.setitem(laws.LAWS, law, lambda out, force: begun.append(force))
    for folder, law in (("w5-ladder", "W5"), ("w6-wlmd", "W6")):
        (tmp_path / law / folder).mkdir(parents=True)
        (tmp_path / law / folder / "trajectory.h5").touch()
        with pytest.raises(OutputExistsError, match=folder):
            laws.run(tmp_path / law, ["W3", law])
    with pytest.raises(ValueError, match="unknown law 'W9'"):
        laws.run(tmp_path, ["W3", "W9"])
    assert not begun


def test_a_law_that_fails_leaves_the_threads_as_they_were(tmp_path, monkeypatch):
    """The number of threads is that of before, whatever happens."""
    seen = []

    def fail(out, force):
        seen.append(torch.get_num_threads())
        raise RuntimeError("no")

    monkeypatch.setitem(laws.LAWS, "W3", fail)
    torch.set_num_threads(2)
    try:
        with pytest.raises(RuntimeError, match="no"):
            laws.run(tmp_path, ["W3"])
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(1)


def test_the_rungs_are_compared_by_the_samples_of_the_ladder(tmp_path, monkeypatch):
    """A ladder's samples are those that its file holds after equilibration, and its rungs are compared by them."""
    monkeypatch.delenv("MDNET_ROUTE", raising=False)
    monkeypatch.setattr("mdnet.experiments.landscape.method.PILOT", 100)
    found = METHODS["ladder"](plan(tmp_path))
    with trajectories.open(tmp_path) as run:
        replicas = run.observables["ladder/rung"].shape[1]
        read = from_run(run, start=FEW.learn * FEW.walkers // replicas)
    np.testing.assert_array_equal(found.samples.x, read.x)
    np.testing.assert_array_equal(found.samples.values("ln L_test"), read.values("ln L_test"))
    assert found.samples.x.shape[1] > 2
    assert "standard errors" in network_laws.conditionals(found.samples).expectation


def test_laws_end_in_one_table(tmp_path, monkeypatch):
    made = [Check("one", "1", "1", True), Check("two", "2", "3", False)]
    monkeypatch.setitem(laws.LAWS, "W3", lambda out, force: laws.listed("w3", "Made up", made))
    found = results(laws.run(tmp_path, ["W3"]))
    assert found["rows"][0][:3] == ["W3", "Made up", "1 of 2"]
    assert found["studies"][0]["rows"] == [["one", "1", "1"], ["two", "2", "3"]]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "give --task, of spiral-regression"),
        (["--task", "spirals"], "unknown task 'spirals'"),
        (["--task", "spiral-regression", "--method", "wl"], "unknown method 'wl'"),
        (["--task", "spiral-regression", "--points", "3"], "points = 3 must be a multiple of 2"),
    ],
)
def test_bad_input_is_told_in_one_line(arguments, told, tmp_path):
    said = CliRunner().invoke(app, ["entropy-landscape", *arguments, "--out", str(tmp_path)])
    assert said.exit_code == 1
    assert told in " ".join(said.output.split())
    assert not any(tmp_path.rglob("*.h5"))


def test_there_is_a_method_for_every_name():
    assert list(METHODS) == ["wlmd", "wlmc", "ladder", "rewl", "exact"]
