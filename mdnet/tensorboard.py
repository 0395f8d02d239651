"""What another reporter reports, shown in TensorBoard as well: mean and quantiles over the replicas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from integrators import Integrator, Phase
from mdnet.reporters import Frames, Reporter, remembered
from mdnet.system import ParticleSystem

QUANTILES = (0.05, 0.5, 0.95)


class TensorBoard:
    """Passes on the reports of `inner`, and writes those that are (replicas,) as scalars into `folder`.

    NAME/mean, and with more than one replica NAME/q05, NAME/q50 and NAME/q95, by step. Events are flushed at every
    checkpoint; a resumed run takes back those that lie after its checkpoint, so no point is there twice, and one that
    begins anew removes the events it finds. One folder belongs to one TensorBoard.

    Raises ValueError where tensorboard is not installed, and for an inner reporter of frames.
    """

    def __init__(self, inner: Reporter, folder: str | Path) -> None:
        if isinstance(inner, Frames):
            raise ValueError("TensorBoard shows scalars, and Frames has none; wrap Scalars or Evaluate")
        try:
            from torch.utils.tensorboard import SummaryWriter  # noqa: F401
        except ImportError as error:
            raise ValueError("TensorBoard needs the package tensorboard: pip install mdnet[tensorboard]") from error
        self.inner, self.folder, self.every = inner, Path(folder), inner.every
        self.feeds_ensemble = getattr(inner, "feeds_ensemble", False)
        self._writer: Any = None
        self._last = torch.tensor(-1)  # the step that was reported last

    @property
    def settings(self) -> dict[str, Any]:
        """What the file remembers under /parameters/reporters: the inner reporter with its settings."""
        return {"inner": type(self.inner).__name__, **getattr(self.inner, "settings", {})}

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """Start the inner reporter."""
        self.inner.start(system, integrator)

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Return what the inner reporter returns, and write its scalars."""
        report = self.inner(step, phase)
        if self._writer is None:
            self._writer = self._open()
        for name, values in report.items():
            if values.shape == (len(phase.q),):
                self._write(name, values.detach().to(device="cpu", dtype=torch.float64), step)
        self._last = torch.tensor(step)
        return report

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold; the events up to here are on disk then."""
        if self._writer is not None:
            self._writer.flush()
        return {"last": self._last} | {f"inner.{name}": value for name, value in remembered(self.inner).items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` returned; the next report begins after the last one of then."""
        if self._writer is not None:
            self._writer.close()
        self._writer, self._last = None, state["last"]
        inner = {name.removeprefix("inner."): value for name, value in state.items() if name != "last"}
        if inner:
            self.inner.load(inner)  # type: ignore[attr-defined]

    def _open(self) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        if self._last < 0:  # a run that begins anew: what another one left here is not its own
            for file in self.folder.glob("events.out.tfevents.*"):
                file.unlink()
        return SummaryWriter(str(self.folder), purge_step=int(self._last) + 1)

    def _write(self, name: str, values: Tensor, step: int) -> None:
        self._writer.add_scalar(f"{name}/mean", values.mean().item(), step)
        if len(values) > 1:
            for level, value in zip(QUANTILES, values.quantile(torch.tensor(QUANTILES).double()), strict=True):
                self._writer.add_scalar(f"{name}/q{round(100 * level):02d}", value.item(), step)
