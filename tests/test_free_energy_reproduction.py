"""Free energies of stationary SGD: the sweep is what it says, its laws hold on short runs, and the command tells."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

import trajectories
from mdnet.checkpoint import ResumeError
from mdnet.experiments.free_energy import checks, digits, reproduction, toy
from mdnet.experiments.free_energy.analysis import read
from mdnet.experiments.free_energy.commands import free_energy
from mdnet.experiments.free_energy.reproduction import chosen
from mdnet.experiments.free_energy.sweep import sweep
from mdnet.experiments.stages import Setting
from mdnet.recording import OutputExistsError
from trajectories.entropy import knn_graph

UP, OP, MLP = toy.MODELS["toy", "up"], toy.MODELS["toy", "op"], digits.MODELS["mlp", "up"]
BRIEF = {"samples": 60, "stride": 1, "k": 10, "settled": 0, "last": 10}


@pytest.fixture(autouse=True)
def _compiled(monkeypatch):
    monkeypatch.delenv("MDNET_ROUTE", raising=False)


def app():
    command = typer.Typer()
    command.command()(free_energy)
    return command


def test_a_sweep_is_the_published_iteration(tmp_path):
    """Law: w <- w - eta g_B(w), w <- w/|w| with one row drawn for each replica, and the same start at every rate."""
    small = replace(UP, rates=[0.05, 0.1, 0.2], seeds=2, steps=60, **BRIEF | {"samples": 50}, points=400)
    sweep(small, tmp_path, progress=False)
    with trajectories.open(tmp_path) as run:
        q, steps = run.positions[:].astype(float), run.steps
        assert run.parameters["sweep"]["rate"].tolist() == [0.05, 0.05, 0.1, 0.1, 0.2, 0.2]
        assert run.parameters["sweep"]["seed"].tolist() == [0, 1, 0, 1, 0, 1]
    assert np.allclose(q[0], np.array(toy.START) / np.linalg.norm(toy.START))
    rows = np.array(toy.UP) / np.linalg.norm(toy.UP, axis=1, keepdims=True)
    drawn = []
    for k in np.flatnonzero(np.diff(steps) == 1):
        for r, eta in enumerate(np.repeat(small.rates, 2)):
            along = rows @ q[k, r]
            moved = q[k, r] - eta * 2 * along[:, None] * (rows - along[:, None] * q[k, r])
            moved /= np.linalg.norm(moved, axis=1, keepdims=True)
            apart = np.abs(moved - q[k + 1, r]).max(axis=1)
            assert apart.min() < 1e-12
            drawn.append((k, r, int(apart.argmin())))
    choices = {step: tuple(row for k, _, row in drawn if k == step) for step, _, _ in drawn}
    assert {row for _, _, row in drawn} == {0, 1, 2}
    assert any(len(set(each)) > 1 for each in choices.values()), "all replicas drew the same row"


def test_what_is_read_is_what_the_positions_say(tmp_path):
    """Law: U is that of all rows, S the graph's of the last iterates, |grad U| the tangent gradient's."""
    small = replace(UP, rates=[0.05, 0.1, 0.2], seeds=2, steps=400, **BRIEF | {"settled": 60})
    sweep(small, tmp_path, progress=False)
    found = read(small, tmp_path)
    inputs = small.data()[0][0].numpy()
    overlap = found.paths @ inputs.T
    np.testing.assert_allclose(found.energy, (overlap**2).mean(-1), rtol=1e-10)
    slope = 2 * (overlap[..., None] * (inputs - overlap[..., None] * found.paths[..., None, :])).mean(-2)
    np.testing.assert_allclose(found.gradient, (slope**2).sum(-1), rtol=1e-8, atol=1e-18)
    last = found.frames > small.steps - small.samples
    assert last.sum() == small.samples
    known = [[knn_graph(found.paths[last, i, s], 10, 2).value for s in range(2)] for i in range(3)]
    np.testing.assert_allclose(found.entropy[-1], known, atol=1e-9)


def test_the_toy_is_stationary_above_its_least_energy(tmp_path, seed):
    """Law: UP (U - U_min)/eta and SNR^2/eta are those of its minimum; OP goes to zero, its SNR to tan 30 degrees."""
    short = {"steps": 12_000, "seeds": 24}
    up = replace(UP, rates=[0.03, 0.055, 0.1], samples=200, stride=50, settled=200, last=200, **short)
    sweep(up, tmp_path / "up", seed=seed, progress=False)
    sweep(replace(up, start=None), tmp_path / "other", seed=seed + 7, progress=False)
    found, other = read(up, tmp_path / "up"), read(up, tmp_path / "other")
    held = {check.name: check for check in checks.toy_up(found, other)}
    failed = [check for name, check in held.items() if not check.holds]
    assert not failed
    ratio = found.snr.value / toy.exact(up.rates).signal_to_noise
    assert np.abs(ratio - 1).max() < 0.1
    op = replace(OP, rates=[0.01, 0.05, 0.2], steps=8000, seeds=4, frames=False, entropies=1, samples=21, last=10)
    sweep(op, tmp_path / "op", seed=seed, progress=False)
    assert not [check for check in checks.toy_op(read(op, tmp_path / "op")) if not check.holds]
    assert not all(check.holds for check in checks.toy_op(found)), "UP passes for OP"


def test_the_toys_temperature_is_that_of_its_noise(tmp_path, seed):
    """Law: T = dU/dS is eta sigma^2/2 at small rates, F is least at each state's own rate, and not with S permuted."""
    up = replace(
        UP, rates=np.geomspace(0.02, 0.1, 5).tolist(), steps=24_000, samples=150, stride=150, settled=450, last=450,
        seeds=48, frames=False,
    )  # fmt: skip
    sweep(up, tmp_path, seed=seed, progress=False)
    found = read(up, tmp_path)
    heat = found.thermodynamics.temperature
    exact = toy.exact(up.rates).temperature
    assert heat.monotone
    assert (np.abs(heat.value / exact - 1.1)[1:-1] < 0.2 + 3 * (heat.error / exact)[1:-1]).all()
    assert found.thermodynamics.free_energy.at_own == 3
    assert found.thermodynamics.free_energy.shuffled.mean() < 2
    permuted = replace(found, stationary=_permuted(found.stationary))
    assert not all(check.holds for check in checks.thermal("permuted", permuted))


