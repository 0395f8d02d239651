"""What a trajectory holds, in a few lines: for people as text, for programs as a dictionary."""

import os
from typing import Any

import numpy as np

from trajectories import statistics
from trajectories.storage import parameters as settings
from trajectories.storage.reader import Observable, Trajectory

_AVERAGED = ("temperature", "potential_energy")


def summary(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe a trajectory: size, series with their cadence, means over the last half, parameters.

    The dictionary can be written as JSON. Means are [value, standard error] (see `statistics.mean`) over all
    replicas; they are left out where the series is missing, shorter than 4 samples or not finite.

    Raises:
        NotATrajectory: as `trajectories.open`.
    """
    with Trajectory(path) as run:
        described: dict[str, Any] = {
            "path": str(run.path),
            "bytes": run.path.stat().st_size,
            "replicas": run.replicas,
            "dof": run.dof,
            "frames": len(run),
            "steps": [int(run.steps[0]), int(run.steps[-1])] if len(run) else [],
            "dtype": str(run.positions.dtype),
            "series": {name: _series(one) for name, one in run.observables.items()},
            "means": {name: _mean(run.observables[name]) for name in _AVERAGED if name in run.observables},
            "parameters": _plain(run.parameters),
        }
    described["means"] = {name: pair for name, pair in described["means"].items() if pair}
    return described


def _series(one: Observable) -> dict[str, Any]:
    gaps = np.unique(np.diff(one.steps))
    return {
        "samples": len(one),
        "shape": list(one.shape[1:]),
        "steps": [int(one.steps[0]), int(one.steps[-1])] if len(one) else [],
        "every": int(gaps[0]) if len(gaps) == 1 else None,  # None: not evenly spaced
    }


def _mean(one: Observable) -> list[float] | None:
    half = one.values[len(one) // 2 :]
    if half.ndim != 2 or len(half) < 2 or not np.isfinite(half).all():
        return None
    return list(statistics.mean(half))


def _plain(value: Any) -> Any:
    """Parameters as JSON types; a large array only as its shape."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist() if value.size <= 32 else f"array {value.shape} of {value.dtype}"
    return value


def text(path: str | os.PathLike[str]) -> str:
    """The same summary as lines to print."""
    found = summary(path)
    lines = [
        f"{found['path']}  ({found['bytes'] / 1e6:.1f} MB)",
        f"{found['replicas']} replicas of {found['dof']} degrees of freedom",
        f"{found['frames']} frames ({found['dtype']})" + _span(found["steps"]),
        "",
        "series",
    ]
    width = max(map(len, found["series"]), default=0)
    for name, one in found["series"].items():
        every = f", every {one['every']}" if one["every"] else ""
        lines.append(
            f"  {name:{width}}  {one['samples']} samples of shape {tuple(one['shape'])}" + _span(one["steps"]) + every
        )
    if found["means"]:
        lines += ["", "means over the last half (reduced units, k_B = 1)"]
        lines += [f"  {name}  {statistics.Estimate(*pair)}" for name, pair in found["means"].items()]
    lines += ["", "parameters"]
    for name, value in settings.flatten(found["parameters"]).items():
        lines.append(f"  {name} = {settings.shorten(value)}")
    return "\n".join(lines)


def _span(steps: list[int]) -> str:
    return f", steps {steps[0]} to {steps[1]}" if steps else ""
