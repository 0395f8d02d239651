"""Trajectory: a finished, running or interrupted run as arrays; reads only what is asked for."""

import difflib
import os
from collections.abc import Iterator, Mapping
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
    COMMITTED,
    FILE_NAME,
    FRAME,
    OBSERVABLES,
    PARTICLES,
    Tensor,
    broken_means_error,
    open_hdf5,
    read_table,
)
from trajectories.storage.lazy import LazyArray

Array = NDArray[Any]


def open(path: str | os.PathLike[str]) -> "Trajectory":
    """Open a trajectory: the .h5 file, or the run folder that holds ``trajectory.h5``.

    It shows the rows committed at this moment, also while the run goes on; open it again to see more.

    Raises:
        NotATrajectory: there is no such file, or it is not HDF5, not ours, of a newer format, or cut off.
    """
    return Trajectory(path)


class Observable:
    """One observable: steps and times (samples,), values (samples, replicas, ...)."""

    def __init__(self, path: Path, name: str, group: h5py.Group, samples: int) -> None:
        self.name = name
        self._path, self._group, self._samples = path, group, samples

    def __len__(self) -> int:
        return self._samples

    def __repr__(self) -> str:
        return f"Observable({self.name!r}, shape={self.shape}, dtype={self._group['value'].dtype})"

    @property
    def shape(self) -> tuple[int, ...]:
        """(samples, replicas, ...), known without reading."""
        return (self._samples, *self._group["value"].shape[1:])

    def _read(self, name: str) -> Array:
        with broken_means_error(self._path):
            return np.asarray(self._group[name][: self._samples])

    @cached_property
    def steps(self) -> Array:
        """Step of each sample, (samples,)."""
        return self._read("step")

    @cached_property
    def times(self) -> Array:
        """Time of each sample, (samples,)."""
        return self._read("time")

    @cached_property
    def values(self) -> Array:
        """The samples, (samples, replicas, ...)."""
        return self._read("value")


class Observables(Mapping[str, Observable]):
    """The observables of a run by name; two-level names are joined by '/', as in "train/loss"."""

    def __init__(self, path: Path, h5: h5py.File) -> None:
        self._every = {
            name: Observable(path, name, h5[f"{OBSERVABLES}/{name}"], int(h5[f"{COMMITTED}/observables/{name}"][()]))
            for name in series.observable_names(h5)
        }

    def __getitem__(self, name: str) -> Observable:
        try:
            return self._every[name]
        except KeyError:
            raise NotRecorded(_unknown("observable", name, self._every)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._every)

    def __len__(self) -> int:
        return len(self._every)

    def __repr__(self) -> str:
        return f"Observables({', '.join(self._every)})"


class Trajectory:
    """One trajectory, open for reading; a context manager. Arrays stay on disk until they are indexed."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        given = Path(path)
        self.path = given / FILE_NAME if given.is_dir() else given
        self._h5 = open_hdf5(self.path, "r")
        try:
            with broken_means_error(self.path):
                own = self._h5["mdnet"].attrs
                self.replicas, self.dof = int(own["replicas"]), int(own["dof"])
                self._frames = int(self._h5[f"{COMMITTED}/{FRAME}"][()])
                self.table: list[Tensor] = read_table(self._h5)
                self.observables = Observables(self.path, self._h5)
        except BaseException:
            self.close()
            raise

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

    def _field(self, name: str, tail: tuple[int, ...], offset: int = 0) -> LazyArray:
        particles = self._h5[PARTICLES]
        if name not in particles:
            raise NotRecorded(
                f"{self.path} holds no {name}: to record it, ask the frames for it ({name}=True, or Writer.frame)"
            )
        if particles[name]["value"].shape[0] < self._frames:
            raise NotATrajectory(f"{self.path} was cut back by a resumed run since it was opened: open it again")
        return LazyArray(self.path, particles[name]["value"], self._frames, self.replicas, tail, offset)

    @property
    def positions(self) -> LazyArray:
        """Coordinates q, (frames, replicas, dof)."""
        return self._field("position", (self.dof,))

    @property
    def velocities(self) -> LazyArray:
        """Velocities p / m, (frames, replicas, dof)."""
        return self._field("velocity", (self.dof,))

    @property
    def forces(self) -> LazyArray:
        """Forces -dU/dq, (frames, replicas, dof)."""
        return self._field("force", (self.dof,))

    def layer(self, name: str) -> LazyArray:
        """Coordinates of one parameter tensor by name, (frames, replicas, *shape)."""
        for tensor in self.table:
            if tensor.name == name:
                return self._field("position", tensor.shape, tensor.offset)
        raise NotRecorded(_unknown("parameter tensor", name, [tensor.name for tensor in self.table]))

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


def _unknown(kind: str, name: str, known: Any) -> str:
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.4) or names[:10]
    offer = f"did you mean {' or '.join(near)}?" if near else "none is recorded"
    return f"no {kind} {name!r} in this trajectory: {offer}"
