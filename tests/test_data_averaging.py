"""Data averaging: runs are what they say, are paired, end at their own time; laws hold on made and short studies."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import typer
from torch.nn.functional import cross_entropy
from typer.testing import CliRunner

import trajectories
from mdnet.experiments.data_averaging import checks, digits, reproduction
from mdnet.experiments.data_averaging.analysis import Found, part, permuted, read
from mdnet.experiments.data_averaging.commands import data_averaging
from mdnet.experiments.data_averaging.method import QuarterCosine, Scores, particles, starts, sweep
from mdnet.experiments.data_averaging.models import sampled, stretch
from mdnet.experiments.data_averaging.reproduction import Sampled, chosen
from mdnet.recording import OutputExistsError
from mdnet.simulation import finish
from trajectories.averaging import Curve, Stationarity
from trajectories.sgd import Values

MLP, LINEAR = digits.MODELS["mlp"], digits.MODELS["linear"]
BRIEF = replace(
    LINEAR, rates=[0.1, 0.2, 0.4, 0.8], batch=8, train=200, test=100, splits=3, exposure=48.0, early=3, last=10
)


@pytest.fixture(autouse=True)
def _compiled(monkeypatch):
    monkeypatch.delenv("MDNET_ROUTE", raising=False)


def app():
    command = typer.Typer()
    command.command()(data_averaging)
    return command


@pytest.fixture(scope="module")
def brief(tmp_path_factory):
    """A short study by plain SGD: its folder and what was read of it."""
    folder = tmp_path_factory.mktemp("brief")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MDNET_ROUTE", raising=False)
        runs = sweep(BRIEF, folder, progress=False)
    return folder, read(BRIEF, runs, "sgd", "split")


def test_data_sets_are_the_same_at_all_temperatures(seed):
    """Law: data set s depends on its number alone; training and test rows are disjoint and of the given sizes."""
    for sampling in ("split", "random"):
        train, test = sampled(BRIEF, sampling, seed)
        again, _ = sampled(replace(BRIEF, splits=2, rates=[0.1, 0.3, 0.5]), sampling, seed + 1)
        assert torch.equal(train[1:], again)
        assert train.shape == (3, 200)
        assert test.shape == (3, 100)
        assert not any(torch.isin(one, other).any() for one, other in zip(train, test, strict=True))
        assert not torch.equal(train[0], train[1])
        assert all(len(set(rows.tolist())) == 100 for rows in test)
    many = sampled(replace(BRIEF, train=1437, test=300), "random", seed)[0]
    drawn = np.array([len(set(rows.tolist())) for rows in many]) / 1797
    assert np.abs(drawn - (1 - np.exp(-1437 / 1797))).max() < 0.05, "rows are drawn with replacement"
    assert all(len(set(rows.tolist())) == 1437 for rows in sampled(MLP, "split", seed)[0])


def test_all_temperatures_start_at_the_same_weights():
    """Law: replica = temperature x splits + data set; a data set starts the same at each, and unlike the others."""
    train, _ = sampled(BRIEF, "split", 0)
    q = starts(BRIEF, particles(BRIEF, train.repeat(4, 1)), 0).reshape(4, 3, -1)
    assert (q == q[:1]).all()
    assert not torch.equal(q[0, 0], q[0, 1])


def test_the_file_says_what_each_replica_is(brief):
    folder, found = brief
    with trajectories.open(folder) as run:
        told = run.parameters["sweep"]
        assert np.allclose(np.reshape(told["temperature"], (4, 3)).T, np.array([0.1, 0.2, 0.4, 0.8]) / 8)
        assert np.reshape(told["end"], (4, 3))[:, 0].tolist() == [480, 240, 120, 60]
        assert told["seed"].tolist() == [0, 1, 2] * 4
        assert set(run.observables) >= {"potential_energy", "test/loss", "train/accuracy", "test/accuracy"}
        steps = run.observables["test/loss"].steps
        values = np.asarray(run.observables["test/loss"].values).reshape(len(steps), 4, 3)
    for i, own in enumerate(BRIEF.steps.T):
        assert own[-1] == BRIEF.ends[i]
        assert (own[-10:] > BRIEF.ends[i] * 5 / 6).all()
        np.testing.assert_array_equal(found.test[:, i], values[np.searchsorted(steps, own), i])
    np.testing.assert_allclose(found.curve.test, np.median(found.test[-10:], axis=0), rtol=0.05)


def test_scores_are_those_of_the_rows(seed):
    """Law: U is the mean loss on a replica's training rows, sigma_l the standard deviation of a test row's loss."""
    rows = dict(zip(("train", "test"), sampled(BRIEF, "split", seed), strict=True))
    system, (inputs, targets) = particles(BRIEF, rows["train"]), BRIEF.data()
    q = system.positions(0) + torch.randn(3, system.dof)
    phase = type("Phase", (), {"q": q})
    for block in (None, 33):
        scores = Scores(rows, inputs, targets, BRIEF.looks([0]), block)
        scores.start(system, None)
        found = scores(0, phase)
        assert torch.allclose(found["potential_energy"], system.energy(q), rtol=1e-5)
        for r in range(3):
            module, test = system.module(q[r]), rows["test"][r]
            each = cross_entropy(module(inputs[test]), targets[test], reduction="none").detach()
            assert float(found["test/loss"][r]) == pytest.approx(float(each.mean()), rel=1e-5)
            assert float(found["test/loss_sd"][r]) == pytest.approx(float(each.std()), rel=1e-4)
            right = (module(inputs[test]).argmax(-1) == targets[test]).double().mean()
            assert float(found["test/accuracy"][r]) == pytest.approx(float(right))


def test_a_step_is_the_published_one(tmp_path):
    """Law: with all rows alike, v <- mu v + g + decay theta, theta <- theta - rate v, at each replica's own rate."""
    inputs, targets = (part[:1].repeat(300, *[1] * (part.ndim - 1)) for part in digits.noisy())
    model = replace(BRIEF, data=lambda: (inputs, targets), dtype=torch.float64, decay=0.05)
    for name, mu in (("sgd", 0.0), ("momentum", 0.9)):
        sweep(model, tmp_path / name, name=name, progress=False)
        with trajectories.open(tmp_path / name) as run:
            steps = run.observables["potential_energy"].steps
            energy = np.asarray(run.observables["potential_energy"].values)[np.searchsorted(steps, BRIEF.steps[0, 0])]
        system = particles(model, sampled(model, "split", 0)[0].repeat(4, 1))
        q = starts(model, system, 0)
        v, rate = torch.zeros_like(q), torch.tensor(model.rates, dtype=torch.float64).repeat_interleave(3)[:, None]
        for _ in range(BRIEF.steps[0, 0]):
            v = mu * v - system.force(q)[1] + 0.05 * q
            q = q - rate * v
        np.testing.assert_allclose(energy, system.energy(q), rtol=1e-9, atol=1e-14)


