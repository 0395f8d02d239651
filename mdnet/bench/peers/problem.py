"""The work that all do: a tanh network with its data, where it starts, and the dynamics that moves it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_ARRAYS = ("x", "y", "q", "p")


@dataclass(frozen=True)
class Problem:
    """U(q) = mean loss of a tanh network, unit masses; a weight is (outputs, inputs), its bias follows it in q."""

    x: Array  # (rows, inputs) float32
    y: Array  # (rows, outputs) float32 for the mean squared error, (rows,) int64 for the cross entropy
    q: Array  # (replicas, dof) float32, positions at the start
    p: Array  # (replicas, dof) float32, momenta at the start
    sizes: tuple[int, ...]  # of the layers, from the inputs to the outputs
    dt: float
    temperature: float
    friction: float  # of the Langevin bath
    tau: float  # of the chain, which has `links` and a Suzuki-Yoshida factorisation of order 3
    links: int
    threads: int
    steps: int  # that one request advances by

    @property
    def classes(self) -> bool:
        """Whether the loss is the cross entropy."""
        return self.y.ndim == 1

    def layers(self) -> list[tuple[slice, slice, tuple[int, int]]]:
        """Where each layer's weight and bias lie in q, and the shape (outputs, inputs) of its weight."""
        places, at = [], 0
        for before, after in pairwise(self.sizes):
            middle, end = at + before * after, at + (before + 1) * after
            places.append((slice(at, middle), slice(middle, end), (after, before)))
            at = end
        return places

    def save(self, path: str) -> None:
        """Write it to a file."""
        rest = {name: value for name, value in asdict(self).items() if name not in _ARRAYS}
        np.savez(path, rest=np.array(json.dumps(rest)), **{name: getattr(self, name) for name in _ARRAYS})

    @staticmethod
    def load(path: str) -> Problem:
        """Read it from a file."""
        with np.load(path) as file:
            rest = json.loads(str(file["rest"]))
            rest["sizes"] = tuple(rest["sizes"])
            return Problem(**{name: file[name] for name in _ARRAYS}, **rest)
