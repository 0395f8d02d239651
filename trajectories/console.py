"""What a command says: plain lines, and one red message for an error that was foreseen."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.text import Text

from trajectories.errors import TrajectoryError


def say(text: str) -> None:
    """Print a line as it is."""
    Console(highlight=False).print(Text(text), soft_wrap=True)


@contextmanager
def busy(doing: str) -> Iterator[None]:
    """Show on a terminal that something is under way, as long as it takes."""
    with Console(stderr=True).status(doing):
        yield


@contextmanager
def errors_told(*more: type[Exception]) -> Iterator[None]:
    """Turn an expected error into one red message and exit code 1, and warnings into plain lines."""
    foreseen: tuple[type[Exception], ...] = (TrajectoryError, ValueError, OSError, *more)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _complain(f"warning: {message}", "yellow")
        try:
            yield
        except foreseen as error:
            _complain(str(error), "red")
            raise typer.Exit(1) from None


def _complain(text: str, colour: str) -> None:
    Console(stderr=True, highlight=False).print(Text(text, style=colour), soft_wrap=True)