def _permuted(stationary):
    entropy = stationary.values["graph_entropy"]
    return replace(stationary, values=stationary.values | {"graph_entropy": entropy[[2, 0, 4, 1, 3]]})


def test_the_estimator_has_the_published_entropy():
    """Law: F1, S(3 X) - S(X) = (D - 1) ln 3 and S of the uniform sphere in 24,408 dimensions."""
    assert all(check.holds for check in checks.f1())


def test_times_of_entropies_share_their_iterates():
    """Every entropy ends whole strides before the last, so that a queue of one stride serves all."""
    model = replace(MLP, steps=4003, samples=100, stride=7, entropies=6)
    times = model.entropy_at.steps
    assert times[-1] == 4003
    assert all((4003 - time) % 7 == 0 and time >= model.window for time in times)
    assert set(times) <= set(model.looks.steps)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rates": [0.1, 0.2]}, "needs 3 or more"),
        ({"rates": [0.1, 0.1, 0.2]}, "must be positive and ascend"),
        ({"rates": [0.3, 0.2, 0.1]}, "must be positive and ascend"),
        ({"rates": [0.0, 0.2, 0.3]}, "must be positive and ascend"),
        ({"steps": 999}, "there must be 1000 steps or more"),
    ],
)
def test_a_model_that_cannot_be_is_refused(change, told):
    with pytest.raises(ValueError, match=told):
        replace(MLP, **change)


def test_models_are_found_by_name_and_regime():
    assert chosen("mlp", "op").title.startswith("500 digits")
    with pytest.raises(ValueError, match="did you mean 'mlp'"):
        chosen("mpl", "up")
    with pytest.raises(ValueError, match="model 'resnet' has up"):
        chosen("resnet", "op")
    with pytest.raises(ValueError, match="the published networks are"):
        chosen("toy", "up", published=True)


