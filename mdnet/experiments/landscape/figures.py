"""Pictures of an entropy landscape: the map beside trained networks, two methods, the advantage, and the checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from mdnet.experiments.landscape import lines
from mdnet.experiments.results import Plot
from mdnet.figures import Line, curves, logarithmic
from trajectories.landscape.landscape import Landscape
from trajectories.report.drawing import BLUE, FAINT, GREEN, INK, PURPLE, STYLE, VERMILLION
from trajectories.report.maps import cased, coarsened, coloured, widened

_TRAINED = ((PURPLE, "o"), (BLUE, "v"), (INK, "D"))  # colour and mark of each way to train
_CLOUD = 60  # most trained networks whose paths are drawn
_BARS = "Bars and bands are ± 1 standard error"


def landscape(
    found: Landscape,
    *,
    ridge: Line | None = None,
    equilibrium: Line | None = None,
    trained: Sequence[Line] = (),
    paths: Sequence[tuple[ArrayLike, ArrayLike]] = (),
    ladder: Line | None = None,
) -> Plot:
    """Draw S(x, y) of two variables, averaged over copies, with the lines that are to be compared on it.

    `ridge`: argmax_y S; `equilibrium`: the mean of y at x, with its error; `trained`: the mean metric of networks
    trained in one way or several, at levels of x with its error, and `paths` (x, y) the single networks' ways there;
    `ladder`: what another method finds. Raises ValueError for a landscape of one variable, and where its copies share
    no bin.
    """
    if len(found.axes) != 2:
        raise ValueError(f"a map needs a landscape of two variables, not {[axis.name for axis in found.axes]}")
    small = coarsened(found)
    x, y = small.axes
    with mpl.rc_context(STYLE):
        figure, axes = lines.panel(height=4.6)
        axes.grid(visible=False)
        entropy = small.mean()
        coloured(axes, x.edges, y.edges, entropy - entropy.max(), "S − its maximum  [k_B]")
        _ways(axes, paths)
        absent = _compared(axes, ridge, equilibrium, trained, ladder)
        axes.set_xlabel(x.text)
        axes.set_ylabel(y.text)
        lines.key(figure)
    caption = (
        f"Mean of {lines.many(len(found.entropy), 'independent table')}, k_B = 1; bins that were never visited are "
        f"blank. The band and the bars are ± 1 standard error.{_of(paths)}"
        f"{lines.missing(absent)}"
    )
    return Plot(f"Entropy over {x.text} and {y.text}", figure, caption)


def agreement(one: Line, other: Line, difference: Line, *, x: str, y: str, allowed: float | None = None) -> Plot:
    """Draw a quantity `y` in k_B over `x` by two methods, and below their difference, which may be ± `allowed`.

    Serves S(ln L) of two ways to it as well as exact and sampled ln Omega. What is not finite is left out.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.8, 5.0), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1.6, 1))
        lines.measured(upper, one, 0)
        lines.measured(upper, other, 1, ringed=True)
        lines.allowed(lower, allowed)
        lines.measured(lower, difference, 2)
        upper.set_ylabel(f"{y}  [k_B]")
        lower.set_ylabel("difference  [k_B]")
        lower.set_xlabel(x)
        lines.key(figure)
    away = lines.arrays(difference)[1]
    away = np.abs(away[np.isfinite(away)])
    told = f"at most {away.max():.3g} k_B in {lines.many(len(away), 'bin')}" if len(away) else "no bin is known to both"
    caption = f"Below, {difference.label}: {told}. {_BARS}; a bin that only one of the two knows is left blank below."
    return Plot(f"{y}: {one.label} and {other.label}", figure, caption)


def advantage(cells: Mapping[tuple[int, int], tuple[float, float]], *, metric: str, at: str) -> Plot:
    """Draw the high-entropy advantage, (value, standard error) by (width, points), against width and against points.

    `metric`: of what, such as "ln L_test", so signed that above zero the equilibrium is better; `at`: where, such as
    "ln L_train = -2". A cell that is not finite is left blank, and named in the caption.
    """
    known = {cell: value for cell, value in cells.items() if np.isfinite(value[0])}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 4.5), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, along, name, letter in ((panels[0], 0, "width W", "N"), (panels[1], 1, "training points N", "W")):
            axes.axhline(0, color=INK, linewidth=1)
            for i, fixed in enumerate(sorted({cell[1 - along] for cell in known})):
                row = sorted((float(cell[along]), *value) for cell, value in known.items() if cell[1 - along] == fixed)
                place, value, error = zip(*row, strict=True)
                lines.measured(axes, Line(f"{letter} = {fixed}", place, value, error), i)
            axes.set_xscale("log")
            places = sorted({cell[along] for cell in known})
            axes.set_xticks(places, [str(place) for place in places])
            axes.set_xticks([], minor=True)
            axes.set_xlabel(name)
            if known:
                axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0.2, columnspacing=1)
        panels[0].set_ylabel(f"advantage in {metric}")
    unknown = [f"W = {width}, N = {points}" for width, points in cells if (width, points) not in known]
    caption = (
        f"{metric} of trained networks against that of equilibrium at {at}: above zero the equilibrium is better. "
        f"{_BARS}.{lines.missing(unknown)}"
    )
    return Plot(f"High-entropy advantage at {at}", figure, caption)


