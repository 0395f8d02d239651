"""A file that MDAnalysis opens: three-dimensional H5MD whose particles are three weights each."""

from pathlib import Path

import h5py
import numpy as np

from trajectories.export.progress import Watch
from trajectories.export.selection import Aligned, Array, Frames, align_all, select
from trajectories.storage import pieces
from trajectories.storage.layout import OBSERVABLES, PARTICLES
from trajectories.storage.reader import Trajectory

UNFOLD = "value.reshape(frames, replicas, -1)[:, :, :dof] are the coordinates, (frames, replicas, dof)"


def write(run: Trajectory, path: Path, frames: slice, watch: Watch) -> list[str]:
    """Write an H5MD file folded by three: value (frames, replicas * ceil(dof / 3), 3), zeros as padding.

    Replicas, dof, pad (0 to 2 a replica) and how to unfold are attributes of the group particles/trajectory. Positions,
    velocities and forces are those of the frames that hold all of them; observables are the samples at their steps.
    `MDAnalysis.Universe.empty(n).load_new(path, format="H5MD", convert_units=False)` opens it.

    Returns:
        lines that say what was left out.

    Raises:
        NotRecorded, ValueError: there is no such frame.
    """
    recorded = pieces.fields(run)
    chosen = select(run, frames, list(recorded))
    observables, notes = align_all(run, chosen.steps)
    deep = [name for name in observables if name.count("/") > 1]
    if deep:
        notes.append(f"left out, as MDAnalysis reads names of at most two levels: {', '.join(deep)}")
    with h5py.File(path, "w") as h5:
        pieces.copy_group(run, "h5md", h5)
        pieces.copy_group(run, "parameters", h5)
        _describe(h5.create_group(PARTICLES), run, chosen)
        for name, series in recorded.items():
            _write_field(h5, name, Aligned(series, chosen.rows[name]), watch)
        for name, one in observables.items():
            if name not in deep:
                _write_observable(h5, name, one, watch)
    return chosen.notes + notes


def _describe(particles: h5py.Group, run: Trajectory, chosen: Frames) -> None:
    """Write the box, the fold, and step and time, which every series shares by hard links."""
    box = particles.create_group("box")
    box.attrs["dimension"] = 3
    box.attrs["boundary"] = np.array(["none"] * 3, dtype=h5py.string_dtype())
    particles.attrs.update({"replicas": run.replicas, "dof": run.dof, "pad": -run.dof % 3, "unfold": UNFOLD})
    position = particles.create_group("position")
    position.create_dataset("step", data=chosen.steps)
    position.create_dataset("time", data=chosen.times)


def _element(h5: h5py.File, name: str) -> h5py.Group:
    group = h5.require_group(name)
    if "step" not in group:
        group["step"], group["time"] = (h5[f"{PARTICLES}/position/{axis}"] for axis in ("step", "time"))
    return group


def _write_field(h5: h5py.File, name: str, values: Aligned, watch: Watch) -> None:
    count, replicas, dof = values.shape
    shape = (count, replicas * -(-dof // 3), 3)
    row = max(1, min(count, pieces.BLOCK // 4 // max(1, values.row_bytes)))
    group = _element(h5, f"{PARTICLES}/{name}")
    dataset = group.create_dataset("value", shape, values.dtype, chunks=(row, *shape[1:]))
    for part in watch(pieces.blocks(count, values.row_bytes), name):
        dataset[part] = fold(values.read(part))


def fold(values: Array) -> Array:
    """Return coordinates (frames, replicas, dof) as (frames, replicas * ceil(dof / 3), 3), padded with zeros."""
    count, replicas, dof = values.shape
    return np.pad(values, ((0, 0), (0, 0), (0, -dof % 3))).reshape(count, replicas * -(-dof // 3), 3)


def _write_observable(h5: h5py.File, name: str, values: Aligned, watch: Watch) -> None:
    dataset = _element(h5, f"{OBSERVABLES}/{name}").create_dataset("value", values.shape, values.dtype)
    for part in watch(pieces.blocks(values.shape[0], values.row_bytes), name):
        dataset[part] = values.read(part)
