"""The controls of simmering: each is what its name says, spends its budget and never sees a test target."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.func import grad, vmap
from torch.nn import functional

from integrators import SGD
from mdnet.data import Stack
from mdnet.experiments import simmering
from mdnet.experiments.controls import EARLY, Control, averaging
from mdnet.experiments.controls.averaging import SWA, SWAG, Clipped, Moments, swa
from mdnet.experiments.controls.boosting import BOOSTING, boosting
from mdnet.experiments.controls.control import by_replica
from mdnet.experiments.controls.deep import BAGGING, DEEP, DEEP_RESTRAINED, MEMBERS, bootstrap, deep
from mdnet.experiments.controls.dropout import DROPOUT, Masks, dropout_force
from mdnet.experiments.controls.restrained import RESTRAINED, restrained
from mdnet.experiments.problems import PROBLEMS, Task, prepare
from mdnet.experiments.selection import choose

CONTROLS = [EARLY, RESTRAINED, DEEP, BAGGING, DEEP_RESTRAINED, DROPOUT, SWA, SWAG, BOOSTING]


def small(name: str, seed: int = 1000) -> Task:
    """Two seeds of a problem, with a hundred gradients to spend."""
    problem = replace(PROBLEMS[name], adam_steps=40, stages=1, stage_steps=20, sample_steps=40)
    return prepare(name, seeds=2, seed=seed, problem=problem)


def cheap(control: Control) -> Control:
    """The same control with two values to choose from."""
    return control if len(control.values) == 1 else replace(control, values=control.values[:2])


def spoiled(task: Task) -> Task:
    """The same task, its test targets replaced by what no method could work with."""
    inputs, targets = task.data.test
    wrong = (targets + 1) % 3 if task.classes else torch.full_like(targets, torch.nan)
    return replace(task, data=Stack(task.data.train, (inputs, wrong)))


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
def test_no_test_target_is_seen(control):
    """Law: other test targets change no prediction, settings chosen on held-out rows included."""
    task = small("iris")
    said, note = cheap(control).predict(task)
    members, seeds, rows, outputs = said.shape
    assert (seeds, rows) == tuple(task.data.test[1].shape[:2])
    assert outputs == 3
    assert np.isfinite(said).all()
    again, same = cheap(control).predict(spoiled(task))
    np.testing.assert_array_equal(said, again)
    assert note == same
    assert note.startswith(control.name)
    if members > 1:
        assert (said.std(0) > 0).any(axis=(1, 2)).all(), "members of one ensemble say the same"


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
@pytest.mark.parametrize("name", ["sine", "digits", "auto-mpg"])
def test_every_control_works_on_every_problem(name, control):
    task = small(name)
    values = control.values[:1]
    said = control.family(task, values)
    assert said.shape[0] == 1
    assert said.shape[2:] == (2, task.truth.shape[1], 10 if name == "digits" else 1)
    assert np.isfinite(said).all()


@pytest.mark.parametrize("control", [RESTRAINED, BOOSTING], ids=lambda control: control.name)
def test_values_and_seeds_do_not_mix(control):
    """Law: what a value gives does not depend on the others; each seed may have a value of its own."""
    task, (low, high) = small("iris"), (control.values[0], control.values[-1])
    both = control.family(task, (low, high))
    np.testing.assert_allclose(both[1], control.family(task, (high,))[0], rtol=1e-4, atol=1e-4)
    mixed = control.family(task, np.array([[low, high]]))[0]
    np.testing.assert_allclose(mixed[:, 0], both[0, :, 0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(mixed[:, 1], both[1, :, 1], rtol=1e-4, atol=1e-4)
    assert not np.allclose(both[0], both[1], rtol=1e-4, atol=1e-4)


def test_the_restrained_control_is_adam_with_simmering_s_energy():
    task = small("sine")
    longer = replace(task, problem=replace(task.problem, adam_steps=task.problem.budget))
    q = simmering.overfit(longer, 0.01, progress=False)
    np.testing.assert_allclose(
        restrained(task, (0.01,))[0, 0], task.predict(task.particles(), q)[0], rtol=1e-5, atol=1e-5
    )


def test_members_start_apart_and_draw_rows_of_their_own():
    """Law: a bootstrap draw leaves out a share (1 - 1/n)^n of the rows, within five standard errors."""
    task = small("auto-mpg")
    untrained = replace(task, problem=replace(task.problem, adam_steps=0, stages=0, sample_steps=0))
    said = deep(untrained, (0.0,))
    np.testing.assert_allclose(said, DEEP_RESTRAINED.predict(untrained)[0][None], rtol=1e-5)
    assert not np.allclose(deep(task, (0.0,)), DEEP_RESTRAINED.predict(task)[0][None], rtol=1e-3)
    assert len(np.unique(said[0, :, 0, 0, 0].round(6))) == MEMBERS
    drawn = bootstrap(task)
    n = task.data.index.shape[1]
    assert drawn.shape == (2 * MEMBERS, n)
    assert not torch.equal(drawn[0], drawn[1])
    left_out = torch.tensor([1 - len(row.unique()) / n for row in drawn])
    off = left_out.mean() - (1 - 1 / n) ** n
    assert abs(off) < 5 * left_out.std() / len(drawn) ** 0.5


def test_dropout_of_rate_zero_is_the_force_itself():
    """Law: without dropout the gradient is that of the energy, bit for bit."""
    system = small("iris").particles()
    q = system.positions(seed=3)
    factors = Masks(system, torch.zeros(2, 1), seed=0)()
    assert torch.equal(dropout_force(system, q, factors), system.force(q)[1])


@pytest.mark.parametrize("name", ["iris", "digits"])
def test_dropout_leaves_out_hidden_units(name):
    """Law: scaled weights say what a forward pass with masked activations says, and have its gradient."""
    task = small(name)
    system = task.particles()
    q = system.positions(seed=3)
    factors = Masks(system, torch.tensor([[0.3], [0.5]]), seed=1)()
    weights = [entry for entry in system.table.entries if len(entry.shape) == 2]
    masks = [factors[:, w.offset : w.offset + w.shape[1]] for w in weights[1:]]  # as the first unit above reads them

    def loss(q, masks, x, y):
        w, h = system.table.unflatten(q), x
        for k, entry in enumerate(weights):
            h = functional.linear(h, w[entry.name], w[entry.name.replace("weight", "bias")])
            h = torch.tanh(h) * masks[k] if k < len(masks) else h
        return functional.cross_entropy(h, y)

    slope = vmap(grad(loss))(q, masks, system.inputs, system.targets)
    torch.testing.assert_close(dropout_force(system, q, factors), -slope, rtol=1e-4, atol=1e-6)
    assert (factors == 0).any(1).all()


def test_masks_are_fresh_and_unbiased():
    """Law: the factors have the mean 1 and differ by replica and step; biases and the first layer stay."""
    system = small("sine").particles(copies=200)
    masks = Masks(system, torch.full((400, 1), 0.2), seed=2)
    first, second = masks(), masks()
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, second)
    assert (first[:, : system.table.sizes[0]] == 1).all()
    mean = first.mean(1)  # independent replicas
    assert abs(mean.mean() - 1) < 5 * mean.std() / len(mean) ** 0.5
    assert first.unique().tolist() == pytest.approx([0, 1, 1.25])
    with pytest.raises(ValueError, match="below 1"):
        Masks(system, torch.ones(400, 1), seed=2)


def test_swag_draws_from_the_gaussian_of_its_iterates(seed):
    """Law: mean and covariance of draws are those of the closed form, within five standard errors."""
    generator = torch.Generator().manual_seed(seed)
    iterates = torch.randn(6, 4, generator=generator).double() * torch.tensor([0.5, 1.0, 2.0, 3.0])
    moments, replicas = Moments(rank=3), 20_000
    for q in iterates:
        moments.add(q.expand(replicas, 4))
    running = torch.stack([iterates[: k + 1].mean(0) for k in range(6)])
    last = (iterates - running)[-3:]
    covariance = (torch.diag(iterates.var(0, correction=0)) + last.T @ last / 2) / 2
    torch.testing.assert_close(moments.mean[0], iterates.mean(0))
    off = moments.draw(generator) - iterates.mean(0)
    assert (off.mean(0).abs() < 5 * off.std(0) / replicas**0.5).all()
    products = off[:, :, None] * off[:, None, :]
    assert ((products.mean(0) - covariance).abs() < 5 * products.std(0) / replicas**0.5).all()


def test_a_gaussian_needs_two_iterates():
    moments = Moments()
    moments.add(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="two or more"):
        moments.draw(torch.Generator())


def test_swa_predicts_by_the_mean_of_its_iterates(monkeypatch):
    """Law: SWA's network has the average weights of every twentieth step of SGD, and SWAG's mean is the same."""
    seen = []

    class Witness(Moments):
        def add(self, q):
            seen.append(q.double().clone())
            super().add(q)

    monkeypatch.setattr(averaging, "Moments", Witness)
    task = small("auto-mpg")
    said = swa(task, (0.03,))
    assert len(seen) == (task.problem.budget - task.problem.adam_steps) // averaging.EVERY
    mean = torch.stack(seen).mean(0)
    np.testing.assert_allclose(said[0], task.predict(task.particles(), mean.float()), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(averaging.descended(task, (0.03,))[1].mean, mean)


def test_a_clipped_force_keeps_its_direction():
    """Law: forces longer than the limit have its length, shorter ones stay as they are."""
    f = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    clipped = Clipped(lambda q: (torch.zeros(3), f), 1.0)(f)[1]
    torch.testing.assert_close(clipped, torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))


def test_an_absurd_rate_of_descent_is_finite_and_not_chosen():
    chosen = choose(small("auto-mpg"), swa, (0.01, 1e4))
    assert np.isfinite(chosen.losses).all()
    assert chosen.places.tolist() == [0, 0]


def test_rates_are_by_replica():
    """Law: the columns are seeds x values x members, as the replicas of a task are."""
    task = small("sine")
    assert by_replica(task, (1.0, 2.0), 2).flatten().tolist() == [1, 1, 2, 2] * 2
    assert by_replica(task, np.array([[1.0, 2.0], [3.0, 4.0]])).flatten().tolist() == [1, 3, 2, 4]
    system = task.particles(copies=2)
    q = system.positions(seed=1)
    descent = SGD(system.force, by_replica(task, (1e-6, 0.1)))
    phase = descent.start(q.clone(), torch.zeros_like(q), system.masses)
    descent(phase)
    moved = (phase.q - q).norm(dim=-1)
    assert (moved[1::2] > 1e3 * moved[::2]).all()


def test_boosting_gives_chances_to_all_classes():
    """Law: probabilities sum to one; a class without a training label has the chance 1/(n + 2)."""
    task = small("iris")
    inputs, labels = task.data.train
    fewer = replace(task, data=Stack((inputs, labels.clamp(min=1)), task.data.test))
    chances = np.exp(boosting(fewer, (2, 5)))
    np.testing.assert_allclose(chances.sum(-1), 1)
    np.testing.assert_allclose(chances[..., 0], 1 / (labels.shape[1] + 2))
    assert (chances[..., 1:] > 0).all()
