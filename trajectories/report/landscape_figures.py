"""Figures of runs that filled a table of states: the entropy, what follows from it, and whether it has converged."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from trajectories.landscape import (
    Curve,
    History,
    Landscape,
    bimodality,
    equilibrium,
    microcanonical,
    ridge,
    transitions,
    verdict,
)
from trajectories.report import visit_figures
from trajectories.report.drawing import BLUE, VERMILLION, Missing, Picture, Table, legend, render
from trajectories.report.maps import cased, coarsened, coloured
from trajectories.storage.reader import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def drawn(run: Trajectory) -> dict[str, Callable[[Trajectory], Picture | Table]]:
    """The figures of a run by title; none where it filled no table of states."""
    if "landscape/entropy" not in run.learnt:
        return {}
    return {
        "Convergence of the table": convergence,
        "Entropy of both variables": surface,
        "Entropy and its slope": entropy,
        "Visits": visit_figures.visits,
        "Two halves of the run": visit_figures.halves,
        "Kinetic temperature by bin": visit_figures.warmth,
        "Round trips": visit_figures.trips,
    }


def convergence(run: Trajectory) -> Table:
    """List what is wanted of the run, what it did, and whether that holds."""
    rows = verdict(run)
    listed = [
        [row.name, *(f"{one:.3g}" if np.isfinite(one) else None for one in (row.value, row.error)), row.wanted,
         row.told, row.note] for row in rows
    ]  # fmt: skip
    hold, open_ones = (sum(row.holds is answer for row in rows) for answer in (True, None))
    caption = (
        f"{hold} of {len(rows)} hold, and {open_ones} cannot be told yet, of what was counted with a frozen bias. "
        "Differences are in k_B, temperatures in units of the one that was set."
    )
    return Table(("what", "measured", "± se", "wanted", "verdict", "note"), listed, caption)


def surface(run: Trajectory) -> Picture:
    """Draw S(x, y) in colours with its ridge and the equilibrium of y at each x."""
    history = History(run)
    if len(history.axes) < 2:
        raise Missing(f"the run counted {history.axes[0].text} alone; a map needs a second variable: record=")
    found = _landscape(history)
    if len(found.axes) < 2:
        raise Missing(f"the run has not begun to count, so {history.axes[1].text} is not known yet")
    mean, crest, small = equilibrium(found), ridge(found), coarsened(found)
    x, y = small.axes
    values = small.mean()

    def draw(axes: "Axes") -> None:
        axes.grid(visible=False)
        coloured(axes, x.edges, y.edges, values - values.max(), "S − its maximum  [k_B]")
        _banded(axes, mean, VERMILLION, "equilibrium ± 1 se" if mean.error is not None else "equilibrium", on_map=True)
        axes.plot(
            crest.x, crest.mean, color="#ffffff", lw=1.4, ls=(0, (4, 2)), path_effects=cased(), label="ridge of S"
        )
        axes.set_xlabel(x.text)
        axes.set_ylabel(y.text)
        legend(axes)

    double = bimodality(found)
    told = (
        f"At {double.found.sum()} of {len(double.x)} x, from {double.x[double.found][0]:.3g} on, {y.text} has two "
        "modes within 5 k_B: there the ridge jumps and the mean lies between"
        if double.found.any()
        else f"No x has two modes of {y.text} within 5 k_B"
    )
    caption = (
        f"{found.method}, {_copies(found)}. The ridge is the highest S at each x, the equilibrium the mean of {y.text} "
        f"over all networks there. {told}. Bins in which no copy has been are blank."
    )
    return Picture(render(draw, f"entropy of both variables of {run.path}", height=4.2), caption)


def entropy(run: Trajectory) -> Picture:
    """Draw S(x) with its error over copies, and its slope below, where there are bins enough for one."""
    found = _landscape(History(run))
    found = found.marginal() if len(found.axes) == 2 else found
    axis, error = found.axes[0], found.error()
    values = np.where(np.isfinite(found.mean()), found.mean(), np.nan)
    energy = "L" if axis.name.startswith("ln") else "x"
    slope, told = _slope(found, energy)

    def draw(upper: "Axes", *lower: "Axes") -> None:
        upper.plot(axis.centres, values, color=BLUE, label="S" if error is None else "S ± 1 se")
        if error is not None:
            upper.fill_between(axis.centres, values - error, values + error, color=BLUE, alpha=0.25, lw=0)
        upper.set_ylabel("S  [k_B]")
        for axes, curve in zip(lower, slope, strict=True):
            _banded(axes, curve, VERMILLION, "dS/dx" if error is None else "dS/dx ± 1 se")
            axes.set_ylabel("dS/dx  [k_B]")
        for axes in (upper, *lower):
            axes.set_xlabel(axis.text)
            legend(axes)

    noise = (
        "without an error, as there is one copy" if error is None else f"error {np.nanmedian(error):.2g} k_B (median)"
    )
    caption = (
        f"{found.method}, {_copies(found)}: {np.nanmax(values) - np.nanmin(values):.4g} k_B from lowest to highest, "
        f"{noise}. {told}."
    )
    panels = 1 + len(slope)
    return Picture(render(draw, f"entropy of {run.path}", panels=panels, height=(3.3, 5.4)[panels - 1]), caption)


def _slope(found: Landscape, energy: str) -> tuple[list[Curve], str]:
    """The slope of S(x) and what it says; none where bins are too few."""
    try:
        slopes = microcanonical(found, logarithm=energy == "L")
    except ValueError:
        return [], f"{found.axes[0].bins} bins are too few for a slope"
    convex = [f"{one.low:.3g} to {one.high:.3g}" for one in transitions(found, logarithm=energy == "L")]
    ends = [f"{slopes.temperature[k]:.3g} at {slopes.x[k]:.3g}" for k in (0, -1)]
    phases = f"is convex from {', '.join(convex)}" if convex else "is nowhere clearly convex"
    return [slopes.slope], f"The temperature 1/S'({energy}) is {' and '.join(ends)}; S({energy}) {phases}"


def _landscape(history: History) -> Landscape:
    """What is known of the first two variables at the last write."""
    return history.landscape(keep=[axis.name for axis in history.axes[:2]])


def _copies(found: Landscape) -> str:
    return "one table" if found.copies == 1 else f"mean of {found.copies} independent tables"


def _banded(axes: "Axes", curve: Curve, colour: str, label: str, on_map: bool = False) -> None:
    """Draw the mean over copies with the band of its standard error, where all copies know it."""
    axes.plot(curve.x, curve.mean, color=colour, label=label, path_effects=cased() if on_map else None)
    if curve.error is not None:
        band = curve.mean - curve.error, curve.mean + curve.error
        axes.fill_between(curve.x, *band, color=colour, alpha=0.45 if on_map else 0.25, lw=0)
