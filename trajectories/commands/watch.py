"""`watch`: a run in the terminal while it goes on."""

from pathlib import Path
from typing import Annotated

import typer

from trajectories import watch as watching
from trajectories.console import errors_told


def watch(
    path: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run folder, or a trajectory.h5 file, also a coming one.")
    ],
    every: Annotated[float, typer.Option(help="Seconds between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and leave.")] = False,
) -> None:
    """Draw loss, temperature and conserved quantity while a run goes on; Ctrl-C leaves."""
    with errors_told():
        watching.watch(path, every=every, once=once)
