"""What a study can look at: the runs of a problem as they were made for its table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mdnet.experiments.problems import Task
from mdnet.experiments.results import Array, Comparison


@dataclass(frozen=True, eq=False)
class Finished:
    """A problem whose table is made.

    `folder`: where a study puts further runs, in folders of their own below it. `overfit`, `held`: Adam's weights
    (seeds, dof) without and with the restraint. `runs`: the folder of each simmering run by its method's name, with its
    trajectory (frames every 100 steps); `predictions`: what each method of the table says of the test rows,
    (members, seeds, rows, outputs).
    """

    task: Task
    folder: Path
    overfit: Tensor
    held: Tensor
    runs: Mapping[str, Path]
    predictions: Mapping[str, Array]
    comparison: Comparison
    overwrite: bool = False
    progress: bool = False
