"""Several cells of a task, and the advantage over trained networks by width and by number of points."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

import trajectories
from mdnet.experiments import results
from mdnet.experiments.landscape import figures
from mdnet.experiments.landscape.task import Task
from mdnet.experiments.landscape.telling import SPACING, Cell
from mdnet.experiments.landscape.volume import LEVEL, volume
from mdnet.experiments.results import Study, Table

AT = -2.0  # ln L_train where cells are compared, or the next level that all of them know


def compared(cells: Sequence[Cell], folders: Sequence[Path], out: Path) -> Path:
    """Write results.json and report.html of several cells in `out`: the advantage over Adam by width and by points."""
    task = cells[0].plan.task
    at, found = advantages(cells)
    told = f"At {task.axes[0].text} = {at:g}; positive where the equilibrium is better."
    if np.isnan(at):
        told = f"There is no level of {task.axes[0].text} that all cells know and to which Adam's networks came."
    rows = [[str(w), str(n), _told(gain, error), sign(gain, error)] for (w, n), (gain, error) in found.items()]
    plot = figures.advantage(found, metric=task.axes[1].text, at=f"{task.axes[0].text} = {at:g}")
    study = Study(
        "advantage", "The advantage by width and by points", ["W", "N", "advantage over Adam", "beyond two errors"],
        rows, told, plots=[] if np.isnan(at) else [plot],
    )  # fmt: skip
    linked = [f"{folder.name}: {json.loads((folder / 'results.json').read_text())['title']}" for folder in folders]
    table = Table(study.columns, rows)
    results.write(out, f"Entropy landscapes: {task.title}", table, [], linked, [study])
    trajectories.report.write([out], out)
    return out


def grown(task: Task, points: Sequence[int], width: int, out: Path) -> Path:
    """Write results.json and report.html in `out`: random networks against trained ones as the points grow."""
    study = volume(task, points, width=width, level=max(LEVEL, task.low + SPACING))
    results.write(out, f"{study.title}: {task.title}", Table(study.columns, study.rows), [], [], [study])
    trajectories.report.write([out], out)
    return out


def advantages(cells: Sequence[Cell]) -> tuple[float, Mapping[tuple[int, int], tuple[float, float]]]:
    """Return a level of x, and by (width, points) the advantage over Adam there with its standard error.

    The level is the one nearest to -2 that all cells know and some network of each came to; without one the values
    are nan.
    """
    gains = [cell.gains["Adam"] for cell in cells]
    common = set.intersection(*({float(x) for x, seeds in zip(g.levels, g.seeds, strict=True) if seeds} for g in gains))
    at = min(common, key=lambda x: abs(x - AT)) if common else float("nan")
    found = {}
    for cell, gain in zip(cells, gains, strict=True):
        place = [k for k, x in enumerate(gain.levels) if x == at]
        error = float("nan") if gain.error is None or not place else float(gain.error[place[0]])
        found[cell.plan.width, cell.plan.points] = (float(gain.gain[place[0]]) if place else float("nan"), error)
    return at, found


def sign(gain: float, error: float) -> str:
    """What a gain with its standard error says."""
    if not np.isfinite([gain, error]).all():
        return "not known"
    return "undecided" if abs(gain) <= 2 * error else "yes" if gain > 0 else "the reverse"


def _told(gain: float, error: float) -> str:
    return "not known" if np.isnan(gain) else f"{gain:+.3f} ± {error:.3f}"
