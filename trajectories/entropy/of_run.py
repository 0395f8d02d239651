"""Samples of the weights of a run, for entropies: equilibrated, at one temperature, and never more than fit."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trajectories import statistics
from trajectories.entropy.samples import Floats
from trajectories.errors import NotRecorded
from trajectories.storage.layout import Tensor
from trajectories.storage.reader import Trajectory

_ENTRIES = 1 << 24  # numbers read at most: 128 MiB as float64
_SETTLING = ("potential_energy", "train/loss")  # the series that tells when a run has settled, in this order


class Selection(NamedTuple):
    """Samples (samples, replicas, d) of a run, with what belongs to them."""

    samples: Floats
    masses: Floats  # (d,)
    temperature: float | None  # None: the run set none
    what: str


def select(run: Trajectory, tensors: Sequence[str], temperature: float | None, at_most: int) -> Selection:
    """Read positions after equilibration, thinned evenly in time to ``at_most`` samples of all replicas together.

    Raises:
        NotRecorded: no such tensor, or no two frames after equilibration.
        ValueError: the set temperatures of the replicas differ and none of them, or one that is not set, is given.
    """
    replicas, set_to, first = _at_one_temperature(run, temperature)
    first = max(first, _settled(run, replicas, first))
    frames = np.flatnonzero(run.steps >= first)
    if len(frames) < 2:
        raise NotRecorded(
            f"{run.path} holds {len(frames)} frames after equilibration (step {first} on): run longer, or keep frames"
        )
    table = _named(run, tensors)
    size = sum(tensor.size for tensor in table)
    most = max(2, min(at_most, _ENTRIES // max(1, size)))
    replicas = replicas[: max(1, most)]
    stride = -(-len(frames) // max(1, most // len(replicas)))
    masses = np.concatenate([run.masses[one.offset : one.offset + one.size] for one in table])
    what = f"{', '.join(tensors) or 'all weights'} from step {run.steps[frames[0]]} on"
    return Selection(_read(run, slice(frames[0], None, stride), replicas, table), masses, set_to, what)


def _named(run: Trajectory, tensors: Sequence[str]) -> list[Tensor]:
    for name in tensors:
        run.layer(name)  # says what there is where there is no such tensor
    return [one for one in run.table if one.name in tensors] if tensors else list(run.table)


def _read(run: Trajectory, frames: slice, replicas: list[int], table: list[Tensor]) -> Floats:
    """Positions (frames, replicas, d) as float64, replica by replica unless all are wanted."""
    if replicas == list(range(len(replicas))):
        spans = [slice(0, len(replicas))]
    else:
        spans = [slice(one, one + 1) for one in replicas]
    ranges = [slice(one.offset, one.offset + one.size) for one in table]
    if sum(one.size for one in table) == run.dof:
        ranges = [slice(0, run.dof)]
    blocks = [[run.positions[frames, span, columns] for columns in ranges] for span in spans]
    return np.concatenate([np.concatenate(row, axis=2) for row in blocks], axis=1).astype(np.float64)


def _at_one_temperature(run: Trajectory, temperature: float | None) -> tuple[list[int], float | None, int]:
    """The replicas at one set temperature, this temperature, and the step from which on it was set."""
    everyone = list(range(run.replicas))
    if "set_temperature" not in run.observables or not len(run.observables["set_temperature"]):
        if temperature is not None:
            raise ValueError(f"temperature {temperature:g} is asked for, but the run recorded no “set_temperature”")
        return everyone, None, 0
    found = run.observables["set_temperature"]
    final = found.values[-1]
    if run.parameters.get("tempering") and len(np.unique(final)) > 1:
        raise ValueError("the replicas exchange temperatures: give samples of one temperature instead of the run")
    wanted = float(final[0]) if temperature is None else temperature
    chosen = np.flatnonzero(np.isclose(final, wanted, rtol=1e-6))
    if not len(chosen) or (temperature is None and len(chosen) < run.replicas):
        known = ", ".join(f"{one:.6g}" for one in np.unique(final)[:10])
        raise ValueError(f"the replicas are at the temperatures {known}: choose one of them by temperature=")
    changed = np.flatnonzero((found.values[:, chosen] != final[chosen]).any(axis=1))
    return chosen.tolist(), wanted, int(found.steps[changed[-1] + 1]) if len(changed) else 0


def _settled(run: Trajectory, replicas: list[int], first: int) -> int:
    """Step from which on the energy (or loss) has settled; half of the frames where neither was recorded."""
    for name in _SETTLING:
        if name in run.observables and len(run.observables[name]) > 1:
            found = run.observables[name]
            later = found.steps >= first
            if later.sum() > 1:
                return int(found.steps[later][statistics.equilibrated(found.values[later][:, replicas])])
    return int(run.steps[len(run) // 2]) if len(run) else 0
