"""Settings chosen on held-out training rows: each seed takes the value of least loss there; no test row is seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mdnet.experiments.problems import HELD_OUT, Task
from mdnet.experiments.results import Array
from trajectories import ensemble

Family = Callable[[Task, Sequence[float]], Array]
"""A method with a setting: (task, values) -> predictions on the test rows (values, members, seeds, rows, outputs)."""


@dataclass(frozen=True, eq=False)
class Selection:
    """What a method says with the value that each seed chose, and with every value."""

    values: tuple[float, ...]
    chosen: Array  # (seeds,) int: places in `values`
    losses: Array  # (values, seeds): on the held-out rows
    predictions: Array  # (values, members, seeds, rows, outputs): trained on all training rows

    @property
    def best(self) -> Array:
        """The predictions of each seed with its chosen value, (members, seeds, rows, outputs)."""
        seeds = np.arange(len(self.chosen))
        return np.moveaxis(self.predictions[self.chosen, :, seeds], 0, 1)

    @property
    def note(self) -> str:
        """How the value was chosen, and how often each was."""
        counts = [f"{value:g} ({(self.chosen == i).sum()})" for i, value in enumerate(self.values)]
        return f"chosen on {HELD_OUT:.0%} of each seed's training rows among {', '.join(counts)} (seeds)"


def select(task: Task, family: Family, values: Sequence[float]) -> Selection:
    """Try the values on a part of each seed's training rows, the loss taken on the others; then train on all.

    The loss is that of the joint prediction: mean squared error of the mean, negative log-likelihood of the mean
    softmax. Raises ValueError where there is no value.
    """
    if not values:
        raise ValueError("values = []: there must be one or more to choose from")
    part = task.held_out()
    losses = np.stack([joint_loss(part, said) for said in family(part, values)])
    return Selection(tuple(values), losses.argmin(0), losses, family(task, values))


def joint_loss(task: Task, predictions: Array) -> Array:
    """Return the loss (seeds,) of an ensemble's joint prediction from (members, seeds, rows, outputs)."""
    if not task.classes:
        together = predictions.mean(0)
        return np.asarray(((together - task.truth) ** 2).mean((1, 2)))
    together = ensemble.mean_softmax(predictions, over="samples")  # (seeds, rows, classes)
    return np.array([float(ensemble.nll(p, t)) for p, t in zip(together, task.truth, strict=True)])
