"""Training and test parts of a data set, label noise, and the splits of several seeds joined into one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mdnet.data.dataset import DataSet

Part = tuple[Tensor, Tensor]
"""Inputs (n, ...) and targets (n, 1) or (n,)."""


@dataclass(frozen=True, eq=False)
class Scale:
    """An affine map to mean zero and standard deviation one: (x - mean)/sd, each (1, ...)."""

    mean: Tensor
    sd: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return x in units of the training set's spread."""
        return (x - self.mean) / self.sd

    def back(self, x: Tensor) -> Tensor:
        """Return x in its own units."""
        return x * self.sd + self.mean


@dataclass(frozen=True, eq=False)
class Split:
    """A training and a test part, and the maps that standardised them (None where nothing was)."""

    train: Part
    test: Part
    inputs_scale: Scale | None = None
    targets_scale: Scale | None = None


def split(
    dataset: DataSet, train: int | float | None = None, *, test: int | None = None, seed: int = 0,
    standardise: bool = True, stratified: bool = False,
) -> Split:  # fmt: skip
    """Draw training and test rows at random, without replacement.

    `train`: how many rows, or a fraction of them; by default the training part that the set comes with, else
    0.8. `test`: how many of the other rows, all by default. Where the set comes divided (images, sine), rows
    are drawn from its own parts. `standardise`: inputs, and targets of a regression, to mean 0 and standard
    deviation 1 of the TRAINING rows: by feature, or by channel of images. `stratified`: every class keeps its
    share.

    Raises ValueError for numbers of rows that the set does not have, and for a stratified regression.
    """
    if stratified and dataset.kind != "classification":
        raise ValueError(f"stratified needs classes, but data set {dataset.name!r} is a regression")
    chosen, others = _rows(dataset, train, test, seed, stratified)
    x, y = dataset.inputs, dataset.targets
    if not standardise:
        return Split((x[chosen], y[chosen]), (x[others], y[others]))
    inputs = _scale(x[chosen])
    targets = _scale(y[chosen]) if dataset.kind == "regression" else None
    parts = [(inputs.forward(x[rows]), targets.forward(y[rows]) if targets else y[rows]) for rows in (chosen, others)]
    return Split(parts[0], parts[1], inputs, targets)


def label_noise(targets: Tensor, fraction: float, classes: int, seed: int) -> Tensor:
    """Return labels (n,) of which a random `fraction` is replaced by labels drawn uniformly from all classes.

    round(fraction n) rows are replaced; a drawn label may be the old one, so a share fraction (1 - 1/classes)
    is wrong in the mean. A `split` of the same rows by the same seed draws the same permutation, so that the replaced
    labels would be those of its first training rows: replace them after the split, or by another seed. Raises
    ValueError for a fraction outside 0 to 1.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"label_noise = {fraction} must be a fraction from 0 to 1")
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(targets), generator=generator)[: round(fraction * len(targets))]
    noisy = targets.clone()
    noisy[rows] = torch.randint(classes, (len(rows),), generator=generator)
    return noisy


@dataclass(frozen=True, eq=False)
class Stack:
    """Several splits as one data set: replica r of a ParticleSystem sees the rows index[r], its own split.

    `inputs` (replicas n, ...), `targets` and `index` (replicas, n) are what ParticleSystem takes; `train` and
    `test` (replicas, rows, ...) are what Evaluate and Predictions take with per_replica=True.
    """

    train: Part
    test: Part

    @property
    def inputs(self) -> Tensor:
        """The training inputs of all splits, one after the other."""
        return self.train[0].flatten(0, 1)

    @property
    def targets(self) -> Tensor:
        """The training targets of all splits, one after the other."""
        return self.train[1].flatten(0, 1)

    @property
    def index(self) -> Tensor:
        """The rows of every replica (replicas, n)."""
        replicas, n = self.train[1].shape[:2]
        return torch.arange(replicas * n).reshape(replicas, n)


def stack(splits: Sequence[Split]) -> Stack:
    """Join splits, one a replica, so that all run as one batch.

    Raises ValueError where there is none, or where they differ in their numbers of rows.
    """
    sizes = {(len(each.train[1]), len(each.test[1])) for each in splits}
    if len(sizes) != 1:
        raise ValueError(
            f"splits to stack have (training, test) rows {sorted(sizes)}; they must be one or more, all of one size: "
            "give split the same train and test"
        )
    return Stack(_stacked([each.train for each in splits]), _stacked([each.test for each in splits]))


def _stacked(parts: Sequence[Part]) -> Part:
    return torch.stack([x for x, _ in parts]), torch.stack([y for _, y in parts])


def _scale(x: Tensor) -> Scale:
    """The scale of every feature (n, features), or of every channel (n, channels, height, width)."""
    over = [0, *range(2, x.ndim)]
    mean, sd = x.mean(over, keepdim=True), x.std(over, keepdim=True, correction=0)
    return Scale(mean, torch.where(sd > 0, sd, 1.0))


def _rows(
    dataset: DataSet, train: int | float | None, test: int | None, seed: int, stratified: bool
) -> tuple[Tensor, Tensor]:
    own, n = dataset.training_rows, len(dataset)
    pool = own or n
    wanted = (1.0 if own else 0.8) if train is None else train
    count = round(wanted * pool) if isinstance(wanted, float) and 0 < wanted <= 1 else wanted
    if not isinstance(count, int) or not 1 <= count <= (pool if own else n - 1):
        raise ValueError(
            f"train = {train}: data set {dataset.name!r} has {pool} rows to train on, and one or more must be left to "
            "test; give a number of rows, or a fraction"
        )
    order = _order(dataset, pool, count, seed, stratified)
    others = torch.arange(own, n) if own else order[count:]
    left = len(others)
    if test is not None and not 1 <= test <= left:
        raise ValueError(f"test = {test}: data set {dataset.name!r} has {left} rows left to test on")
    if own and test is not None:
        others = others[torch.randperm(left, generator=torch.Generator().manual_seed(seed))]
    return order[:count], others[:test]


def _order(dataset: DataSet, pool: int, count: int, seed: int, stratified: bool) -> Tensor:
    """The rows to draw from in random order, of which the first `count` train."""
    order = torch.randperm(pool, generator=torch.Generator().manual_seed(seed))
    if not stratified or count == pool:
        return order
    from sklearn.model_selection import train_test_split

    labels = dataset.targets[:pool][order].numpy()
    parts = train_test_split(order.numpy(), train_size=count, stratify=labels, random_state=seed)
    return torch.cat([torch.from_numpy(part) for part in parts])
