"""What all reproductions share: how they are run, and the seconds of their stages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

Tell = Callable[[str, float], None]


@dataclass(frozen=True)
class Setting:
    """How the runs of a reproduction are made: where, from which seed on, on what, and what becomes of those there."""

    out: Path
    seed: int = 0
    device: str = "cpu"
    overwrite: bool = False
    resume: bool = False
    progress: bool = True

    @property
    def replaces(self) -> bool:
        """Whether what is found in the folders is no reason to stop; short runs are begun anew where others go on."""
        return self.overwrite or self.resume


class Stages:
    """Tells and keeps the seconds of each stage of a long computation."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Take the time of what happens inside."""
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 1)
        self.tell(name, self.seconds[name])
