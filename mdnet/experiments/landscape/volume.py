"""The volume hypothesis: networks that the gradient finds against random ones of the same training loss, by data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, sqrt

import numpy as np
from numpy.typing import NDArray

from mdnet.experiments.landscape.baselines import crossings
from mdnet.experiments.landscape.figures import counter_evidence
from mdnet.experiments.landscape.task import Task
from mdnet.experiments.results import Check, Plot, Study
from mdnet.figures import Line, curves
from mdnet.landscape.bias import Line as Exponents
from mdnet.landscape.ladder import exponents, ladder, pilot
from trajectories.landscape.agreement import Agreement, conditionals
from trajectories.landscape.axes import Axis
from trajectories.landscape.ladder import averages

Floats = NDArray[np.float64]
LEVEL = -1.5  # of ln L_train
_AROUND = 0.05  # of ln L_train to both sides of the level, where the random networks' metric is averaged
_PROBES = 16  # umbrellas of a pilot
_COLUMNS = ("points", "gradient", "random", "gradient better by", "data sets where it is", "reached the level")
_AGREE = 5.0  # standard errors


@dataclass(frozen=True, eq=False)
class Cell:
    """One number of points: the metric at the level by data set, and how far neighbouring rungs disagree.

    `gradient`, `random` (data sets,): means over seeds, over copies; `errors` (2, data sets) of both; `reached`: the
    share of the gradient's networks that got to the level; `z`: the largest of `conditionals`.
    """

    points: int
    gradient: Floats
    random: Floats
    errors: Floats
    reached: float
    z: float


def volume(
    task: Task,
    points: Sequence[int],
    *,
    width: int = 30,
    level: float = LEVEL,
    data_sets: int = 4,
    seeds: int = 24,
    copies: int = 4,
    steps: int = 5000,
    equilibration: int = 3000,
    epochs: int | None = None,
    boxed: bool = False,
) -> Study:
    """Compare Adam's networks with uniformly random ones, both at ln L_train = level, for growing numbers of points.

    Random ones are uniform in the task's box given their training loss: the equilibrium metric of the n-ladder, whose
    `copies` walk for `steps` after `equilibration`. `seeds` networks are trained as the task's baseline says, for at
    most `epochs`, from Kaiming's weights and without the box unless `boxed`. Both see the same `data_sets`, those of
    the seeds 1, 2, ..., the first half of whose points is to train on. Raises ValueError where no ladder came there.

    Reference: Pakman et al., "Revisiting the volume hypothesis", arXiv:2606.31282.
    """
    how = {"width": width, "level": level, "data_sets": data_sets, "boxed": boxed}
    cells = []
    for many in points:
        trained = [_gradient(task, width, many, level, seeds, 1 + d, epochs, boxed=boxed) for d in range(data_sets)]
        sampled, rungs = [], None  # as many for each data set as the first one needs
        for data in range(1, data_sets + 1):
            n = _rungs(task, width, many, level, equilibration // 3, data, rungs)
            sampled.append(_random(task, width, many, level, n, copies, steps, equilibration, data))
            rungs = len(n.n)
        gradient, random = (np.array([mean for mean, _, _ in found]) for found in (trained, sampled))
        errors = np.array([[error for _, error, _ in found] for found in (trained, sampled)])
        reached = float(np.mean([share for *_, share in trained]))
        cells.append(Cell(many, gradient, random, errors, reached, _worst([found for *_, found in sampled])))
    return _study(task, cells, how)


def _gradient(
    task: Task, width: int, points: int, level: float, seeds: int, data: int, epochs: int | None, *, boxed: bool
) -> tuple[float, float, float]:
    """Mean metric where Adam falls to the level, its error over seeds, and the share of seeds that get there."""
    usual = task.baseline
    plan = usual._replace(batch=min(usual.batch, points // 2), epochs=epochs or usual.epochs)
    found = crossings(
        task, width, points, [level], seeds=seeds, data_seed=data, baseline=plan, every=5, boxed=boxed, progress=False
    )
    return float(found.mean[0]), float(found.error[0]), float(found.reached.mean())


def _window(task: Task, level: float) -> Axis:
    """From just below the level up to where walkers mix fast."""
    return Axis.of_width("ln L_train", level - _AROUND, task.high, task.bin)


def _rungs(task: Task, width: int, points: int, level: float, steps: int, data: int, rungs: int | None) -> Exponents:
    probe = task.system(width, points, _PROBES, seed=data)
    x, _ = task.variables(probe, points, seed=data)
    window, walk = _window(task, level), task.short
    dt = _time_step(task, level)
    known = pilot(probe, x, window, steps=steps, dt=dt, friction=walk.friction, every=walk.every)
    return Exponents(exponents(known.x, known.slope, window, rungs=rungs))


def _random(
    task: Task, width: int, points: int, level: float, n: Exponents, copies: int, steps: int, burn: int, data: int
) -> tuple[float, float, Agreement]:
    """Mean metric of random networks at the level, its error over copies, and how the ladder's rungs agree."""
    system, walk = task.system(width, points, len(n.n) * copies, seed=data), task.short
    x, y = task.variables(system, points, seed=data)
    samples = ladder(
        system, x, n, _window(task, level), steps=steps, equilibration=burn, dt=_time_step(task, level),
        friction=walk.friction, record=[y], every=walk.every, sample=4 * walk.every, seed=data,
    )  # fmt: skip
    near = Axis("ln L_train", level - _AROUND, level + _AROUND, ceil(2 * _AROUND / task.bin))
    found = averages(samples, near, y.name)
    metric = found[np.isfinite(found).all(1)].mean(1)  # of the copies that were all over it
    agreement = conditionals(samples, _window(task, level), y.name)
    if not len(metric):
        raise ValueError(f"no copy of the ladder came to ln L_train = {level:g} all around; take more steps")
    return float(metric.mean()), _error(metric), agreement


