"""What the files of a study say: steady values by temperature and data set, the law of the gap, the best T."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import trajectories
from mdnet.experiments.data_averaging.models import Floats, Model
from trajectories.averaging import (
    Curve,
    GapLaw,
    Optimum,
    Scatter,
    Statement,
    Stationarity,
    Trend,
    averaged,
    fit_gap,
    optimum,
    predictions,
    scatter_of_loss,
    trend,
)
from trajectories.sgd import Values, over_seeds
from trajectories.sgd.reading import ENERGY, series

TEST = "test/loss"
_TABLES = ("train", "test", "train_accuracy", "test_accuracy")


@dataclass(frozen=True, eq=False)
class Found:
    """A study of a model by one variant of SGD, read; tables are (n, splits) and paired, series (looks, n, splits).

    `deviation`: sigma_l of one row; `train` and `test`: the losses at the model's own `fractions` of each run.
    """

    model: Model
    variant: str
    sampling: str
    runs: Sequence[Path]
    curve: Curve
    stationarity: Stationarity
    deviation: Floats
    train: Floats
    test: Floats

    @property
    def temperatures(self) -> Floats:
        """T = rate/batch (n,)."""
        return self.curve.temperatures

    @cached_property
    def law(self) -> GapLaw:
        """The fit of gap(T) = (a/T + b) exp(-T/c)."""
        return fit_gap(self.curve)

    @cached_property
    def best(self) -> Optimum:
        """The temperature of the least test loss."""
        return optimum(self.curve)

    @cached_property
    def falls(self) -> Trend:
        """How the gap goes with T."""
        return trend(self.temperatures, self.curve.gap)

    @cached_property
    def rises(self) -> Trend:
        """How the train loss goes with T."""
        return trend(self.temperatures, self.curve.train)

    @property
    def between(self) -> float:
        """The correlation over T of the test loss and its standard deviation over data sets."""
        test = self.curve.test
        return float(np.corrcoef(test.mean(axis=1), test.std(axis=1, ddof=1))[0, 1])

    @cached_property
    def scatter(self) -> Scatter:
        """How sigma_l goes with the test loss over all runs."""
        return scatter_of_loss(self.curve.test, self.deviation)

    @cached_property
    def statements(self) -> tuple[Statement, ...]:
        """What the curve says of predictions A, B and C."""
        return predictions(self.curve, self.law, self.best)

    @property
    def paired(self) -> Values:
        """Test loss less that at the lowest temperature (n,), with the error of paired data sets."""
        return over_seeds(self.curve.test - self.curve.test[0])

    @property
    def unpaired(self) -> Floats:
        """The error (n,) of the same difference, were the data sets of two temperatures not the same."""
        error = over_seeds(self.curve.test).error
        return np.asarray(np.hypot(error, error[0]))


def part(curve: Curve, places: slice | list[int]) -> Curve:
    """Return a curve at some of its temperatures, by their places."""
    return _reordered(curve, np.arange(len(curve.temperatures))[places], curve.temperatures[places])


def permuted(curve: Curve, order: NDArray[np.intp]) -> Curve:
    """Return a curve whose values belong to other temperatures, order (n,): the control in which T says nothing."""
    return _reordered(curve, order, curve.temperatures)


def _reordered(curve: Curve, rows: NDArray[np.intp], temperatures: Floats) -> Curve:
    tables: list[Any] = [getattr(curve, name) for name in _TABLES]
    taken: list[Any] = [None if each is None else each[rows] for each in tables]
    return Curve(temperatures, *taken)


def read(model: Model, runs: Sequence[Path], variant: str, sampling: str) -> Found:
    """Read the files of a model, one of all temperatures or one for each; raises trajectories' errors."""
    curves, moved, deviations, train, test = [], [], [], [], []
    for run, group in zip(runs, model.groups, strict=True):
        with trajectories.open(run) as opened:
            one = averaged(opened)[""]
            steps, values = series(opened, (ENERGY, TEST))
        looks = np.searchsorted(steps, model.steps[:, group])  # (looks, temperatures)
        column = np.arange(len(group))
        train.append(values[ENERGY][looks, column])
        test.append(values[TEST][looks, column])
        curves.append(one.curve)
        moved.append(one.stationarity)
        deviations.append(one.deviation)
    return Found(
        model, variant, sampling, runs, _joined(curves),
        Stationarity(
            np.concatenate([each.flags for each in moved]),
            Values(*(np.concatenate(column) for column in zip(*(each.change for each in moved), strict=True))),
        ),
        np.concatenate([each for each in deviations if each is not None]),
        np.concatenate(train, axis=1), np.concatenate(test, axis=1),
    )  # fmt: skip


def _joined(curves: Sequence[Curve]) -> Curve:
    return Curve(*(np.concatenate([getattr(each, name) for each in curves]) for name in ("temperatures", *_TABLES)))