def test_a_rate_falls_to_zero_at_its_own_end():
    """Law: rate cos(pi t/(2 t_f)) of each replica by its own t_f, in stages, and positive behind it."""
    rates = torch.tensor([[0.1], [1.0]], dtype=torch.float64)
    fall = QuarterCosine(rates, (1000, 100), every=10)
    for step in (0, 9, 10, 57, 99):
        t = step // 10 * 10
        np.testing.assert_allclose(
            fall(step).flatten(), [0.1 * np.cos(np.pi * t / 2000), np.cos(np.pi * t / 200)], rtol=1e-12
        )
    assert 0 < fall(10_000)[1] == fall(99)[1] < 0.16
    with pytest.raises(ValueError, match="has no stage to fall by"):
        QuarterCosine(rates, (1000, 10), every=10)


def test_a_falling_rate_cools_each_temperature_by_its_own_end(tmp_path, brief):
    """Law: with a cosine the train loss of the hottest runs ends below that at a constant rate, on each data set."""
    runs = sweep(BRIEF, tmp_path, name="cosine", progress=False)
    cosine = read(BRIEF, runs, "cosine", "split")
    assert (cosine.curve.train[-1] < brief[1].curve.train[-1]).all()


def test_temperatures_apart_are_those_together(tmp_path, brief):
    """Temperatures that run one by one are read into the same curve, but for their noise."""
    model = replace(BRIEF, together=False)
    found = read(model, sweep(model, tmp_path, progress=False), "sgd", "split")
    assert len(found.runs) == 4
    assert found.curve.test.shape == (4, 3)
    assert np.abs(found.curve.train.mean(axis=1) / brief[1].curve.train.mean(axis=1) - 1).max() < 0.3
    for place, (run, end) in enumerate(zip(found.runs, BRIEF.ends, strict=True)):
        with trajectories.open(run) as opened:
            assert opened.observables["test/loss"].steps[-1] == end
            assert set(opened.parameters["sweep"]["rate"].tolist()) == {BRIEF.rates[place]}


def test_cold_runs_take_more_epochs():
    """Law: epochs = 300 max(1, min(4, 1 + (2e-4/T - 1)/4))."""
    np.testing.assert_allclose(stretch(np.array([1e-6, 4e-5, 1e-4, 2e-4, 1e-2])), [4, 2, 1.25, 1, 1])
    model = replace(BRIEF, rates=[8e-4, 1.6e-3, 1.0], epochs=16.0)
    assert model.ends.tolist() == [500, 400, 400]


