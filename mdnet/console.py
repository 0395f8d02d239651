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
    """Print a table; one that is wider than the terminal in parts, each with the first column."""
    console = Console(highlight=False)
    for number, part in enumerate(_parts(columns, rows, console.width)):
        table = Table(title=None if number else title, title_justify="left")
        for k in part:
            table.add_column(columns[k])
        for row in rows:
            table.add_row(*(row[k] for k in part))
        console.print(table)


def _parts(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[list[int]]:
    """The columns of each part: as many as fit, or all where one is so long a text that it has to be wrapped."""
    wide = [3 + max(len(line) for row in (columns, *rows) for line in row[k].split("\n")) for k in range(len(columns))]
    if sum(wide) < width or max(wide) > width // 2:
        return [list(range(len(columns)))]
    parts = [[0]]
    for k in range(1, len(columns)):
        if len(parts[-1]) > 1 and sum(wide[i] for i in parts[-1]) + wide[k] >= width:
            parts.append([0])
        parts[-1].append(k)
    return parts


def errors_told() -> AbstractContextManager[None]:
    """Turn an expected error into one red message and exit code 1, and warnings into plain lines."""
    return console.errors_told(ResumeError, DivergenceError)
