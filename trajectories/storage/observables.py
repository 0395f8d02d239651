"""The observables of a run: series by name, of which only what is asked for is read."""

import difflib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from trajectories.errors import NotRecorded
from trajectories.storage import series
from trajectories.storage.layout import COMMITTED, LEARNT, OBSERVABLES, broken_means_error

Array = NDArray[Any]


class Observable:
    """One observable: steps and times (samples,), values (samples, replicas, ...)."""

    def __init__(self, path: Path, name: str, group: h5py.Group, samples: int) -> None:
        self.name = name
        self._path, self._group, self._samples = path, group, samples

    def __len__(self) -> int:
        return self._samples

    def __repr__(self) -> str:
        return f"Observable({self.name!r}, shape={self.shape}, dtype={self.dtype})"

    @property
    def shape(self) -> tuple[int, ...]:
        """(samples, replicas, ...), known without reading."""
        return (self._samples, *self._group["value"].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values, known without reading."""
        found: np.dtype[Any] = self._group["value"].dtype
        return found

    def read(self, field: Literal["step", "time", "value"], rows: int | slice = slice(None)) -> Array:
        """Read some rows of the steps, times or values and keep none of them; rows past the last do not exist."""
        return self._part(field, (rows,))

    def __getitem__(self, key: Any) -> Array:
        """Part of the values, read alone: observable[10:20, :4]."""
        return self._part("value", key if isinstance(key, tuple) else (key,))

    def _part(self, field: str, key: tuple[Any, ...]) -> Array:
        rows: Any = range(self._samples)[key[0]]
        if isinstance(rows, range):
            rows = slice(rows.start, rows.stop, rows.step)
        with broken_means_error(self._path):
            return np.asarray(self._group[field][(rows, *key[1:])])

    @cached_property
    def steps(self) -> Array:
        """Step of each sample, (samples,)."""
        return self.read("step")

    @cached_property
    def times(self) -> Array:
        """Time of each sample, (samples,)."""
        return self.read("time")

    @cached_property
    def values(self) -> Array:
        """The samples, (samples, replicas, ...)."""
        return self.read("value")


class Observables(Mapping[str, Observable]):
    """The observables of a run by name; two-level names are joined by '/', as in "train/loss"."""

    _kind, _group, _counters = "observable", OBSERVABLES, "observables"

    def __init__(self, path: Path, h5: h5py.File) -> None:
        self._every = {
            name: Observable(
                path, name, h5[f"{self._group}/{name}"], int(h5[f"{COMMITTED}/{self._counters}/{name}"][()])
            )
            for name in series.names_below(h5, self._counters)
        }

    def __getitem__(self, name: str) -> Observable:
        try:
            return self._every[name]
        except KeyError:
            raise NotRecorded(unknown(self._kind, name, self._every)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._every)

    def __len__(self) -> int:
        return len(self._every)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._every)})"


class Learnt(Observables):
    """What a run has learnt for all replicas together, by name; values are (samples, ...), the last one counts."""

    _kind, _group, _counters = "thing learnt", LEARNT, "learnt"


def unknown(kind: str, name: str, known: Any) -> str:
    """Say that a name is not there, and which ones are near."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.4) or names[:10]
    offer = f"did you mean {' or '.join(near)}?" if near else "none is recorded"
    return f"no {kind} {name!r} in this trajectory: {offer}"