def made(depth=0.3, seed=0):
    """A study that obeys the laws: a gap of Eq. 1, a train loss that rises, sigma_l a line in the test loss."""
    draw, t = np.random.default_rng(seed), np.asarray(MLP.temperatures)
    train = np.tile(12 * t[:, None], (1, 8))
    gap = (2e-5 / t + 0.8)[:, None] * np.exp(-t / 1.5e-2)[:, None] * depth / 0.3 + 0.25
    test = (train + gap) * (1 + 0.05 * draw.normal(size=(1, 8))) + 0.002 * draw.normal(size=(8, 8))
    curve = Curve(t, train, test, 1 - train, 0.9 + 0 * test)
    moved = Stationarity(np.zeros(8, bool), Values(np.zeros(8), np.zeros(8)))
    deviation = 0.4 + 2 * curve.test + 0.01 * draw.normal(size=test.shape)
    return Found(MLP, "sgd", "split", [], curve, moved, deviation, train[None], curve.test[None])


def failed(found):
    return [check.name for check in found if not check.holds]


def test_laws_hold_where_they_are_made_to(seed):
    assert not failed([*checks.g4(made(seed=seed)), *checks.g7(made(seed=seed))])


def test_laws_fail_where_they_are_not(seed):
    """Law: with temperatures permuted, and with sigma_l of other runs, the claims do not hold."""
    found = made(seed=seed)
    order = np.array([3, 0, 5, 7, 1, 6, 2, 4])
    broken = failed(checks.g4(replace(found, curve=permuted(found.curve, order))))
    assert sum(name.startswith("G4, A") for name in broken) == 2
    assert any(name.startswith("G4, C") for name in broken)
    flat = failed(checks.g4(made(depth=0.01, seed=seed)))
    assert any(name.startswith("G4, B") for name in flat)
    other = replace(found, deviation=np.random.default_rng(seed).permuted(found.deviation.ravel()).reshape(8, 8))
    assert any(name.startswith("G7: σ_l") for name in failed(checks.g7(other)))


def test_many_data_sets_differ_the_more_the_larger_the_loss(seed):
    """Law: the correlation of mean and standard deviation over data sets is seen, and not where there is none."""
    draw, loss = np.random.default_rng(seed), np.linspace(0.3, 1.0, 8)[:, None]
    for spread, holds in ((0.05 * loss, True), (0.05 * loss[::-1], False)):
        test = loss + spread * draw.normal(size=(8, 32))
        curve = Curve(np.asarray(MLP.temperatures), test, test, test, test)
        assert (not failed(checks.between(replace(made(seed=seed), curve=curve)))) is holds


def test_unpaired_data_sets_are_seen(seed):
    """Law: with the data sets of each temperature permuted the error of a difference is that of unlike data sets."""
    found, draw = made(seed=seed), np.random.default_rng(seed)
    shuffled = draw.permuted(found.curve.test, axis=1)
    other = replace(found, curve=replace(found.curve, test=shuffled))
    assert any("unpaired" in name for name in failed(checks.g4(other)))


def test_equal_temperatures_fall_together_or_do_not(seed):
    """Law: curves 1 % apart pass, curves 20 % apart fail, and of two that move alike the trend is seen."""
    curve = part(made(seed=seed).curve, slice(2, 5))

    def scaled(*factors):
        noise = np.random.default_rng(seed).normal(size=(3, *curve.test.shape))
        return [replace(curve, test=curve.test * f + 0.002 * x) for f, x in zip(factors, noise, strict=True)]

    assert not failed(checks.together(scaled(0.99, 1.0, 1.01), "made"))
    assert failed(checks.together(scaled(0.8, 1.0, 1.2), "made"))
    assert not failed(checks.trending(scaled(0.8, 1.0, 1.2), scaled(1.0, 1.01, 1.0)))
    assert failed(checks.trending(scaled(1.0, 0.8, 1.0), scaled(1.0, 1.01, 1.0)))
    assert failed(checks.trending(scaled(1.2, 1.0, 0.8), scaled(1.0, 1.01, 1.0))), "a fall is not a rise"
    assert len(failed(checks.trending(scaled(0.8, 1.0, 1.2), scaled(0.8, 1.0, 1.2)))) == 1, "plain SGD does the same"


def test_the_better_variant_is_the_better(seed):
    found = made(seed=seed)
    lower = replace(found, variant="cosine", curve=replace(found.curve, test=found.curve.test - 0.05))
    assert not failed(checks.g6(lower, found))
    assert failed(checks.g6(found, lower))


