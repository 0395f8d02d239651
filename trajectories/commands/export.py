"""`export`: a run as a file that another tool opens."""

from pathlib import Path
from typing import Annotated

import typer

from trajectories.console import errors_told, say
from trajectories.export import KINDS, writing


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a trajectory.h5 file.")],
    kind: Annotated[str, typer.Option("--for", metavar="KIND", help=f"What opens it: {', '.join(KINDS)}.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")],
    start: Annotated[int | None, typer.Option(help="The first frame, counted from 0, or from the end.")] = None,
    stop: Annotated[int | None, typer.Option(help="The frame before which to stop.")] = None,
    stride: Annotated[int | None, typer.Option(help="Every which frame.")] = None,
    frame: Annotated[int | None, typer.Option(help="Of safetensors: the frame; the last by default.")] = None,
    replica: Annotated[int | None, typer.Option(help="Of safetensors: the replica; the first by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a run as a file for MDAnalysis, ArviZ (netCDF), numpy (npz), or one frame of it for torch (safetensors)."""
    with errors_told():
        chosen = slice(start, stop, stride)
        written = writing.write(run, kind, out, frames=chosen, frame=frame, replica=replica, force=force, progress=True)
        for note in written.notes:
            say(f"note: {note}")
        say(f"{kind}: {written.path}")
