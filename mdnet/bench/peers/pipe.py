"""A peer's process: a line of JSON asks for something, a line of JSON answers."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from .problem import Array, Problem

PEERS = {  # the module and the function that makes each
    "jax-nhc": ("jax_splitting", "chain"),
    "jax-baoab": ("jax_splitting", "langevin"),
    "jax-md": ("jax_md_chain", "chain"),
    "blackjax-sghmc": ("blackjax_sghmc", "sghmc"),
    "posteriors-baoa": ("posteriors_sgmcmc", "baoa"),
    "posteriors-sghmc": ("posteriors_sgmcmc", "sghmc"),
}
Counter = Callable[[], None]


class Peer(Protocol):
    """A program under way."""

    packages: tuple[str, ...]  # whose versions are worth telling

    def advance(self) -> None:
        """Advance by the problem's steps, and wait until that is done."""

    def positions(self) -> Array:
        """Return where the particles are, (replicas, dof)."""


class Session:
    """What one process knows between two requests."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.gradients = 0
        self.peer: Peer | None = None

    def open(self, problem: str, count: bool) -> dict[str, Any]:
        """Make ready for a problem; with `count`, gradients are counted, which takes time."""
        module, function = PEERS[self.name]
        make = getattr(importlib.import_module(f".{module}", __package__), function)
        self.peer = make(Problem.load(problem), self._count if count else None)
        self.gradients = 0
        return {"versions": {name: importlib.metadata.version(name) for name in self._opened().packages}}

    def advance(self, times: int) -> dict[str, Any]:
        """Advance by the problem's steps, several times: then what the pipe takes is as good as nothing."""
        for _ in range(times):
            self._opened().advance()
        return {"gradients": self.gradients}

    def positions(self, file: str) -> dict[str, Any]:
        """Write the positions to a file."""
        np.save(file, self._opened().positions())
        return {}

    def _opened(self) -> Peer:
        if self.peer is None:
            raise ValueError("nothing is open yet")
        return self.peer

    def _count(self) -> None:
        self.gradients += 1


def serve(name: str) -> None:
    """Answer until the input ends; what libraries print goes to the standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    session = Session(name)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = getattr(session, asked.pop("do"))(**asked)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        print(json.dumps(answer), file=answers)
