"""Reporters of many ranks: each looks at its own replicas, and the writer gets what all saw."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from torch import Tensor

from integrators import Integrator, Phase
from mdnet.cadence import Cadence
from mdnet.reporters import Reporter
from mdnet.system import ParticleSystem


class Collector(Protocol):
    """What is needed of a world."""

    is_writer: bool

    def collect(self, report: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return named values of all replicas on the writer."""


class Gathered:
    """Lets a reporter see the replicas of each rank, and returns its report of all replicas on the writer.

    One that learns from what it sees (it has a state) sees the positions of all replicas, on the writer only.
    """

    def __init__(self, inner: Reporter, world: Collector, replicas: int) -> None:
        self.inner, self.world, self.replicas, self.every = inner, world, replicas, inner.every
        self._learns = hasattr(inner, "state")
        if self._learns:
            self.state: Callable[[], Mapping[str, Tensor]] = inner.state  # type: ignore[attr-defined]
            self.load: Callable[[Mapping[str, Tensor]], None] = inner.load  # type: ignore[attr-defined]

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """Start the reporter; one that learns is told of all replicas."""
        if self._learns:
            system = copy.copy(system)
            system.replicas = self.replicas
        self.inner.start(system, integrator)

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Return the report of all replicas on the writer; nothing on the others."""
        if not self._learns:
            return self.world.collect(self.inner(step, phase))
        found = self.world.collect({"q": phase.q})
        return self.inner(step, replace(phase, q=found["q"].to(phase.q.device))) if self.world.is_writer else {}


class Shown:
    """A reporter that shows what another one reports, such as TensorBoard: on the writer, of all replicas."""

    def __init__(self, shown: Any, world: Collector, replicas: int) -> None:
        self.source, self.shown, self.world = gathered(shown.inner, world, replicas), copy.copy(shown), world
        self.shown.inner, self.every, self.replicas = _Said(shown.every), shown.every, replicas
        self.state, self.load = self.shown.state, self.shown.load

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """Start the reporter whose reports are shown."""
        self.source.start(system, integrator)

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Return the report of all replicas on the writer, and show it there."""
        self.shown.inner.report = self.source(step, phase)
        if not self.world.is_writer:
            return {}
        report: Mapping[str, Tensor] = self.shown(step, replace(phase, q=phase.q.new_empty(self.replicas, 0)))
        return report


class _Said:
    """Says what it was told."""

    def __init__(self, every: Cadence) -> None:
        self.every = every
        self.report: Mapping[str, Tensor] = {}

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """Do nothing."""

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Return it."""
        return self.report


def gathered(reporter: Reporter, world: Collector, replicas: int) -> Reporter:
    """Return the reporter for many ranks."""
    if hasattr(reporter, "inner"):
        return Shown(reporter, world, replicas)
    return Gathered(reporter, world, replicas)
