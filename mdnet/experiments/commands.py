"""`mdnet reproduce`: a published system by one command, with its controls and its checks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from mdnet.console import errors_told, say, tabulate
from mdnet.experiments.problems import PROBLEMS
from mdnet.experiments.reproduction import PUBLISHED, reproduce
from mdnet.experiments.simmering import HEATINGS, Mode

app = typer.Typer(help="Reproduce a published system, with its controls.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Reproduce a published system, with its controls."""


@app.command()
def simmering(
    problems: Annotated[
        list[str], typer.Option("--problem", help=f"One of {', '.join(PROBLEMS)}; may be given several times.")
    ] = ["sine"],  # noqa: B006
    seeds: Annotated[int, typer.Option(min=2, help="How many repetitions, as replicas of one batched run.")] = 8,
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
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; one is fastest for networks this small.")] = 1,
) -> None:
    """Overfit by Adam, then heat, and predict by the ensemble (Babayan, Aliahmadi, van Anders 2025)."""
    torch.set_num_threads(threads)
    holds = True
    with errors_told():
        for problem in problems:
            say(f"\nsimmering, {problem}: {seeds} seeds as replicas of one batched run")
            done = reproduce(
                problem, out, seeds=seeds, seed=seed, mode=mode, heating=heating, brief=brief, overwrite=force
            )
            title = f"{problem}: mean ± standard error over {seeds} seeds"
            tabulate(title, done.comparison.columns, done.comparison.rows)
            for study in done.studies:
                tabulate(study.title, list(study.columns), [list(row) for row in study.rows])
            entries = [check.entry() for check in done.checks]
            tabulate("checks", ["check", "expectation", "measured", "verdict"], [list(e.values()) for e in entries])
            holds = holds and all(check.holds for check in done.checks)
            for run in done.runs:
                say(f"trajectory: {run / 'trajectory.h5'}")
            say(f"report:     {done.folder / 'report.html'}")
    if check and not holds:
        raise typer.Exit(1)
