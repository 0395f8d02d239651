"""Where a run writes: its folder with the trajectory and the checkpoints, opened, claimed and closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mdnet import checkpoint
from mdnet.distributed.world import ALONE, World
from mdnet.reporters import Frames, Reporter
from mdnet.system import ParticleSystem
from trajectories import Writer
from trajectories.storage.encoding import check
from trajectories.storage.options import Storage

TRAJECTORY = "trajectory.h5"
_FRAME = ("position", "velocity", "force")
_LEARNT = "learnt/"


class OutputExistsError(FileExistsError):
    """The output folder holds a run already."""


class Record:
    """The output of one run; with output=None, and on a rank that does not write, it only remembers the latest values.

    `parameters`: what the file holds under /parameters. `overwrite`: an existing run in `output` is replaced.
    `reporters`: the frames among them say which tensors are kept. `storage`: how a new file is stored; one that is
    resumed stays as it is. `begun`: whether the folder belongs to this run.

    Raises ValueError for two reporters of frames, as a file has one series of them, and for more bits to be kept
    than the positions have.
    """

    def __init__(
        self,
        output: Path | None,
        system: ParticleSystem,
        parameters: Mapping[str, Any],
        *,
        overwrite: bool,
        reporters: Sequence[Reporter] = (),
        storage: Storage = Storage(),
        world: World = ALONE,
    ) -> None:
        output = output if world.is_writer else None
        self.output, self.parameters, self.overwrite = output, parameters, overwrite
        self._entries, self._masses, self._replicas = system.table.entries, system.masses, system.replicas
        self._dtype = str(system.dtype).removeprefix("torch.")  # of positions, velocities and forces
        self.storage = storage
        check(storage, self._dtype)
        frames = [reporter for reporter in reporters if isinstance(reporter, Frames)]
        if len(frames) > 1:
            raise ValueError(
                "there are two Frames reporters, but a trajectory has one series of frames; give one, with "
                "velocity=STEPS or force=STEPS where these have a cadence of their own"
            )
        self._frames = frames[0] if frames else None
        self.begun = False
        self.latest: dict[str, np.ndarray] = {}
        self._writer: Writer | None = None

    def open(self, step: int) -> None:
        """Open the file for rows after `step`: a new one at first, later the same.

        Raises OutputExistsError where the folder holds another run that may not be replaced.
        """
        begun, self.begun = self.begun, True
        if self.output is None:
            return
        path = self.output / TRAJECTORY
        if begun:
            self._writer = Writer.resume(path, step)
            return
        self._claim(path)
        self._writer = self._create(path)

    def _create(self, path: Path) -> Writer:
        """A new file for the tensors that are kept; the table of all of them is in /parameters/network."""
        entries = self._entries
        kept = None if self._frames is None else self._frames.kept
        whole = {
            "name": [entry.name for entry in entries],
            "shape": [list(entry.shape) for entry in entries],
            "offset": [entry.offset for entry in entries],
        }
        masses = self._masses if kept is None else kept(self._masses)
        return Writer.create(
            path, table=entries if kept is None else kept.entries, replicas=self._replicas,
            masses=masses.cpu().numpy(), dtype=self._dtype,
            parameters={"network": whole} | dict(self.parameters), storage=self.storage,
        )  # fmt: skip

    def write(self, step: int, time: float, report: Mapping[str, Tensor]) -> None:
        """Write named tensors: position, velocity and force as a frame, or apart; all others as observables."""
        values = {k: v.detach().cpu().numpy() for k, v in report.items()}
        frame = {name: values.pop(name) for name in _FRAME if name in values}
        apart = {name: frame.pop(name) for name in self._apart if name in frame}
        learnt = {name: values.pop(name) for name in list(values) if name.startswith(_LEARNT)}
        self.latest.update(values)
        if self._writer is None:
            return
        if frame:
            self._writer.frame(step, time, **frame)
        for name, value in apart.items():
            self._writer.element(name, step, time, value)
        for name, value in learnt.items():
            self._writer.learnt(name.removeprefix(_LEARNT), step, time, value)
        for name, value in values.items():
            self._writer.observable(name, step, time, value)

    @property
    def _apart(self) -> frozenset[str]:
        """The elements of a frame with a cadence of their own."""
        return frozenset() if self._frames is None else self._frames.apart

    def save(self, state: checkpoint.State) -> None:
        """Flush the file and write a checkpoint that fits it."""
        if self.output is not None and self._writer is not None:
            self._writer.flush()
            checkpoint.save(self.output, state)

    def close(self) -> None:
        """Close the file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _claim(self, path: Path) -> None:
        assert self.output is not None
        if not self.overwrite:
            refuse_existing(self.output)
        self.output.mkdir(parents=True, exist_ok=True)
        for file in (*checkpoint.found(self.output), path):  # the file last: checkpoints without it would be in the way
            file.unlink(missing_ok=True)


def refuse_existing(output: Path) -> None:
    """Raise OutputExistsError where a folder holds a run: worth asking before long preparations."""
    if (output / TRAJECTORY).exists() or checkpoint.found(output):
        raise OutputExistsError(
            f"{output} holds a run already; continue it with resume() (--resume), replace it with "
            "overwrite=True (--force), or choose another folder"
        )
