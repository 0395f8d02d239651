"""One frame of one replica as named tensors, as torch and others keep the weights of a network."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trajectories.errors import NotRecorded, TrajectoryError
from trajectories.storage.reader import Trajectory

Array = NDArray[Any]


def state(run: Trajectory | str | os.PathLike[str], frame: int = -1, replica: int = 0) -> dict[str, Array]:
    """Return the weights of one frame of one replica as {name: array of the tensor's shape}, in the table's order.

    Frames and replicas count from 0, negative ones from the end. Only the tensors that the run keeps are there.

    Raises:
        NotRecorded: the run holds no frames; ValueError: no such frame or replica; NotATrajectory: as `open`.
    """
    if not isinstance(run, Trajectory):
        with Trajectory(run) as opened:
            return state(opened, frame, replica)
    check(run, frame, replica)
    q = run.positions[frame, replica]  # (dof,)
    return {t.name: np.ascontiguousarray(q[t.offset : t.offset + t.size]).reshape(t.shape) for t in run.table}


def check(run: Trajectory, frame: int, replica: int) -> None:
    """Raise NotRecorded or ValueError where the run has no such frame or replica."""
    if not len(run):
        raise NotRecorded(f"{run.path} holds no frames: record some (md.Frames), or wait for the first one")
    for what, index, count in (("frame", frame, len(run)), ("replica", replica, run.replicas)):
        if not -count <= index < count:
            raise ValueError(f"{what} {index} does not exist: {run.path} holds {count}, 0 to {count - 1}")


def write(run: Trajectory, path: Path, frame: int, replica: int) -> list[str]:
    """Write `state` as a safetensors file; its metadata say step, time, frame, replica and run.

    Raises:
        TrajectoryError: safetensors is not installed; NotRecorded, ValueError: as `state`.
    """
    try:
        from safetensors.numpy import save_file
    except ImportError as error:
        raise TrajectoryError("a safetensors file needs safetensors: pip install mdnet[export]") from error
    tensors = state(run, frame, replica)
    place, copy = frame % len(run), replica % run.replicas
    metadata = {
        "step": str(int(run.steps[place])),
        "time": repr(float(run.times[place])),
        "frame": str(place),
        "replica": str(copy),
        "run": str(run.path),
    }
    save_file(tensors, path, metadata=metadata)
    return []