def counter_evidence(gaps: Sequence[Line], *, metric: str) -> Plot:
    """Draw the gap between networks drawn by volume alone and trained ones against points, each with its error."""
    with mpl.rc_context(STYLE):
        figure = curves(
            gaps, x="training points N", y=f"random − trained, {metric}", log="x", levels={"no difference": 0}
        )
    caption = (
        f"{metric} of networks drawn at random less that of trained ones, where both fit the training set equally "
        f"well. {_BARS} over data sets."
    )
    return Plot("The gap between random and trained networks", figure, caption)


def residuals(x: ArrayLike, entropy: ArrayLike, *, dof: int, allowed: float, name: str = "ln U") -> Plot:
    """Draw S(x) - (dof/2) x less its mean, of tables (copies, bins) of a harmonic potential: exactly it is zero.

    With the mean over copies and its standard error; `allowed`: of the rms, in k_B.
    """
    places = np.asarray(x, np.float64)
    rest = np.asarray(entropy, np.float64) - dof / 2 * places
    rest = np.where(np.isfinite(rest), rest, np.nan)[np.isfinite(rest).any(axis=1)]
    rest = rest - np.nanmean(rest, axis=1, keepdims=True)
    rms = [f"{one:.3g}" for one in np.sqrt(np.nanmean(rest**2, axis=1))]
    with mpl.rc_context(STYLE):
        figure, axes = lines.panel()
        lines.allowed(axes, allowed)
        axes.plot(places, rest.T, color=FAINT, linewidth=0.9, label=["each table", *[None] * (len(rest) - 1)])
        lines.measured(axes, lines.average("mean of the tables", places, rest), 0)
        axes.set_xlabel(name)
        axes.set_ylabel(f"S − {dof / 2:g} {name}  [k_B]")
        lines.key(figure)
    caption = (
        f"Exactly S = {dof / 2:g} {name} + constant. Rms by table {', '.join(rms)} k_B, where {allowed:g} is allowed. "
        f"{_BARS} of the mean."
    )
    return Plot(f"Entropy of a harmonic potential, D = {dof}", figure, caption)


def error_by_time(steps: ArrayLike, error: ArrayLike) -> Plot:
    """Draw the rms error of tables (copies, times) in k_B against steps, and the line t^(-1/2) nearest their mean."""
    t, rows = np.asarray(steps, np.float64), np.asarray(error, np.float64)
    mean = lines.average("mean over tables", t, rows)
    middle = lines.arrays(mean)[1]
    known = middle > 0
    height = np.exp(np.mean(np.log(middle[known] * np.sqrt(t[known]))))
    slope = np.polyfit(np.log(t[known]), np.log(middle[known]), 1)[0]
    with mpl.rc_context(STYLE):
        figure, axes = lines.panel()
        axes.plot(t, rows.T, color=FAINT, linewidth=0.9, label=["each table", *[None] * (len(rows) - 1)])
        lines.measured(axes, mean, 0)
        axes.plot(t, height / np.sqrt(t), color=VERMILLION, linestyle="--", label="∝ t^(−1/2)")
        logarithmic(axes.xaxis, axes.set_xscale)
        logarithmic(axes.yaxis, axes.set_yscale)
        axes.set_xlabel("steps t")
        axes.set_ylabel("rms error of S  [k_B]")
        lines.key(figure)
    caption = (
        f"Mean of {lines.many(len(rows), 'independent table')}, which falls as t^({slope:.2f}); the dashed line, as "
        f"t^(−1/2), is what independent visits give. {_BARS} of the mean."
    )
    return Plot("Error of the table against time", figure, caption)


def _compared(
    axes: Axes, ridge: Line | None, equilibrium: Line | None, trained: Sequence[Line], ladder: Line | None
) -> list[str]:
    """Draw on a map what is to be compared, and return the names of what is not there."""
    if equilibrium is not None:
        lines.banded(axes, equilibrium, VERMILLION)
    if ridge is not None:
        place, top, _ = lines.arrays(ridge)
        axes.plot(place, top, color="#ffffff", linestyle=(0, (4, 2)), label=ridge.label, path_effects=cased())
    for line, (colour, mark) in zip(trained, _TRAINED, strict=False):
        lines.marks(axes, line, colour, mark)
    if ladder is not None:
        lines.marks(axes, ladder, GREEN, "s")
    there = {
        "ridge": ridge,
        "equilibrium": equilibrium,
        "trained networks": trained or None,
        "independent ladder": ladder,
    }
    return [name for name, line in there.items() if line is None]


def _ways(axes: Axes, paths: Sequence[tuple[ArrayLike, ArrayLike]]) -> None:
    """Draw the ways of trained networks, thin and pale."""
    for i, way in enumerate(paths[:_CLOUD]):
        x, y = (np.asarray(numbers, np.float64) for numbers in way)
        label = None if i else "trained networks, one by one"
        axes.plot(x, y, color=PURPLE, linewidth=0.7, alpha=0.55, label=label)
        widened(axes, x, y)


def _of(paths: Sequence[tuple[ArrayLike, ArrayLike]]) -> str:
    if not paths:
        return ""
    shown = f"{_CLOUD} of {len(paths)}" if len(paths) > _CLOUD else str(len(paths))
    return f" Thin lines are the ways of {shown} trained networks."
