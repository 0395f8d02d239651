"""What a model of data averaging is: network, rows, learning rates and batches, and how long each temperature runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from mdnet.cadence import At
from mdnet.data.splitting import Part
from mdnet.spelling import unknown
from mdnet.system import Loss

Floats = NDArray[np.float64]
FEWEST, FEWEST_SPLITS = 3, 2
RULE = 2e-4  # the temperature at which the rule of epochs gives its least
SETTLED = 1 / 6  # of a run: the published metrics are those of 50 of 300 epochs
_EARLIEST = 0.01  # of a run, but for its start


class Variant(NamedTuple):
    """A form of SGD: PyTorch's momentum or none, and whether the learning rate falls along a cosine."""

    momentum: float
    cosine: bool


VARIANTS = {
    "sgd": Variant(0.0, False),
    "momentum": Variant(0.9, False),
    "cosine": Variant(0.0, True),
    "momentum-cosine": Variant(0.9, True),
}
SAMPLINGS = ("split", "random")


@dataclass(frozen=True, eq=False)
class Model:
    """A network with a data set, the temperatures T = rate/batch at which it is trained, and how it is looked at.

    `data`: all rows (inputs, targets), training and test rows merged; of these each data set has `train` rows to train
    on and `test` others. `rates` (n,) with `batch`, one number or (n,): T rises. `splits`: data sets. Weights decay by
    `decay`. Each temperature takes `exposure`/rate steps, or, where `epochs` is given, so many epochs times
    `stretch(T)`.

    `early` log-spaced looks and `last` evenly spaced ones in the last sixth, which the steady state is the median of,
    are at the same fractions of every temperature's own run. `together`: whether all temperatures are replicas of one
    simulation, in which those that are through go on unlooked at; else each is a run of its own. `block`: rows that a
    network is shown at once when it is looked at, by default all.

    `published` and `note`: what the paper ran, and what this is beside it. Raises ValueError, naming what is wrong, for
    fewer than three temperatures, another number of batches than rates, temperatures that do not ascend, fewer than two
    splits and too few steps for the looks.
    """

    name: str
    title: str
    network: Callable[[], nn.Module]
    data: Callable[[], Part]
    rates: Sequence[float]
    batch: int | Sequence[int]
    train: int
    test: int
    splits: int = 8
    exposure: float = 200.0
    epochs: float | None = None
    decay: float = 5e-4
    loss: Loss = cross_entropy
    early: int = 8
    last: int = 20
    together: bool = True
    block: int | None = None
    dtype: torch.dtype = torch.float32
    published: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if np.ndim(self.batch) and len(np.asarray(self.batch)) != len(self.rates):
            raise ValueError(
                f"{len(self.rates)} rates and {len(np.asarray(self.batch))} batches: this model has a batch for each "
                "rate; give as many rates, or leave them out"
            )
        t = self.temperatures
        if len(t) < FEWEST:
            raise ValueError(f"rates = {list(self.rates)}: a curve over temperatures needs {FEWEST} or more")
        if not (t[0] > 0 and np.isfinite(t[-1]) and all(a < b for a, b in pairwise(t))):
            raise ValueError(
                f"rates = {list(self.rates)} with batch = {self.batch}: T = rate/batch must be positive and ascend, "
                f"but is {t.tolist()}"
            )
        if self.splits < FEWEST_SPLITS:
            raise ValueError(f"splits = {self.splits}: errors over data sets need {FEWEST_SPLITS} or more")
        if self.ends.min() * SETTLED < self.last:
            raise ValueError(
                f"exposure = {self.exposure:g}: the highest rate would take {int(self.ends.min())} steps, but the last "
                f"sixth of a run is looked at {self.last} times; take {6 * self.last} steps or more, a rate of "
                f"{self.exposure / (6 * self.last):.3g} or less, or fewer looks"
            )

    @property
    def batches(self) -> NDArray[np.int64]:
        """The batch of each temperature (n,)."""
        return np.broadcast_to(np.asarray(self.batch, np.int64), (len(self.rates),))

    @property
    def temperatures(self) -> Floats:
        """T = rate/batch (n,)."""
        return np.asarray(np.asarray(self.rates, np.float64) / self.batches)

    @property
    def ends(self) -> NDArray[np.int64]:
        """How many steps each temperature takes (n,)."""
        if self.epochs is None:
            return np.asarray(np.rint(self.exposure / np.asarray(self.rates)), np.int64)
        passes = self.epochs * stretch(self.temperatures)
        return np.asarray(np.rint(passes * self.train / self.batches), np.int64)

    @property
    def fractions(self) -> Floats:
        """The fractions of a run at which it is looked at (early + last,), rising to 1."""
        late = 1 - SETTLED * np.arange(self.last)[::-1] / self.last
        return np.asarray(np.concatenate([np.geomspace(_EARLIEST, 1 - SETTLED, self.early), late]))

    @property
    def steps(self) -> NDArray[np.int64]:
        """The steps at which each temperature is looked at (early + last, n)."""
        return np.asarray(np.maximum(np.rint(self.fractions[:, None] * self.ends), 1), np.int64)

    def looks(self, group: Sequence[int]) -> At:
        """Return when temperatures that run together are looked at, the start included."""
        return At([0, *self.steps[:, list(group)].ravel().tolist()])

    @property
    def groups(self) -> list[list[int]]:
        """The temperatures that run together, by their places."""
        places = list(range(len(self.rates)))
        return [places] if self.together else [[place] for place in places]

    def with_(self, rates: Sequence[float] | None = None, splits: int | None = None) -> Model:
        """Return the model with other rates or splits where they are given."""
        return replace(
            self, rates=self.rates if rates is None else rates, splits=self.splits if splits is None else splits
        )


def stretch(temperatures: Floats) -> Floats:
    """Return max(1, min(4, 1 + (2e-4/T - 1)/4)) of each T (n,): cold runs take longer, up to four times."""
    return np.asarray(np.clip(1 + (RULE / temperatures - 1) / 4, 1, 4))


def variant(name: str) -> Variant:
    """Return a form of SGD by name; raises ValueError for an unknown one."""
    if name not in VARIANTS:
        raise ValueError(unknown("variant", name, VARIANTS))
    return VARIANTS[name]


def sampled(model: Model, sampling: str, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows that each data set trains on (splits, train) and is tested on (splits, test), int64.

    "split": all rows are shuffled and divided anew. "random": training rows are drawn from all, with replacement, and
    test rows are those that were not drawn. Data set s depends on `seed` + s alone, so that all temperatures and
    variants share it. Raises ValueError for an unknown sampling, and where there are too few rows.
    """
    if sampling not in SAMPLINGS:
        raise ValueError(unknown("sampling", sampling, SAMPLINGS))
    n = len(model.data()[1])
    parts = [_drawn(model, sampling, n, seed + s) for s in range(model.splits)]
    return torch.stack([train for train, _ in parts]), torch.stack([test for _, test in parts])


def _drawn(model: Model, sampling: str, n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(n, generator=generator)
    train, others = order[: model.train], order[model.train :]
    if sampling == "random":
        train = torch.randint(n, (model.train,), generator=generator)
        others = order[~torch.isin(order, train)]
    if len(train) < model.train or len(others) < model.test:
        raise ValueError(
            f"train = {model.train}, test = {model.test}: of {n} rows {len(others)} are left to test on by sampling "
            f"{sampling!r}; take fewer"
        )
    return train, others[: model.test]
