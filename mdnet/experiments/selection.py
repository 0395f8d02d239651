"""Settings chosen on held-out training rows: each seed takes the value of least loss there; no test row is seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mdnet.experiments.problems import HELD_OUT, Task
from mdnet.experiments.results import Array
from trajectories import ensemble

Values = Sequence[float] | Array
"""Settings of a method: one for all seeds each, or (values, seeds)."""
Family = Callable[[Task, Values], Array]
"""A method with a setting: (task, values) -> predictions on the test rows (values, members, seeds, rows, outputs)."""


TEMPERATURES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
"""Of the restraint, and of the ensemble where there is one: the same for every method that has it."""


@dataclass(frozen=True, eq=False)
class Selection:
    """The value that each seed chose."""

    values: tuple[float, ...]
    losses: Array  # (values, seeds): on the held-out rows

    @property
    def places(self) -> Array:
        """Where in `values` each seed's choice is, (seeds,): the least loss; one that is not finite is never chosen."""
        return np.asarray(np.where(np.isfinite(self.losses), self.losses, np.inf).argmin(0))

    @property
    def chosen(self) -> Array:
        """The value of each seed (seeds,)."""
        return np.array(self.values)[self.places]

    @property
    def note(self) -> str:
        """How the value was chosen, and how often each was."""
        counts = [f"{value:g} ({(self.places == i).sum()})" for i, value in enumerate(self.values)]
        return f"chosen on {HELD_OUT:.0%} of each seed's training rows among {', '.join(counts)} (seeds)"


def choose(task: Task, family: Family, values: Sequence[float]) -> Selection:
    """Try the values on a part of each seed's training rows, and take the loss on the others.

    The loss is that of the joint prediction: mean squared error of the mean, negative log-likelihood of the mean
    softmax. What this costs is not part of a method's budget. Raises ValueError where there is no value.
    """
    if not values:
        raise ValueError("values = []: there must be one or more to choose from")
    part = task.held_out
    return Selection(tuple(values), np.stack([joint_loss(part, said) for said in family(part, values)]))


def joint_loss(task: Task, predictions: Array) -> Array:
    """Return the loss (seeds,) of an ensemble's joint prediction from (members, seeds, rows, outputs)."""
    if not task.classes:
        together = predictions.mean(0)
        return np.asarray(((together - task.truth) ** 2).mean((1, 2)))
    together = ensemble.mean_softmax(predictions, over="samples")  # (seeds, rows, classes)
    return np.array([float(ensemble.nll(p, t)) for p, t in zip(together, task.truth, strict=True)])