def _worst(found: Sequence[Agreement]) -> float:
    """The largest disagreement of two rungs, mean over data sets, in standard errors."""
    mean = np.mean([one.difference for one in found], axis=0)
    error = np.sqrt(np.sum([one.error**2 for one in found], axis=0)) / len(found)
    return float(np.nanmax(np.abs(mean / error)))


def _time_step(task: Task, level: float) -> float:
    """The task's time step at the level, used everywhere."""
    walk = task.short
    return walk.dt * exp(walk.power * (level - task.high))


def _study(task: Task, cells: Sequence[Cell], how: dict[str, float]) -> Study:
    sign, y = (1, "ln L_test") if task.sharpness is None else (-1, "smooth test accuracy")
    gaps = [sign * (cell.random - cell.gradient) for cell in cells]
    rows = [
        [
            f"{cell.points}", _told(cell.gradient), _told(cell.random), _told(gap), f"{(gap > 0).sum()} of {len(gap)}",
            f"{cell.reached:.0%}",
        ]
        for cell, gap in zip(cells, gaps, strict=True)
    ]  # fmt: skip
    where = "in the box" if how["boxed"] else "without a box"
    title = task.title[0].lower() + task.title[1:]
    caption = (
        f"The {y} of networks at ln L_train = {how['level']:g}, {title}, W = {how['width']}: Adam's, from Kaiming's "
        f"weights and {where}, where they first fall to this loss, and uniformly random ones in the box that have it, "
        f"from the ladder p ~ L^-n. Of the points half are training points. Errors are standard errors over "
        f"{how['data_sets']} data sets, means over networks within each. A positive gap says that the gradient's "
        f"networks are the better ones. {_verdict(gaps)}"
    )
    what = f"What the gradient adds to the training loss, by data: {y} at ln L_train = {how['level']:g}"
    worst = max(cell.z for cell in cells)
    check = Check(
        "random networks do not depend on the ladder's exponents",
        f"mean {y} at fixed ln L_train the same on neighbouring rungs within {_AGREE:g} standard errors",
        f"{worst:.1f} at most", worst <= _AGREE,
    )  # fmt: skip
    numbers = {
        **how,
        "cells": [
            {"points": c.points, "gradient": c.gradient.tolist(), "random": c.random.tolist(),
             "errors": c.errors.tolist(), "reached": c.reached, "z": c.z}
            for c in cells
        ],
    }  # fmt: skip
    plots = [_plot(cells, what, f"{y} at ln L_train = {how['level']:g}", caption), _gap(cells, y)]
    return Study("volume", what, _COLUMNS, rows, caption, [check], plots, numbers)


def _plot(cells: Sequence[Cell], title: str, y: str, caption: str) -> Plot:
    """The metric of both kinds of networks."""
    points, kinds = [cell.points for cell in cells], {"Adam": "gradient", "random": "random"}
    lines = []
    for label, kind in kinds.items():
        values = [getattr(cell, kind) for cell in cells]
        lines.append(Line(label, points, [one.mean() for one in values], [_error(one) for one in values]))
    return Plot(title, curves(lines, x="points, half of them to train on", y=y, log="x"), caption)


def _gap(cells: Sequence[Cell], y: str) -> Plot:
    """Random less Adam, on the same data sets."""
    gaps = [cell.random - cell.gradient for cell in cells]
    line = Line(
        "random − Adam", [cell.points // 2 for cell in cells], [gap.mean() for gap in gaps], [_error(g) for g in gaps]
    )
    return counter_evidence([line], metric=y)


def _verdict(gaps: Sequence[Floats]) -> str:
    """What the numbers say of the two statements, in words."""
    every = np.array([gap.mean() for gap in gaps])
    errors = np.array([_error(gap) for gap in gaps])
    better, worse = every > 2 * errors, every < -2 * errors
    first = f"Beyond two standard errors it is better at {better.sum()}, worse at {worse.sum()} of {len(every)} sizes"
    change, error = every[-1] - every[0], sqrt(errors[0] ** 2 + errors[-1] ** 2)
    way = "shrinks" if change < -2 * error else "grows" if change > 2 * error else "does not change significantly"
    return f"{first}; from the fewest points to the most the gap {way}, by {change:+.3f} ± {error:.3f}."


def _told(values: Floats) -> str:
    return f"{values.mean():.3f} ± {_error(values):.3f}"


def _error(values: Floats) -> float:
    """The standard error of the mean of independent values."""
    return float(values.std(ddof=1) / sqrt(len(values))) if len(values) > 1 else float("nan")
