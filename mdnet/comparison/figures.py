"""Pictures of a comparison: what each method gets right and how fast, and the bias of <U> against the step."""

from __future__ import annotations

from math import isfinite
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from mdnet.comparison.compare import Comparison
from mdnet.comparison.measures import Row
from mdnet.figures import LINES, logarithmic
from trajectories.report.drawing import BLUE, FAINT, STYLE, VERMILLION

_PANELS = (
    ("kinetic_width", "sd(K) / canonical", 1.0),
    ("worst_layer", "worst layer's T / T", 1.0),
    ("configurational_temperature", "configurational T / T", 1.0),
    ("effective", "effective samples of U\nper 1000 forces", None),
)


def overview(result: Comparison) -> Figure:
    """Draw a line for each method and a panel for each number; open squares are methods that are not canonical."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 1.4 + 0.24 * len(result.rows)), layout="constrained")
        panels = figure.subplots(1, len(_PANELS), sharey=True, squeeze=False)[0]
        for axes, (name, label, target) in zip(panels, _PANELS, strict=True):
            _panel(axes, result.rows, name, target)
            axes.set_xlabel(label)
        panels[0].set_yticks(range(len(result.rows)), [f"{row.scheme} + {row.bath}" for row in result.rows])
        panels[0].invert_yaxis()
        logarithmic(panels[-1].xaxis, panels[-1].set_xscale)
        figure.legend(*_key(panels[0]), loc="outside upper left", ncols=2)
    return figure


def bias(result: Comparison) -> Figure:
    """Draw |<U> - exact|/(N_f T/2) against dt of a force evaluation for each scheme, with error bars."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.subplots()
        for i, step in enumerate(result.steps):
            colour, marker, line = LINES[i % len(LINES)]
            points = [
                (dt, abs(b.value), b.error) for dt, b in zip(step.dt, step.bias, strict=True) if isfinite(b.value)
            ]
            if points:
                dt, size, error = zip(*points, strict=True)
                axes.errorbar(
                    dt, size, error, color=colour, marker=marker, linestyle=line, label=step.scheme, capsize=2,
                    markerfacecolor="none" if i >= len(LINES) else colour,
                )  # fmt: skip
            if isfinite(step.largest):
                axes.axvline(step.largest, color=colour, linestyle=line, linewidth=0.8, alpha=0.6)
        logarithmic(axes.xaxis, axes.set_xscale)
        logarithmic(axes.yaxis, axes.set_yscale)
        axes.set_xlabel("dt of one force evaluation (vertical lines: largest stable)")
        axes.set_ylabel("|⟨U⟩ − reference| / (N_f T / 2)")
        figure.legend(loc="outside upper left", ncols=3)
    return figure


def _panel(axes: Any, rows: list[Row], name: str, target: float | None) -> None:
    if target is not None:
        axes.axvline(target, color=FAINT, linewidth=1)
    for canonical, colour, marker, label in ((True, BLUE, "o", "canonical"), (False, VERMILLION, "s", "not canonical")):
        points = []
        for place, row in enumerate(rows):
            value = getattr(row, name)
            number, error = value if isinstance(value, tuple) else (value, 0.0)
            if row.canonical == canonical and isfinite(number):
                points.append((place, number, error))
        if points:
            places, numbers, errors = zip(*points, strict=True)
            axes.errorbar(
                numbers, places, xerr=errors, color=colour, marker=marker, linestyle="none", label=label, capsize=2,
                markerfacecolor=colour if canonical else "none", markersize=5,
            )  # fmt: skip


def _key(axes: Any) -> tuple[list[Any], list[str]]:
    handles, labels = axes.get_legend_handles_labels()
    return handles, labels
