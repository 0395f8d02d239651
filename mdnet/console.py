"""What the command line says: plain lines, tables, and one red message for an error that was foreseen."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

import trajectories
from mdnet.checkpoint import ResumeError
from mdnet.stability import DivergenceError

_FORESEEN = (ValueError, OSError, ResumeError, DivergenceError, trajectories.TrajectoryError)


def say(text: str) -> None:
    """Print a line as it is."""
    Console(highlight=False).print(Text(text), soft_wrap=True)


def tabulate(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)


@contextmanager
def errors_told() -> Iterator[None]:
    """Turn an expected error into one red message and exit code 1, and warnings into plain lines."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _complain(f"warning: {message}", "yellow")
        try:
            yield
        except _FORESEEN as error:
            _complain(str(error), "red")
            raise typer.Exit(1) from None


def _complain(text: str, colour: str) -> None:
    Console(stderr=True, highlight=False).print(Text(text, style=colour), soft_wrap=True)
