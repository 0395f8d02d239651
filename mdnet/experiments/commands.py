"""`mdnet reproduce`: a published system by one command, with its controls and its checks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

import trajectories
from mdnet.console import errors_told, say, tabulate
from mdnet.experiments import simmering as simmered

app = typer.Typer(help="Reproduce a published system, with its controls.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Reproduce a published system, with its controls."""


@app.command()
def simmering(
    problems: Annotated[
        list[str], typer.Option("--problem", help=f"One of {', '.join(simmered.PROBLEMS)}; may be given several times.")
    ] = ["sine"],  # noqa: B006
    seeds: Annotated[int, typer.Option(min=2, help="How many repetitions, as replicas of one batched run.")] = 8,
    seed: Annotated[int, typer.Option(help="The first of them.")] = 0,
    out: Annotated[Path, typer.Option(help="The folder of the runs and the report.")] = Path("runs/simmering"),
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 where a check fails.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the runs that are in the folder.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; one is fastest for networks this small.")] = 1,
) -> None:
    """Overfit by Adam, then heat, and predict by the ensemble (Babayan, Aliahmadi, van Anders 2025)."""
    torch.set_num_threads(threads)
    runs, holds = [], True
    with errors_told():
        for problem in problems:
            say(f"\nsimmering, {problem}: {seeds} seeds as replicas of one batched run")
            folders, comparison, claims = simmered.reproduce(problem, out, seeds=seeds, seed=seed, overwrite=force)
            runs += folders
            tabulate(f"{problem}: mean ± standard error over {seeds} seeds", comparison.columns, comparison.rows)
            entries = [claim.entry() for claim in claims]
            tabulate("checks", ["check", "expectation", "measured", "verdict"], [list(e.values()) for e in entries])
            holds = holds and all(claim.holds for claim in claims)
        page = trajectories.report.write(runs, out)
    for folder in runs:
        say(f"trajectory: {folder / 'trajectory.h5'}")
    say(f"report:     {page}")
    if check and not holds:
        raise typer.Exit(1)
