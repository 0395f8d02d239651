"""What the command line says: plain lines, tables, and one red message for an error that was foreseen."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from rich.console import Console
from rich.table import Table

from mdnet.checkpoint import ResumeError
from mdnet.stability import DivergenceError
from trajectories import console
from trajectories.console import say as say


def tabulate(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)


def errors_told() -> AbstractContextManager[None]:
    """Turn an expected error into one red message and exit code 1, and warnings into plain lines."""
    return console.errors_told(ResumeError, DivergenceError)
