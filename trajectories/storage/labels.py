"""What several runs are called, and what tells them apart: their names, and the parameters in which they differ."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trajectories.storage import parameters as settings
from trajectories.storage.layout import FILE_NAME

Array = NDArray[Any]
_LARGEST = 64  # numbers of a parameter that is kept as a label or an attribute


def names(paths: Sequence[Path]) -> list[str]:
    """Return the folder's name of each run (the file's, where it is not trajectory.h5), longer where two are alike."""
    whole = [path.parent if path.name == FILE_NAME else path.with_suffix("") for path in paths]
    for parts in range(1, max(len(path.parts) for path in whole) + 1):
        found = ["/".join(path.parts[-parts:]) for path in whole]
        if len(set(found)) == len(found):
            break
    return found


def parameters(every: Sequence[dict[str, Any]]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the parameters that differ, (runs,) each, and those that are the same in all runs."""
    differing, common = {}, {}
    for name in sorted({name for one in every for name in one}):
        values: list[Any] = [one.get(name) for one in every]
        if any(_entries(value) > _LARGEST for value in values):
            continue
        first = values[0]
        if all(same(value, first) for value in values):
            common[name] = first
        else:
            differing[name] = _label(values)
    return differing, common


def _entries(value: Any) -> int:
    """How many numbers or texts a parameter holds."""
    if isinstance(value, np.ndarray):
        return value.size
    if isinstance(value, dict):
        value = list(value.values())
    return sum(map(_entries, value)) if isinstance(value, list) else 1


def same(a: Any, b: Any) -> bool:
    """Whether two parameters are equal, lists of unequal lengths and arrays among them."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return type(a) is type(b) and bool(a == b)


def _label(values: Sequence[Any]) -> Array:
    """Return values as one array: numbers as such, nan where there is none, text as text, all else spelt out."""
    there = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in there) and len(there) == len(values):
        return np.array(values)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in there):
        return np.array([np.nan if value is None else value for value in values])
    return np.array(["" if value is None else settings.shorten(value, 200) for value in values])
