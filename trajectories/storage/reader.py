"""Trajectory: a finished, running or interrupted run as arrays; reads only what is asked for."""

import os
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from trajectories.errors import NotATrajectory, NotRecorded
from trajectories.storage import parameters as settings
from trajectories.storage import series
from trajectories.storage.layout import (
    FILE_NAME,
    FRAME,
    PARTICLES,
    Tensor,
    broken_means_error,
    read_table,
)
from trajectories.storage.lazy import LazyArray
from trajectories.storage.observables import Learnt, Observables, unknown
from trajectories.storage.opening import open_hdf5

Array = NDArray[Any]


def open(path: str | os.PathLike[str]) -> "Trajectory":
    """Open a trajectory: the .h5 file, or the run folder that holds ``trajectory.h5``.

    It shows the rows committed at this moment, also while the run goes on; open it again to see more.

    Raises:
        NotATrajectory: there is no such file, or it is not HDF5, not ours, of a newer format, or cut off.
    """
    return Trajectory(path)


class Trajectory:
    """One trajectory, open for reading; a context manager. Arrays stay on disk until they are indexed."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        given = Path(path)
        self.path = given / FILE_NAME if given.is_dir() else given
        self._h5 = open_hdf5(self.path, self._look)

    def _look(self, h5: h5py.File) -> None:
        own = h5["mdnet"].attrs
        self.replicas, self.dof = int(own["replicas"]), int(own["dof"])
        self._rows = series.frame_rows(h5)
        self._frames = self._rows[FRAME]
        self.table: list[Tensor] = read_table(h5)
        self.observables = Observables(self.path, h5)
        self.learnt = Learnt(self.path, h5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; arrays not read by now cannot be read any more."""
        self._h5.close()

    def __len__(self) -> int:
        return self._frames

    def __repr__(self) -> str:
        return f"Trajectory({str(self.path)!r}, frames={len(self)}, replicas={self.replicas}, dof={self.dof})"

    @property
    def degrees_of_freedom(self) -> int:
        """N_f: all coordinates of the system that was run, of which frames may keep `dof` only."""
        recorded = self._h5.get("parameters/system/dof")
        return self.dof if recorded is None else int(recorded[()])

    def _field(self, name: str, tail: tuple[int, ...], offset: int = 0) -> LazyArray:
        if name not in self._rows:
            raise NotRecorded(
                f"{self.path} holds no {name}: to record it, ask the frames for it ({name}=True, or Writer.frame)"
            )
        element, frames = self._h5[f"{PARTICLES}/{name}"], self._rows[name]
        if element["value"].shape[0] < frames:
            raise NotATrajectory(f"{self.path} was cut back by a resumed run since it was opened: open it again")
        return LazyArray(self.path, element, frames, self.replicas, tail, offset)

    @property
    def positions(self) -> LazyArray:
        """Coordinates q, (frames, replicas, dof), of the tensors in `table`: those that were kept."""
        return self._field("position", (self.dof,))

    @property
    def velocities(self) -> LazyArray:
        """Velocities p / m, (frames, replicas, dof), with the steps and times of their own frames."""
        return self._field("velocity", (self.dof,))

    @property
    def forces(self) -> LazyArray:
        """Forces -dU/dq, (frames, replicas, dof), with the steps and times of their own frames."""
        return self._field("force", (self.dof,))

    def layer(self, name: str) -> LazyArray:
        """Coordinates of one parameter tensor by name, (frames, replicas, *shape)."""
        for tensor in self.table:
            if tensor.name == name:
                return self._field("position", tensor.shape, tensor.offset)
        raise NotRecorded(unknown("parameter tensor", name, [tensor.name for tensor in self.table]))

    def _axis(self, name: str) -> Array:
        with broken_means_error(self.path):
            return np.asarray(self._h5[f"{PARTICLES}/{FRAME}/{name}"][: self._frames])

    @cached_property
    def steps(self) -> Array:
        """Step of each frame, (frames,)."""
        return self._axis("step")

    @cached_property
    def times(self) -> Array:
        """Time of each frame, (frames,)."""
        return self._axis("time")

    @cached_property
    def masses(self) -> Array:
        """Masses, (dof,); the same in every replica."""
        with broken_means_error(self.path):
            return np.asarray(self._h5[f"{PARTICLES}/mass"][: self.dof])

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """What was run, as nested dictionaries; the table of tensors is in `table`."""
        with broken_means_error(self.path):
            stored = settings.read(self._h5["parameters"])
        stored.pop("table")
        return stored
