"""A control: a method with a name, and the values of its setting that are tried on held-out rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mdnet.experiments.problems import Task
from mdnet.experiments.results import Array
from mdnet.experiments.selection import Family, Values, choose


@dataclass(frozen=True)
class Control:
    """A method beside simmering.

    `family`: (task, values) -> test predictions (values, members, seeds, rows, outputs), log-probabilities up to a
    constant where the targets are classes. `setting`: what the values are of; with one value nothing is chosen.
    `note`: what it spends and how it predicts.
    """

    name: str
    family: Family
    note: str
    setting: str = ""
    values: tuple[float, ...] = (0.0,)

    def predict(self, task: Task) -> tuple[Array, str]:
        """Return the predictions (members, seeds, rows, outputs) with the values chosen by seed, and a note."""
        if len(self.values) == 1:
            return self.family(task, self.values)[0], f"{self.name}: {self.note}"
        found = choose(task, self.family, self.values)
        said = self.family(task, found.chosen[None])[0]
        return said, f"{self.name}: {self.note} {self.setting} {found.note}."


def by_replica(task: Task, values: Values, members: int = 1) -> Tensor:
    """Return the values as a column (replicas, 1), replicas being seeds x values x members."""
    return torch.from_numpy(broadcast(task, values)).T.repeat_interleave(members, 1).reshape(-1, 1)


def broadcast(task: Task, values: Values) -> Array:
    """Return the values for every seed (values, seeds): as they are, or each for all seeds."""
    given = np.asarray(values, dtype=float)
    return np.broadcast_to(given.reshape(len(given), -1), (len(given), task.seeds)).copy()
