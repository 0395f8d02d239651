"""`recover`: what a killed run leaves is put in order, so that every program opens it."""

from pathlib import Path
from typing import Annotated

import typer

from trajectories.console import errors_told, say
from trajectories.storage import recover as recovering
from trajectories.storage.reader import Trajectory


def recover(
    path: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a trajectory.h5 file.")],
) -> None:
    """Mend the trajectory of a killed run, so that programs other than mdnet open it, too."""
    with errors_told():
        sound = recovering.is_sound(path)
        file = recovering.recover(path)
        with Trajectory(file) as run:
            held = f"{len(run)} frames, {len(run.observables)} observables"
        say(f"nothing to mend: {file} ({held})" if sound else f"mended: {file} ({held})")
