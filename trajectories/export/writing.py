"""`write`: a run as a file that another tool opens, whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from trajectories.errors import AlreadyExists
from trajectories.export import arviz, mdanalysis, npz, weights
from trajectories.export.progress import Watch, silent, visible
from trajectories.storage.reader import Trajectory

_SERIES: dict[str, Callable[[Trajectory, Path, slice, Watch], list[str]]] = {
    "mdanalysis": mdanalysis.write,
    "arviz": arviz.write,
    "npz": npz.write,
}
_STATE = "safetensors"
KINDS = (*_SERIES, _STATE)


class Written(NamedTuple):
    """A file that was exported, and lines that say what is not in it."""

    path: Path
    notes: list[str]


def write(
    run: Trajectory | str | os.PathLike[str],
    kind: str,
    out: str | os.PathLike[str],
    *,
    frames: slice = slice(None),
    frame: int | None = None,
    replica: int | None = None,
    force: bool = False,
    progress: bool = False,
) -> Written:
    """Write a run as a file for another tool; it appears whole or not at all.

    Args:
        run: an open trajectory, a run folder or a trajectory.h5.
        kind: "mdanalysis" (H5MD folded by three), "arviz" (netCDF), "npz", or "safetensors" (the weights of one frame).
        out: the file; its folder is made when missing.
        frames: those to export, counted from 0; not for "safetensors".
        frame, replica: those whose weights to export, the last frame and the first replica by default; for
            "safetensors" alone.
        force: replace a file that is there.
        progress: show a bar on stderr where it takes long.

    Raises:
        ValueError: an unknown kind, an argument that the kind has no use for, no such frame, or ``out`` is the run.
        AlreadyExists: there is such a file; NotRecorded: the run holds no frames; TrajectoryError: a library
            is missing.
    """
    if not isinstance(run, Trajectory):
        with Trajectory(run) as opened:
            return write(opened, kind, out, frames=frames, frame=frame, replica=replica, force=force, progress=progress)
    path = Path(out)
    _check(run, kind, path, frames, (frame, replica), force)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if kind == _STATE:
            notes = weights.write(run, partial, -1 if frame is None else frame, replica or 0)
        else:
            notes = _SERIES[kind](run, partial, frames, visible if progress else silent)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return Written(path, notes)


def _check(
    run: Trajectory, kind: str, path: Path, frames: slice, one: tuple[int | None, int | None], force: bool
) -> None:
    if kind not in KINDS:
        raise ValueError(f"no export is called {kind!r}; there are {', '.join(KINDS)}")
    if kind == _STATE and frames != slice(None):
        raise ValueError("safetensors hold one frame: give frame and replica (--frame, --replica), not a range")
    if kind != _STATE and one != (None, None):
        raise ValueError(f"frame and replica are for safetensors; for {kind} give frames (--start, --stop, --stride)")
    if path.exists() and path.resolve() == run.path.resolve():
        raise ValueError(f"{path} is the run itself: give another file to write")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give the file to write, {path / 'NAME'}")
    if path.exists() and not force:
        raise AlreadyExists(f"{path} exists already: give another name, or replace it with force=True (--force)")
