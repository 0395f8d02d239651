"""One network in place of the ensemble: the average of its weights where connected, and students of its mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

import mdnet as md
import trajectories
from mdnet import reduction
from mdnet.experiments import simmering
from mdnet.experiments.problems import Task
from mdnet.experiments.results import Array, Check, Comparison, Study, mean_of
from mdnet.experiments.studies.finished import Finished

RUN = "simmering, restrained"
MEMBERS = 10  # of the ensemble, evenly spaced in time, that are averaged
COPIES = 3  # as many rows again, between two training rows, on which a student hears the teacher
STUDENTS = ("student", "student of half the width")
STEPS = 4_000  # of Adam, of a student


def reduced(finished: Finished) -> Study:
    """Return how well single networks do that are made of the restrained ensemble, and how large they are."""
    task, frames = finished.task, frames_of(finished)  # (frames, seeds, dof)
    system, small = task.particles(), replace(finished.task, network=halved(finished.task))
    few = frames[torch.linspace(0, len(frames) - 1, MEMBERS).round().long()]
    heat = torch.stack([system.energy(q) for q in frames]).std(0)  # (seeds,): of the loss, along the run
    same = torch.stack([reduction.aligned(system, q, few[-1], odd=True) for q in few])
    plain, aligned = (reduction.average(system, q, tolerance=heat) for q in (few, same))
    comparison = Comparison(task.truth, task.problem.metric)
    comparison.add("ensemble", np.concatenate([task.predict(system, q) for q in frames]))
    for name, q in {
        "weight average of connected members": plain.weights,
        "the same, their units aligned first": aligned.weights,
        "weight average of all": few.mean(0),
        "Adam + the same restraint": finished.held,
    }.items():
        comparison.add(name, task.predict(system, q))
    for name, network in zip(STUDENTS, (task.network, small.network), strict=True):
        comparison.add(name, taught(task, network, frames))
    sizes = {"ensemble": len(frames) * system.dof, STUDENTS[1]: small.particles().dof}
    return Study(
        "reduced",
        "One network in place of the ensemble",
        ("network", *(name for i, name in enumerate(comparison.columns[1:-1]) if i != 1), "parameters"),
        _rows(comparison, sizes, system.dof),
        _caption(len(frames), plain, aligned, heat),
        [_kept(comparison, student) for student in STUDENTS],
        numbers={"connected": _share(plain).tolist(), "connected, aligned": _share(aligned).tolist()}
        | {name: score.entry() for name, score in comparison.scores.items()},
    )


def frames_of(finished: Finished) -> Tensor:
    """Return the weights (frames, seeds, dof) of the restrained run while it samples."""
    with trajectories.open(finished.runs[RUN]) as run:
        steps = np.asarray(run.positions.steps)
        return torch.as_tensor(np.asarray(run.positions[steps > steps[-1] - finished.task.problem.sample_steps]))


def halved(task: Task) -> nn.Module:
    """Return the network of a task with half as many units in every hidden layer."""
    outputs = task.predict(task.particles(), simmering.starts(task)).shape[-1]
    return md.networks.mlp(task.data.inputs.shape[-1], outputs, [max(n // 2, 1) for n in task.problem.hidden])


def taught(task: Task, network: nn.Module, frames: Tensor) -> Array:
    """Return what students say of the test rows (1, seeds, rows, outputs): they learn the mean of the frames.

    Of the mean output, or mean softmax, on the training rows and between them; no target of any row is seen.
    """
    teacher, student = task.particles(), replace(task, network=network)
    inputs = reduction.interpolated(task.data.train[0], COPIES, seed=task.seed)
    said = torch.stack([teacher.output(q, inputs, per_replica=True) for q in frames])
    mean = (said.softmax(-1) if task.classes else said).mean(0)
    q = reduction.distil(
        student.particles(), inputs, mean, STEPS, task.problem.adam_rate, simmering.starts(student), per_replica=True
    )
    return student.predict(student.particles(), q)


def _rows(comparison: Comparison, sizes: dict[str, int], dof: int) -> list[list[str]]:
    """The table: the ensemble, its mean member, and what was made of it."""
    rows = []
    for name, scores in comparison.scores.items():
        more = [mean_of(scores.soft), mean_of(scores.nll)] if comparison.metric == "accuracy" else []
        rows.append([name, mean_of(scores.ensemble), *more, f"{sizes.get(name, dof)}"])
        if scores.members is not None:
            rows.append(["its mean member", mean_of(scores.members), *["–" for _ in more], f"{dof}"])
    return rows


def _kept(comparison: Comparison, student: str) -> Check:
    """The claim that an ensemble reduces to one network: a student beats the members, and keeps some of the gain."""
    together, alone = comparison.scores["ensemble"], comparison.scores[student].ensemble
    assert together.members is not None  # it is an ensemble
    wins = alone < together.members if comparison.metric == "mse" else alone > together.members
    kept = (alone - together.members).mean() / (together.ensemble - together.members).mean()
    measured = f"{wins.sum()}/{len(wins)}; it keeps {kept:.0%} of the ensemble's gain over them"
    return Check(
        f"{student} against the mean member", "better in 6/8 of the seeds", measured, bool(wins.mean() >= 0.75)
    )


def _share(average: reduction.Average) -> Array:
    """The share of members in the mean (seeds,)."""
    return average.connected.double().mean(0).numpy()


def _caption(frames: int, plain: reduction.Average, aligned: reduction.Average, heat: Tensor) -> str:
    pairs = MEMBERS * (MEMBERS - 1)
    heights, after = (one.barriers.sum((0, 1)).numpy() / pairs for one in (plain, aligned))
    return (
        f"Ensemble: {frames} frames of the restrained run while it samples. Weight averages: of {MEMBERS} of them, "
        "evenly spaced in time. Two are connected where the training loss on the straight path between them rises "
        "above the larger end by no more than the loss's own standard deviation in the run "
        f"({mean_of(heat.numpy())}); the mean barrier is {mean_of(heights)}, and {mean_of(_share(plain))} of them are "
        f"connected to each other. With hidden units aligned to the last of them: {mean_of(after)} and "
        f"{mean_of(_share(aligned))}. Students: {STEPS} steps of Adam from random weights on the ensemble's mean "
        f"output (mean softmax) at the training inputs and {COPIES} times as many points between two of them; they see "
        "no targets and no test rows. ± is the standard error over seeds."
    )
