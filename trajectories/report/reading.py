"""What the report reads of a file: so many samples and coordinates at most, however large the file is."""

from typing import Any, NamedTuple

import numpy as np

from trajectories.report.drawing import Array, Missing
from trajectories.storage.layout import FILE_NAME
from trajectories.storage.observables import Observable
from trajectories.storage.reader import Trajectory
from trajectories.thermodynamics import setting, tempering

_NUMBERS = 1 << 19  # of one series, 64 replicas x 8192 samples
_FEWEST = 20  # samples from which statistics are made


class Series(NamedTuple):
    """A series of one number a replica, every ``stride``-th sample of it."""

    name: str
    steps: Array  # (samples,)
    times: Array  # (samples,)
    values: Array  # (samples, replicas)
    stride: int
    note: str  # which samples these are, in words


class Group(NamedTuple):
    """Replicas that sample one distribution, from a step on."""

    replicas: Array  # (chosen,) their indices
    temperature: float  # nan where the run did not record it, or keeps changing it
    start: int  # the first step at this temperature
    note: str  # which replicas these are, in words; empty for all


def name_of(run: Trajectory) -> str:
    """Name a run by its folder, or by its file where that is not called trajectory.h5."""
    return run.path.resolve().parent.name if run.path.name == FILE_NAME else run.path.name


