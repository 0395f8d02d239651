"""The progress of a sweep: a bar on a terminal, a line for each run that ends elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType

from mdnet.sweep.records import Run

_REFRESH = 0.2  # seconds between two updates of the bar


class Board:
    """Counts of runs finished, running and failed, and the time left; on standard error, silent unless `show`.

    `total`: the runs to be done. Time left counts the steps of runs that are under way.
    """

    def __init__(self, total: int, *, show: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self.total, self.show = total, show
        self.finished, self.failed, self.running, self.share = 0, 0, 0, 0.0
        self._began, self._first, self._next = time.monotonic(), 0.0, 0.0
        self._console = Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        if show and sys.stderr.isatty():
            columns = (
                TextColumn("sweep"),
                BarColumn(bar_width=20),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
            )
            self._bar = Progress(*columns, console=self._console, auto_refresh=False)

    def __enter__(self) -> Board:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(str(self), total=self.total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self.share, description=str(self), refresh=True)
            self._bar.stop()

    def __str__(self) -> str:
        counts = f"{self.finished}/{self.total} finished, {self.running} running, {self.failed} failed"
        return counts if self.left is None else f"{counts}, about {duration(self.left)} left"

    @property
    def left(self) -> float | None:
        """Seconds, by the pace since the beginning; None where nothing has been done yet or nothing is left."""
        done = self.share - self._first
        if done <= 0 or self.share >= self.total:
            return None
        return (time.monotonic() - self._began) * (self.total - self.share) / done

    def begin(self, share: float) -> None:
        """Count the time from now on, with `share` runs' worth of steps done before."""
        self._began, self._first, self.share = time.monotonic(), share, share

    def update(self, running: int, share: float) -> None:
        """Show that so many are under way, and that `share` runs' worth of steps is done; cheap to call often."""
        self.running, self.share = running, share
        if self._bar is not None and time.monotonic() > self._next:
            self._next = time.monotonic() + _REFRESH
            self._bar.update(self._task, completed=share, description=str(self), refresh=True)

    def ended(self, name: str, runs: Sequence[Run]) -> None:
        """Count the runs of a folder, which ended together, and say how."""
        self.finished += sum(run.state == "finished" for run in runs)
        self.failed += sum(run.state == "failed" for run in runs)
        if runs[0].state == "failed":
            self.say(f"{name} failed at step {runs[0].steps}: {runs[0].error}")
        elif self._bar is None:
            several = f" ({len(runs)} runs)" if len(runs) > 1 else ""
            seconds = sum(run.seconds for run in runs)
            self.say(f"{name}{several}: {runs[0].steps} steps, {duration(seconds)} ({self})")

    def say(self, text: str) -> None:
        """Print a line, above the bar where there is one."""
        if self.show:
            self._console.print(text, soft_wrap=True, markup=False)


def duration(seconds: float) -> str:
    """Write a time in the unit that suits it: "12.3 s", "5 min", "3.2 h"."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
