"""The figure of the entropy: every estimate that applies to a run, side by side with its error."""

import math
from typing import TYPE_CHECKING

from trajectories.entropy import Row, compare
from trajectories.errors import TrajectoryError
from trajectories.report import reading
from trajectories.report.drawing import BLUE, VERMILLION, Missing, Picture, legend, render
from trajectories.storage.reader import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLES = {"absolute": (BLUE, "o", "estimate ± 1 se"), "upper bound": (VERMILLION, "<", "upper bound ± 1 se")}
_SAMPLES = 1000  # of a run, which keeps the figure to seconds


def entropy(run: Trajectory) -> Picture:
    """Draw the absolute entropies of the weights, and of their first principal components where there are many."""
    coldest, note = reading.group(run).temperature, reading.group(run).note
    try:
        found = compare(run, at_most=_SAMPLES, temperature=coldest if math.isfinite(coldest) else None)
    except (TrajectoryError, ValueError) as reason:
        raise Missing(str(reason)) from reason
    groups: dict[str, list[Row]] = {}
    for row in found.rows:
        if row.estimate is not None and row.kind in _STYLES:
            groups.setdefault(row.of, []).append(row)
    if not groups:
        raise Missing("no estimator of the entropy applies: too few frames, or too many weights for them")

    def draw(*panels: "Axes") -> None:
        for axes, (of, rows) in zip(panels, groups.items(), strict=True):
            _forest(axes, rows)
            axes.set_xlabel(f"entropy of {of}  [nats]")
            legend(axes)

    told = [
        f"{of}: {rows[0].samples} samples, worth {rows[0].independent:.0f} independent ones"
        for of, rows in groups.items()
    ]
    caption = f"Of {found.what}{note and f', {note}'}. {'; '.join(told)}. " + ". ".join(found.disagreements[:3])
    return Picture(render(draw, f"entropy of {run.path}", panels=len(groups)), caption.strip().rstrip(".") + ".")


def _forest(axes: "Axes", rows: list[Row]) -> None:
    """One line an estimator, the first on top."""
    for kind, (colour, marker, label) in _STYLES.items():
        places = [place for place, row in enumerate(rows) if row.kind == kind]
        found = [row.estimate for row in rows if row.kind == kind and row.estimate is not None]
        if found:
            errors = [one.error if math.isfinite(one.error) else 0.0 for one in found]
            values = [one.value for one in found]
            axes.errorbar(values, places, xerr=errors, fmt=marker, ms=5, capsize=3, color=colour, label=label)
    axes.set_yticks(range(len(rows)), [row.name.replace("_", " ") for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.1)
