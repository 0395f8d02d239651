"""One .npz archive that numpy opens without anything else."""

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from trajectories.export.progress import Watch
from trajectories.export.selection import Aligned, Array, dotted, select
from trajectories.storage import pieces
from trajectories.storage.reader import Trajectory

_NAMES = pieces.FIELDS


def write(run: Trajectory, path: Path, frames: slice, watch: Watch) -> list[str]:
    """Write a run as arrays, member by member and block by block.

        positions, velocities, forces   (frames, replicas, dof), those that were recorded
        steps, times                    (frames,)
        masses                          (dof,)
        table.name, table.shape, table.offset   of each tensor; shapes padded with -1
        NAME, NAME.step, NAME.time      each observable, all of its samples, '/' in its name written '.'
        parameters                      JSON text

    Returns:
        lines that say what was left out.

    Raises:
        NotRecorded, ValueError: there is no such frame.
    """
    recorded = pieces.fields(run)
    chosen = select(run, frames, list(recorded))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        fixed = _table(run) | {
            "steps": chosen.steps,
            "times": chosen.times,
            "masses": run.masses,
            "parameters": np.array(json.dumps(_plain(run.parameters))),
        }
        for name, array in fixed.items():
            _put(archive, name, array.shape, array.dtype, [array])
        for name, series in recorded.items():
            _stream(archive, _NAMES[name], Aligned(series, chosen.rows[name]), watch)
        keys = dotted(run.observables, {*fixed, *_NAMES.values()})
        for name, one in run.observables.items():
            key = keys[name]
            for axis, array in ((f"{key}.step", one.steps), (f"{key}.time", one.times)):
                _put(archive, axis, array.shape, array.dtype, [array])
            _stream(archive, key, Aligned(one, np.arange(len(one))), watch)
    return chosen.notes


def _stream(archive: zipfile.ZipFile, name: str, values: Aligned, watch: Watch) -> None:
    parts = watch(pieces.blocks(values.shape[0], values.row_bytes), name)
    _put(archive, name, values.shape, values.dtype, (values.read(part) for part in parts))


def _put(
    archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], kind: np.dtype[Any], parts: Iterable[Array]
) -> None:
    """Write one .npy member of which only one part at a time is in memory."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        header = {"descr": npy.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
        npy.write_array_header_2_0(member, header)
        for part in parts:
            member.write(np.ascontiguousarray(part, dtype=kind).tobytes())


def _table(run: Trajectory) -> dict[str, Array]:
    width = max((len(tensor.shape) for tensor in run.table), default=0)
    shapes = [[*tensor.shape] + [-1] * (width - len(tensor.shape)) for tensor in run.table]
    return {
        "table.name": np.array([tensor.name for tensor in run.table]),
        "table.shape": np.array(shapes, dtype=np.int64).reshape(len(run.table), width),
        "table.offset": np.array([tensor.offset for tensor in run.table], dtype=np.int64),
    }


def _plain(value: Any) -> Any:
    """Parameters as JSON types."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
