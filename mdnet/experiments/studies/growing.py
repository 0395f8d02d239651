"""How large an ensemble has to be: its score against its members, the first ones of a run or some spread over it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mdnet.experiments.controls import EARLY
from mdnet.experiments.problems import Task
from mdnet.experiments.results import Array, Comparison, Plot, Scores, Study, mean_of
from mdnet.experiments.studies.finished import Finished
from mdnet.figures import Line, curves
from trajectories import ensemble

SHARE = 0.95  # of the gain, that counts as enough
DRAWS = 400  # of the seeds, with replacement, for the error of a number of members
COLUMNS = (
    "method", "members taken", "score", "all members", "mean single network", "score of all",
    f"members for {SHARE:.0%} of the gain",
)  # fmt: skip
Choice = Callable[[int, int], Array]
"""(members, all) -> which of them."""


def first(count: int, total: int) -> Array:
    """Take the first members: an ensemble as it grows."""
    return np.arange(count)


def spread(count: int, total: int) -> Array:
    """Take the middle of each of `count` equal parts of a run: so many members as far apart as can be."""
    return ((2 * np.arange(count) + 1) * total) // (2 * count)


@dataclass(frozen=True, eq=False)
class Growth:
    """A score of a method's ensembles of several sizes, beside that of its single networks in the mean."""

    method: str
    way: str
    score: str
    counts: Array  # (sizes,)
    values: Array  # (sizes, seeds)
    alone: Array  # (seeds,)

    @property
    def name(self) -> tuple[str, str, str]:
        """Method, way and score."""
        return self.method, self.way, self.score


def growing(finished: Finished) -> Study:
    """Score growing ensembles of every simmering run, and of every other method that has several members."""
    task = finished.task
    grown = []
    for method, predictions in finished.predictions.items():
        if len(predictions) > 1:
            ways = {"first": first, "spread": spread} if method in finished.runs else {"first": first}
            for way, choice in ways.items():
                grown += growths(task, method, predictions, way, choice)
    draws = np.random.default_rng(task.seed).integers(task.seeds, size=(DRAWS, task.seeds))
    rows = [
        [*one.name, str(one.counts[-1]), mean_of(one.alone), mean_of(one.values[-1]), enough(one, draws)]
        for one in grown
    ]
    kept = {" | ".join(one.name): {"members": one.counts.tolist(), "scores": one.values.tolist()} for one in grown}
    return Study("growing", "How many members", COLUMNS, rows, CAPTION, (), pictures(finished, grown), kept)


def growths(task: Task, method: str, predictions: Array, way: str, choice: Choice) -> list[Growth]:
    """Score ensembles of 1, 2, 4, ... and all members, from predictions (members, seeds, rows, outputs)."""
    total = len(predictions)
    counts = np.unique([*(2**k for k in range(total.bit_length()) if 2**k < total), total])
    comparison = Comparison(task.truth, task.problem.metric)
    for count in counts:
        comparison.add(str(count), predictions[choice(int(count), total)])
    each = [scored(comparison.scores[str(count)], task) for count in counts]
    alone = dict(zip(each[0], singles(task, predictions, comparison.scores[str(total)]), strict=True))
    return [Growth(method, way, name, counts, np.stack([one[name] for one in each]), alone[name]) for name in each[0]]


def scored(scores: Scores, task: Task) -> dict[str, Array]:
    """Return the scores (seeds,) that a problem has, by name."""
    name = Comparison(task.truth, task.problem.metric).columns[1]
    return {name: scores.ensemble} | ({} if scores.nll is None else {"NLL of the mean softmax": scores.nll})


def singles(task: Task, predictions: Array, whole: Scores) -> list[Array]:
    """Return the same scores of a single network, in the mean over the members, each (seeds,)."""
    metric = np.zeros(task.seeds) if whole.members is None else whole.members
    if whole.nll is None:
        return [metric]
    chances = ensemble.probabilities(predictions)
    return [metric, np.array([ensemble.nll(chances[:, s], task.truth[s]).mean() for s in range(task.seeds)])]


def enough(growth: Growth, draws: Array) -> str:
    """Tell how many members bring SHARE of what all gain over a single network, with an error from draws of the seeds.

    `draws` (draws, seeds): which seeds each draw takes.
    """
    whole = crossing(growth, np.arange(len(growth.alone)))
    if not np.isfinite(whole):
        return "no gain"
    drawn = np.array([crossing(growth, seeds) for seeds in draws])
    low, high = np.nanpercentile(drawn, (16, 84))
    return f"{whole:.1f} ({low:.1f} to {high:.1f})"


def crossing(growth: Growth, seeds: Array) -> float:
    """Return the size from which on the mean over seeds has SHARE of its gain, between sizes by ln(size).

    nan where two standard errors of the gain of all reach nothing.
    """
    alone, values = growth.alone[seeds], growth.values[:, seeds]
    gain = values[-1] - alone
    if abs(gain.mean()) <= 2 * gain.std(ddof=1) / np.sqrt(len(gain)):
        return float("nan")
    share = (values.mean(1) - alone.mean()) / gain.mean()  # (sizes,), 1 at last
    below = np.flatnonzero(share < SHARE)
    if not len(below):
        return float(growth.counts[0])
    i = below[-1]
    between = (SHARE - share[i]) / (share[i + 1] - share[i])
    ends = np.log(growth.counts[i : i + 2])
    return float(np.exp(ends[0] + between * (ends[1] - ends[0])))


CAPTION = (
    "The scores of ensembles of 1, 2, 4, ... and all members of a run: its first ones in their order, as an ensemble "
    "grows; or the middles of so many equal parts of it, as far apart as can be. Of the controls only the first ones. "
    f"The last column: the size from which on the mean over seeds keeps {SHARE:.0%} of what all "
    "members gain over a single network, interpolated in the logarithm of the size, with the middle 68 % of draws of "
    "the seeds; 'no gain' is one below two standard errors. Members that are independent would need 20 for a squared "
    "error: its gain is 1 - 1/members of that of many."
)

BARS = "Means over seeds with standard errors; lines across: Adam's network, and all members of early stopping."


def pictures(finished: Finished, grown: Sequence[Growth]) -> list[Plot]:
    """Draw every score of the simmering runs against the size, beside Adam's and early stopping's as levels."""
    beside = [next(iter(finished.comparison.scores)), EARLY.name]
    levels = {
        m: scored(finished.comparison.scores[m], finished.task) for m in beside if m in finished.comparison.scores
    }
    plots = []
    for name in dict.fromkeys(one.score for one in grown):
        lines = [
            Line(
                f"{one.method.removeprefix('simmering, ')}: {one.way}",
                one.counts,
                one.values.mean(1),
                errors(one.values),
            )
            for one in grown
            if one.score == name and one.method in finished.runs
        ]
        at = {method: float(scores[name].mean()) for method, scores in levels.items()}
        figure = curves(lines, x="members of the ensemble", y=name, log="x", levels=at)
        plots.append(Plot(f"{name} against the number of members", figure, BARS))
    return plots


def errors(values: Array) -> Array:
    """Return the standard errors (sizes,) over seeds of values (sizes, seeds)."""
    return np.asarray(values.std(1, ddof=1) / np.sqrt(values.shape[1]))
