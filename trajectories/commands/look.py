"""`info` and `report`: what a run holds, in lines and in pictures."""

import json
from pathlib import Path
from typing import Annotated

import typer

from trajectories.console import busy, errors_told, say
from trajectories.report import info as summaries
from trajectories.report import page


def info(
    path: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a trajectory.h5 file.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Tell what a run holds: its series, averages with their errors, canonical laws, scores, and settings."""
    with errors_told():
        with busy(f"looking at {path}"):
            told = json.dumps(summaries.summary(path), indent=2) if as_json else summaries.text(path)
        say(told)


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, or trajectory.h5 files.")],
    out: Annotated[
        Path | None, typer.Option(help="The page to write; by default report.html in the first run.")
    ] = None,
) -> None:
    """Write one self-contained page with pictures and tables of one run, or of several side by side."""
    with errors_told():
        folder = runs[0] if runs[0].is_dir() else runs[0].parent
        with busy(f"drawing {', '.join(map(str, runs))}"):
            written = page.write(runs, out or folder / "report.html")
        say(f"report: {written}")
