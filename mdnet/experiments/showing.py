"""What the command line shows of a reproduction: its stages, a stop, its table and checks, and where its files are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from mdnet.console import say, tabulate


def show(folder: Path) -> bool:
    """Print table and checks of a folder's results.json, and return whether all hold; the studies are in the page."""
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    tabulate(f"\n{found['title']}; mean ± standard error", found["columns"], found["rows"])
    if found["studies"]:
        say(f"In the report: {'; '.join(study['title'] for study in found['studies'])}.")
    if found["checks"]:
        columns = ["check", "expectation", "measured", "verdict"]
        tabulate("Checks", columns, [list(entry.values()) for entry in found["checks"]])
    for run in found["runs"]:
        say(f"trajectory: {folder / run / 'trajectory.h5'}")
    say(f"report:     {folder / 'report.html'}")
    return all(entry["verdict"] == "pass" for entry in found["checks"])


def tell(stage: str, seconds: float) -> None:
    """Print a stage that is over and its seconds."""
    say(f"{stage}, {seconds:.0f} s")


@contextmanager
def stops_told(kept: str) -> Iterator[None]:
    """Where Ctrl-C or SIGTERM stops what happens inside, say what is `kept` and how to go on; the exit code is 130."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"stopped; {kept}, the same command with --resume goes on")
        raise typer.Exit(130) from None
