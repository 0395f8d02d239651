"""`mdnet sweep`: every combination of values as a run of its own, over the processors here or a Dask cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mdnet.console import errors_told, say, tabulate
from mdnet.sweep import Run, Sweep, grid, planning
from mdnet.sweep import sweep as conduct
from mdnet.sweep.board import duration

INTERRUPTED = 130  # the exit code of a soft stop, as a shell gives for Ctrl-C
_COLUMNS = ("run", "state", "steps", "time", "energy", "temperature")


def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A run file (TOML).")],
    out: Annotated[Path, typer.Option(help="The folder for the runs, each in one of its own.")],
    over: Annotated[
        list[str],
        typer.Option(metavar="KEY=VALUES", help="A,B,C or FIRST:END; KEY,KEY=A,B;C,D for keys that vary together."),
    ] = [],  # noqa: B006
    overrides: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Replace a value for all runs: run.steps=1000.")
    ] = [],  # noqa: B006
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; by default one a processor.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of a run; by default the file's.")] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler to use, tcp://HOST:8786.")
    ] = None,
    retries: Annotated[int, typer.Option(min=0, help="How often a run whose worker is killed is begun again.")] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the runs, and leave.")] = False,
) -> None:
    """Run a file with every combination of values; the same command again goes on, and adds new values.

    What is finished is not run again. Ctrl-C or SIGTERM stop softly: every run checkpoints. Exit code 1 where a run
    failed by an error of its own; the others go on.
    """
    with errors_told():
        values = grid.parse(over)
        if dry_run:
            shared = [*overrides, *([] if threads is None else [f"run.threads={threads}"])]
            planned = planning.plan(file, values, shared)
            for each in planned:
                say(f"{out / each.name}: {' '.join(grid.overrides(each.values))}")
            say(f"{len(planned)} runs")
            return
        result = conduct(
            file, values, out=out, overrides=overrides, workers=workers, threads=threads, scheduler=scheduler,
            retries=retries,
        )  # fmt: skip
        _tell(result, out)
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)
    if result.failed:
        raise typer.Exit(1)


def _tell(result: Sweep, out: Path) -> None:
    """Print how the runs ended, and what comes next."""
    tabulate(str(out), _COLUMNS, [_row(run) for run in result])
    for run in result.failed:
        say(f"{run.name} failed: {run.error}")
    counts = f"{len(result.finished)} of {len(result)} runs finished, {len(result.failed)} failed"
    if len(result.finished) + len(result.failed) < len(result):
        say(f"{counts}; to go on with the others, give the same command again")
    else:
        say(f"{counts}; to try those again, give the same command" if result.failed else counts)
    if result.folders:
        say(f"next: mdnet report {out}/*/ --out {out}/report.html")
        say(f'in Python: study = trajectories.open_many("{out}/*/")')


def _row(run: Run) -> tuple[str, ...]:
    means = ("–" if value is None else f"{value:.4g}" for value in (run.energy, run.temperature))
    return run.name, run.state, str(run.steps), duration(run.seconds), *means