def strided(one: Observable, numbers: int = _NUMBERS, *, fewest: int = 1000) -> tuple[int, Array, Array, Array]:
    """Read every stride-th sample, ``numbers`` numbers or ``fewest`` samples: stride, steps, times and values."""
    width = int(np.prod(one.shape[1:], dtype=np.int64))
    stride = max(1, -(-len(one) // max(fewest, numbers // max(1, width))))
    every = slice(None, None, stride)
    return stride, one.read("step", every), one.read("time", every), one.read("value", every)


def cadence(one: Observable) -> tuple[int, int, int | None]:
    """First and last step of a series of one sample or more, and the steps between two, None where these vary."""
    stride = -(-len(one) // 1000)
    steps, last = one.read("step", slice(None, None, stride)), int(one.read("step", -1))
    gaps = np.unique(np.diff(steps))
    return int(steps[0]), last, int(gaps[0]) // stride if len(gaps) == 1 else None


def series(run: Trajectory, name: str) -> Series:
    """Read the series ``name`` of shape (samples, replicas), thinned where it is long.

    Raises:
        Missing: it was not recorded, is empty, or holds more than one number a replica.
    """
    if name not in run.observables:
        raise Missing(f"the run did not record “{name}”")
    found = run.observables[name]
    if not len(found) or len(found.shape) != 2:
        raise Missing(f"“{name}” holds {len(found)} samples of shape {found.shape[1:]}; one number a replica is needed")
    stride, steps, times, values = strided(found)
    return Series(name, steps, times, values, stride, f"one sample in {stride}" if stride > 1 else "")


def scalars(run: Trajectory) -> list[str]:
    """Names of the series that are averages of equilibrium: one number a replica, neither set nor summed up."""
    set_or_summed = {"set_temperature", "heat", "conserved"}
    return [
        name
        for name, one in run.observables.items()
        if len(one.shape) == 2 and len(one) and name not in set_or_summed and not name.startswith("tempering/")
    ]


def group(run: Trajectory) -> Group:
    """Find the replicas that end at the lowest temperature, and the step from which on they are there.

    All replicas of a run that tempers sample one mixture of temperatures, so these are taken together.
    """
    everyone = np.arange(run.replicas)
    settings = tempering.parameters(run)
    if settings:
        mixed = "all temperatures of the ladder together" if run.replicas > 1 else ""
        return Group(everyone, np.nan, int(settings.get("learn", 0)), mixed)
    if "set_temperature" not in run.observables:
        return Group(everyone, np.nan, 0, "")
    wanted = series(run, "set_temperature")
    final = wanted.values[-1]
    changed = np.flatnonzero((wanted.values != final).any(axis=1))
    start = int(wanted.steps[changed[-1] + 1]) if len(changed) else 0
    if not np.isfinite(final).all():
        return Group(everyone, np.nan, start, "")
    coldest = np.flatnonzero(np.isclose(final, final.min(), rtol=1e-6))
    several = len(np.unique(final.round(12)))
    note = f"{len(coldest)} of {run.replicas} replicas, at the lowest of {several} temperatures, T = {final.min():.4g}"
    return Group(coldest, float(final.min()), start, note if len(coldest) < run.replicas else "")


def settled(run: Trajectory, name: str) -> Series:
    """Read the equilibrated part of a series, of the replicas of `group`.

    Raises:
        Missing: as `series`, or fewer than 20 samples are left, or they are not finite, or they do not change.
    """
    found, chosen = series(run, name), group(run)
    values = found.values[:, chosen.replicas].astype(np.float64)
    first = int(np.searchsorted(found.steps, chosen.start))
    if len(values) - first < _FEWEST:
        raise Missing(f"“{name}” has {len(values) - first} samples at its last temperature; {_FEWEST} are needed")
    if not np.isfinite(values[first:]).all():
        raise Missing(f"“{name}” is not finite everywhere: the run diverged")
    if np.ptp(values[first:]) == 0:
        raise Missing(f"“{name}” does not change")
    first += _transient(values[first:])
    note = ", ".join(filter(None, [f"from step {found.steps[first]}", found.note]))
    return Series(name, found.steps[first:], found.times[first:], values[first:], found.stride, note)


def _transient(values: Array) -> int:
    """Samples to leave out at the start, as `thermodynamics.setting.settled` says, each replica in its own units."""
    half = values[len(values) // 2 :]
    width = half.std(axis=0)
    return setting.settled((values - half.mean(axis=0)) / np.where(width > 0, width, 1), np.ones_like(values))


class Weights(NamedTuple):
    """Some of the frames and coordinates of a run."""

    values: Array  # (frames, replicas, coordinates) float64
    times: Array  # (frames,)
    coordinates: Array  # (coordinates,) their indices
    note: str  # what was read, in words


def weights(
    run: Trajectory, *, kind: str = "positions", frames: int = 500, coordinates: int = 1000, numbers: int = 1 << 22
) -> Weights:
    """Read the equilibrated frames of "positions" or "velocities" of the replicas of `group`, evenly spaced.

    At most so many ``frames`` and ``coordinates``, and ``numbers`` numbers in all: fewer frames where there are many
    replicas. Of a large network each tensor gives its first coordinates, in proportion to its size.

    Raises:
        Missing: fewer than 4 frames of them are left, or they are not finite; NotRecorded: there are none.
    """
    field: Any = getattr(run, kind)
    chosen = group(run)
    steps, times = getattr(field, "steps", run.steps), getattr(field, "times", run.times)
    first = int(np.searchsorted(steps, _settled_from(run, chosen.start)))
    spans = _spans(run, coordinates)
    count = sum(stop - start for start, stop in spans)
    most = max(4, min(frames, numbers // (run.replicas * count)))
    stride = max(1, -(-(len(steps) - first) // most))
    kept = np.arange(first, len(steps), stride)
    if len(kept) < 4:
        raise Missing(f"{len(kept)} frames of {kind} are left after equilibration; 4 are needed")
    values = np.empty((len(kept), len(chosen.replicas), count))
    for place, frame in enumerate(kept):
        row = [field[int(frame), :, start:stop] for start, stop in spans]
        values[place] = np.concatenate(row, axis=-1)[chosen.replicas]
    if not np.isfinite(values).all():
        raise Missing(f"{kind} are not finite everywhere: the run diverged")
    told = f"{len(kept)} frames from step {steps[first]} on" + (f", one in {stride}" if stride > 1 else "")
    part = f"{count} of {run.dof} coordinates" if count < run.dof else ""
    note = ", ".join(filter(None, [told, part, chosen.note]))
    return Weights(values, times[kept], np.concatenate([np.arange(*span) for span in spans]), note)


def _settled_from(run: Trajectory, start: int) -> int:
    """The step from which the potential energy is equilibrated; the middle of the run where that is not recorded."""
    try:
        return int(settled(run, "potential_energy").steps[0])
    except Missing:
        return max(start, int(run.steps[len(run) // 2])) if len(run) else start


def _spans(run: Trajectory, most: int) -> list[tuple[int, int]]:
    """Ranges of coordinates to read, one a tensor, ``most`` in all."""
    if run.dof <= most:
        return [(0, run.dof)]
    sizes = [int(np.prod(tensor.shape, dtype=np.int64)) for tensor in run.table]
    return [
        (tensor.offset, tensor.offset + max(1, size * most // run.dof))
        for tensor, size in zip(run.table, sizes, strict=True)
    ]
