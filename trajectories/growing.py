"""A series of a run as it grows: what a picture needs of it, each row read once and few of them kept."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trajectories.storage.observables import Observable
from trajectories.terminal import Curve

Array = NDArray[Any]
POINTS = 200  # of a curve: when it has twice as many, every second one goes


class Growing:
    """A series as it grows: every stride-th row of it, of which each is read once, and the newest one."""

    def __init__(self, name: str, *, relative: bool = False) -> None:
        self.name, self._relative = name, relative
        self._forget()

    def _forget(self) -> None:
        self._stride, self._rows = 1, np.empty((0, 4))  # step, and 5, 50 and 95 % of the replicas
        self._newest = self._rows
        self._first: Array | float = 0.0

    def update(self, found: Observable) -> None:
        """Read what is new; all again where the run was cut back or replaced."""
        if len(self._rows) and (len(found) <= self._last or found.read("step", self._last) != self._rows[-1, 0]):
            self._forget()
        if len(found) and not len(self._rows):
            self._stride = 2 ** max(0, math.ceil(math.log2(len(found) / (2 * POINTS))))
            self._first = found.read("value", 0) if self._relative else 0.0
        for start in range(len(self._rows) * self._stride, len(found), self._stride * POINTS):
            rows = slice(start, min(len(found), start + self._stride * POINTS), self._stride)
            self._rows = np.concatenate([self._rows, self._read(found, rows)])
        while len(self._rows) > 2 * POINTS:
            self._rows, self._stride = self._rows[::2], 2 * self._stride
        self._newest = self._read(found, slice(max(self._last + 1, len(found) - 1), len(found)))

    @property
    def _last(self) -> int:
        """Index of the last row that was read."""
        return (len(self._rows) - 1) * self._stride

    def _read(self, found: Observable, rows: slice) -> Array:
        places = range(rows.start, rows.stop, rows.step or 1)
        if not places:
            return np.empty((0, 4))
        if places.step == 1:
            steps, values = found.read("step", rows), found.read("value", rows)
        else:  # row by row: a strided slice would read everything between
            steps = np.array([found.read("step", i) for i in places])
            values = np.stack([found.read("value", i) for i in places])
        values = np.asarray(values, dtype=np.float64) - self._first
        values[~np.isfinite(values).all(axis=1)] = np.nan  # where a replica diverged there is a gap
        return np.column_stack([steps, np.percentile(values, [5, 50, 95], axis=1).T])

    def curve(self) -> Curve:
        """The rows read so far."""
        label = "set" if self.name == "set_temperature" else self.name.replace("_", " ")
        return Curve(label, *np.concatenate([self._rows, self._newest]).T)
