"""The progress bar of a run: steps a second, time left, temperature, energy, train and test metric."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np

_SHOWN = {
    "temperature": "T",
    "potential_energy": "U",
    "train/loss": "train",
    "test/loss": "test",
    "test/accuracy": "accuracy",
    "test/r2": "R²",
}
_REFRESH = 0.2  # seconds between two updates of the bar, so that it costs the run nothing


class Bar:
    """A rich progress bar on standard error; silent where rich is missing or nobody watches."""

    def __init__(self, steps: int, *, show: bool, title: str = "mdnet") -> None:
        self.steps, self.title, self.done = steps, title, 0
        self._next = 0.0
        self._progress: Any = self._make() if show and steps > 0 and sys.stderr.isatty() else None

    def __enter__(self) -> Bar:
        if self._progress is not None:
            self._progress.start()
            self._task = self._progress.add_task(self.title, total=self.steps, values="", rate="")
            self._began = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def update(self, done: int, latest: Mapping[str, np.ndarray]) -> None:
        """Show that `done` steps are behind, with the latest means over the replicas; cheap to call often."""
        self.done = done
        if self._progress is None or (time.monotonic() < self._next and done < self.steps):
            return
        now = time.monotonic()
        self._next = now + _REFRESH
        values = "  ".join(f"{label} {np.mean(latest[name]):.4g}" for name, label in _SHOWN.items() if name in latest)
        rate = f"{done / max(now - self._began, 1e-9):,.0f} steps/s"
        self._progress.update(self._task, completed=done, values=values, rate=rate)

    def _make(self) -> Any:
        try:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        except ImportError:
            return None
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[values]}"),
        )
        return Progress(*columns, console=Console(stderr=True), auto_refresh=False)
