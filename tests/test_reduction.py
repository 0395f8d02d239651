"""One network from an ensemble: barriers that are known, averages of the connected, students; and Laplace's normal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from systems import LinearNetwork, Z
from torch.nn import functional

import mdnet as md
from mdnet import curvature, reduction
from mdnet.experiments.controls import laplace
from mdnet.experiments.problems import prepare
from mdnet.experiments.results import Comparison
from mdnet.experiments.simmering import Ensemble, chain, overfit, simmer
from mdnet.experiments.studies import distances, fisher, reduced
from mdnet.experiments.studies.finished import Finished

EXACT = {"rtol": 1e-9, "atol": 1e-11}


def network(kind="regression", *, replicas=2, hidden=4, rows=12, **options):
    x = torch.randn(rows, 2, dtype=torch.float64)
    y = torch.randn(rows, 3, dtype=torch.float64) if kind == "regression" else torch.randint(3, (rows,))
    loss = functional.mse_loss if kind == "regression" else functional.cross_entropy
    particles = md.ParticleSystem(
        md.networks.mlp(2, 3, (hidden,)), loss, x, y, replicas=replicas, dtype=torch.float64, **options
    )
    return particles, particles.positions(seed=int(torch.randint(10_000, ()))) * 2


def fitted():
    """A network at the bottom: its targets are its own outputs."""
    particles, q = network(replicas=1)
    targets = particles.output(q, particles.inputs)[0]
    return md.ParticleSystem(particles.network, particles.loss, particles.inputs, targets, dtype=torch.float64), q


def turned(q, order, sign, hidden=4):
    """A network (replicas, dof) of the same function: its hidden units in another order, and turned round."""
    matrix = torch.eye(hidden, dtype=q.dtype)[order] * sign[:, None]
    first, bias, last, end = q.split([2 * hidden, hidden, 3 * hidden, 3], -1)
    first = (matrix @ first.reshape(-1, hidden, 2)).flatten(1)
    last = (last.reshape(-1, 3, hidden) @ matrix.T).flatten(1)
    return torch.cat([first, bias @ matrix.T, last, end], -1)


ORDER, SIGN = torch.tensor([2, 0, 3, 1]), torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)


def test_a_convex_energy_has_no_barrier_and_a_turned_network_has_one():
    """Law: least squares is convex; the path to a permuted copy is above its ends, which are the same function."""
    convex = LinearNetwork(3).system
    a, b = torch.randn(2, 3, 8, dtype=torch.float64)
    assert not reduction.barrier(convex, a, b).any()
    particles, q = fitted()
    other = turned(q, ORDER, SIGN)
    torch.testing.assert_close(particles.energy(other), particles.energy(q), **EXACT)
    rise = torch.stack([particles.energy(torch.lerp(q, other, s)) for s in (0.25, 0.5, 0.75)]).amax(0)
    expected = (rise - particles.energy(q)).clamp(min=0)
    torch.testing.assert_close(reduction.barrier(particles, q, other, points=3), expected, **EXACT)
    assert (expected > 1e-3).all()
    with pytest.raises(ValueError, match="points = 0"):
        reduction.barrier(particles, q, other, points=0)


def test_aligning_undoes_the_order_and_the_signs():
    particles, q = network()
    other = turned(q, ORDER, SIGN)
    torch.testing.assert_close(reduction.aligned(particles, other, q, odd=True), q, rtol=1e-12, atol=1e-12)
    assert reduction.aligned(particles, other, q).sub(q).abs().max() > 1e-3  # signs stay
    half = reduction.aligned(particles, other, q)
    torch.testing.assert_close(particles.energy(half), particles.energy(q), **EXACT)


def test_the_average_is_that_of_the_connected_members():
    """Law: the mean of two groups behind a barrier is that of the larger group, members connected two by two."""
    particles, q = fitted()
    near = [q + 1e-3 * torch.randn_like(q) for _ in range(3)]
    members = torch.stack([turned(q, ORDER, SIGN), *near])
    found = reduction.average(particles, members, tolerance=1e-4)
    assert found.connected[:, 0].tolist() == [False, True, True, True]
    torch.testing.assert_close(found.weights, torch.stack(near).mean(0), **EXACT)
    torch.testing.assert_close(found.barriers[0, 1], reduction.barrier(particles, members[0], members[1]), **EXACT)
    everyone = reduction.average(particles, members, tolerance=1e6)
    torch.testing.assert_close(everyone.weights, members.mean(0), **EXACT)
    alone = reduction.average(particles, members, tolerance=torch.tensor([-1.0]))
    assert alone.connected.sum() == 1


@pytest.mark.parametrize("kind", ["regression", "classes"])
@pytest.mark.parametrize("own", [False, True], ids=["shared", "own-rows"])
def test_a_student_learns_what_its_teacher_says(kind, own):
    """Law: the gap to a teacher of the student's own kind closes on the rows it is told of."""
    particles, teacher = network(kind, hidden=6)
    x = torch.randn(2, 30, 2, dtype=torch.float64)
    said = particles.output(teacher, x, per_replica=True)
    said = said.softmax(-1) if kind == "classes" else said
    rows, told = (x, said) if own else (x[0], said[0])
    start = particles.positions(seed=3)
    q = reduction.distil(particles, rows, told, 400, 0.03, start, per_replica=own)
    gaps = []
    for weights in (start, q):
        answer = particles.output(weights, rows, per_replica=own)
        answer = answer.softmax(-1) if kind == "classes" else answer
        gaps.append((answer - told).square().mean((1, 2)))
    assert (gaps[1] < 0.02 * gaps[0]).all()


