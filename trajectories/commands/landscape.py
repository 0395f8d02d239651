"""`landscape`: the entropy of a run that filled a table, what follows from it, and whether it has converged."""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from trajectories.console import busy, errors_told, say


def landscape(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a trajectory.h5 file.")],
    at: Annotated[list[float] | None, typer.Option(help="A level of x; repeatable. By default, ten of them.")] = None,
    window: Annotated[int, typer.Option(min=3, help="Bins of the parabola that gives S'.")] = 11,
    export: Annotated[Path | None, typer.Option(help="Write the landscape to this .npz file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Tell S, S', temperature, equilibrium metric and ridge at levels of x, and whether the run has converged."""
    from trajectories.landscape.convergence import verdict
    from trajectories.landscape.reading import of_run
    from trajectories.landscape.summary import summary
    from trajectories.storage.reader import Trajectory
    from trajectories.thermodynamics.printing import aligned

    with errors_told(), Trajectory(run) as opened:
        with busy(f"joining the tables of {run}"):
            found, rows = of_run(opened), verdict(opened)
        if export is not None:
            if export.suffix != ".npz":
                raise ValueError(f"--export {export}: the name ends in .npz")
            found.save(export)
        told = summary(found, at, window=window)
        if as_json:
            columns = {_key(name): [_plain(value) for value in column.tolist()] for name, column in told.items()}
            judged = [{name: _plain(value) for name, value in row._asdict().items()} for row in rows]
            say(
                json.dumps({"method": found.method, "copies": found.copies, "at": columns, "verdict": judged}, indent=2)
            )
            return
        say(f"{found.method}: {found.copies} independent tables of {', '.join(axis.text for axis in found.axes)}\n")
        say(aligned({name: [_cell(value) for value in column] for name, column in told.items()}))
        say("\n" + aligned(_judged(rows)))
        if export is not None:
            say(f"\nwritten: {export}")


def _judged(rows: list[Any]) -> dict[str, list[str]]:
    columns = {"wanted of the run": [row.name for row in rows], "measured": [_cell(row.value) for row in rows]}
    columns |= {"wanted": [row.wanted for row in rows], "verdict": [row.told for row in rows]}
    return columns | {"": [row.note for row in rows]}


def _key(name: str) -> str:
    return f"{name.removeprefix('± ')}_error" if name.startswith("± ") else name


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
