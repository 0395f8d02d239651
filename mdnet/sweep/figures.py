"""Pictures of a sweep: what the runs reported against each number swept over, with error bars over the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xarray

_MOST = 5  # lines told apart in one picture


def draw(found: xarray.Dataset, keys: Sequence[str], names: Sequence[str], folder: Path) -> list[dict[str, str]]:
    """Write a picture of each observable against each key with numbers into a folder; return what a page needs of each.

    A point is the mean over the runs that share its value, with the standard error from their scatter: over seeds, and
    over what else is swept over where that is more than five lines can tell apart. A single run has its own error.
    Runs that failed or are not through yet, and those that have no value, are left out, which the caption says.
    Pictures of before that are not drawn again are removed.
    """
    from mdnet import figures

    for old in folder.glob("result-*.svg"):
        old.unlink()
    entries = []
    numeric = [key for key in keys if found[key].dtype.kind in "if" and not _is_seed(key)]
    for key in numeric:
        if len(np.unique(found[key])) < 2:
            continue
        for name in names:
            lines, others = _lines(found, key, keys, name)
            if not lines:
                continue
            x = np.unique(found[key].values)
            log = "x" if x.min() > 0 and x.max() > 10 * x.min() else ""
            figure = figures.curves(lines, x=key, y=name.replace("_", " "), log=log)
            path = figures.save(figure, folder / f"result-{name}-{key}.svg")
            left_out = len(found["run"]) - int(_kept(found, name).sum())
            entries.append({"title": f"{name} against {key}", "file": path.name, "caption": _caption(others, left_out)})
    return entries


def _lines(found: xarray.Dataset, key: str, keys: Sequence[str], name: str) -> tuple[list[Any], list[str]]:
    """The lines, and the keys over whose values they are means."""
    from mdnet.figures import Line

    kept = _kept(found, name)
    others = [other for other in keys if other != key]
    told = [other for other in others if not _is_seed(other)]
    labels = [
        ", ".join(f"{other.rpartition('.')[2]} = {found[other].values[i]}" for other in told) for i in kept.nonzero()[0]
    ]
    if len(set(labels)) > _MOST:
        labels, told = ["mean over all runs"] * len(labels), []
    x, y, error = (found[each].values[kept] for each in (key, name, f"{name}_error"))
    lines = []
    for label in dict.fromkeys(labels):
        own = np.array([each == label for each in labels])
        places = np.unique(x[own])
        means = np.array([_mean(y[own & (x == place)], error[own & (x == place)]) for place in places])
        lines.append(Line(label or "runs", places, means[:, 0], means[:, 1]))
    return lines, [other for other in others if other not in told]


def _mean(values: NDArray[np.float64], errors: NDArray[np.float64]) -> tuple[float, float]:
    if len(values) == 1:
        return float(values[0]), float(errors[0]) if np.isfinite(errors[0]) else 0.0
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def _kept(found: xarray.Dataset, name: str) -> NDArray[np.bool_]:
    """The runs (runs,) that have all their steps, and a value."""
    through = (found["state"].values == "finished") & (found["steps"].values == found["steps"].values.max())
    return np.asarray(through & np.isfinite(found[name].values))


def _caption(others: Sequence[str], left_out: int) -> str:
    more = f" Left out, as failed, not through yet, or without a value: {left_out} of the runs." if left_out else ""
    if not others:
        return f"Means over the last half of each run, ± 1 standard error.{more}"
    return (
        f"Means over the last half of each run and over {', '.join(others)}; bars are ± 1 standard error over these."
        f"{more}"
    )


def _is_seed(key: str) -> bool:
    return key.rpartition(".")[2] == "seed"