def test_interpolated_rows_lie_between_two_rows():
    x = torch.randn(3, 8, 2)
    found = reduction.interpolated(x, 2, seed=1)
    assert found.shape == (3, 24, 2)
    assert torch.equal(found[:, :8], x)
    assert torch.equal(found, reduction.interpolated(x, 2, seed=1))
    for r in range(3):
        for row, own in zip(found[r, 8:], x[r].repeat(2, 1), strict=True):
            away, others = row - own, x[r] - own
            cross = (away[0] * others[:, 1] - away[1] * others[:, 0]).abs()
            share = (away * others).sum(-1) / others.square().sum(-1)
            assert ((cross < 1e-5) & (share >= 0) & (share <= 1) | (away.abs().sum() < 1e-6)).any()


@pytest.mark.parametrize("numbers", [4, 20], ids=["few-rows", "many-rows"])
def test_draws_have_the_covariance_of_laplace(numbers):
    """Law: <d d^T> = (A^T A + K)^-1, by both ways to the inverse."""
    factor, stiffness = torch.randn(numbers, 6, dtype=torch.float64), torch.rand(6, dtype=torch.float64) + 0.2
    generator, count = torch.Generator().manual_seed(int(torch.randint(10_000, ()))), 20_000
    drawn = laplace.normal(factor, stiffness, count, generator)
    products = drawn[:, :, None] * drawn[:, None]
    error = products.std(0) / count**0.5
    exact = torch.linalg.inv(factor.T @ factor + stiffness.diag())
    assert ((products.mean(0) - exact).abs() / error).max() < Z
    assert (drawn.mean(0).abs() / (drawn.std(0) / count**0.5)).max() < Z


def test_near_outputs_are_the_tangent_and_exact_for_a_linear_network():
    exact = LinearNetwork(1).system
    q, away = torch.randn(1, 8, dtype=torch.float64), torch.randn(5, 8, dtype=torch.float64)
    near = laplace.outputs_near(exact, q[0], away, exact.inputs)
    torch.testing.assert_close(near, torch.stack([exact.output(q + d, exact.inputs)[0] for d in away]), **EXACT)
    particles, q = network(replicas=1)
    away = torch.randn(3, q.shape[1], dtype=torch.float64)
    near = laplace.outputs_near(particles, q[0], away, particles.inputs)
    h = 1e-6
    for d, values in zip(away, near, strict=True):
        ends = [particles.output(q + s * h * d, particles.inputs)[0] for s in (1, -1)]
        expected = particles.output(q, particles.inputs)[0] + (ends[0] - ends[1]) / (2 * h)
        torch.testing.assert_close(values, expected, rtol=1e-6, atol=1e-7)


def test_laplace_says_something_of_every_test_row():
    for name, outputs in (("sine", 1), ("iris", 3)):
        task = prepare(name, seeds=2, seed=1000)
        short = replace(task, problem=replace(task.problem, adam_steps=40))
        said = laplace.linearised(short, (0.001, 0.01))
        assert said.shape == (2, laplace.MEMBERS, 2, task.truth.shape[1], outputs)
        assert np.isfinite(said).all()
        assert (said.std(1) > 0).all()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A short run of iris with everything that a study looks at."""
    folder = tmp_path_factory.mktemp("iris")
    task = prepare("iris", seeds=2, seed=1000)
    problem = replace(task.problem, adam_steps=100, stages=2, stage_steps=100, sample_steps=500, sample_every=100)
    task = replace(task, problem=problem)
    adam, held = overfit(task, progress=False), overfit(task, 0.01, progress=False)
    run = Ensemble("simmering, restrained", chain(0.01), 0.01)
    simmer(task, run, folder / "restrained", start=adam, progress=False)
    comparison = Comparison(task.truth, "accuracy")
    return Finished(task, folder, adam, held, {run.method: folder / "restrained"}, {}, comparison)


def test_the_fisher_study_looks_at_the_right_places(finished):
    moments = fisher.moments_of(finished)
    assert [round(moment.temperature, 6) for moment in moments] == [0, 0.005, 0.01, 0.01, 0.01]
    assert torch.equal(moments[0].frames[0], finished.overfit)
    spectra = fisher.spectra_of(finished.task, moments[-1].frames)
    traces = torch.stack(
        [a.square().sum() for a in curvature.factors(finished.task.particles(), moments[-1].frames[0])]
    )
    torch.testing.assert_close(spectra[0].sum(-1), traces)  # the prior's spread is one
    assert (spectra > 1e-9).sum(-1).max() <= fisher.rank_of(finished.task) == 120
    study = fisher.fisher(finished)
    assert {len(row) for row in study.rows} == {len(study.columns)}
    assert len(study.rows) == len(moments)


def test_the_other_studies_fill_their_tables(finished, monkeypatch, tmp_path):
    monkeypatch.setattr(reduced, "STEPS", 20)
    monkeypatch.setattr(reduced, "MEMBERS", 3)
    monkeypatch.setattr(distances, "STEPS", 400)
    monkeypatch.setattr(distances, "FRAMES", 2)
    for study in (reduced.reduced(finished), distances.distances(finished)):
        assert {len(row) for row in study.rows} == {len(study.columns)}
        assert study.checks
        study.write(tmp_path)
    assert study.numbers["lengths"]["stiffest"][0][0] > study.numbers["lengths"]["beyond"][0][0]
