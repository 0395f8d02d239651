"""What came out of a sweep: results.nc with a row for each run, and results.json with pictures for a page."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import trajectories
from mdnet.config import ConfigError
from mdnet.sweep import records
from mdnet.sweep.figures import draw
from mdnet.sweep.records import Run
from trajectories import statistics
from trajectories.statistics import Estimate

if TYPE_CHECKING:
    import xarray

FILE_NAME = "results.nc"
_SHOWN = ("potential_energy", "train_loss", "test_loss", "train_accuracy", "test_accuracy", "test_r2", "temperature")
_ROWS = 500  # of the table on a page


def table(folder: str | Path) -> xarray.Dataset:
    """Return a sweep as one Dataset along `run`: what was swept over, how each run ended, and what it reported.

        KEY                    values swept over, by their keys in the run file ("integrator.dt"); text where no numbers
        state, error           "finished", "failed" or "pending", and what went wrong
        steps, seconds         behind it, and of work (its share of those of a simulation that it is a part of)
        folder, first_replica, last_replica    where its trajectory lies, relative to the sweep
        NAME, NAME_error       mean over the last half of the samples and all replicas, and its standard error
        NAME_last              mean of the last sample

    NAME is each observable of one number a replica, a slash in it an underscore ("test_loss"). The run file's other
    values are attributes.

    Raises ConfigError where the folder holds no sweep, and where xarray is not installed.
    """
    require()
    import xarray

    record = records.found(Path(folder))
    runs = list(record.runs.values())
    coordinates = {"run": [run.name for run in runs]} | {
        key: ("run", _column([run.values.get(key) for run in runs])) for key in record.keys
    }
    states = {name: ("run", np.array([getattr(run, name) for run in runs])) for name in ("state", "error")}
    counts = {name: ("run", np.array([getattr(run, name) for run in runs])) for name in ("steps", "tries", "seconds")}
    places = {
        "folder": ("run", np.array([run.folder.name for run in runs])),
        "first_replica": ("run", np.array([run.first for run in runs])),
        "last_replica": ("run", np.array([run.replicas[1] - 1 if run.replicas else -1 for run in runs])),
    }
    measured = {name: ("run", values) for name, values in _observables(runs).items()}
    attributes = {key: _plain(value) for key, value in record.base.items()}
    made: xarray.Dataset = xarray.Dataset(states | counts | places | measured, coords=coordinates, attrs=attributes)
    return made


def write(folder: Path) -> Path:
    """Write the table as results.nc in the sweep's folder, which gets its name when it is whole; return its path."""
    path = folder / FILE_NAME
    temporary = path.with_suffix(".tmp")
    table(folder).to_netcdf(temporary, engine="h5netcdf")
    os.replace(temporary, path)
    return path


def illustrate(folder: str | Path) -> Path:
    """Write what `mdnet report` shows of a sweep, results.json and pictures, into its folder; return the first's path.

    Raises ConfigError where the folder holds no sweep.
    """
    folder = Path(folder)
    found, record = table(folder), records.found(folder)
    names = [name for name in _SHOWN if name in found] or _measured(found)[:4]
    runs = list(record.runs.values())
    content = {
        "title": f"{len(runs)} runs over {', '.join(record.keys)}",
        "columns": ["run", *record.keys, "state", "steps", *names],
        "rows": [_row(found, place, record.keys, names) for place in range(min(len(runs), _ROWS))],
        "notes": _notes(runs),
        "figures": draw(found, record.keys, names, folder),
        "runs": list(dict.fromkeys(run.folder.name for run in runs)),
    }
    path = folder / "results.json"
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    return path


def require() -> None:
    """Raise ConfigError where what the table is written with is not installed."""
    for name in ("xarray", "h5netcdf"):
        if find_spec(name) is None:
            raise ConfigError(f"the table of a sweep needs {name}: pip install 'mdnet[cluster]'")


def _measured(found: xarray.Dataset) -> list[str]:
    return [str(name).removesuffix("_error") for name in found if str(name).endswith("_error")]


def _observables(runs: Sequence[Run]) -> dict[str, NDArray[np.float64]]:
    """NAME, NAME_error and NAME_last of every observable, (runs,) each; nan where a run has none."""
    found: dict[str, NDArray[np.float64]] = {}
    for folder in dict.fromkeys(run.folder for run in runs):
        if not (folder / "trajectory.h5").exists():
            continue
        own = [(place, run) for place, run in enumerate(runs) if run.folder == folder]
        with trajectories.open(folder) as trajectory:
            for name, series in trajectory.observables.items():
                if len(series.shape) != 2 or not len(series):
                    continue
                values = np.asarray(series.values, dtype=np.float64)
                for place, run in own:
                    for word, number in _summary(values[:, slice(*run.replicas) if run.replicas else slice(None)]):
                        column = found.setdefault(f"{name.replace('/', '_')}{word}", np.full(len(runs), np.nan))
                        column[place] = number
    return found


def _summary(values: NDArray[np.float64]) -> list[tuple[str, float]]:
    """Mean, its error and the last mean of a series (samples, replicas); nan where it is not finite."""
    half = values[len(values) // 2 :]
    mean = statistics.mean(half) if np.isfinite(half).all() else Estimate(np.nan, np.nan)
    return [("", mean.value), ("_error", mean.error), ("_last", float(values[-1].mean()))]


def _row(found: xarray.Dataset, place: int, keys: Sequence[str], names: Sequence[str]) -> list[Any]:
    one = found.isel(run=place)
    numbers = [Estimate(float(one[name]), float(one[f"{name}_error"])) for name in names]
    told = [str(number) if np.isfinite(number.value) else None for number in numbers]
    return [str(one["run"].item()), *(one[key].item() for key in keys), one["state"].item(), one["steps"].item(), *told]


def _notes(runs: Sequence[Run]) -> list[str]:
    counts = [f"{sum(run.state == state for run in runs)} {state}" for state in ("finished", "failed", "pending")]
    more = [f"The table has the first {_ROWS} of {len(runs)} runs; {FILE_NAME} has all."] if len(runs) > _ROWS else []
    failed = [f"{run.name} failed at step {run.steps}: {run.error}" for run in runs if run.state == "failed"]
    means = "Means over the last half of the samples of each run, ± 1 standard error."
    return [f"{', '.join(counts)}.", means, *more, *failed]


def _column(values: Sequence[Any]) -> NDArray[Any]:
    """Numbers as such, all else as text."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return np.array(values)
    return np.array([value if isinstance(value, str) else json.dumps(value, default=str) for value in values])


def _plain(value: Any) -> Any:
    """A value as an attribute of a file can have it."""
    return value if isinstance(value, int | float | str) and not isinstance(value, bool) else json.dumps(value)
