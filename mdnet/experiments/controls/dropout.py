"""Monte Carlo dropout: hidden units are left out at random while training and while predicting."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

import mdnet as md
from mdnet.experiments import simmering
from mdnet.experiments.controls.control import Control, by_replica
from mdnet.experiments.problems import Task
from mdnet.experiments.results import Array
from mdnet.experiments.selection import Values

RATES = (0.05, 0.1, 0.2, 0.5)
MEMBERS = 100


class Masks:
    """Draws which hidden units of a dense network stay, with the probability 1 - rate, scaled by 1/(1 - rate).

    To leave a unit out is to multiply the weights that read it: w_ij <- w_ij b_j/(1 - rate), b_j being 0 or 1. A mask
    holds for all rows of a step, which leaves the expectation of the gradient as with a mask for each row.
    `rates` (replicas, 1). Raises ValueError for rates outside 0 <= rate < 1.

    Reference: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, JMLR 15, 1929 (2014).
    """

    def __init__(self, system: md.ParticleSystem, rates: Tensor, seed: int) -> None:
        if not ((rates >= 0) & (rates < 1)).all():
            raise ValueError(f"rates = {rates.flatten().tolist()} of dropout must be at least 0 and below 1")
        self.rates, self.unit = rates.to(system.dtype), unit_read(system)
        self.units, self.generator = int(self.unit.max()), torch.Generator().manual_seed(seed)

    def __call__(self) -> Tensor:
        """Return the factors (replicas, dof) of the weights, drawn anew for every unit and replica."""
        drawn = torch.rand(len(self.rates), 1 + self.units, generator=self.generator)
        factors = (drawn >= self.rates) / (1 - self.rates)
        factors[:, 0] = 1
        return factors.index_select(1, self.unit)


def unit_read(system: md.ParticleSystem) -> Tensor:
    """Return the number of the hidden unit that each weight reads (dof,), from 1; 0 for biases and the first layer."""
    matrices = [entry for entry in system.table.entries if len(entry.shape) == 2]
    unit, before = torch.zeros(system.dof, dtype=torch.long), 1
    for reads, entry in pairwise(matrices):
        hidden = reads.shape[0]
        unit[entry.offset : entry.offset + entry.size] = torch.arange(before, before + hidden).repeat(entry.shape[0])
        before += hidden
    return unit


def dropout_force(system: md.ParticleSystem, q: Tensor, factors: Tensor) -> Tensor:
    """Return the force (replicas, dof) on q by the energy of the thinned networks, -d U(factors q)/dq."""
    return factors * system.force(factors * q)[1]


def dropout(task: Task, values: Values) -> Array:
    """Return the test outputs (values, members, seeds, rows, outputs) of thinned networks, by the rate of dropout.

    Reference: Gal, Ghahramani, ICML 2016, arXiv:1506.02142.
    """
    problem, copies = task.problem, len(values)
    system = task.particles(copies=copies)
    masks = Masks(system, by_replica(task, values), task.seed)
    q = simmering.starts(task).repeat_interleave(copies, 0)
    adam = torch.optim.Adam([q], lr=problem.adam_rate)
    for step in range(problem.budget):
        adam.param_groups[0]["lr"] = problem.adam_rate * (1 - step / problem.budget)
        q.grad = -dropout_force(system, q, masks())
        adam.step()
    said = [task.predict(system, masks() * q) for _ in range(MEMBERS)]  # each (values, seeds, rows, outputs)
    return np.stack(said, 1)


DROPOUT = Control(
    "dropout",
    dropout,
    "the whole budget in steps of Adam, each with a fresh mask of the hidden units and the rate falling linearly to "
    f"zero; {MEMBERS} masked networks predict.",
    "Rate",
    RATES,
)
