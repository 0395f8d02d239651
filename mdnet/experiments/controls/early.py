"""Ensembles of early-stopped networks: each keeps the weights where its loss on rows of its own was least."""

from __future__ import annotations

import torch
from torch import Tensor

import mdnet as md
from mdnet.experiments.controls.control import Control
from mdnet.experiments.problems import HELD_OUT, Task
from mdnet.experiments.results import Array
from mdnet.experiments.selection import Values

MEMBERS = 8


def early_stopped(task: Task, values: Values) -> Array:
    """Return the test outputs (1, members, seeds, rows, outputs) of networks stopped where the held-out loss is least.

    Every member starts elsewhere and holds out a quarter of its own of the training rows.
    """
    data, rate = task.data, task.problem.adam_rate
    seeds, rows = data.index.shape
    order = torch.rand(seeds * MEMBERS, rows, generator=torch.Generator().manual_seed(task.seed)).argsort(-1)
    left = round(HELD_OUT * rows)
    system = task.particles(copies=MEMBERS, rows=order[:, left:])
    index = data.index.repeat_interleave(MEMBERS, 0).gather(1, order[:, :left])
    best = system.positions(seed=task.seed + 1)
    lowest = torch.full((len(best),), float("inf"))

    def keep_best(q: Tensor) -> None:
        now = system.evaluate(system.loss, q, data.inputs[index], data.targets[index], per_replica=True)
        better = now < lowest
        lowest[better], best[better] = now[better], q[better]

    md.minimise(system, best, task.problem.budget // MEMBERS, rate, progress=False, every=25, watch=keep_best)
    return task.predict(system, best)[None]


EARLY = Control(
    f"early stopping, ensemble of {MEMBERS}",
    early_stopped,
    f"an {MEMBERS}th of the budget in steps of Adam a network, each with its own quarter of the training rows held out "
    "to stop by.",
)
