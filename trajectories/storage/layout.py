"""The layout of a trajectory file: H5MD 1.1 names, and the skeleton that a new file starts from.

    /h5md                     version, author, creator, modules/thermodynamics
    /particles/trajectory     box (dimension 1, no boundary); mass, id, species, replica (particles,), fixed in time
        position              step, time (frames,); value (frames, particles, 1); particles = replicas * dof
        velocity, force       optional; step and time are hard links to position's, or their own
    /observables/<name>       step, time (samples,); value (samples, replicas, ...)
    /parameters               what was run; table/{name, shape, offset} of the parameter tensors
    /mdnet                    format, replicas, dof, how rows are stored (live, compression, bits)
        committed/<series>    rows of each series that are complete; velocity and force have one where step and time
                              are their own
        learnt/<name>         step, time, value (samples, ...): what belongs to all replicas, such as the axes of a
                              projection

Reference: de Buyl, Colberg & Hofling, Comput. Phys. Commun. 185, 1546 (2014); https://h5md.nongnu.org.
"""

import contextlib
import getpass
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from trajectories.errors import NotATrajectory
from trajectories.storage import parameters as settings

FORMAT = 1
FILE_NAME = "trajectory.h5"  # within a run folder
PARTICLES = "/particles/trajectory"
OBSERVABLES = "/observables"
COMMITTED = "/mdnet/committed"
LEARNT = "/mdnet/learnt"
FRAME = "position"  # the series that velocity and force share their steps with
FIELDS = ("position", "velocity", "force")


class Tensor(NamedTuple):
    """One parameter tensor of the network: where it lies in the flat vector of dof coordinates."""

    name: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return int(np.prod(self.shape, dtype=np.int64))


def write_skeleton(
    h5: h5py.File,
    *,
    table: Sequence[Tensor],
    replicas: int,
    masses: NDArray[Any],
    dtype: np.dtype[Any],
    parameters: Mapping[str, Any],
) -> None:
    """Write everything that is fixed in time, and empty position frames (0, replicas * dof, 1)."""
    dof = len(masses)
    _write_metadata(h5, parameters)
    particles = h5.create_group(PARTICLES)
    box = particles.create_group("box")
    box.attrs["dimension"] = 1
    box.attrs["boundary"] = np.array(["none"], dtype=h5py.string_dtype())
    species = np.repeat(np.arange(len(table), dtype=np.int32), [tensor.size for tensor in table])  # (dof,)
    fixed = {
        "mass": np.tile(np.asarray(masses, dtype=dtype), replicas),
        "id": np.arange(replicas * dof, dtype=np.int64),
        "species": np.tile(species, replicas),
        "replica": np.repeat(np.arange(replicas, dtype=np.int32), dof),
    }
    for name, values in fixed.items():
        particles.create_dataset(name, data=values, compression="gzip", compression_opts=1, shuffle=True)
    h5.create_group(OBSERVABLES)
    group = h5.create_group("parameters")
    settings.write(group, parameters)
    _write_table(group.create_group("table"), table)
    own = h5.create_group("mdnet")
    own.attrs.update({"format": FORMAT, "replicas": replicas, "dof": dof})
    h5.create_group(COMMITTED)


def _write_metadata(h5: h5py.File, parameters: Mapping[str, Any]) -> None:
    h5md = h5.create_group("h5md")
    h5md.attrs["version"] = np.array([1, 1], dtype=np.int32)
    author = parameters.get("author")
    h5md.create_group("author").attrs["name"] = author if isinstance(author, str) else _user()
    creator = h5md.create_group("creator")
    creator.attrs["name"], creator.attrs["version"] = "mdnet", _version()
    h5md.create_group("modules/thermodynamics").attrs["version"] = np.array([1, 0], dtype=np.int32)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in a container
        return "unknown"


def _version() -> str:
    try:
        return metadata.version("mdnet")
    except metadata.PackageNotFoundError:  # run from a source tree
        return "unknown"


def _write_table(group: h5py.Group, table: Sequence[Tensor]) -> None:
    """Store the parameter table; shapes are padded with -1 to the longest one, (tensors, dimensions)."""
    width = max((len(tensor.shape) for tensor in table), default=0)
    shapes = [list(tensor.shape) + [-1] * (width - len(tensor.shape)) for tensor in table]
    group.create_dataset("name", data=[tensor.name for tensor in table], dtype=h5py.string_dtype())
    group.create_dataset("shape", data=np.array(shapes, dtype=np.int64).reshape(len(table), width))
    group.create_dataset("offset", data=np.array([tensor.offset for tensor in table], dtype=np.int64))


def read_table(h5: h5py.File) -> list[Tensor]:
    """Read the parameter table back, in the order of the flat vector."""
    group = h5["parameters/table"]
    rows = zip(group["name"].asstr()[()], group["shape"][()], group["offset"][()], strict=True)
    return [Tensor(str(name), tuple(int(n) for n in shape if n >= 0), int(offset)) for name, shape, offset in rows]


@contextlib.contextmanager
def broken_means_error(path: Path) -> Iterator[None]:
    """Turn HDF5's errors inside the block into one that says which file is damaged."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise NotATrajectory(
            f"{path} is damaged or cut off: {error}; use another copy, or reopen it if it is being written"
        ) from error
