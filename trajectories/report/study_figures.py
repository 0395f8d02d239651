"""Several runs side by side: what differed, and what came out, with error bars."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trajectories import statistics
from trajectories.report import reading
from trajectories.report.drawing import BLUE, Missing, Picture, Table, render
from trajectories.statistics import Estimate
from trajectories.storage import labels
from trajectories.storage import parameters as settings
from trajectories.storage.reader import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Runs = Sequence[Trajectory]
_SHOWN = ("potential_energy", "train/loss", "test/loss", "test/accuracy", "test/r2", "temperature")
_PANELS = 4
_MOST_PARAMETERS = 40


def names(runs: Runs) -> list[str]:
    """Name every run; those of one name are numbered."""
    plain = [reading.name_of(run) for run in runs]
    return [f"{name} ({i + 1})" if plain.count(name) > 1 else name for i, name in enumerate(plain)]


def averages(runs: Runs) -> dict[str, list[Estimate | None]]:
    """Mean of every series of one number a replica that two runs or more have settled, by name; None where not."""
    known = dict.fromkeys(name for run in runs for name in reading.scalars(run))
    found = {name: [_average(run, name) for run in runs] for name in known}
    return {name: row for name, row in found.items() if sum(one is not None for one in row) > 1}


def _average(run: Trajectory, name: str) -> Estimate | None:
    try:
        return statistics.mean(reading.settled(run, name).values)
    except Missing:
        return None


def compared(runs: Runs) -> Picture:
    """Draw the averages of each run, one panel an observable."""
    found = averages(runs)
    shown = [name for name in _SHOWN if name in found][:_PANELS]
    if not shown:
        raise Missing(f"no two runs have settled averages of the same of {', '.join(_SHOWN)}")
    labels = names(runs)

    def draw(*panels: "Axes") -> None:
        for axes, name in zip(panels, shown, strict=True):
            for place, one in enumerate(found[name]):
                if one is not None:
                    error = one.error if np.isfinite(one.error) else 0.0
                    axes.errorbar(one.value, place, xerr=error, fmt="o", ms=5, capsize=3, color=BLUE)
            axes.set_yticks(range(len(labels)), [_short(label) for label in labels])
            axes.set_ylim(len(labels) - 0.5, -0.5)
            axes.set_xlabel(f"{name.replace('_', ' ')} ± 1 se")
            axes.locator_params(axis="x", nbins=5)

    height = len(shown) * (0.7 + 0.25 * len(labels))
    svg = render(draw, "averages of each run", panels=len(shown), height=height)
    return Picture(svg, f"Means over the equilibrated part of each run{_kept(runs)}, ± 1 se.")


def _kept(runs: Runs) -> str:
    return ", of the replicas at the lowest temperature" if any(reading.group(run).note for run in runs) else ""


def averages_table(runs: Runs) -> Table:
    """List the averages of every run, and how far apart the most different two are, in standard errors."""
    found = averages(runs)
    if not found:
        raise Missing("no two runs have settled averages of the same series")
    rows = [[name, *("–" if one is None else str(one) for one in row), _apart(row)] for name, row in found.items()]
    return Table(
        ("observable", *names(runs), "largest z of two"),
        rows,
        f"Means over the equilibrated part{_kept(runs)}, ± 1 se. z: difference of two runs over its standard error; "
        "of many pairs the largest is above 3 now and then by chance.",
    )


def _apart(row: list[Estimate | None]) -> str:
    known = [one for one in row if one is not None and np.isfinite(one.error)]
    pairs = [(a, b) for i, a in enumerate(known) for b in known[:i] if a.error or b.error]
    if not pairs:
        return "–"
    return f"{max(abs(a.value - b.value) / np.hypot(a.error, b.error) for a, b in pairs):.1f}"


def differing(runs: Runs) -> Table:
    """List the parameters that are not the same in all runs."""
    flat = [settings.flatten(run.parameters) for run in runs]
    known = dict.fromkeys(key for one in flat for key in one)
    rows = [
        [key, *(_told(one.get(key)) for one in flat)]
        for key in known
        if not all(labels.same(one.get(key), flat[0].get(key)) for one in flat)
    ]
    if not rows:
        raise Missing("all runs have the same parameters")
    more = f" The first {_MOST_PARAMETERS} of {len(rows)}." if len(rows) > _MOST_PARAMETERS else ""
    return Table(
        ("parameter", *names(runs)),
        rows[:_MOST_PARAMETERS],
        f"Everything else that the files tell is the same in all of them.{more}",
    )


def _told(value: Any) -> str:
    return "–" if value is None else settings.shorten(value, 40)


def _short(name: str, limit: int = 18) -> str:
    return name if len(name) <= limit else f"{name[: limit - 1]}…"


FIGURES: dict[str, Callable[[Runs], Picture | Table]] = {
    "Averages of each run": compared,
    "Averages in numbers": averages_table,
    "What differs": differing,
}
