"""What a trajectory holds, in a few lines: for people as text, for programs as a dictionary."""

import math
import os
from typing import Any

import numpy as np

from trajectories import entropy, thermodynamics
from trajectories.errors import TrajectoryError
from trajectories.report import lines, reading
from trajectories.report.drawing import Missing
from trajectories.report.equilibrium import equilibrium
from trajectories.storage import parameters as settings
from trajectories.storage.observables import Observable
from trajectories.storage.reader import Trajectory

_SMALL, _SAMPLES = 100, 300  # weights, and samples of them, of which entropies are estimated in a summary


def about(run: Trajectory) -> dict[str, Any]:
    """Size of a run, and steps of its first and last frame."""
    return {
        "path": str(run.path),
        "bytes": run.path.stat().st_size,
        "replicas": run.replicas,
        "dof": run.dof,
        "degrees_of_freedom": run.degrees_of_freedom,
        "frames": len(run),
        "steps": [int(run.steps[0]), int(run.steps[-1])] if len(run) else [],
        "dtype": str(run.positions.dtype),
    }


def summary(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe a trajectory as a dictionary that can be written as JSON (a number that is not finite as null).

    Keys: path, bytes, replicas, dof (of the frames), degrees_of_freedom (of the system), frames, dtype;
    steps [first, last] of the frames;
    series {name: {samples, shape, steps [first, last], every}}, every is null where the spacing varies;
    statistics {name: {mean, error, inefficiency, effective_samples, rhat, monte_carlo_error, from_step, samples,
    stride}} of the equilibrated part of every series of one number a replica, see `equilibrium`;
    checks [{name, value, error, expectation, z, verdict}], see `thermodynamics.canonical_checks`;
    ensemble [{score, of, value, sampling_error, data_error}], see `ensemble.assess`;
    entropy [{name, of, kind, value, error}], see `entropy.compare`; parameters, what was run.
    statistics, ensemble and entropy are of the replicas at the lowest temperature, and [] or {} where there are none.

    The time is bounded on large files: at most half a million numbers of a series are read, evenly spaced, and
    entropies are estimated of 100 weights at most, from 300 samples; `mdnet entropy` has no such limit.

    Raises:
        NotATrajectory: as `trajectories.open`.
    """
    with Trajectory(path) as run:
        described = about(run) | {
            "series": {name: _series(one) for name, one in run.observables.items()},
            "statistics": {name: one._asdict() for name, one in equilibrium(run).items()},
            "checks": checks(run),
            "ensemble": ensemble_scores(run),
            "entropy": entropies(run),
            "parameters": settings_of(run),
        }
    plain: dict[str, Any] = _plain(described)
    return plain


def checks(run: Trajectory) -> list[dict[str, Any]]:
    """Return the verdicts of `thermodynamics.canonical_checks`; none where the run has no set temperature."""
    try:
        return [one._asdict() for one in thermodynamics.canonical_checks(run)]
    except (TrajectoryError, ValueError):
        return []


def ensemble_scores(run: Trajectory) -> list[dict[str, Any]]:
    """Return the scores of the ensemble of the last half of the recorded predictions; none where there are none."""
    from trajectories.report import tables

    try:
        found = tables.assessed(run).assessment
    except (Missing, TrajectoryError, ValueError):
        return []
    return [
        {"score": name, "of": who, "value": one.value, "sampling_error": one.sampling, "data_error": one.data}
        for who, several in found.scores.items()
        for name, one in several.items()
    ]


def entropies(run: Trajectory) -> list[dict[str, Any]]:
    """Return the entropies that estimators give of a small network; none of a large one, or of one that tempers."""
    if run.dof > _SMALL or not len(run):
        return []
    lowest = reading.group(run).temperature
    try:
        found = entropy.compare(run, temperature=lowest if math.isfinite(lowest) else None, at_most=_SAMPLES)
    except (TrajectoryError, ValueError):
        return []
    return [
        {"name": one.name, "of": one.of, "kind": one.kind, "value": one.estimate.value, "error": one.estimate.error}
        for one in found.rows
        if one.estimate is not None and one.kind != "relative"
    ]


def settings_of(run: Trajectory) -> dict[str, Any]:
    """What was run, a large array only as its shape."""
    return {name: _short(value) for name, value in run.parameters.items()}


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, np.ndarray) and value.size > 32:
        return f"array {value.shape} of {value.dtype}"
    return value


def _series(one: Observable) -> dict[str, Any]:
    first, last, every = reading.cadence(one) if len(one) else (None, None, None)
    steps = [] if first is None else [first, last]
    return {"samples": len(one), "shape": list(one.shape[1:]), "steps": steps, "every": every}


def _plain(value: Any) -> Any:
    """JSON types; numbers that JSON does not know as None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def text(path: str | os.PathLike[str]) -> str:
    """The same summary as lines to print."""
    found = summary(path)
    told = [
        f"{found['path']}  ({found['bytes'] / 1e6:.1f} MB)",
        f"{found['replicas']} replicas of {found['degrees_of_freedom']} degrees of freedom"
        + (f", of which frames keep {found['dof']}" if found["dof"] < found["degrees_of_freedom"] else ""),
        f"{found['frames']} frames ({found['dtype']})" + _span(found["steps"]),
        "",
        "series",
    ]
    width = max(map(len, found["series"]), default=0)
    for name, one in found["series"].items():
        every = f", every {one['every']}" if one["every"] else ""
        told.append(
            f"  {name:{width}}  {one['samples']} samples of shape {tuple(one['shape'])}" + _span(one["steps"]) + every
        )
    told += lines.block(
        "averages of the equilibrated part (reduced units, k_B = 1)", lines.averages(found["statistics"])
    )
    told += lines.block(
        "laws of the canonical ensemble (relative: 1, or 0 for a drift, is exact)", lines.checks(found["checks"])
    )
    told += lines.block("ensemble of the last half of the predictions", lines.scores(found["ensemble"]))
    told += lines.block("entropy in nats", lines.entropies(found["entropy"]))
    told += ["", "parameters"]
    for name, value in settings.flatten(found["parameters"]).items():
        told.append(f"  {name} = {settings.shorten(value)}")
    return "\n".join(told)


def _span(steps: list[int]) -> str:
    return f", steps {steps[0]} to {steps[1]}" if steps else ""
