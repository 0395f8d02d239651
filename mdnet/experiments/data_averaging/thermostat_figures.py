"""Pictures of SGD beside thermostats: gap and test loss against T, the gap against the training loss, and <theta^2>."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdnet.experiments.data_averaging.models import Floats
from mdnet.experiments.data_averaging.thermostat_comparison import Found
from mdnet.experiments.data_averaging.thermostat_reading import AGAIN, CHAIN, DESCENT, LANGEVIN
from mdnet.experiments.results import Plot
from mdnet.figures import LINES, logarithmic
from trajectories.averaging import GapLaw
from trajectories.report.drawing import FAINT, STYLE
from trajectories.sgd import over_seeds

_DRAWN = {DESCENT: 0, LANGEVIN: 1, CHAIN: 2, AGAIN: 3}  # the line of each
_GRID = 200
_OWN, _MATCHED = "own T: lr/B of SGD (loss), set T (loss)", "T of isotropic noise of the same trace (loss)"


def by_temperature(found: Found, laws: dict[str, GapLaw]) -> Plot:
    """Draw gap and test loss against each method's own T, with Eq. 1, and against the matched T."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 6.4), layout="constrained")
        panels = figure.subplots(2, 2, sharey="row", sharex="col")
        for row, (label, table) in enumerate((("gap: test less training loss", "gap"), ("test loss", "test"))):
            for name in (DESCENT, LANGEVIN, CHAIN):
                steady = found.steady[name]
                values: Floats = getattr(steady.curve, table)
                _bars(panels[row, 0], steady.curve.temperatures, values, name)
                _bars(panels[row, 1], steady.matched.mean(axis=1), values, name)
                if table == "gap":
                    _law(panels[row, 0], steady.curve.temperatures, laws[name], name)
            panels[row, 0].set_ylabel(label)
        panels[0, 0].set_ylim(0, None)
        for axes, label in zip(panels[1], (_OWN, _MATCHED), strict=True):
            logarithmic(axes.xaxis, axes.set_xscale)
            axes.set_xlabel(label)
        figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    caption = (
        "Left, against T as each method has it; bands: 95 % intervals of gap = (a/T + b) exp(−T/c), fitted to each. "
        "Right, SGD at the T at which isotropic noise has the trace of its own. "
        f"Bars: ± 1 standard error over {found.steady[DESCENT].curve.splits} data sets."
    )
    return Plot("Gap and test loss of SGD and of thermostats", figure, caption)


def by_loss(found: Found) -> Plot:
    """Draw the gap against the training loss, and below its ratio to that of Langevin dynamics."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 6.4), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1.4, 1))
        for name in (DESCENT, LANGEVIN, CHAIN):
            curve = found.steady[name].curve
            _bars(upper, curve.train.mean(axis=1), curve.gap, name, across=curve.train)
        lower.axhline(1, color=FAINT, linewidth=1.4)
        for name in (DESCENT, CHAIN, AGAIN):
            gaps = found.gaps(name)
            colour, mark, dash = LINES[_DRAWN[name]]
            shift = 1 + 0.008 * (_DRAWN[name] - 1)  # so that bars do not hide one another
            lower.errorbar(
                gaps.levels * shift, gaps.ratio.value, gaps.ratio.error, color=colour, marker=mark, linestyle=dash,
                capsize=2, markersize=4.5, label=name,
            )  # fmt: skip
        upper.set_ylim(0, None)
        lower.set_ylim(0, None)
        logarithmic(lower.xaxis, lower.set_xscale)
        lower.set_xlabel("training loss")
        upper.set_ylabel("gap: test less training loss")
        lower.set_ylabel(f"gap over that of {LANGEVIN}")
        keys = dict(zip(*reversed(upper.get_legend_handles_labels()), strict=True))
        keys |= dict(zip(*reversed(lower.get_legend_handles_labels()), strict=True))
        figure.legend(keys.values(), keys.keys(), loc="outside upper left", ncols=2)
    caption = (
        "No temperatures are matched. Below, at training losses that every data set reaches by every method, between "
        "its own points by straight lines. The second Langevin run has other random numbers: what noise makes. "
        f"Bars: ± 1 standard error over {found.steady[DESCENT].curve.splits} data sets, which are paired."
    )
    return Plot("The gap at equal training loss", figure, caption)


def spread(found: Found) -> Plot:
    """Draw <theta^2> against the training loss."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.8, 3.8), layout="constrained")
        axes = figure.subplots()
        for name in (DESCENT, LANGEVIN, CHAIN):
            steady = found.steady[name]
            _bars(axes, steady.curve.train.mean(axis=1), steady.spread, name, across=steady.curve.train)
        logarithmic(axes.xaxis, axes.set_xscale)
        logarithmic(axes.yaxis, axes.set_yscale)
        axes.set_xlabel("training loss")
        axes.set_ylabel("⟨θ²⟩, mean over parameters")
        figure.legend(loc="outside upper left", ncols=3)
    return Plot(
        "Which directions are heated",
        figure,
        "Most directions cost little loss. A bath gives each of them its T/2, which the decay alone restrains; the "
        "noise of minibatches lies along the few that cost much. Bars: ± 1 standard error over data sets.",
    )


def _bars(axes: Axes, x: Floats, table: Floats, name: str, across: Floats | None = None) -> None:
    """Means of a table (n, splits) at x (n,) with their standard errors, and those of x where it is a table's mean."""
    colour, mark, dash = LINES[_DRAWN[name]]
    mean, error = over_seeds(table)
    axes.errorbar(
        x, mean, error, None if across is None else over_seeds(across).error, color=colour, marker=mark, linestyle=dash,
        label=name, capsize=2, markersize=4.5,
    )  # fmt: skip


def _law(axes: Axes, temperatures: Floats, law: GapLaw, name: str) -> None:
    if law.reason:
        return
    t = np.geomspace(temperatures[0], temperatures[-1], _GRID)
    low, high = law.band(t)
    axes.fill_between(t, low, high, color=LINES[_DRAWN[name]][0], alpha=0.2, linewidth=0)
