"""A run as ArviZ sees it: chains of draws in an xarray DataTree, and the netCDF file of it."""

import datetime
import os
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trajectories.errors import TrajectoryError
from trajectories.export.progress import Watch
from trajectories.export.selection import Aligned, Array, Frames, align, align_all, dotted, select
from trajectories.storage import pieces
from trajectories.storage.reader import Trajectory

if TYPE_CHECKING:
    import xarray

PREDICTION = "test/prediction"


def to_datatree(run: Trajectory | str | os.PathLike[str], frames: slice = slice(None)) -> "xarray.DataTree":
    """Return a run as a DataTree of ArviZ's groups; arrays stay on disk until they are indexed.

        posterior             each parameter tensor by its name, (chain, draw, NAME_dim_0, ...); chain = replica,
                              draw = frame, with its step and time
        sample_stats          the observables (chain, draw) at the frames' steps, '/' in names written '.', nan where
                              there is none
        posterior_predictive  `prediction`, the networks' outputs without noise on the test inputs, where
                              "test/prediction" is recorded: (chain, draw, prediction_dim_0, ...), the draws with one
        observed_data         `targets` of the test set;  constant_data: its `inputs`, and `masses` of each tensor

    Attributes: creation_library, and temperature, that which was set at the last draw, (chain,) or one number.

    Raises:
        TrajectoryError: xarray is not installed; NotRecorded, ValueError: there is no such frame.
    """
    return build(run, frames)[0]


def build(run: Trajectory | str | os.PathLike[str], frames: slice) -> tuple["xarray.DataTree", list[str]]:
    """Return `to_datatree`, and lines that say what was left out."""
    try:
        import xarray
    except ImportError as error:
        raise TrajectoryError("a DataTree needs xarray: pip install mdnet[export]") from error
    if not isinstance(run, Trajectory):
        with Trajectory(run) as opened:
            return build(opened, frames)
    chosen = select(run, frames, ["position"])
    sampled, notes = align_all(run, chosen.steps)
    scalars = {name: one for name, one in sampled.items() if len(one.shape) == 2}
    wide = [name for name in sampled if name not in scalars and name != PREDICTION]
    if wide:
        notes.append(f"left out, as they are not one number a draw: {', '.join(wide)}")
    groups = {
        "posterior": _posterior(run, chosen),
        "sample_stats": _chains(run, {name: (f"observable:{name}", one) for name, one in scalars.items()}, chosen),
        "posterior_predictive": _predictions(run, chosen),
        "observed_data": _test(run, "targets"),
        "constant_data": _constant(run),
    }
    tree = xarray.DataTree.from_dict({name: group for name, group in groups.items() if group is not None})
    tree.attrs.update(_attributes(run, scalars))
    return tree, notes


def _posterior(run: Trajectory, chosen: Frames) -> "xarray.Dataset":
    rows = chosen.rows["position"]
    tensors = {t.name: (f"layer:{t.name}", Aligned(run.layer(t.name), rows)) for t in run.table}
    return _chains(run, tensors, chosen)


def _chains(
    run: Trajectory, found: dict[str, tuple[str, Aligned]], chosen: Frames, draws: Array | None = None
) -> "xarray.Dataset":
    """Return lazy variables (chain, draw, ...) by name, each of a series of `backend.series`, with coordinates."""
    import xarray

    from trajectories.storage import backend

    file = backend.File(str(run.path.absolute()))
    axes = {"step": ("draw", chosen.steps), "time": ("draw", chosen.times)}
    coordinates = {"chain": np.arange(run.replicas), "draw": np.arange(len(chosen.steps)) if draws is None else draws}
    keys = dotted(found, {*axes, *coordinates})
    variables = {}
    for name, (series, one) in found.items():
        dims = ("chain", "draw", *(f"{keys[name]}_dim_{i}" for i in range(len(one.shape) - 2)))
        shape = (one.shape[1], one.shape[0], *one.shape[2:])
        read = backend.Chains(file, series, one.rows, one.dtype)
        variables[keys[name]] = backend.variable(dims, shape, one.dtype, read)
    return xarray.Dataset(variables, coords=coordinates | axes)


