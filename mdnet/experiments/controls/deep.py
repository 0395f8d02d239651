"""Ensembles of networks from different starts: on all rows, on bootstrap draws of them, and with a restraint."""

from __future__ import annotations

import torch
from torch import Tensor

import mdnet as md
from mdnet.experiments.controls.control import Control, by_replica
from mdnet.experiments.problems import Task
from mdnet.experiments.results import Array
from mdnet.experiments.selection import TEMPERATURES, Values

MEMBERS = 8


def deep(task: Task, values: Values) -> Array:
    """Return the test outputs (values, members, seeds, rows, outputs) of networks from random starts, by restraint."""
    return trained(task, values)


def bagging(task: Task, values: Values) -> Array:
    """Return the same of networks that each see a bootstrap draw of their seed's rows."""
    return trained(task, values, rows=bootstrap(task).repeat_interleave(len(values), 0))


def trained(task: Task, values: Values, rows: Tensor | None = None) -> Array:
    """Return the test outputs (values, members, seeds, rows, outputs) after Adam, the budget shared by the members.

    A member starts at the same weights whatever the restraint. `rows`: as Task.particles takes them, replicas being
    seeds x values x members.
    """
    problem, copies = task.problem, len(values) * MEMBERS
    system = task.particles(by_replica(task, values, MEMBERS), copies=copies, rows=rows)
    start = task.particles(copies=MEMBERS).positions(seed=task.seed + 1)
    start = start.view(task.seeds, 1, MEMBERS, -1).expand(-1, len(values), -1, -1).reshape(task.seeds * copies, -1)
    q = md.minimise(system, start, problem.budget // MEMBERS, problem.adam_rate, progress=False)
    said = task.predict(system, q)
    return said.reshape(len(values), MEMBERS, *said.shape[1:])


def bootstrap(task: Task) -> Tensor:
    """Return for every member of every seed places of training rows (seeds members, rows), with replacement."""
    seeds, rows = task.data.index.shape
    return torch.randint(rows, (seeds * MEMBERS, rows), generator=torch.Generator().manual_seed(task.seed))


_SPENT = f"an {MEMBERS}th of the budget in steps of Adam a network, each from a start of its own"
DEEP = Control(f"deep ensemble of {MEMBERS}", deep, f"{_SPENT}.")
BAGGING = Control(f"bagging of {MEMBERS}", bagging, f"{_SPENT} and on a bootstrap draw of the rows.")
DEEP_RESTRAINED = Control(
    f"deep ensemble of {MEMBERS}, restraint chosen", deep, f"{_SPENT}, with the energy T|θ|²/(2s²).", "T", TEMPERATURES
)
