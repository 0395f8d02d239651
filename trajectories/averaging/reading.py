"""Curves from the file of a run: the steady values of its replicas by temperature and data set."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trajectories.averaging.curve import Curve
from trajectories.averaging.steady import Stationarity, stationarity, steady
from trajectories.errors import NotRecorded
from trajectories.sgd.reading import ENERGY, Sweep, series, sweep
from trajectories.sgd.table import Floats
from trajectories.storage.reader import Trajectory

TRAIN, TEST, DEVIATION = "train/loss", "test/loss", "test/loss_sd"
_LAST = 50
ACCURACIES = ("train/accuracy", "test/accuracy")


class Averaged(NamedTuple):
    """A curve as it was run: `rates` and `batches` (n,), batches nan where they were not told.

    `stationarity`: of the train loss; `deviation`: sigma_l (n, splits), or None.
    """

    curve: Curve
    rates: Floats
    batches: Floats
    stationarity: Stationarity
    deviation: Floats | None


def curve(run: Trajectory, last: int | None = None) -> Curve:
    """Return the curve of a run of one sweep in temperature, medians of the last looks (see `steady`).

    Raises NotRecorded and ValueError as `averaged`.
    """
    return averaged(run, last)[""].curve


def averaged(run: Trajectory, last: int | None = None, by: str = "") -> dict[str, Averaged]:
    """Return the curves of a run by the values of a swept key such as "batch", in rising order; of one curve by "".

    The run's parameters hold sweep = {"rate": [...], "seed": [...], "batch" or "temperature": [...]} by replica, T =
    lr/B unless it is given, replica = point x splits + split, and where runs end at different steps "end": [...].
    Train loss: "train/loss", else the potential energy; the test loss is "test/loss"; both accuracies and sigma_l
    ("test/loss_sd") are read where they are. Looks are steps at which all of these were recorded; medians are those of
    each run's `last`, by default of the share that its sweep names as "settled", else of 50, or all if there are fewer.

    Raises NotRecorded for a run without a sweep, its temperatures or a test loss, ValueError for a temperature that
    comes twice in a curve, an unknown key, and too few looks.
    """
    found = sweep(run)
    there = set(run.observables)
    train = TRAIN if TRAIN in there else ENERGY
    names = [train, TEST, *(name for name in (*ACCURACIES, DEVIATION) if name in there)]
    steps, values = series(run, names)
    temperatures, batches = _temperatures(found, run)
    settled = found.points.get("settled")
    share = None if settled is None or last is not None else float(settled[0])
    last = min(_LAST, len(steps[steps > 0])) if last is None else last
    ends = None if "end" not in found.points else np.asarray(found.points["end"], dtype=np.float64)
    told = {}
    for key, rows in _groups(found, by, run).items():
        rows = rows[np.argsort(temperatures[rows], kind="stable")]
        if np.any(np.diff(temperatures[rows]) <= 0):
            raise ValueError(
                f"{run.path}: T = {temperatures[rows].tolist()} holds a temperature twice; tell the curves apart by a "
                f"key that was swept, one of {_keys(found)}"
            )
        end = None if ends is None else ends[rows]
        tables = {
            name: steady(
                steps, looks[:, rows], last, ends=end, settled=share, spikes="down" if name in ACCURACIES else "up"
            )
            for name, looks in values.items()
        }
        line = Curve(
            temperatures[rows], tables[train], tables[TEST], tables.get(ACCURACIES[0]), tables.get(ACCURACIES[1])
        )
        moved = stationarity(steps, values[train][:, rows], last, ends=end, settled=share)
        told[key] = Averaged(line, found.rates[rows], batches[rows], moved, tables.get(DEVIATION))
    return told


def _temperatures(found: Sweep, run: Trajectory) -> tuple[Floats, Floats]:
    """T and B (n,) of the points of a sweep."""
    batches = np.asarray(found.points.get("batch", np.full(len(found.rates), np.nan)), dtype=np.float64)
    given = found.points.get("temperature")
    if given is None and "batch" not in found.points:
        raise NotRecorded(f'{run.path} tells no temperatures: its sweep needs "temperature" or "batch", by replica')
    return (found.rates / batches if given is None else np.asarray(given, dtype=np.float64)), batches


def _keys(found: Sweep) -> list[str]:
    return ["rate", *found.points]


def _groups(found: Sweep, by: str, run: Trajectory) -> dict[str, NDArray[np.intp]]:
    """Which points belong to each curve, by the value of a key."""
    if not by:
        return {"": np.arange(len(found.rates))}
    if by not in _keys(found):
        raise ValueError(f"{run.path} swept no {by!r}: give one of {', '.join(_keys(found))}")
    values = np.asarray(found.rates if by == "rate" else found.points[by])
    return {
        f"{one:g}" if values.dtype.kind in "fiu" else str(one): np.flatnonzero(values == one)
        for one in np.unique(values)
    }
