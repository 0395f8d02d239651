"""Measured lines on axes: numbers with error bars, where finite, and what a caption says of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mdnet.figures import LINES, Line
from trajectories.report.drawing import FAINT
from trajectories.report.maps import CASING, cased, widened

Array = NDArray[np.float64]
_SINGLE = 40  # points that are drawn one by one


def panel(height: float = 3.8) -> tuple[Figure, Axes]:
    """Return a figure of the usual width with one pair of axes; the style is the caller's."""
    figure = Figure(figsize=(5.8, height), layout="constrained")
    return figure, figure.subplots()


def measured(axes: Axes, line: Line, number: int, *, ringed: bool = False) -> None:
    """Draw the finite numbers of a line with their bars, told apart by its number; a gap stays a gap.

    Where there are many its error is a band. `ringed`: large open marks alone, which leave visible what lies below.
    """
    colour, mark, dash = LINES[number % len(LINES)]
    x, y, error = arrays(line)
    if len(x) > _SINGLE and error is not None:
        axes.fill_between(x, y - error, y + error, color=colour, alpha=0.3, linewidth=0)
        error = None
    axes.errorbar(
        x, y, error, color=colour, marker=mark, linestyle="none" if ringed else dash, label=line.label, capsize=2,
        markersize=6.5 if ringed else 3.5 if len(x) <= _SINGLE else 1.5, linewidth=1.1,
        markevery=max(1, len(x) // _SINGLE) if ringed else 1,
        markerfacecolor="none" if ringed or number >= len(LINES) else colour,
    )  # fmt: skip


def banded(axes: Axes, line: Line, colour: str) -> None:
    """Draw a line on a map with the band of its error."""
    x, y, error = arrays(line)
    if error is not None:
        axes.fill_between(x, y - error, y + error, color=colour, alpha=0.45, linewidth=0)
    axes.plot(x, y, color=colour, label=line.label, path_effects=cased())


def marks(axes: Axes, line: Line, colour: str, mark: str) -> None:
    """Draw numbers on a map as marks with bars, and let the map show them all."""
    x, y, error = arrays(line)
    axes.errorbar(
        x, y, error, color=colour, marker=mark, linestyle="none", markersize=5, markeredgecolor=CASING,
        markeredgewidth=0.8, label=line.label, capsize=2.5, zorder=4,
    )  # fmt: skip
    widened(axes, x, y)


def allowed(axes: Axes, most: float | None) -> None:
    """Draw the line of zero, and the band of what may be away from it."""
    if most is not None:
        axes.axhspan(-most, most, color=FAINT, alpha=0.25, linewidth=0, label=f"± {most:g} k_B")
    axes.axhline(0, color=FAINT, linewidth=1.2)


def average(label: str, x: Array, rows: Array) -> Line:
    """Return the mean over copies, and its standard error where two or more are finite, of rows (copies, points)."""
    known = np.isfinite(rows)
    copies = known.sum(axis=0)
    mean = np.where(copies > 0, np.where(known, rows, 0).sum(axis=0) / np.maximum(copies, 1), np.nan)
    away = np.where(known, rows - mean, 0)
    error = np.sqrt((away**2).sum(axis=0) / np.maximum(copies - 1, 1) / np.maximum(copies, 1))
    return Line(label, x, mean, np.where(copies > 1, error, np.nan) if len(rows) > 1 else None)


def arrays(line: Line) -> tuple[Array, Array, Array | None]:
    """Return x, y and error of a line (points,), nan where y is not finite; an error that is not known has no bar."""
    x, y = np.asarray(line.x, np.float64), np.asarray(line.y, np.float64)
    y = np.where(np.isfinite(y), y, np.nan)
    error = None if line.error is None else np.nan_to_num(np.asarray(line.error, np.float64), posinf=0.0)
    return x, y, error


def key(figure: Figure) -> None:
    """Put the legend above the axes, where it covers no data; nothing where no line has a label."""
    if any(axes.get_legend_handles_labels()[1] for axes in figure.axes):
        figure.legend(loc="outside upper left", ncols=2)


def many(count: int, what: str) -> str:
    """Tell a number of things."""
    return f"{count} {what}{'s' if count != 1 else ''}"


def missing(names: Sequence[str]) -> str:
    """Tell what could not be drawn, as the end of a caption."""
    return f" Not drawn, as it was not measured: {'; '.join(names)}." if names else ""
