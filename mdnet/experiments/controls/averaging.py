"""Averages of weights along stochastic gradient descent: SWA predicts by their mean, SWAG by a Gaussian around it."""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from math import sqrt
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

import mdnet as md
from integrators import SGD, Force
from mdnet.experiments import simmering
from mdnet.experiments.controls.control import Control, broadcast, by_replica
from mdnet.experiments.problems import Task
from mdnet.experiments.results import Array
from mdnet.experiments.selection import Values

RATES = (0.003, 0.03, 0.1)
MOMENTUM, ROWS, LIMIT = 0.9, 16, 1.0  # of SGD; of a minibatch; of the length of its force
EVERY, RANK, MEMBERS = 20, 20, 100


class Moments:
    """Mean and variance of weights (replicas, dof), and the last deviations of the weights from their running mean.

    The Gaussian has this mean and the covariance (diag(variance) + D^T D/(K - 1))/2, with D the last K deviations.

    Reference: Maddox, Garipov, Izmailov, Vetrov, Wilson, NeurIPS 2019, arXiv:1902.02476.
    """

    def __init__(self, rank: int = RANK) -> None:
        self.count, self.mean, self.square = 0, torch.zeros(()), torch.zeros(())  # float64 from the first weights on
        self.deviations: deque[Tensor] = deque(maxlen=rank)

    def add(self, q: Tensor) -> None:
        """Take in the weights q (replicas, dof)."""
        self.count += 1
        q = q.double()
        self.mean = self.mean + (q - self.mean) / self.count
        self.square = self.square + (q * q - self.square) / self.count
        self.deviations.append(q - self.mean)

    @property
    def variance(self) -> Tensor:
        """The variance of every weight (replicas, dof) over all that was taken in."""
        return (self.square - self.mean * self.mean).clamp(min=0)

    def draw(self, generator: torch.Generator) -> Tensor:
        """Return weights (replicas, dof) drawn from the Gaussian. Raises ValueError for fewer than two deviations."""
        if len(self.deviations) < 2:
            raise ValueError(f"{len(self.deviations)} weights were taken in; a Gaussian needs two or more")
        last = torch.stack(list(self.deviations))  # (K, replicas, dof)
        alone = torch.randn(self.mean.shape, generator=generator, dtype=torch.float64)
        together = torch.randn(*last.shape[:2], 1, generator=generator, dtype=torch.float64)
        low_rank = (together * last).sum(0) / sqrt(len(last) - 1)
        return self.mean + (self.variance.sqrt() * alone + low_rank) / sqrt(2)


class Clipped:
    """A force whose length is at most `limit` in every replica, f <- f min(1, limit/|f|): no learning rate diverges."""

    stochastic: ClassVar[bool] = True

    def __init__(self, force: Force, limit: float) -> None:
        self.force, self.limit = force, limit

    def __call__(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return u (replicas,) and the clipped f (replicas, dof) at q (replicas, dof)."""
        u, f = self.force(q)
        return u, f * (self.limit / f.norm(dim=-1, keepdim=True)).clamp(max=1)


def descended(task: Task, values: Values) -> tuple[md.ParticleSystem, Moments]:
    """Descend once for SWA and SWAG, which ask for the same; see `_descended`."""
    return _descended(task, tuple(map(tuple, broadcast(task, values).tolist())))


@lru_cache(maxsize=2)
def _descended(task: Task, values: tuple[tuple[float, ...], ...]) -> tuple[md.ParticleSystem, Moments]:
    """Return the moments of the weights along SGD of constant rate from Adam's minimum, replicas being seeds x rates.

    Both descend the restrained energy, for without weight decay nothing moves the weights where the loss is zero. Adam
    takes its part of the budget, SGD the rest; every EVERY steps the weights are taken in.
    """
    problem, copies = task.problem, len(values)
    system, moments = task.particles(problem.temperature, copies=copies), Moments()
    start = simmering.overfit(task, problem.temperature, progress=False).repeat_interleave(copies, 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        descent = SGD(Clipped(system.minibatch(ROWS), LIMIT), by_replica(task, np.array(values)), momentum=MOMENTUM)
        phase = descent.start(start, torch.zeros_like(start), system.masses)
        for step in range(1, problem.budget - problem.adam_steps + 1):
            descent(phase)
            if step % EVERY == 0:
                moments.add(phase.q)
    return system, moments


def swa(task: Task, values: Values) -> Array:
    """Return the test outputs (values, 1, seeds, rows, outputs) of the mean weights, by SGD's rate.

    Reference: Izmailov, Podoprikhin, Garipov, Vetrov, Wilson, UAI 2018, arXiv:1803.05407.
    """
    system, moments = descended(task, values)
    return task.predict(system, moments.mean.to(system.dtype))[:, None]


def swag(task: Task, values: Values) -> Array:
    """Return the test outputs (values, members, seeds, rows, outputs) of draws from SWAG's Gaussian, by SGD's rate."""
    system, moments = descended(task, values)
    generator = torch.Generator().manual_seed(task.seed)
    said = [task.predict(system, moments.draw(generator).to(system.dtype)) for _ in range(MEMBERS)]
    return np.stack(said, 1)


_SPENT = (
    "from the minimum of Adam + the same restraint SGD of constant rate with the rest of the budget (momentum "
    f"{MOMENTUM}, {ROWS} rows a step, which counts as one gradient, its length clipped to {LIMIT:g}), weights taken in "
    f"every {EVERY} steps;"
)
SWA = Control("SWA", swa, f"{_SPENT} their mean predicts.", "Rate", RATES)
SWAG = Control(
    "SWAG", swag, f"{_SPENT} {MEMBERS} draws of a Gaussian of rank {RANK} and diagonal predict.", "Rate", RATES
)
