"""`mdnet sweep`: a study, or every combination of values of a run file, over the processors here or a Dask cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mdnet.console import errors_told, say, tabulate
from mdnet.sweep import Run, Study, Sweep, cluster, grid, illustrate, packing, planning, study
from mdnet.sweep.board import duration

INTERRUPTED = 130  # the exit code of a soft stop, as a shell gives for Ctrl-C
_COLUMNS = ("run", "state", "steps", "time", "energy", "temperature")


def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A study, or a run file (TOML).")],
    out: Annotated[Path | None, typer.Option(help="The folder for the runs; by default runs/NAME.")] = None,
    over: Annotated[
        list[str],
        typer.Option(metavar="KEY=VALUES", help="A,B,C or FIRST:END; KEY,KEY=A,B;C,D for keys that vary together."),
    ] = [],  # noqa: B006
    overrides: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Replace a value for all runs: run.steps=1000.")
    ] = [],  # noqa: B006
    pack: Annotated[
        bool | None, typer.Option("--pack/--no-pack", help="Whether runs are joined into one simulation.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; by default one a processor.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of a run; by default the file's.")] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler to use, tcp://HOST:8786.")
    ] = None,
    retries: Annotated[
        int | None, typer.Option(min=0, help="How often what a killed worker had is begun again; by default 3.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the runs, and leave.")] = False,
) -> None:
    """Run a study, or a file with every combination of values; the same command again goes on, and adds new values.

    Runs that differ only in seeds and numbers are joined into one simulation, unless --no-pack. What is finished is not
    run again. Ctrl-C or SIGTERM stop softly: every run checkpoints. Exit code 1 where a run failed by an error of its
    own; the others go on. What is given here goes before what the study says.
    """
    with errors_told():
        said = study.read(file) if study.is_study(file) else study.plain(file)
        plan = study.changed(
            said, out=out, over=grid.parse(over), overrides=overrides, pack=pack, workers=workers, threads=threads,
            scheduler=scheduler, retries=retries,
        )  # fmt: skip
        if dry_run:
            _list(plan)
            return
        result = plan.sweep()
        _tell(result, plan.out)
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)
    if result.failed:
        raise typer.Exit(1)


def _list(plan: Study) -> None:
    """Print the runs, and with which others each is joined."""
    shared = [*plan.overrides, *([] if plan.threads is None else [f"run.threads={plan.threads}"])]
    planned = planning.plan(plan.file, plan.over, shared)
    units = (
        packing.units(planned, plan.workers or cluster.processors()) if plan.pack else [*map(packing.alone, planned)]
    )
    for unit in units:
        for each in unit.members:
            with_others = f" (one of {len(unit.members)} in {unit.name})" if len(unit.members) > 1 else ""
            say(f"{plan.out / each.name}: {' '.join(grid.overrides(each.values))}{with_others}")
    simulations = f"{len(units)} simulation{'s' if len(units) > 1 else ''}"
    say(f"{len(planned)} runs in {simulations}, where none is begun yet" if plan.pack else f"{len(planned)} runs")


def _tell(result: Sweep, out: Path) -> None:
    """Print how the runs ended, and what comes next; draw them for a page."""
    tabulate(str(out), _COLUMNS, [_row(run) for run in result])
    for run in result.failed:
        say(f"{run.name} failed: {run.error}")
    counts = f"{len(result.finished)} of {len(result)} runs finished, {len(result.failed)} failed"
    if len(result.finished) + len(result.failed) < len(result):
        say(f"{counts}; to go on with the others, give the same command again")
    else:
        say(f"{counts}; to try those again, give the same command" if result.failed else counts)
    illustrate(out)
    if result.folders:
        say(f"next: mdnet report {out}")
        say(f'in Python: mdnet.sweep.table("{out}"), which is {out}/results.nc')


def _row(run: Run) -> tuple[str, ...]:
    means = ("–" if value is None else f"{value:.4g}" for value in (run.energy, run.temperature))
    return run.name, run.state, str(run.steps), duration(run.seconds), *means
