"""A curve as a table, and all that holds of it, for a command or a page."""

from __future__ import annotations

from typing import Any

import numpy as np

from trajectories.averaging.curve import Name
from trajectories.averaging.gap import GapLaw, fit_gap
from trajectories.averaging.optimum import Optimum, optimum
from trajectories.averaging.predictions import Statement, predictions
from trajectories.averaging.reading import Averaged
from trajectories.averaging.trends import Scatter, scatter_of_loss
from trajectories.sgd.table import Floats, over_seeds

_TITLES: dict[Name, str] = {
    "train": "train",
    "test": "test",
    "gap": "gap",
    "train_accuracy": "train accuracy",
    "test_accuracy": "test accuracy",
}


def columns(found: Averaged) -> dict[str, Floats]:
    """Return columns (n,) by name: T, rate, batch, and losses, gap and accuracies with their standard errors."""
    told = {"T": found.curve.temperatures, "rate": found.rates}
    if np.isfinite(found.batches).any():
        told["batch"] = found.batches
    for name, title in _TITLES.items():
        if name == "gap" or getattr(found.curve, name) is not None:
            told[title], told[f"± {title}"] = found.curve.mean(name)
    if found.deviation is not None:
        told["sigma_l"], told["± sigma_l"] = over_seeds(found.deviation)
    return told


class Summary:
    """The law of the gap, the optimum, the predictions and, where sigma_l was recorded, how it goes with the test loss.

    Attributes: `gap`, `optimum`, `statements`, `scatter` (None without sigma_l).
    """

    def __init__(self, found: Averaged) -> None:
        self.gap: GapLaw = fit_gap(found.curve)
        self.optimum: Optimum = optimum(found.curve)
        self.statements: tuple[Statement, ...] = predictions(found.curve, self.gap, self.optimum)
        self.scatter: Scatter | None = (
            None if found.deviation is None else scatter_of_loss(found.curve.test, found.deviation)
        )

    def told(self) -> dict[str, Any]:
        """Return all of it by name, for programs."""
        law, best = self.gap, self.optimum
        told: dict[str, Any] = {
            "gap": {"a": law.a, "b": law.b, "c": law.c, "r2": law.r2, "intervals": law.intervals, "reason": law.reason},
            "optimum": {
                "temperature": best.temperature,
                "interval": best.interval,
                "depth": best.depth.value,
                "depth_error": best.depth.error,
                "interior": best.interior,
            },
            "predictions": {one.prediction: {"holds": one.holds, "evidence": one.evidence} for one in self.statements},
        }
        if self.scatter is not None:
            told["sigma_l"] = {
                "correlation": self.scatter.correlation,
                "interval": self.scatter.interval,
                "slope": self.scatter.slope.value,
                "intercept": self.scatter.intercept.value,
            }
        return told

    def lines(self) -> list[str]:
        """Return all of it in words."""
        words = {True: "holds", False: "contradicted", None: "undecided"}
        told = [f"{one.prediction} {one.claim}: {words[one.holds]}; {one.evidence}" for one in self.statements]
        if self.scatter is not None:
            low, high = self.scatter.interval
            told.append(
                f"sigma_l = {self.scatter.intercept} + ({self.scatter.slope}) x test loss, "
                f"correlation {self.scatter.correlation:.3f} [{low:.3f}, {high:.3f}]"
            )
        return told
