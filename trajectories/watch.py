"""`mdnet watch`: a run drawn in the terminal while it goes on, from its file alone."""

import math
import sys
import time
import tomllib
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from trajectories.errors import NotATrajectory
from trajectories.growing import Growing
from trajectories.storage.layout import FILE_NAME
from trajectories.storage.reader import Trajectory
from trajectories.terminal import Panel, drawn

if sys.platform != "win32":
    import fcntl

_HALF_MADE = 3.0  # seconds that a file may be unreadable while it is made
_QUIET = 30.0  # seconds without new rows after which that is said
_PANELS = {
    "loss": ("train/loss", "test/loss"),
    "potential energy": ("potential_energy",),
    "temperature": ("temperature", "set_temperature"),
    "conserved, change since the start": ("conserved",),
}


class Watcher:
    """What is known of a run by looking at its file again and again."""

    def __init__(self, path: Path) -> None:
        self.path, self.file = path, path
        self.replicas, self.step, self.time, self.size = 0, -1, 0.0, 0
        self.there, self.written, self.ended = False, True, False
        self._series: dict[str, Growing] = {}
        self._seen: deque[tuple[float, int]] = deque(maxlen=20)  # when a new step was seen, and which
        self._unreadable_since = math.inf

    def look(self) -> None:
        """Open the file and read what is new; a file that is not there yet, or half made, is waited for.

        A run has ended when two looks in succession find nobody who writes it, and no new step.

        Raises:
            NotATrajectory: for three seconds the file has been damaged, or another one, and nobody writes it.
        """
        self.file = self.path / FILE_NAME if self.path.suffix != ".h5" else self.path
        if not self.file.is_file():
            return
        before = self.step
        try:
            with Trajectory(self.file) as run:
                self._take(run)
        except NotATrajectory:
            self._unreadable_since = min(self._unreadable_since, time.monotonic())
            if time.monotonic() - self._unreadable_since < _HALF_MADE or is_written(self.file):
                return
            raise
        self._unreadable_since = math.inf
        self.there, self.size = True, self.file.stat().st_size
        if self.step != before:
            if self.step < before:
                self._seen.clear()
            self._seen.append((time.monotonic(), self.step))
        held, self.written = self.written, is_written(self.file)
        self.ended = self.step == before and not held and not self.written

    def _take(self, run: Trajectory) -> None:
        self.replicas = run.replicas
        latest = [(-1, 0.0)]
        for name, found in run.observables.items():
            if len(found):
                latest.append((int(found.read("step", -1)), float(found.read("time", -1))))
            if len(found.shape) == 2 and any(name in names for names in _PANELS.values()):
                self._series.setdefault(name, Growing(name, relative=name == "conserved")).update(found)
        if len(run):
            latest.append((int(run.steps[-1]), float(run.times[-1])))
        self.step, self.time = max(latest)

    def status(self) -> str:
        """One line: step, time, steps a second, size, and what is amiss."""
        if not self.there:
            return f"waiting for {self.file}"
        planned = _planned(self.file.parent)
        words = [
            f"step {max(self.step, 0):,}" + (f" of {planned:,}" if planned else ""),
            f"time {self.time:.4g}",
            f"{self.replicas} replicas",
            f"{self.size / 1e6:.1f} MB",
        ]
        (first, start), (last, stop) = (self._seen[0], self._seen[-1]) if self._seen else ((0.0, 0), (0.0, 0))
        if not self.written:
            words.append("finished" if planned and self.step >= planned else "no longer written")
        elif stop > start:
            words.insert(2, f"{(stop - start) / (last - first):,.0f} steps/s")
        quiet = time.monotonic() - last
        if self.written and self._seen and quiet >= _QUIET:
            words.append(f"no new rows for {quiet:.0f} s")
        return ", ".join(words)

    def picture(self, width: int, height: int) -> str:
        """Status and panels as text with ANSI colours, of at most so many columns and rows."""
        if not self.there:
            return self.status()
        curves = {name: one.curve() for name, one in self._series.items()}
        known = {name: curve for name, curve in curves.items() if len(curve.steps)}
        panels = [
            Panel(title, [known[name] for name in names if name in known], self.replicas)
            for title, names in _PANELS.items()
            if names[0] in known and not (title == "potential energy" and "train/loss" in known)
        ]
        pictures = drawn(panels, width, height - 1) if panels else "no series of losses, temperatures or energies yet"
        return f"{self.file}: {self.status()}\n{pictures}"


def is_written(file: Path) -> bool:
    """Whether a writer holds the file at this moment; True where the system cannot tell."""
    if sys.platform == "win32":
        return True
    with file.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:  # it is locked, or nothing can be on this file system
            return True
    return False


def _planned(folder: Path) -> int | None:
    """Steps that the run file in the folder asks for, where there is one."""
    try:
        steps = tomllib.loads((folder / "run.toml").read_text(encoding="utf-8"))["run"]["steps"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return steps if isinstance(steps, int) else None


def watch(path: Path, *, every: float = 1.0, once: bool = False) -> None:
    """Draw a run until it ends or Ctrl-C is pressed, or one picture of it; where nobody watches, lines of text.

    Args:
        path: the run folder, or its .h5 file, which need not be there yet.
        every: seconds between two looks.
        once: draw one picture and return.

    Raises:
        NotATrajectory: the file is damaged, or with ``once`` not there; ValueError: every is not positive.
    """
    from rich.console import Console

    if not every > 0:
        raise ValueError(f"every is {every:g}: the seconds between two looks must be positive")
    console, watcher = Console(), Watcher(path)
    if once:
        watcher.look()
        if not watcher.there:
            raise NotATrajectory(f"{watcher.file} is not there, or not yet readable; without --once it is waited for")
        _print(console, watcher)
        return
    with suppress(KeyboardInterrupt):
        _follow(console, watcher, every)


def _follow(console: Any, watcher: Watcher, every: float) -> None:
    from rich.live import Live
    from rich.text import Text

    if not console.is_terminal:
        _follow_in_lines(console, watcher, every)
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while not watcher.ended:
            watcher.look()
            live.update(Text.from_ansi(watcher.picture(console.width, console.height - 1)), refresh=True)
            if not watcher.ended:
                time.sleep(every)


def _follow_in_lines(console: Any, watcher: Watcher, every: float) -> None:
    told = ""
    while not watcher.ended:
        watcher.look()
        if watcher.status() != told and not watcher.ended:
            told = watcher.status()
            console.print(told, highlight=False, markup=False, soft_wrap=True)
        if not watcher.ended:
            time.sleep(every)
    _print(console, watcher)


def _print(console: Any, watcher: Watcher) -> None:
    from rich.text import Text

    height = console.height - 1 if console.is_terminal else 43
    console.print(Text.from_ansi(watcher.picture(console.width, height)), soft_wrap=True)
