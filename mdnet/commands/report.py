"""`mdnet report`: that of trajectories, for which a study is drawn anew, as far as its runs have come."""

from __future__ import annotations

from functools import wraps
from pathlib import Path

from mdnet.console import errors_told
from mdnet.sweep import illustrate, records
from trajectories.commands import look


@wraps(look.report)
def report(runs: list[Path], out: Path | None = None) -> None:
    """Draw the studies among the folders, which may be under way or have been killed, and write the page of all."""
    with errors_told():
        for folder in runs:
            if (folder / records.FILE_NAME).exists():
                illustrate(folder)
    look.report(runs, out)
