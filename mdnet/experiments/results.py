"""How an experiment states its result: methods scored seed by seed, claims that can fail, one JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mdnet import figures
from trajectories import ensemble

Array = NDArray[Any]


@dataclass(frozen=True)
class Check:
    """A claim: what is expected, what was measured, and whether it holds."""

    name: str
    expectation: str
    measured: str
    holds: bool

    def entry(self) -> dict[str, str]:
        """Return it as the report reads it."""
        verdict = "pass" if self.holds else "fail"
        return {"name": self.name, "expectation": self.expectation, "measured": self.measured, "verdict": verdict}


@dataclass(frozen=True)
class Scores:
    """One method's scores, each (seeds,); `members` is the mean score of the single networks of an ensemble."""

    ensemble: Array
    members: Array | None = None
    nll: Array | None = None
    soft: Array | None = None  # accuracy of the mean softmax, beside that of the vote

    def entry(self) -> dict[str, list[float]]:
        """Return what is known as JSON holds it."""
        return {name: list(map(float, values)) for name, values in vars(self).items() if values is not None}


@dataclass
class Comparison:
    """Methods on the same seeds and the same test rows, scored by one metric.

    `targets` (seeds, rows, 1) or (seeds, rows): each seed's test set. `metric`: "r2", "mse" or "accuracy"; of
    an ensemble it is that of the mean prediction, or of the majority vote.
    """

    targets: Array
    metric: str
    scores: dict[str, Scores] = field(default_factory=dict)

    def add(self, method: str, predictions: Array) -> None:
        """Score a method from its test predictions (members, seeds, rows, outputs); one member is one network."""
        per_seed = [self._score(predictions[:, [s]], self.targets[s]) for s in range(predictions.shape[1])]
        columns: list[Any] = [None if values[0] is None else np.array(values) for values in zip(*per_seed, strict=True)]
        self.scores[method] = Scores(*columns)

    def _score(self, predictions: Array, targets: Array) -> tuple[float | None, ...]:
        single = len(predictions) == 1
        if self.metric == "accuracy":
            right = ensemble.accuracy(predictions[:, 0], targets)
            soft = ensemble.mean_softmax(predictions, over="everything")
            vote = ensemble.vote(predictions, over="everything")
            nll = float(ensemble.nll(soft, targets))
            return (
                float(ensemble.accuracy(vote, targets)),
                None if single else float(right.mean()),
                nll,
                float(ensemble.accuracy(soft, targets)),
            )
        score = ensemble.r2 if self.metric == "r2" else ensemble.mse
        members = None if single else float(score(predictions[:, 0], targets).mean())
        return float(score(ensemble.mean(predictions), targets)), members, None, None

    def better(self, method: str, other: str) -> Array:
        """Return by seed whether a method beats another (seeds,) bool."""
        one, two = self.scores[method].ensemble, self.scores[other].ensemble
        return one < two if self.metric == "mse" else one > two

    def gain(self, method: str, other: str) -> float:
        """Return the mean of a method's score less another's."""
        return float((self.scores[method].ensemble - self.scores[other].ensemble).mean())

    def ratio(self, method: str, other: str) -> float:
        """Return the median over seeds of a method's score divided by another's."""
        return float(np.median(self.scores[method].ensemble / self.scores[other].ensemble))

    @property
    def columns(self) -> list[str]:
        """The head of the table."""
        name = {"r2": "test R²", "mse": "error to the truth (MSE)", "accuracy": "test accuracy (vote)"}[self.metric]
        more = ["mean softmax", "NLL"] if self.metric == "accuracy" else []
        return ["method", name, "mean single network", *more, "seeds better than Adam"]

    @property
    def rows(self) -> list[list[str]]:
        """The table: means over seeds with standard errors."""
        first = next(iter(self.scores))
        table = []
        for method, scores in self.scores.items():
            row = [method, mean_of(scores.ensemble), mean_of(scores.members)]
            if self.metric == "accuracy":
                row += [mean_of(scores.soft), mean_of(scores.nll)]
            wins = "" if method == first else f"{self.better(method, first).sum()}/{len(scores.ensemble)}"
            table.append([*row, wins])
        return table


@dataclass(frozen=True, eq=False)
class Table:
    """A main table that scores no methods seed by seed."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    scores: Mapping[str, Scores] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Plot:
    """A picture of a result: its title, the figure, and a caption that says what is drawn and what the bars are."""

    title: str
    figure: Figure
    caption: str


@dataclass(frozen=True, eq=False)
class Study:
    """A question asked beside the main table, with its answer: a table, pictures, and claims that can fail.

    `name` is that of its files; `caption` tells how the table was made and what it says, `numbers` what JSON keeps.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    checks: Sequence[Check] = ()
    plots: Sequence[Plot] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> dict[str, Any]:
        """Write the pictures into a folder, and return the study as JSON holds it and the report reads it."""
        pictures = []
        for place, plot in enumerate(self.plots):
            file = f"{self.name}-{place + 1}.svg"
            figures.save(plot.figure, folder / file)
            pictures.append({"title": plot.title, "file": file, "caption": plot.caption})
        return {
            "name": self.name,
            "title": self.title,
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
            "caption": self.caption,
            "figures": pictures,
            "numbers": dict(self.numbers),
        }


def write(
    folder: Path,
    title: str,
    comparison: Comparison | Table,
    checks: Sequence[Check],
    notes: Sequence[str],
    studies: Sequence[Study] = (),
    runs: Sequence[Path] = (),
    seconds: Mapping[str, float] | None = None,
) -> Path:
    """Write results.json (tables, checks, notes, the scores of every seed) and the pictures; return its path.

    `runs`: the folders of the trajectories that it is about, below `folder`. `seconds`: what each stage took.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "title": title,
        "columns": list(comparison.columns),
        "rows": [list(row) for row in comparison.rows],
        "checks": [check.entry() for check in [*checks, *(c for study in studies for c in study.checks)]],
        "notes": list(notes),
        "scores": {method: one.entry() for method, one in comparison.scores.items()},
        "seconds": dict(seconds or {}),
        "runs": [str(run.relative_to(folder)) for run in runs],
        "studies": [study.write(folder) for study in studies],
    }
    path = folder / "results.json"
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    return path


def mean_of(values: Array | None) -> str:
    """Tell the mean and standard error over seeds of values (seeds,)."""
    if values is None:
        return "–"
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{values.mean():.3f} ± {error:.3f}"