def _predictions(run: Trajectory, chosen: Frames) -> "xarray.Dataset | None":
    if PREDICTION not in run.observables:
        return None
    found = align(run.observables[PREDICTION], chosen.steps)
    draws = np.flatnonzero(found.rows >= 0)
    if not len(draws):
        return None
    kept = chosen._replace(steps=chosen.steps[draws], times=chosen.times[draws])
    one = found._replace(rows=found.rows[draws])
    return _chains(run, {"prediction": (f"observable:{PREDICTION}", one)}, kept, draws)


def _test(run: Trajectory, name: str) -> "xarray.Dataset | None":
    import xarray

    test = run.parameters.get("test")
    if not isinstance(test, dict) or name not in test:
        return None
    values = np.asarray(test[name])
    return xarray.Dataset({name: (tuple(f"{name}_dim_{i}" for i in range(values.ndim)), values)})


def _constant(run: Trajectory) -> "xarray.Dataset":
    import xarray

    masses = {
        f"mass.{t.name}": (
            tuple(f"{t.name}_dim_{i}" for i in range(len(t.shape))),
            run.masses[t.offset : t.offset + t.size].reshape(t.shape),
        )
        for t in run.table
    }
    inputs = _test(run, "inputs")
    return xarray.Dataset(masses) if inputs is None else inputs.assign(masses)


def _attributes(run: Trajectory, scalars: dict[str, Aligned]) -> dict[str, Any]:
    try:
        version = metadata.version("mdnet")
    except metadata.PackageNotFoundError:  # run from a source tree
        version = "unknown"
    found: dict[str, Any] = {
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(),
        "creation_library": "mdnet",
        "creation_library_version": version,
        "creation_library_language": "Python",
        "inference_library": "mdnet",
        "inference_library_version": version,
        "run": str(run.path),
    }
    if "set_temperature" in scalars:
        last = scalars["set_temperature"]
        rows = np.flatnonzero(last.rows >= 0)[-1:]
        values = last.read(slice(int(rows[0]), int(rows[0]) + 1))[0]  # (replicas,)
        found["temperature"] = float(values[0]) if (values == values[0]).all() else values
    return found


def write(run: Trajectory, path: Path, frames: slice, watch: Watch) -> list[str]:
    """Write `to_datatree` as netCDF 4, block by block.

    Returns:
        lines that say what was left out.

    Raises:
        TrajectoryError: xarray or h5netcdf is not installed; NotRecorded, ValueError: there is no such frame.
    """
    try:
        import h5netcdf  # type: ignore[import-untyped]
    except ImportError as error:
        raise TrajectoryError("a netCDF file needs xarray and h5netcdf: pip install mdnet[export]") from error
    tree, notes = build(run, frames)
    with h5netcdf.File(path, "w") as file:
        file.attrs.update(tree.attrs)
        for name, node in tree.children.items():
            group = file.create_group(name)
            group.dimensions = dict(node.sizes)
            labels = [str(key) for key in node.coords if key not in node.sizes]
            if labels:
                group.attrs["coordinates"] = " ".join(labels)  # by which xarray knows them from data
            for key, variable in node.variables.items():
                _write_variable(group, str(key), variable, watch)
    return notes


def _write_variable(group: Any, name: str, variable: "xarray.Variable", watch: Watch) -> None:
    flag = variable.dtype.kind == "b"  # netCDF has no booleans; xarray reads this attribute back
    kind = np.dtype(np.int8) if flag else variable.dtype
    target = group.create_variable(name, variable.dims, kind)
    if flag:
        target.attrs["dtype"] = "bool"
    axis = 1 if variable.dims[:2] == ("chain", "draw") else 0
    if not variable.ndim:
        target[...] = variable.values.astype(kind)
        return
    rows = variable.shape[axis]
    bytes_a_row = variable.dtype.itemsize * (variable.size // max(1, rows))
    for part in watch(pieces.blocks(rows, bytes_a_row), name):
        place = (slice(None),) * axis + (part,)
        target[place] = np.asarray(variable[place].values, dtype=kind)