def test_true_labels_lose_less_at_low_temperatures(seed):
    curve = part(made(seed=seed).curve, digits.ENDS)
    flat = replace(curve, test=0.1 + 0.1 * curve.test)
    assert checks.clean(curve, flat).holds
    assert not checks.clean(flat, curve).holds


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rates": [0.1, 0.2]}, "needs 3 or more"),
        ({"rates": [0.2, 0.2, 0.3]}, "must be positive and ascend"),
        ({"rates": [0.0, 0.2, 0.3]}, "must be positive and ascend"),
        ({"batch": [8, 8, 32, 64]}, "must be positive and ascend"),
        ({"splits": 1}, "errors over data sets need 2"),
        ({"exposure": 10.0}, "take 60 steps or more"),
    ],
)
def test_a_model_that_cannot_be_is_refused(change, told):
    with pytest.raises(ValueError, match=told):
        replace(BRIEF, **change)


def test_what_is_not_known_is_refused(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'linear'"):
        chosen("liner")
    with pytest.raises(ValueError, match="has one form"):
        chosen("mlp", published=True)
    with pytest.raises(ValueError, match="did you mean 'cosine'"):
        sweep(BRIEF, tmp_path / "run", name="cosin")
    with pytest.raises(ValueError, match="did you mean 'split'"):
        sweep(BRIEF, tmp_path / "run", sampling="splits")
    with pytest.raises(ValueError, match="are left to test on by sampling 'random'"):
        sampled(replace(BRIEF, train=1700, test=1797), "random", 0)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "give --model"),
        (["--model", "mlp", "--rate", ".1", "--rate", ".2"], "needs 3 or more"),
        (["--model", "mlp", "--rate", ".1", "--rate", ".2", "--rate", ".3"], "give 4 temperatures or more"),
        (["--model", "mlp", "--rate", ".1", "--rate", ".2", "--rate", ".3", "--rate", "5"], "a rate of 2.22 or less"),
        (["--model", "resnet", "--published", *(w for x in "1234" for w in ("--rate", f".{x}"))], "and 12 batches"),
        (["--model", "mlp", "--variant", "adam"], "unknown"),
        (["--check", "--splits", "4"], "give --model with yours"),
        (["--model", "linear", "--resume", "--force"], "give one of the two"),
        (["--model", "linear", "--device", "gpu"], "unknown device 'gpu'"),
    ],
)
def test_the_command_refuses_before_it_runs(tmp_path, options, told):
    done = CliRunner().invoke(app(), [*options, "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert told in " ".join(done.output.split())
    assert not list(tmp_path.iterdir())


def test_a_page_tells_all(tmp_path):
    """A page of a falling rate has the constant one beside it; a run that is there is kept."""
    page = reproduction.reproduce(BRIEF, "cosine", Sampled(tmp_path, sampling="random", progress=False))
    results = json.loads((page.folder / "results.json").read_text())
    assert page.folder.name == "linear-cosine-random"
    assert [row[0] for row in results["rows"]] == ["0.0125", "0.025", "0.05", "0.1"]
    assert len(results["checks"]) == len(page.checks) == 2
    assert results["runs"] == ["run", "constant"]
    assert len(list(page.folder.glob("averages-*.svg"))) == 4
    assert (page.folder / "beside-1.svg").is_file()
    assert (page.folder / "report.html").is_file()
    shutil.rmtree(page.folder / "run")
    with pytest.raises(OutputExistsError):
        reproduction.reproduce(BRIEF, "cosine", Sampled(tmp_path, sampling="random", progress=False))
    assert not (page.folder / "run").exists(), "it ran before it refused"


@pytest.mark.parametrize("together", [True, False])
def test_a_stopped_sweep_goes_on_bit_for_bit(tmp_path, monkeypatch, together):
    """Law: temperatures together or one after the other, a study that was stopped is that of one that was not."""
    model = replace(BRIEF, together=together)
    whole = read(model, sweep(model, tmp_path / "whole", progress=False), "sgd", "split")
    begun = []

    def stopped(simulation, steps, **options):
        begun.append(steps)
        if len(begun) < len(model.groups):
            return finish(simulation, steps, **options)
        simulation.run(steps // 3, progress=False)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("mdnet.experiments.data_averaging.method.finish", stopped)
        with pytest.raises(KeyboardInterrupt):
            sweep(model, tmp_path / "parts", progress=False)
    for _ in range(2):  # the second time nothing is left to do
        resumed = read(model, sweep(model, tmp_path / "parts", resume=True, progress=False), "sgd", "split")
        np.testing.assert_array_equal(resumed.train, whole.train)
        np.testing.assert_array_equal(resumed.test, whole.test)


@pytest.mark.slow
def test_the_digits_obey_the_laws(tmp_path):
    """Law: G4, G5 and G7 of the digits' network by plain SGD, with their controls."""
    page = reproduction.reproduce(MLP, "sgd", Sampled(tmp_path, progress=False))
    assert not failed(page.checks)
