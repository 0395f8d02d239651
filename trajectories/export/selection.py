"""Which frames of a run are exported, and the samples of its observables at their steps."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trajectories.errors import NotRecorded
from trajectories.storage import pieces
from trajectories.storage.observables import Observable
from trajectories.storage.pieces import Series
from trajectories.storage.reader import Trajectory

Array = NDArray[Any]


class Frames(NamedTuple):
    """Frames that every one of some fields holds."""

    steps: Array  # (frames,)
    times: Array  # (frames,)
    rows: dict[str, Array]  # of each field: its row at each frame, (frames,)
    notes: list[str]  # what was left out


class Aligned(NamedTuple):
    """A series of which row i belongs to frame i; nan where it has no sample there."""

    series: Series
    rows: Array  # (frames,), -1 for none

    @property
    def shape(self) -> tuple[int, ...]:
        """(frames, replicas, ...)."""
        return (len(self.rows), *self.series.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type on disk; integers become float64 where samples are missing."""
        kind = self.series.dtype
        return kind if (self.rows >= 0).all() else pieces.with_nan(kind)

    @property
    def row_bytes(self) -> int:
        """Bytes of one frame."""
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    def read(self, part: slice, replicas: slice = slice(None)) -> Array:
        """Read the frames of a slice, (frames, replicas, ...)."""
        return pieces.fetch(self.series, self.rows[part], replicas).astype(self.dtype, copy=False)


def select(run: Trajectory, frames: slice, names: Sequence[str]) -> Frames:
    """Return the frames of a slice of those that all the fields ``names`` hold.

    Raises:
        NotRecorded: the run holds no frame, or none at which all fields were recorded.
        ValueError: the slice holds none of them, or its stride is not one or more.
    """
    if not len(run):
        raise NotRecorded(f"{run.path} holds no frames: record some (md.Frames), or wait for the first one")
    if frames.step is not None and frames.step < 1:
        raise ValueError(f"the stride of the frames is {frames.step}; it must be one or more")
    recorded = pieces.fields(run)
    steps, notes = {name: recorded[name].steps for name in names}, []
    common = run.steps
    for name in names:
        common = np.intersect1d(common, steps[name], assume_unique=True)
        if not np.array_equal(steps[name], run.steps):
            shared = np.isin(steps[name], run.steps).sum()
            notes.append(
                f"{name} has a cadence of its own: {shared} of its {len(steps[name])} samples are at one of the "
                f"{len(run)} frames, and the other frames are left out"
            )
    if not len(common):
        raise NotRecorded(f"{run.path}: {', '.join(names)} were never recorded at the same step")
    chosen = common[frames]
    if not len(chosen):
        raise ValueError(f"frames {_spell(frames)} are none: there are {len(common)}, counted from 0")
    times = run.times[np.searchsorted(run.steps, chosen)]
    return Frames(chosen, times, {name: np.searchsorted(steps[name], chosen) for name in names}, notes)


def align(observable: Observable, steps: Array) -> Aligned:
    """Return the samples of an observable at the steps (frames,)."""
    place = np.minimum(np.searchsorted(observable.steps, steps), max(0, len(observable) - 1))
    if not len(observable):
        return Aligned(observable, np.full(len(steps), -1))
    return Aligned(observable, np.where(observable.steps[place] == steps, place, -1))


def align_all(run: Trajectory, steps: Array) -> tuple[dict[str, Aligned], list[str]]:
    """Return every observable that has samples at some of the steps, and lines that say what is missing."""
    found = {name: align(one, steps) for name, one in run.observables.items()}
    missing = {name: int((one.rows < 0).sum()) for name, one in found.items()}
    never = [name for name, count in missing.items() if count == len(steps)]
    notes = [f"{name} is nan at {n} of {len(steps)} frames" for name, n in missing.items() if 0 < n < len(steps)]
    if never:
        notes.append(f"left out, as they have no sample at the step of any of these frames: {', '.join(never)}")
    return {name: one for name, one in found.items() if name not in never}, notes


def dotted(names: Iterable[str], taken: set[str]) -> dict[str, str]:
    """Return for each name one with '.' in place of '/', and underscores behind it where that is taken."""
    keys: dict[str, str] = {}
    for name in names:
        key = name.replace("/", ".")
        while key in taken or key in keys.values():
            key += "_"
        keys[name] = key
    return keys


def _spell(part: slice) -> str:
    ends = (part.start, part.stop) if part.step is None else (part.start, part.stop, part.step)
    return ":".join("" if end is None else str(end) for end in ends)
