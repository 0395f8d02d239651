"""Several runs as one data set: read lazily, labelled by what differs between them."""

import glob
import math
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trajectories.errors import NotATrajectory, TrajectoryError
from trajectories.storage import parameters as settings
from trajectories.storage import pieces
from trajectories.storage.labels import names, parameters
from trajectories.storage.reader import Trajectory

if TYPE_CHECKING:
    import xarray

    from trajectories.storage import backend

Array = NDArray[Any]


class Column(NamedTuple):
    """One series of one run, as it is known without reading its values."""

    steps: Array  # (rows,)
    row: tuple[int, ...]  # (replicas, ...)
    dtype: np.dtype[Any]


class Member(NamedTuple):
    """One run of a study."""

    path: Path
    replicas: int
    parameters: dict[str, Any]  # flat
    tensors: tuple[tuple[str, tuple[int, ...]], ...]
    columns: dict[str, Column]  # by the names of `backend.series`


def open_many(runs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> "xarray.Dataset":
    """Open several runs as one Dataset along `run`; steps and parameters are read, values when they are indexed.

        NAME                            each observable (run, sample, replica, ...)
        positions, velocities, forces   (run, frame, replica, coordinate), where all runs have the same tensors
        run                             the folders' names, longer where two are alike
        replicas, samples, frames       (run,) how many of each a run has
        step_sample, time_sample        (run, sample); step_frame, time_frame (run, frame); nan behind the end
        tensor                          (coordinate,) the tensor each coordinate is of

    Runs may differ in length and replicas: what is missing is nan, and integers become float64 for it. Series of
    another cadence than most have a dimension of their own, `sample_NAME` after the first of them, with `samples_NAME`,
    `step_...` and `time_...`. A series with another shape or tensors in some run is left out. Parameters that differ
    between runs are coordinates along `run` by their flat names ("run_file.system.scale"), the others attributes;
    arrays of more than 64 numbers are neither.

    Args:
        runs: a pattern such as "runs/*" ("**" goes into folders), or a list of run folders and .h5 files.

    Raises:
        TrajectoryError: xarray is not installed; NotATrajectory: nothing fits the pattern, or nothing of it is a run.

    Warns of each file that is not a trajectory, and leaves it out.
    """
    try:
        import xarray
    except ImportError as error:
        raise TrajectoryError("open_many needs xarray: pip install mdnet[export]") from error
    from trajectories.storage import backend

    members = _members(_paths(runs))
    files = tuple(backend.File(str(member.path)) for member in members)
    variables: dict[str, Any] = {}
    coordinates: dict[str, Any] = {
        "run": names([member.path for member in members]),
        "replica": np.arange(max(member.replicas for member in members)),
        "replicas": ("run", np.array([member.replicas for member in members])),
    }
    for name, dim in _dimensions(members).items():
        variables |= _variable(members, files, name, dim)
        coordinates |= _axes(members, files, name, dim)
    if "positions" in variables:
        tensors, shapes = zip(*members[0].tensors, strict=True)
        coordinates["tensor"] = ("coordinate", np.repeat(tensors, [math.prod(shape) for shape in shapes]))
    differing, common = parameters([member.parameters for member in members])
    taken = {*variables, *coordinates, *(dim for one in variables.values() for dim in one.dims)}
    coordinates |= {f"{key}_" if key in taken else key: ("run", values) for key, values in differing.items()}
    return xarray.Dataset(variables, coords=coordinates, attrs=common)


def _paths(runs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    if not isinstance(runs, str | os.PathLike):
        paths = [Path(run) for run in runs]
        if not paths:
            raise NotATrajectory("the list of runs is empty: give run folders, or .h5 files")
        return paths
    pattern = os.fspath(runs)
    found = sorted(glob.glob(pattern, recursive=True))
    if not found:
        raise NotATrajectory(f"nothing fits {pattern!r}: give a pattern such as 'runs/*', or a list of run folders")
    return [Path(path) for path in found]


def _members(paths: Sequence[Path]) -> list[Member]:
    members, said = [], []
    for path in paths:
        try:
            members.append(_member(path))
        except (TrajectoryError, OSError) as error:
            said.append(f"{path} is left out: {error}")
    if not members:
        raise NotATrajectory(f"none of {len(paths)} paths is a run:\n" + "\n".join(said[:5]))
    for line in said:
        warnings.warn(line, UserWarning, stacklevel=3)
    return members


def _member(path: Path) -> Member:
    """Read what a run says of itself, and close it."""
    with Trajectory(path) as run:
        flat = settings.flatten(run.parameters)
        series: dict[str, pieces.Series] = {f"field:{name}": one for name, one in pieces.fields(run).items()}
        series |= {f"observable:{name}": one for name, one in run.observables.items()}
        columns = {name: Column(one.steps, one.shape[1:], one.dtype) for name, one in series.items()}
        tensors = tuple((tensor.name, tensor.shape) for tensor in run.table)
        return Member(run.path.absolute(), run.replicas, flat, tensors, columns)


def _dimensions(members: Sequence[Member]) -> dict[str, str]:
    """Return the dimension of each series that has one shape in all runs; those sampled together share it."""
    found: dict[str, str] = {}
    for kind, word in (("field", "frame"), ("observable", "sample")):
        every = sorted({name for member in members for name in member.columns if name.startswith(f"{kind}:")})
        groups: dict[tuple[bytes, ...], list[str]] = {}
        for name in every:
            if _alike(members, name):
                stamps = (m.columns[name].steps.tobytes() if name in m.columns else b"" for m in members)
                groups.setdefault(tuple(stamps), []).append(name)
        largest = sorted(groups.values(), key=lambda group: ("field:position" in group, len(group)), reverse=True)
        for place, group in enumerate(largest):
            dim = word if place == 0 else f"{word}_{group[0].partition(':')[2]}"
            found |= dict.fromkeys(group, dim)
    return found


def _alike(members: Sequence[Member], name: str) -> bool:
    """Whether the runs that have a series have it in one shape; where it is of coordinates, of the same tensors."""
    have = [member for member in members if name in member.columns]
    tensors = {member.tensors for member in have} if name.startswith("field:") else {()}
    return len(tensors) == 1 and len({member.columns[name].row[1:] for member in have}) == 1


def _counts(members: Sequence[Member], name: str) -> Array:
    return np.array([len(m.columns[name].steps) if name in m.columns else 0 for m in members])


def _variable(
    members: Sequence[Member], files: "tuple[backend.File, ...]", name: str, dim: str
) -> "dict[str, xarray.Variable]":
    from trajectories.storage import backend

    replicas = max(member.replicas for member in members)
    columns = [member.columns[name] for member in members if name in member.columns]
    counts = _counts(members, name)
    have = np.array([member.replicas if name in member.columns else 0 for member in members])
    kind = np.result_type(*(column.dtype for column in columns))
    shape = (len(members), int(counts.max()), replicas, *columns[0].row[1:])
    if (counts < shape[1]).any() or (have < replicas).any():
        kind = pieces.with_nan(kind)
    what, _, key = name.partition(":")
    key = pieces.FIELDS[key] if what == "field" else key
    tail = ("coordinate",) if what == "field" else tuple(f"{key}_dim_{i}" for i in range(len(shape) - 3))
    read = backend.Runs(files, name, counts, have, shape, kind)
    return {key: backend.variable(("run", dim, "replica", *tail), shape, kind, read)}


def _axes(members: Sequence[Member], files: "tuple[backend.File, ...]", name: str, dim: str) -> dict[str, Any]:
    """Return the steps, the times and the number of rows of a series and those sampled with it."""
    from trajectories.storage import backend

    counts = _counts(members, name)
    steps = np.full((len(members), int(counts.max())), np.nan)
    for place, member in enumerate(members):
        if name in member.columns:
            steps[place, : counts[place]] = member.columns[name].steps
    times = backend.Times(files, name, counts, steps.shape)
    word, _, rest = dim.partition("_")
    return {
        f"{word}s_{rest}" if rest else f"{word}s": ("run", counts),
        f"step_{dim}": (("run", dim), steps),
        f"time_{dim}": backend.variable(("run", dim), steps.shape, np.dtype(np.float64), times),
    }
