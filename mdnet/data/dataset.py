"""A data set: inputs and targets as tensors, and what is known about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Kind = Literal["regression", "classification"]


@dataclass(frozen=True, eq=False)
class DataSet:
    """Inputs (n, ...) float32 with targets (n, 1) float32 for regression or (n,) int64 for classification.

    `source`: where it came from. `classes`: how many, 0 for regression. `features`: the names of the input
    columns, () for images. `training_rows`: where the set comes divided, its first rows that are for
    training; the others are its test set, and `split` keeps to that. Raises ValueError where rows differ.
    """

    name: str
    inputs: Tensor
    targets: Tensor
    kind: Kind
    source: str
    classes: int = 0
    features: tuple[str, ...] = ()
    training_rows: int | None = None

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets):
            raise ValueError(f"data set {self.name!r} has {len(self.inputs)} inputs but {len(self.targets)} targets")

    def __len__(self) -> int:
        """Return the number of rows n."""
        return len(self.inputs)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return tuple(self.inputs.shape[1:])

    @property
    def outputs(self) -> int:
        """How many outputs a network for it has: one a class, or one a target."""
        return self.classes or self.targets.shape[1]
