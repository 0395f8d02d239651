"""`check`: whether a run has the canonical law at the temperature that was set."""

import json
import math
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from trajectories.console import busy, errors_told, say
from trajectories.storage.reader import Trajectory
from trajectories.thermodynamics import Check, canonical_checks


def check(
    path: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a trajectory.h5 file.")],
    start: Annotated[
        int | None, typer.Option(help="The first step that counts; by default after equilibration.")
    ] = None,
    tolerance: Annotated[float, typer.Option(help="Relative deviations below this pass.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Test a run against the laws of the canonical ensemble; exit code 1 when one fails."""
    with errors_told():
        with Trajectory(path) as run, busy(f"testing {path}"):
            found = canonical_checks(run, start=start, tolerance=tolerance)
        if as_json:
            say(json.dumps([_plain(one) for one in found], indent=2))
        else:
            Console(highlight=False).print(_table(found))
            say("\n".join(["", *(f"{one.name}: {one.note}" for one in found if one.note)]))
    if any(one.verdict == "failed" for one in found):
        raise typer.Exit(1)


def _plain(one: Check) -> dict[str, str | float | None]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in one._asdict().items()}


def _table(found: list[Check]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("law", "value", "exact", "z", "verdict"):
        table.add_column(column, justify="left" if column in ("law", "verdict") else "right", no_wrap=True)
    colours = {"passed": "green", "failed": "red", "open": "yellow"}
    for one in found:
        error = f" ± {one.error:.2g}" if math.isfinite(one.error) else ""
        measured = _number(one.value, ".5g") + error, _number(one.expectation, "g"), _number(one.z, "+.1f")
        table.add_row(one.name, *measured, f"[{colours[one.verdict]}]{one.verdict}[/]")
    return table


def _number(value: float, form: str) -> str:
    return "" if math.isnan(value) else format(value, form)
