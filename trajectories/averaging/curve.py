"""Losses and accuracies by temperature and data set, and the data sets drawn again that give intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from trajectories.sgd.table import Floats, Values, over_seeds
from trajectories.sgd.temperature import Resampled, scatter

Name = Literal["gap", "train", "test", "train_accuracy", "test_accuracy"]


@dataclass(frozen=True, eq=False)
class Curve:
    """Steady values of runs at n temperatures on the same data sets, each data set a column of its own.

    `temperatures` (n,), rising, T = lr/B for SGD; `train` and `test`: losses (n, splits); `train_accuracy` and
    `test_accuracy`: (n, splits), or None. A split is a data set with its start, the same at every temperature: so the
    curves are paired. Values that are not finite (a run that diverged) are allowed; what is computed tells of them.

    Raises ValueError for shapes that do not fit, and temperatures that are not positive and rising.
    """

    temperatures: Floats
    train: Floats
    test: Floats
    train_accuracy: Floats | None = None
    test_accuracy: Floats | None = None

    def __post_init__(self) -> None:
        for name in ("temperatures", "train", "test", "train_accuracy", "test_accuracy"):
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, np.asarray(given, dtype=np.float64))
        t, shape = self.temperatures, self.train.shape
        others = (self.test, self.train_accuracy, self.test_accuracy)
        if t.ndim != 1 or len(shape) != 2 or not len(t) or any(x is not None and x.shape != shape for x in others):
            raise ValueError(f"temperatures {t.shape} and train {shape}: (n,) and (n, splits), all tables alike")
        if len(t) != shape[0] or not (np.all(t > 0) and np.all(np.diff(t) > 0)):
            raise ValueError(f"temperatures = {t.tolist()}: give one for each of {shape[0]} rows, positive and rising")

    @property
    def splits(self) -> int:
        """How many data sets there are."""
        return int(self.train.shape[1])

    @property
    def gap(self) -> Floats:
        """Test loss less train loss (n, splits)."""
        return self.test - self.train

    def table(self, name: Name) -> Floats:
        """Return one of the tables (n, splits) by name; raises ValueError for one that there is not."""
        if name not in ("gap", "train", "test", "train_accuracy", "test_accuracy") or getattr(self, name) is None:
            there = [one for one in ("train_accuracy", "test_accuracy") if getattr(self, one) is not None]
            raise ValueError(f"no {name!r} by temperature: there is {', '.join(['gap', 'train', 'test', *there])}")
        return cast(Floats, getattr(self, name))

    def mean(self, name: Name) -> Values:
        """Return the mean (n,) over data sets and its standard error, nan of a single data set."""
        return over_seeds(self.table(name))


def weights(splits: int, resamples: int, seed: int) -> Floats:
    """Return what each data set weighs in each resample, (resamples, splits), of sum 1; no resample of one data set.

    Each resample draws splits - 1 data sets with replacement, whole curves: its scatter is then the standard error,
    without the bias of drawing all of them. One draw serves every temperature and every curve: that is the pairing.

    Reference: Rao, Wu, J. Am. Stat. Assoc. 83, 231 (1988).
    """
    if splits < 2:
        return np.empty((0, splits))
    drawn = np.random.default_rng(seed).multinomial(splits - 1, np.full(splits, 1 / splits), size=resamples)
    return np.asarray(drawn / (splits - 1))


def reach(drawn: Floats, splits: int) -> Floats:
    """Return half the width (...) of the 95 % interval of what resamples (resamples, ...) scatter about.

    Student's t of splits - 1 standard errors; nan where fewer than half of the resamples are finite.
    """
    flat = drawn.reshape(len(drawn), -1)
    return np.asarray((Resampled(flat, splits).quantile * scatter(flat)).reshape(drawn.shape[1:]))


def middle(drawn: Floats) -> tuple[float, float]:
    """Return the ends between which 95 % of the resamples (resamples,) lie; nan where not half of them are finite."""
    kept = drawn[np.isfinite(drawn)]
    if len(kept) < 2 or 2 * len(kept) < len(drawn):
        return np.nan, np.nan
    low, high = np.quantile(kept, [0.025, 0.975]).tolist()
    return low, high


def known(table: Floats) -> NDArray[np.bool_]:
    """Return at which temperatures (n,) all data sets of a table (n, splits) have a value."""
    return np.asarray(np.isfinite(table).all(axis=-1))
