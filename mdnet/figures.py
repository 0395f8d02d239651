"""Pictures of results: numbers with error bars against a setting, each line told apart by colour, mark and dash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike

from trajectories.report.drawing import BLUE, FAINT, GREEN, INK, PURPLE, STYLE, VERMILLION

LINES = ((BLUE, "o", "-"), (VERMILLION, "s", "--"), (GREEN, "^", "-."), (PURPLE, "D", ":"), (INK, "v", "-"))


class Line(NamedTuple):
    """Numbers y (points,) with their standard errors against x (points,)."""

    label: str
    x: ArrayLike
    y: ArrayLike
    error: ArrayLike | None = None


def curves(
    lines: Sequence[Line],
    *,
    x: str,
    y: str,
    log: str = "",
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """Draw lines with error bars; `x` and `y` name quantity and unit, `log` which axes are logarithmic ("x", "xy").

    `levels`: horizontal lines to compare with, by name.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.8, 3.8), layout="constrained")
        axes = figure.subplots()
        for i, line in enumerate(lines):
            colour, mark, dash = LINES[i % len(LINES)]
            axes.errorbar(
                np.asarray(line.x), np.asarray(line.y), None if line.error is None else np.asarray(line.error),
                color=colour, marker=mark, linestyle=dash, label=line.label, capsize=2, markersize=4,
                markerfacecolor="none" if i >= len(LINES) else colour,
            )  # fmt: skip
        for i, (label, level) in enumerate((levels or {}).items()):
            axes.axhline(level, color=FAINT, linestyle=("--", ":", "-.", "-")[i % 4], linewidth=1.2, label=label)
        for name, axis, scale in (("x", axes.xaxis, axes.set_xscale), ("y", axes.yaxis, axes.set_yscale)):
            if name in log:
                logarithmic(axis, scale)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        figure.legend(loc="outside upper left", ncols=2)
    return figure


@contextmanager
def panels(many: int, height: float = 3.6) -> Iterator[tuple[Figure, Sequence[Axes]]]:
    """Yield a figure in the house style with panels side by side; what is drawn in the block has that style, too."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.8 if many == 1 else 8.6, height), layout="constrained")
        yield figure, figure.subplots(1, many, squeeze=False)[0]


def log_x(label: str, *panels: Axes) -> None:
    """Make the horizontal axes of panels logarithmic, and name their quantity."""
    for axes in panels:
        axes.set_xlabel(label)
        logarithmic(axes.xaxis, axes.set_xscale)


def logarithmic(axis: Any, scale: Any) -> None:
    """Make an axis logarithmic with plain numbers at 1, 2 and 5, on a longer one at 1 and 3, then at powers of ten."""
    scale("log")
    low, high = axis.get_view_interval()
    span = high / max(low, 1e-300)
    subs = (1, 2, 5) if span < 50 else (1, 3) if span < 500 else (1,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as the file that its name's ending says, and return the path."""
    with mpl.rc_context(STYLE | {"svg.hashsalt": path.stem}):
        vector = path.suffix == ".svg"  # for a page, which has a ground of its own
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None} if vector else None, dpi=130, transparent=vector)
    return path
