"""The networks of a run's ensemble, what they say of any inputs, and the noise of the data that they leave."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

import mdnet as md
import trajectories
from mdnet.experiments.problems import Task
from mdnet.experiments.results import Array
from mdnet.experiments.studies.finished import Finished
from trajectories import ensemble


def weights(finished: Finished, method: str) -> Tensor:
    """Return the frames of a run at its target temperature, (members, seeds, dof)."""
    with trajectories.open(finished.runs[method]) as run:
        late = np.asarray(run.steps) > run.parameters["sampling_from_step"]
        return torch.as_tensor(np.asarray(run.positions[late]))


def outputs(task: Task, members: Tensor, inputs: Tensor) -> Array:
    """Return what networks (members, seeds, dof) say of their seed's inputs: (members, seeds, rows, outputs)."""
    system = task.particles()
    return np.stack([system.output(q, inputs, per_replica=True).numpy() for q in members])


def noise(finished: Finished, method: str) -> Array:
    """Return the noise that a run finds in its data, (seeds,): the rms of y - f on the training rows, f its mean."""
    inputs, targets = finished.task.data.train
    together = outputs(finished.task, weights(finished, method), inputs).mean(0, dtype=np.float64)
    return np.asarray(np.sqrt(np.square(targets.numpy() - together).mean((1, 2))))


def beyond(task: Task, points: int = 400) -> tuple[Tensor, Array]:
    """Return an even grid of the single input, half the training range beyond either end, and which points are inside.

    Inputs are (seeds, points, 1), each seed over its own range; inside is (points,).
    """
    x = task.data.train[0]
    low, high = x.amin(1, keepdim=True), x.amax(1, keepdim=True)  # (seeds, 1, 1)
    part = torch.linspace(-0.5, 1.5, points)
    return low + (high - low) * part[:, None], ((part >= 0) & (part <= 1)).numpy()


def observed(task: Task) -> Array:
    """Return test targets (seeds, rows, 1) as they would be observed: a truth with noise as in training.

    Only the sine's are a known truth, and all others as they are; its noise is drawn from seeds of no training set.
    """
    if task.problem.metric != "mse":
        return task.truth
    rows = task.truth.shape[1]
    drawn = [md.data.sine(rows, seed=NOISY + task.seed + s).targets[:rows] for s in range(task.seeds)]
    return torch.stack(drawn).numpy()


NOISY = 1_000_000  # seeds of observed test targets begin here


def likelihood(task: Task, predictions: Array, noise: Array | None) -> Array:
    """Return the negative log-likelihood of the test rows by seed (seeds,), from (members, seeds, rows, outputs).

    Of classes that of the mean softmax; else that of a Gaussian about the ensemble's mean, whose variance is that of
    the members and of the noise (seeds,) together.
    """
    if task.classes:
        together = ensemble.mean_softmax(predictions, over="samples")
        return np.array([float(ensemble.nll(p, t)) for p, t in zip(together, task.truth, strict=True)])
    if noise is None:
        raise ValueError("noise = None: a Gaussian likelihood needs the noise of the data, (seeds,)")
    mean, spread = ensemble.mean(predictions, over="samples"), ensemble.spread(predictions, over="samples")
    sd = np.sqrt(spread**2 + noise[:, None, None] ** 2)
    parts = zip(mean, observed(task), sd, strict=True)
    return np.array([float(ensemble.gaussian_nll(f, y, s)) for f, y, s in parts])


def restrained(finished: Finished) -> str:
    """Return the method of the restrained run, the first that a problem plans."""
    return next(iter(finished.runs))
