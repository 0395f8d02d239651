"""Pictures of uncertainty: one seed's curve with its bands, the error by spread, and reliability diagrams."""

from __future__ import annotations

from collections.abc import Iterable

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from mdnet.experiments.controls import EARLY
from mdnet.experiments.results import Array, Plot
from mdnet.experiments.studies import members
from mdnet.experiments.studies.finished import Finished
from mdnet.figures import Line, curves
from trajectories import ensemble
from trajectories.report.drawing import BLUE, FAINT, INK, STYLE, VERMILLION

PARTS = 5  # of the test rows by their spread
FEW = 10  # rows, with fewer of which a bin is not drawn


def one_seed(finished: Finished, noise: Array, level: float) -> Plot:
    """Draw the restrained ensemble of the first seed over the training range and beyond, with Adam's curve."""
    task, method = finished.task, members.restrained(finished)
    inputs, _ = members.beyond(task)
    said = members.outputs(task, members.weights(finished, method), inputs)[:, :1, :, 0]  # (members, 1, points)
    adam = members.outputs(task, finished.overfit[None], inputs)[0, 0, :, 0]
    low, high = ensemble.quantiles(said[..., None], ((1 - level) / 2, (1 + level) / 2))[..., 0]
    x, mean = inputs[0, :, 0].numpy(), said.mean((0, 1))
    rows, targets = (part[0, :, 0].numpy() for part in task.data.train)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.8, 4.0), layout="constrained")
        axes = figure.subplots()
        axes.fill_between(x, low, high, color=BLUE, alpha=0.25, linewidth=0, label=f"middle {level:.0%} of members")
        axes.plot(x, mean, color=BLUE, label=method)
        axes.plot(x, adam, color=VERMILLION, linestyle="--", label="Adam")
        if task.problem.metric == "mse":
            axes.plot(task.data.test[0][0, :, 0], task.truth[0, :, 0], color=INK, linestyle=":", label="truth")
        axes.errorbar(rows, targets, noise[0], color=FAINT, fmt="o", markersize=3, linewidth=0.8, label="training data")
        for end in (rows.min(), rows.max()):
            axes.axvline(end, color=FAINT, linewidth=0.8)
        axes.set_ylim(targets.min() - np.ptp(targets), targets.max() + np.ptp(targets))
        unit = "" if task.problem.metric == "mse" else " (units of its sd in training)"
        axes.set_xlabel(f"input{unit}")
        axes.set_ylabel(f"output{unit}")
        figure.legend(loc="outside upper left", ncols=2)
    told = (
        f"The first seed: mean and middle {level:.0%} of {len(said)} networks of the run at its target temperature, "
        "over the training range (between the thin lines) and beyond, where both may leave the picture. Bars "
        "at the data: the noise as the ensemble's residuals have it."
    )
    return Plot("One seed, with its uncertainty", figure, told)


def error_by_spread(finished: Finished) -> Plot:
    """Draw the rms error of the test rows against their spread, by fifths of the rows of each seed."""
    lines = []
    for method in shown(finished):
        said = finished.predictions[method]
        if len(said) == 1:
            continue
        mean, spread = ensemble.mean(said, over="samples"), ensemble.spread(said, over="samples")
        error = np.square(mean - finished.task.truth)[..., 0]
        order = spread[..., 0].argsort(1)
        spreads, errors = (np.sqrt(by_parts(values, order)) for values in (np.square(spread[..., 0]), error))
        seeds = np.sqrt(len(errors))
        lines.append(Line(method, spreads.mean(0), errors.mean(0), errors.std(0, ddof=1) / seeds))
    figure = curves(lines, x="rms spread of the members", y="rms error of their mean", log="xy")
    told = (
        f"Test rows in {PARTS} equal parts by the spread of the members there; means over seeds with standard errors. "
        "Noise of the targets adds to every error where the test targets are not a known truth."
    )
    return Plot("Error against spread", figure, told)


def by_parts(values: Array, order: Array) -> Array:
    """Return the means (seeds, PARTS) of values (seeds, rows) in equal parts of the rows in an order (seeds, rows)."""
    sorted_rows = np.take_along_axis(values, order, 1)
    return np.stack([part.mean(1) for part in np.array_split(sorted_rows, PARTS, axis=1)], 1)


def reliability(finished: Finished) -> Plot:
    """Draw how often each method is right against how sure it is, all seeds together."""
    lines = []
    truth = finished.task.truth.reshape(-1)
    for method in shown(finished):
        together = ensemble.mean_softmax(finished.predictions[method], over="samples")
        found = ensemble.calibration(together.reshape(len(truth), -1), truth)
        full = found.counts >= FEW
        lines.append(Line(method, found.confidence[full], found.accuracy[full], found.error[full]))
    figure = curves(lines, x="confidence: largest mean softmax", y="share that is right")
    figure.axes[0].plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    told = (
        "Test rows of all seeds together in 10 bins of confidence, with binomial standard errors; on the line "
        f"confidence and accuracy agree, below it a method is too sure. Bins of fewer than {FEW} rows are left out. "
        "Test labels are clean, training labels may not be."
    )
    return Plot("Reliability", figure, told)


def shown(finished: Finished) -> Iterable[str]:
    """Return the methods that are drawn: the first two of the table, early stopping, and the restrained run."""
    wanted = (*list(finished.predictions)[:2], EARLY.name, members.restrained(finished))
    return dict.fromkeys(name for name in wanted if name in finished.predictions)
