"""Writer: what a simulation hands its samples to; they reach the H5MD file on another thread."""

import os
import re
import warnings
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from trajectories.errors import InvalidRow, WriteFailed
from trajectories.storage import encoding, series
from trajectories.storage.layout import Tensor, write_skeleton
from trajectories.storage.options import Storage
from trajectories.storage.sink import FRAME_ROW, Row, Sink
from trajectories.storage.worker import Worker

Array = NDArray[Any]
_QUEUE_BYTES = 64 << 20
_NAME = re.compile(r"(?!(?:step|time|value)(?:/|$))[\w.-]+(?:/(?!(?:step|time|value)$)[\w.-]+)?")


class Writer:
    """Appends frames and observables to one trajectory; a row takes the caller a few microseconds.

    Rows are queued and written by a thread of their own, which commits a few times a second; a full queue makes
    the caller wait and never drops a row. Arrays are handed over, not copied: do not change them afterwards (give
    a copy of a buffer that is reused). One thread may call a Writer. Use it as a context manager, or `close` it.

    A failure of the thread (a full disk) is raised by the caller's next call as WriteFailed.
    """

    def __init__(self, sink: Sink, *, replicas: int, dof: int, queue_bytes: int) -> None:
        self.path = sink.path
        self._frame_shape = (replicas, dof)
        frames = {FRAME_ROW: sink.frames}
        self._last: dict[str, int] = {
            name: -1 if one.last_step is None else one.last_step for name, one in (frames | sink.observables).items()
        }
        self._shapes = {name: one.fields["value"].shape[1:] for name, one in sink.observables.items()}
        self._fields = frozenset(sink.frames.fields) if sink.frames.rows or len(sink.frames.fields) > 1 else None
        self._worker = Worker(sink, queue_bytes)
        self._finalizer = weakref.finalize(self, _finish, self._worker)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        table: Sequence[tuple[str, tuple[int, ...], int]],
        replicas: int,
        masses: Array,
        parameters: Mapping[str, Any],
        dtype: str = "float32",
        storage: Storage = Storage(),
        queue_bytes: int = _QUEUE_BYTES,
    ) -> Self:
        """Start a new trajectory file at ``path``.

        Args:
            path: the .h5 file; its folder is made when missing.
            table: (name, shape, offset) of each parameter tensor, in the order of the flat vector of dof numbers.
            replicas: number of independent copies.
            masses: (dof,).
            parameters: nested settings stored under /parameters (see `trajectories.parameters.write`).
            dtype: of positions, velocities and forces: "float32" or "float64".
            storage: live, compressed, rounded; kept in the file for a later resume.
            queue_bytes: how much may wait to be written before the caller is made to wait.

        Raises:
            AlreadyExists: there is such a file; InvalidRow: the table does not cover dof, or a bad parameter;
            WriteFailed: the file cannot be made; ValueError: more bits are to be kept than dtype has.
        """
        tensors = _check_table(table, masses, replicas, dtype)

        def skeleton(h5: h5py.File) -> None:
            kind = np.dtype(dtype)
            write_skeleton(h5, table=tensors, replicas=replicas, masses=masses, dtype=kind, parameters=parameters)
            encoding.remember(h5, storage)
            series.create_frames(h5, replicas * len(masses), kind, storage)

        try:
            sink = Sink.create(Path(path), skeleton)
        except (OSError, RuntimeError) as error:
            if isinstance(error, FileExistsError):
                raise
            raise WriteFailed(f"{path} cannot be made: {error}; check folder, permissions and space") from error
        return cls(sink, replicas=replicas, dof=len(masses), queue_bytes=queue_bytes)

    @classmethod
    def resume(cls, path: str | os.PathLike[str], step: int, *, queue_bytes: int = _QUEUE_BYTES) -> Self:
        """Go on with a trajectory: drop every row with a step beyond ``step``, then append.

        Raises:
            NotATrajectory: no such file, or not one of ours; InUse: another writer has it open.
        """
        sink = Sink(Path(path))
        try:
            sink.cut_after(step)
            replicas, dof = sink.frame_shape
        except BaseException:
            sink.close()
            raise
        return cls(sink, replicas=replicas, dof=dof, queue_bytes=queue_bytes)

    def frame(
        self, step: int, time: float, position: Array, velocity: Array | None = None, force: Array | None = None
    ) -> None:
        """Append one frame; position, velocity and force are (replicas, dof). The first frame says which are kept."""
        fields = {"position": position, "velocity": velocity, "force": force}
        given = {name: array for name, array in fields.items() if array is not None}
        for name, array in given.items():
            if array.shape != self._frame_shape:
                raise InvalidRow(f"{name} has shape {array.shape}; it must be (replicas, dof) = {self._frame_shape}")
        if self._fields is None:
            if apart := [name for name in given if f"/{name}" in self._last]:
                raise InvalidRow(f"{apart[0]} has a cadence of its own in {self.path}: leave it out of the frames")
            self._fields = frozenset(given)
        if self._fields != given.keys():
            raise InvalidRow(
                f"frame at step {step} holds {', '.join(given)}, but the frames of {self.path} hold "
                f"{', '.join(sorted(self._fields))}: record the same in every frame"
            )
        self._hand_over(Row(FRAME_ROW, step, time, given), sum(array.nbytes for array in given.values()))

    def element(self, name: str, step: int, time: float, value: Array) -> None:
        """Append one row of "velocity" or "force", (replicas, dof), at a cadence of its own, apart from the frames."""
        if name not in ("velocity", "force"):
            raise InvalidRow(f"element {name!r}: velocity and force may have a cadence of their own")
        if value.shape != self._frame_shape:
            raise InvalidRow(f"{name} has shape {value.shape}; it must be (replicas, dof) = {self._frame_shape}")
        if name in (self._fields or ()):
            raise InvalidRow(f"{name} is part of the frames of {self.path} already: give it there, or apart from them")
        self._hand_over(Row(f"/{name}", step, time, {"value": value}), value.nbytes)

    def learnt(self, name: str, step: int, time: float, value: Array) -> None:
        """Append what the run has learnt for all replicas together, of any shape but always the same."""
        place = f"/learnt/{name}"
        if self._shapes.setdefault(place, value.shape) != value.shape:
            raise InvalidRow(f"{name} has shape {value.shape}; it was of shape {self._shapes[place]} before")
        if not _NAME.fullmatch(name):
            raise InvalidRow(f"name {name!r}: use one or two levels such as 'mean' or 'principal/components'")
        self._hand_over(Row(place, step, time, {"value": value}), value.nbytes)

    def observable(self, name: str, step: int, time: float, value: Array) -> None:
        """Append one sample of an observable, (replicas, ...); its first sample creates the series.

        ``name`` is one or two levels of letters, digits, '_', '.', '-': "potential_energy", "train/loss".
        """
        if self._shapes.get(name) != value.shape:
            self._check_shape(name, value)
        self._hand_over(Row(name, step, time, {"value": value}), value.nbytes)

    def _hand_over(self, row: Row, nbytes: int) -> None:
        if row.step <= self._last.get(row.name, -1):
            raise InvalidRow(
                f"{row.name or 'frame'}: step {row.step} does not follow step {self._last[row.name]}; steps grow "
                "from 0 on within a series (to repeat steps, use Writer.resume)"
            )
        self._worker.put(row, nbytes)
        self._last[row.name] = row.step

    def _check_shape(self, name: str, value: Array) -> None:
        known = self._shapes.get(name)
        if known is not None:
            raise InvalidRow(f"{name} has shape {value.shape}; this series holds rows of shape {known}")
        if not _NAME.fullmatch(name):
            raise InvalidRow(f"observable name {name!r}: use one or two levels such as 'heat' or 'train/loss'")
        first = name.split("/")[0]
        clash = [other for other in self._shapes if other == first or other.startswith(name + "/")]
        if clash:
            raise InvalidRow(f"observable name {name!r} and {clash[0]!r} would lie in one group: rename one of them")
        if value.ndim == 0 or value.shape[0] != self._frame_shape[0]:
            raise InvalidRow(
                f"{name} has shape {value.shape}; its first axis must be replicas = {self._frame_shape[0]}"
            )
        if value.dtype.kind not in "biuf":
            raise InvalidRow(f"{name} has dtype {value.dtype}; allowed are bool, integers and floats")
        self._shapes[name] = value.shape

    def flush(self) -> None:
        """Return when everything handed over is committed and on the device (fsync)."""
        self._worker.flush()

    def close(self) -> None:
        """Write what is queued and close the file; a second call does nothing."""
        if self._finalizer.detach() is not None:
            self._worker.stop()
            if not self._worker.reported:
                self._worker.raise_failure()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._finalizer.detach() is not None:
            self._worker.stop()  # the error under way says more than one of ours


def _finish(worker: Worker) -> None:
    """Close what was never closed, at exit or when the Writer is gone."""
    worker.stop()
    if worker.failure is not None and not worker.reported:
        warnings.warn(str(worker.failure), RuntimeWarning, stacklevel=2)


def _check_table(
    table: Sequence[tuple[str, tuple[int, ...], int]], masses: Array, replicas: int, dtype: str
) -> list[Tensor]:
    tensors = [Tensor(str(name), tuple(int(n) for n in shape), int(offset)) for name, shape, offset in table]
    if dtype not in ("float32", "float64"):
        raise InvalidRow(f"dtype is {dtype!r}; allowed are 'float32' and 'float64'")
    if replicas < 1 or np.ndim(masses) != 1:
        raise InvalidRow(f"replicas is {replicas} and masses are {np.shape(masses)}: need 1 or more, and (dof,)")
    end = 0
    for tensor in tensors:
        if tensor.offset != end:
            raise InvalidRow(f"tensor {tensor.name!r} starts at {tensor.offset}, expected {end}: give them in order")
        end += tensor.size
    if end != len(masses):
        raise InvalidRow(f"the table covers {end} coordinates, but there are {len(masses)} masses; both are dof")
    return tensors
