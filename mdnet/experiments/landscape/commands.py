"""`mdnet reproduce entropy-landscape`: a cell of a task by one of the methods, or all laws and published numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from mdnet.console import errors_told, say
from mdnet.experiments.landscape import cells, laws
from mdnet.experiments.landscape.method import METHODS, WINDOWS, Plan
from mdnet.experiments.landscape.reproduction import SEEDS, reproduce
from mdnet.experiments.landscape.task import Task
from mdnet.experiments.landscape.tasks import TASKS
from mdnet.experiments.options import Check, Device, Force, Resume, refuse_both, refuse_device
from mdnet.experiments.showing import show, stops_told, tell
from mdnet.spelling import unknown

SHORTENED = "-shortened"  # ends the name of a task that is made small enough for two minutes
NAMES = [name for name in TASKS if not name.endswith(SHORTENED)]

_Task = Annotated[
    str, typer.Option(help=f"Of {', '.join(NAMES)}; without one and with --check: all laws W1 to W6 and W8.")
]
_Widths = Annotated[list[int] | None, typer.Option(min=1, help="Of the hidden layers; may be repeated.")]
_Points = Annotated[list[int] | None, typer.Option(min=2, help="Training and test points in all; may be repeated.")]
_EveryCell = Annotated[bool, typer.Option("--cells", help="All published widths and numbers of points.")]
_Method = Annotated[str, typer.Option(help=f"Of {', '.join(METHODS)}.")]
_Flat = Annotated[bool, typer.Option("--flat", help="Spread the walkers evenly over y, too, as published.")]
_Full = Annotated[bool, typer.Option("--full", help="The published number of steps, not the short form.")]
_Copies = Annotated[int, typer.Option(min=1, help="Independent tables, for error bars.")]
_Walkers = Annotated[int | None, typer.Option(min=1, help="Walkers in all, by default the task's.")]
_Seeds = Annotated[int, typer.Option(min=2, help="Networks trained by Adam and by SGD.")]
_Seed = Annotated[int, typer.Option(help="Of data and walkers; 1 makes the published points.")]
_Volume = Annotated[
    bool, typer.Option("--volume", help="Random networks against trained ones as the points grow, too.")
]
_Control = Annotated[bool, typer.Option(help="Also find S by the independent ladder.")]
_Out = Annotated[Path, typer.Option(help="A folder for each cell: its runs, results.json, report.html.")]
_Threads = Annotated[int, typer.Option(min=1, help="CPU threads; one is fastest for small networks.")]


def entropy_landscape(
    task: _Task = "",
    width: _Widths = None,
    points: _Points = None,
    every_cell: _EveryCell = False,
    method: _Method = "wlmd",
    flat: _Flat = False,
    full: _Full = False,
    copies: _Copies = 4,
    walkers: _Walkers = None,
    seeds: _Seeds = SEEDS,
    seed: _Seed = 1,
    volume: _Volume = False,
    control: _Control = True,
    out: _Out = Path("runs/entropy-landscape"),
    check: Check = False,
    force: Force = False,
    resume: Resume = False,
    device: Device = "cpu",
    threads: _Threads = 1,
) -> None:
    """The density of states of a network over train and test loss (Yang, Zhang, Shang, Zhang 2025)."""
    torch.set_num_threads(threads)
    with errors_told():
        refuse_both(force, resume)
        if not task and not check:
            raise ValueError(f"give --task, of {', '.join(NAMES)}, or --check for all laws")
        if not task:
            holds = show(laws.run(out / "laws", overwrite=force, tell=tell))
        else:
            chosen = _task(task, whole=full or every_cell or bool(width or points))
            first = Plan(chosen, 0, 0, chosen.full if full else chosen.short, out, copies=copies, flat=flat, seed=seed,
                         device=device, overwrite=force, resume=resume)  # fmt: skip
            wanted = _cells(chosen, width, points, every_cell)
            plans = [_cell(first, task, w, n, method, full=full, walkers=walkers) for w, n in wanted]
            for plan in plans:
                _check(plan, method)
            say(f"{chosen.title}. {_form(chosen, full)}")
            holds = _cells_told(plans, method, seeds, out / f"{task}-{method}", control=control)
            if volume:
                show(cells.grown(chosen, points or growing(chosen), plans[0].width, out / f"{task}-volume"))
    if check and not holds:
        raise typer.Exit(1)


def _cells_told(plans: Sequence[Plan], method: str, seeds: int, together: Path, *, control: bool) -> bool:
    """Reproduce and show cells one by one, then the page in which they are compared; return whether all checks hold."""
    found, holds = [], True
    for plan in plans:
        with stops_told(f"{plan.folder} keeps what was sampled: mdnet landscape {plan.folder / method} reads it"):
            found.append(reproduce(plan, method, seeds=seeds, control=control, tell=tell))
        holds = show(plan.folder) and holds
    if len(found) > 1 and all(cell.trained for cell in found):
        show(cells.compared(found, [plan.folder for plan in plans], together))
    return holds


def _check(plan: Plan, method: str) -> None:
    """Refuse before the first step what cannot be run."""
    if method not in METHODS:
        raise ValueError(unknown("method", method, METHODS))
    refuse_device(plan.device)
    tables = plan.copies * {"wlmd": 1, "wlmc": 1, "rewl": WINDOWS}.get(method, 0)
    if plan.walk.walkers < tables:
        raise ValueError(
            f"{plan.walk.walkers} walkers for {tables} tables, {plan.copies} copies of {tables // plan.copies}: "
            f"take --walkers {tables} or more, or fewer --copies"
        )
    plan.task.data(plan.points, plan.seed)


def _cell(first: Plan, task: str, width: int, points: int, method: str, *, full: bool, walkers: int | None) -> Plan:
    """The plan of a cell, in a folder of its own; the published walkers of one table are at least one for each copy."""
    walk = first.walk if full else first.task.shortened(width, points)
    many = max(walk.walkers, first.copies) if full else walk.walkers
    walk = replace(walk, walkers=many if walkers is None else walkers)
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


def growing(task: Task) -> list[int]:
    """Half the points of the task's first cell, as many, and twice as many."""
    points = task.cells[0][1]
    return [points // 2, points, 2 * points]
