"""Ensembles of networks from different starts: on all rows, on bootstrap draws of them, and with a restraint."""

from __future__ import annotations

import torch
from torch import Tensor

import mdnet as md
from mdnet.experiments.controls.control import Control
from mdnet.experiments.problems import Task
from mdnet.experiments.results import Array
from mdnet.experiments.selection import Values

MEMBERS = 8


def deep(task: Task, values: Values) -> Array:
    """Return the test outputs (1, members, seeds, rows, outputs) of networks from random starts."""
    return trained(task)


def deep_restrained(task: Task, values: Values) -> Array:
    """Return the same with the energy T|theta|^2/(2s^2) of the problem's restrained run."""
    return trained(task, task.problem.temperature)


def bagging(task: Task, values: Values) -> Array:
    """Return the same of networks that each see a bootstrap draw of their seed's rows."""
    return trained(task, rows=bootstrap(task))


def trained(task: Task, restraint: float = 0.0, rows: Tensor | None = None) -> Array:
    """Return the test outputs (1, members, seeds, rows, outputs) after Adam, the budget shared by the members.

    `rows`: as Task.particles takes them, replicas being seeds x members.
    """
    problem = task.problem
    system = task.particles(restraint, copies=MEMBERS, rows=rows)
    start = system.positions(seed=task.seed + 1)
    q = md.minimise(system, start, problem.budget // MEMBERS, problem.adam_rate, progress=False)
    return task.predict(system, q)[None]


def bootstrap(task: Task) -> Tensor:
    """Return for every member of every seed places of training rows (seeds members, rows), with replacement."""
    seeds, rows = task.data.index.shape
    return torch.randint(rows, (seeds * MEMBERS, rows), generator=torch.Generator().manual_seed(task.seed))


_SPENT = f"an {MEMBERS}th of the budget in steps of Adam a network, each from a start of its own"
DEEP = Control(f"deep ensemble of {MEMBERS}", deep, f"{_SPENT}.")
BAGGING = Control(f"bagging of {MEMBERS}", bagging, f"{_SPENT} and on a bootstrap draw of the rows.")
DEEP_RESTRAINED = Control(
    f"deep ensemble of {MEMBERS} + the same restraint", deep_restrained, f"{_SPENT}, with simmering's restraint."
)