def test_networks_that_know_their_scale_are_refused(tmp_path):
    """A bias in the network makes no sweep, and nothing is written."""
    biased = replace(MLP, network=lambda: torch.nn.Linear(64, 10), steps=1000)
    with pytest.raises(ValueError, match="depends on the scale"):
        sweep(biased, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "give --model"),
        (["--model", "toy", "--regime", "up", "--rate", ".1", "--rate", ".2"], "needs 3 or more"),
        (["--check", "--steps", "10"], "have regimes, rates, steps and seeds of their own"),
        (["--model", "toy", "--regime", "up", "--resume", "--force"], "give one of the two"),
        (["--model", "toy", "--regime", "up", "--device", "gpu"], "unknown device 'gpu'"),
        (["--check", "--published"], "give --model with yours"),
        (["--model", "toy", "--regime", "op", "--steps", "100"], "there must be 101 steps or more"),
    ],
)
def test_the_command_refuses_before_it_runs(tmp_path, options, told):
    done = CliRunner().invoke(app(), [*options, "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert told in " ".join(done.output.split())
    assert not list(tmp_path.iterdir())


def test_a_stop_is_told_with_what_goes_on(tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mdnet.experiments.free_energy.sweep.finish", stopped)
    done = CliRunner().invoke(app(), ["--model", "toy", "--regime", "up", "--out", str(tmp_path)])
    assert done.exit_code == 130
    assert "the same command with --resume goes on" in " ".join(done.output.split())


def test_a_run_that_is_there_is_kept(tmp_path):
    model = replace(OP, rates=[0.1, 0.2, 0.3], seeds=2, steps=200, entropies=1, samples=30, last=10)
    page = reproduction.reproduce(model, Setting(tmp_path, progress=False))
    results = json.loads((page.folder / "results.json").read_text())
    assert [row[0] for row in results["rows"]] == ["0.1", "0.2", "0.3"]
    assert {entry["verdict"] for entry in results["checks"]} <= {"pass", "fail"}
    assert len(results["checks"]) == len(page.checks) == 1  # no rate is small enough for the limit of SNR
    assert len(list(page.folder.glob("sweep-*.svg"))) >= 4
    assert (page.folder / "report.html").is_file()
    with pytest.raises(OutputExistsError):
        reproduction.reproduce(model, Setting(tmp_path, progress=False))


def test_a_stopped_sweep_goes_on_bit_for_bit(tmp_path, monkeypatch):
    """Law: a sweep that was stopped anywhere and is gone on with finds what one does that was not."""
    model = replace(UP, rates=[0.05, 0.1, 0.2], seeds=2, steps=300, **BRIEF)
    whole = read(model, sweep(model, tmp_path / "whole", progress=False))

    def stopped(simulation, steps, **options):
        simulation.run(steps // 3, progress=False)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("mdnet.experiments.free_energy.sweep.finish", stopped)
        with pytest.raises(KeyboardInterrupt):
            sweep(model, tmp_path / "parts", progress=False)
    for _ in range(2):  # the second time nothing is left to do
        resumed = read(model, sweep(model, tmp_path / "parts", resume=True, progress=False))
        np.testing.assert_array_equal(resumed.energy, whole.energy)
        np.testing.assert_array_equal(resumed.entropy, whole.entropy)
    with pytest.raises(ResumeError, match="differs in\n  integrator"):
        sweep(replace(model, rates=[0.05, 0.1, 0.3]), tmp_path / "parts", resume=True, progress=False)


@pytest.mark.slow
def test_digits_have_a_temperature_at_every_rate(tmp_path):
    """Law: F4, UP in thermal order at all rates, OP with a jump between rates of .01 and .03."""
    kinds = MLP, digits.MODELS["mlp", "op"]
    for model in kinds:
        sweep(model, tmp_path / model.regime, progress=False)
    other = reproduction.control_of(MLP)
    sweep(other, tmp_path / "other", seed=1000, progress=False)
    found = [read(model, tmp_path / model.regime) for model in kinds]
    failed = [check for check in checks.f4(*found, read(other, tmp_path / "other")) if not check.holds]
    assert not failed
