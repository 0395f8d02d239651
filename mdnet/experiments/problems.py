"""The problems of the simmering paper: what is learnt from which data, by which network, at which temperature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

import mdnet as md
from mdnet.data import Split, Stack
from mdnet.spelling import unknown
from mdnet.system import Loss

HELD_OUT = 0.25  # share of the training rows on which a method chooses its settings


@dataclass(frozen=True)
class Problem:
    """What is learnt, by which network, at which temperature; energies are mean losses, k_B = 1."""

    data: str
    train: int  # training rows of each seed
    hidden: tuple[int, ...]
    temperature: float  # the target T
    free_temperature: float | None = None  # T of a run without restraint
    free_langevin: bool = False  # another run without restraint, with a Langevin bath
    variance: float | str = 1.0  # of the restraint, a Gaussian prior at temperature T
    label_noise: float = 0.0  # share of training labels replaced by random ones
    metric: str = "r2"  # of the test set: "r2", "accuracy", or "mse" to a known truth
    dt: float = 0.01
    gain: float = 0.0  # what the restrained ensemble is expected to gain over Adam, in the metric
    adam_steps: int = 20_000
    adam_rate: float = 5e-3
    stages: int = 5  # in which T is raised
    stage_steps: int = 500
    sample_steps: int = 6_000  # at the target
    sample_every: int = 20

    @property
    def heating(self) -> int:
        """Steps until the temperature has reached its target and held it for a stage."""
        return self.stages * self.stage_steps

    @property
    def budget(self) -> int:
        """Gradient evaluations of a retrofitted ensemble, which every control may spend, too."""
        return self.adam_steps + self.heating + self.sample_steps


PROBLEMS: Mapping[str, Problem] = {
    "sine": Problem("sine", 40, (30, 30), 0.002, free_temperature=0.003, metric="mse"),
    "iris": Problem("iris", 60, (20, 20), 0.01, label_noise=0.2, metric="accuracy", gain=0.04),
    "digits": Problem(
        "digits", 300, (32,), 0.001, variance="fan_in", label_noise=0.2, metric="accuracy", gain=0.08,
        adam_steps=5_000, sample_every=100,
    ),
    "auto-mpg": Problem("auto-mpg", 100, (32, 32), 0.002, 0.002, free_langevin=True, gain=0.08, dt=0.02),
    "auto-mpg-single": Problem(
        "auto-mpg-single", 100, (32, 32), 0.002, 0.002, free_langevin=True, gain=0.08, dt=0.02
    ),
}  # fmt: skip


def published(problem: Problem) -> Problem:
    """Return a problem with the one schedule that was published: T to 0.05 by 0.01 every 1000 steps, dt = 0.002.

    The numbers are those of the paper's noisy sine; its network and loss scale are not told.
    """
    return replace(problem, temperature=0.05, free_temperature=0.05, dt=0.002, stages=5, stage_steps=1000)


@dataclass(frozen=True, eq=False)
class Task:
    """A problem whose data are drawn: all that a method needs. Replicas are seeds, or several copies of each.

    Row s of `data` is what seed s trains on and is tested on; replica r belongs to seed r // copies.
    """

    name: str
    problem: Problem
    data: Stack
    network: nn.Module
    seed: int  # of everything random that a method does

    @property
    def seeds(self) -> int:
        """The number of independent repetitions."""
        return len(self.data.train[1])

    @property
    def classes(self) -> bool:
        """Whether the targets are classes."""
        return self.problem.metric == "accuracy"

    @property
    def loss(self) -> Loss:
        """Mean cross-entropy, or mean squared error."""
        return functional.cross_entropy if self.classes else functional.mse_loss

    @property
    def truth(self) -> NDArray[Any]:
        """The targets of the test rows, (seeds, rows) or (seeds, rows, 1)."""
        return self.data.test[1].numpy()

    def particles(
        self, restraint: float | Tensor = 0.0, *, copies: int = 1, rows: Tensor | None = None
    ) -> md.ParticleSystem:
        """Return `copies` replicas of every seed, each on its seed's training rows.

        U = mean loss + T |theta|^2/(2 s^2), with T = `restraint`, a number or (replicas, 1): a Gaussian prior of
        variance s^2 at temperature T. `rows` (replicas, n): what each replica sees of its seed's rows instead of all.
        """
        index = self.data.index.repeat_interleave(copies, 0)
        index = index if rows is None else index.gather(1, rows)
        prior = md.GaussianPrior(self.problem.variance, temperature=restraint)
        return md.ParticleSystem(
            self.network, self.loss, self.data.inputs, self.data.targets, index=index, replicas=len(index), prior=prior
        )

    def predict(self, system: md.ParticleSystem, q: Tensor) -> NDArray[Any]:
        """Return what the networks q (seeds copies, dof) say of their seeds' test rows: (copies, seeds, rows, ...)."""
        copies = len(q) // self.seeds
        said = system.output(q, self.data.test[0].repeat_interleave(copies, 0), per_replica=True)
        by_seed = said.reshape(self.seeds, copies, *said.shape[1:]).transpose(0, 1)
        return np.asarray(by_seed.numpy())

    @cached_property
    def held_out(self) -> Task:
        """The task of predicting a quarter of each seed's training rows from the others; no test row is seen."""
        x, y = self.data.train
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.rand(y.shape[:2], generator=generator).argsort(1)
        left = round(HELD_OUT * y.shape[1])
        splits = [
            Split((x[s, order[s, left:]], y[s, order[s, left:]]), (x[s, order[s, :left]], y[s, order[s, :left]]))
            for s in range(self.seeds)
        ]
        return replace(self, data=md.data.stack(splits))


def prepare(name: str, *, seeds: int, seed: int, problem: Problem | None = None) -> Task:
    """Draw the training and test rows of every seed, with its own noise. Raises ValueError for an unknown problem."""
    if problem is None:
        if name not in PROBLEMS:
            raise ValueError(unknown("problem", name, PROBLEMS))
        problem = PROBLEMS[name]
    splits = []
    for s in range(seed, seed + seeds):
        options = {"seed": s} if problem.data == "sine" else {}
        dataset = md.data.load(problem.data, **options)
        split = md.data.split(dataset, problem.train, seed=s, standardise=problem.data != "sine")
        if problem.label_noise:
            noisy = md.data.label_noise(split.train[1], problem.label_noise, dataset.classes, seed=s)
            split = Split((split.train[0], noisy), split.test)
        splits.append(split)
    data = md.data.stack(splits)
    network = md.networks.mlp(data.inputs.shape[-1], dataset.outputs, problem.hidden)
    return Task(name, problem, data, network, seed)
