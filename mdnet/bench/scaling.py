"""What a step costs as the system grows: in replicas, in parameters, in rows of data."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from mdnet import timing
from mdnet.bench import memory
from mdnet.bench.cases import CASES, Case, wide
from mdnet.bench.rate import Timing
from mdnet.bench.table import Table, Value
from mdnet.bench.work import begin
from mdnet.routes.choice import Route

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = {
    "replicas": "R",
    "dof": "parameters",
    "rows": "rows",
    "route": "route",
    "pair": "pair",
    "step": "step (s)",
    "over_gradient": "step / gradient",
    "extra": "extra (B)",
}
AXES = {"replicas": "replicas", "dof": "parameters", "rows": "rows of data"}
_ROWS = 1024  # of the data, as the number of parameters grows
WIDTHS = (13, 133, 1333, 13_333)  # 75 parameters each: a thousand to a million


def points(largest: float) -> Iterator[tuple[str, Case, int]]:
    """Yield (along, case, replicas): a series along each axis, its sizes up to a share `largest` of the full ones."""
    for replicas in (1, 4, 16, 64, 256, 1024, 4096):
        if replicas <= max(1.0, 4096 * largest):
            yield "replicas", CASES["a"], replicas
    for width in WIDTHS:
        if width <= max(13.0, WIDTHS[-1] * largest):
            yield "dof", wide(width, _ROWS), 1
    for rows in (16, 64, 256, 1024, 4096, 16_384):
        if rows <= max(16.0, 16_384 * largest):
            yield "rows", wide(64, rows), 1


def scaling_table(route: Route, pairs: Sequence[str], threads: int, how: Timing, largest: float = 1.0) -> Table:
    """Time a step beside its gradient along every axis; `largest` is the share of the full sizes to go up to.

    `extra` is the peak of a step's memory beyond that of the gradient, the phase being there before.
    """
    rows: list[dict[str, Value]] = []
    with timing.pinned(threads):
        torch.set_num_threads(threads)
        for along, case, replicas in points(largest):
            rows += _rows(along, case, replicas, route, pairs, how)
    title = f"R replicas, float32, {threads} thread(s), medians of {how.rounds} turns; extra for each of R x parameters"
    return Table("scaling", title, COLUMNS, rows)


def _rows(
    along: str, case: Case, replicas: int, route: Route, pairs: Sequence[str], how: Timing
) -> list[dict[str, Value]]:
    begun = begin(case, replicas, route, pairs, how.seconds / 2)
    times = timing.turns({"gradient": begun.force, **begun.running}, rounds=how.rounds, seconds=how.seconds)
    system, scratch = begun.system, memory.peak(begun.force)
    rows = []
    for pair, steps in begun.running.items():
        steps.check()
        step, most = [seconds / steps.block for seconds in times[pair]], memory.peak(steps)
        extra = None if most is None or scratch is None else (most - scratch) / (system.dof * replicas)
        row: dict[str, Value] = {
            "along": along, "case": case.title.split(",")[0], "replicas": replicas, "dof": system.dof,
            "rows": len(system.inputs), "route": system.route, "pair": pair, "step": statistics.median(step),
            "gradient": statistics.median(times["gradient"]), "over_gradient": timing.ratio(step, times["gradient"]),
            "extra": extra,
        }  # fmt: skip
        rows.append(row)
    return rows


def draw(tables: Sequence[Table], file: Path) -> None:
    """Draw seconds a step and a gradient against each axis, both logarithmic; a row of panels for each table."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from trajectories.report.drawing import STYLE

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 0.4 + 3.6 * len(tables)), layout="constrained")
        panels = figure.subplots(len(tables), len(AXES), sharey=True, squeeze=False)
        for row, table in zip(panels, tables, strict=True):
            for axes, (along, label) in zip(row, AXES.items(), strict=True):
                _panel(axes, [point for point in table.rows if point["along"] == along], along)
                axes.set(xlabel=label, xscale="log", yscale="log")
            row[0].set(ylabel="time of all replicas (s)", title=table.title.split(";")[0])
        panels[0][0].legend()
        figure.savefig(file, dpi=150)


def _panel(axes: Axes, rows: Sequence[Mapping[str, Value]], along: str) -> None:
    """A line for the steps of each pair, and a dashed one for the gradient."""
    from trajectories.report.drawing import BLUE, GREEN, INK, PURPLE, VERMILLION

    pairs = dict.fromkeys(str(row["pair"]) for row in rows)
    for pair, colour, marker in zip(pairs, (BLUE, VERMILLION, GREEN, PURPLE), "os^D", strict=False):
        own = [row for row in rows if row["pair"] == pair]
        axes.plot(_of(own, along), _of(own, "step"), marker=marker, color=colour, label=f"step, {pair}")
    axes.plot(_of(own, along), _of(own, "gradient"), "--", color=INK, label="gradient")
    axes.text(0.98, 0.02, str(own[0]["case"]) if along != "dof" else "64-width-10",
              transform=axes.transAxes, ha="right", fontsize="small")  # fmt: skip


def _of(rows: Sequence[Mapping[str, Value]], name: str) -> list[float]:
    return [float(row[name] or 0) for row in rows]
