"""Where a run writes: its folder with the trajectory and the checkpoints, opened, claimed and closed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mdnet import checkpoint
from mdnet.system import ParticleSystem
from trajectories import Writer

TRAJECTORY = "trajectory.h5"
_FRAME = ("position", "velocity", "force")


class OutputExistsError(FileExistsError):
    """The output folder holds a run already."""


class Record:
    """The output of one run; with output=None it only remembers the latest values.

    `parameters`: what the file holds under /parameters. `overwrite`: an existing run in `output` is replaced.
    `begun`: whether the folder belongs to this run.
    """

    def __init__(
        self, output: Path | None, system: ParticleSystem, parameters: Mapping[str, Any], *, overwrite: bool
    ) -> None:
        self.output, self.system, self.parameters, self.overwrite = output, system, parameters, overwrite
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
        system = self.system
        self._writer = Writer.create(
            path, table=system.table.entries, replicas=system.replicas, masses=system.masses.cpu().numpy(),
            dtype=str(system.dtype).removeprefix("torch."), parameters=self.parameters,
        )  # fmt: skip

    def write(self, step: int, time: float, report: Mapping[str, Tensor]) -> None:
        """Write named tensors as one row: position, velocity and force as a frame, all others as observables."""
        values = {k: v.detach().cpu().numpy() for k, v in report.items()}
        frame = {name: values.pop(name) for name in _FRAME if name in values}
        self.latest.update(values)
        if self._writer is None:
            return
        if frame:
            self._writer.frame(step, time, **frame)
        for name, value in values.items():
            self._writer.observable(name, step, time, value)

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
        for file in (path, *checkpoint.found(self.output)):
            file.unlink(missing_ok=True)


def refuse_existing(output: Path) -> None:
    """Raise OutputExistsError where a folder holds a run: worth asking before long preparations."""
    if (output / TRAJECTORY).exists() or checkpoint.found(output):
        raise OutputExistsError(
            f"{output} holds a run already; continue it with resume() (--resume), replace it with "
            "overwrite=True (--force), or choose another folder"
        )
