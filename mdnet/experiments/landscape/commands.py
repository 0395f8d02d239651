"""`mdnet reproduce entropy-landscape`: a cell of a task by one of the methods, or all laws and published numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from mdnet.console import errors_told, say
from mdnet.experiments.landscape import cells, laws
from mdnet.experiments.landscape.method import METHODS, Plan
from mdnet.experiments.landscape.reproduction import SEEDS, reproduce
from mdnet.experiments.landscape.task import Task
from mdnet.experiments.landscape.tasks import TASKS
from mdnet.experiments.showing import show
from mdnet.spelling import unknown

SHORTENED = "-shortened"  # ends the name of a task that is made small enough for two minutes
GROWING = [50, 100, 200]  # points of --volume
NAMES = [name for name in TASKS if not name.endswith(SHORTENED)]


def entropy_landscape(
    task: Annotated[
        str, typer.Option(help=f"Of {', '.join(NAMES)}; without one and with --check: all laws W1 to W6 and W8.")
    ] = "",
    width: Annotated[list[int] | None, typer.Option(help="Of the hidden layers; may be repeated.")] = None,
    points: Annotated[list[int] | None, typer.Option(help="Training and test points in all; may be repeated.")] = None,
    every_cell: Annotated[bool, typer.Option("--cells", help="All published widths and numbers of points.")] = False,
    method: Annotated[str, typer.Option(help=f"Of {', '.join(METHODS)}.")] = "wlmd",
    flat: Annotated[bool, typer.Option("--flat", help="Spread the walkers evenly over y, too, as published.")] = False,
    full: Annotated[bool, typer.Option("--full", help="The published number of steps, not the short form.")] = False,
    copies: Annotated[int, typer.Option(min=1, help="Independent tables, for error bars.")] = 4,
    walkers: Annotated[int | None, typer.Option(min=1, help="Walkers in all, by default the task's.")] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Networks trained by Adam and by SGD.")] = SEEDS,
    seed: Annotated[int, typer.Option(help="Of data and walkers; 1 makes the published points.")] = 1,
    volume: Annotated[
        bool, typer.Option("--volume", help="Random networks against trained ones as the points grow, too.")
    ] = False,
    control: Annotated[bool, typer.Option(help="Also find S by the independent ladder.")] = True,
    out: Annotated[Path, typer.Option(help="A folder for each cell: its runs, results.json, report.html.")] = Path(
        "runs/entropy-landscape"
    ),
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 where a check fails.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the runs that are in the folder.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; one is fastest for small networks.")] = 1,
) -> None:
    """The density of states of a network over train and test loss (Yang, Zhang, Shang, Zhang 2025)."""
    torch.set_num_threads(threads)

    def tell(stage: str, seconds: float) -> None:
        say(f"{stage}, {seconds:.0f} s")

    with errors_told():
        if not task and not check:
            raise ValueError(f"give --task, of {', '.join(NAMES)}, or --check for all laws")
        if not task:
            holds = show(laws.run(out / "laws", overwrite=force, tell=tell))
        else:
            chosen = _task(task, whole=full or every_cell or bool(width or points))
            say(f"{chosen.title}. {_form(chosen, full)}")
            first = Plan(chosen, 0, 0, chosen.full if full else chosen.short, out, copies=copies, flat=flat, seed=seed,
                         device=device, overwrite=force)  # fmt: skip
            plans = [
                _cell(first, task, w, n, method, full=full, walkers=walkers)
                for w, n in _cells(chosen, width, points, every_cell)
            ]
            found = [(plan, reproduce(plan, method, seeds=seeds, control=control, tell=tell)) for plan in plans]
            holds = True
            for plan in plans:
                holds = show(plan.folder) and holds
            if len(found) > 1 and all(cell.trained for _, cell in found):
                show(cells.compared([cell for _, cell in found], [p.folder for p in plans], out / f"{task}-{method}"))
            if volume:
                show(cells.grown(chosen, points or GROWING, plans[0].width, out / f"{task}-volume"))
    if check and not holds:
        raise typer.Exit(1)


def _cell(first: Plan, task: str, width: int, points: int, method: str, *, full: bool, walkers: int | None) -> Plan:
    """The plan of a cell, in a folder of its own."""
    walk = first.walk if full else first.task.shortened(width, points)
    walk = walk if walkers is None else replace(walk, walkers=walkers)
    folder = first.folder / f"{task}-W{width}-N{points}-{method}"
    return replace(first, width=width, points=points, walk=walk, folder=folder)


def _task(name: str, *, whole: bool) -> Task:
    """The task; its shortened form, where there is one, unless the `whole` or a cell of it is asked for."""
    if name not in TASKS:
        raise ValueError(unknown("task", name, NAMES))
    return TASKS[name] if whole else TASKS.get(name + SHORTENED, TASKS[name])


def _form(task: Task, full: bool) -> str:
    if full:
        return f"In full: {task.needs}."
    more = f"; --full needs {task.needs}" if task.needs else ""
    return f"The short form: about two minutes on two cores, a first look only{more}."


def _cells(task: Task, widths: list[int] | None, points: list[int] | None, every: bool) -> list[tuple[int, int]]:
    if every:
        return list(task.cells)
    first = task.cells[0]
    return [(w, n) for n in points or [first[1]] for w in widths or [first[0]]]
