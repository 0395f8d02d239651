"""`mdnet reproduce`: a published system by one command, with its controls and its checks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mdnet.console import errors_told
from mdnet.experiments.data_averaging.commands import data_averaging
from mdnet.experiments.free_energy.commands import free_energy
from mdnet.experiments.ideal_gas.commands import ideal_gas
from mdnet.experiments.jobs import Request, each
from mdnet.experiments.landscape.commands import entropy_landscape
from mdnet.experiments.large.problems import PROBLEMS as LARGE
from mdnet.experiments.problems import PROBLEMS
from mdnet.experiments.reproduction import PUBLISHED
from mdnet.experiments.showing import show
from mdnet.experiments.simmering import HEATINGS, Mode

app = typer.Typer(help="Reproduce a published system, with its controls.", no_args_is_help=True)


app.command()(entropy_landscape)
app.command()(free_energy)
app.command()(ideal_gas)
app.command()(data_averaging)


@app.callback()
def main() -> None:
    """Reproduce a published system, with its controls."""


@app.command()
def simmering(
    problems: Annotated[
        list[str] | None,
        typer.Option(
            "--problem",
            help=f"Of {', '.join([*PROBLEMS, *LARGE])}; may be repeated. By default the first {len(PROBLEMS)}.",
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=2, help="Repetitions, as replicas of one batched run: 8, or 2 of large problems.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The first of them.")] = 0,
    mode: Annotated[
        Mode, typer.Option(help="Heat Adam's minimum, or start hot at random weights with the same budget.")
    ] = "retrofit",
    heating: Annotated[
        str, typer.Option(help=f"How the temperature is raised in a retrofit: {', '.join(HEATINGS)}, {PUBLISHED}.")
    ] = "staircase",
    brief: Annotated[bool, typer.Option("--brief", help="The table with the first controls; no studies.")] = False,
    out: Annotated[Path, typer.Option(help="A folder for each problem: its runs, results.json, report.html.")] = Path(
        "runs/simmering"
    ),
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 where a check fails.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the runs that are in the folder.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Problems at once, each in a process of its own.")] = 1,
    epochs: Annotated[float | None, typer.Option(help=f"Of {', '.join(LARGE)}: epochs in all.")] = None,
    rows: Annotated[int | None, typer.Option(help=f"Of {', '.join(LARGE)}: training rows.")] = None,
    device: Annotated[str | None, typer.Option(help=f"Of {', '.join(LARGE)}: cpu or cuda.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; one is fastest for networks this small.")] = 1,
) -> None:
    """Overfit by Adam, then heat, and predict by the ensemble (Babayan, Aliahmadi, van Anders 2025)."""
    holds, request = True, Request(out, seeds, seed, mode, heating, brief, force, epochs, rows, device)
    with errors_told():
        for folder in each(problems or list(PROBLEMS), request, jobs=jobs, threads=threads):
            holds = show(folder) and holds
    if check and not holds:
        raise typer.Exit(1)
