"""Who runs a simulation: one process alone, or a rank among others that share its replicas and its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from torch import Tensor

from integrators import Integrator, Phase
from mdnet.reporters import Reporter
from mdnet.schedules import Schedule
from mdnet.system import ParticleSystem
from thermostats import noise

State = dict[str, Any]
"""Everything that moves, by its name in Phase, and "bath", a list."""

NEVER = 2**62


class RankLostError(ConnectionError):
    """Another process of the run is gone, so the run cannot go on."""


class World(Protocol):
    """What a simulation asks of the processes that run it together; `rows` are the replicas of this one.

    `counted`: random numbers are made by count unless a checkpoint says else, so that each rank draws its own alone.
    """

    rank: int
    rows: slice
    is_writer: bool  # whether this process writes files and speaks
    counted: bool
    reduces: bool  # whether the force is a sum over ranks

    def over(self, system: ParticleSystem) -> World:
        """Return the world with the replicas and the data of a whole system divided among its ranks."""

    def part(self, system: ParticleSystem) -> ParticleSystem:
        """Return this rank's part of a whole system; raises ValueError for what cannot be divided."""

    def method(self, integrator: Integrator, whole: ParticleSystem, own: ParticleSystem) -> Integrator:
        """Return the integrator of this rank's part; raises ValueError for what cannot be divided."""

    def schedules(self, schedules: Mapping[str, Schedule]) -> Mapping[str, Schedule]:
        """Return the schedules of this rank's replicas."""

    def reporters(self, reporters: Sequence[Reporter]) -> Sequence[Reporter]:
        """Return reporters that look at this rank's replicas and return what all ranks saw, to the writer."""

    def admit(self, action: Any) -> None:
        """Let an action act on all replicas of the run; raises ValueError for one that cannot."""

    def everyone(self, own: ParticleSystem) -> int:
        """Return the number of replicas of the whole run."""

    def mine(self, values: Tensor) -> Tensor:
        """Return this rank's rows of values (replicas, ...)."""

    def settle(self, integrator: Integrator, phase: Phase) -> None:
        """Learn which bath variables belong to replicas, and tell the sources of noise the first row of this rank."""

    def draws(self, counted: bool) -> AbstractContextManager[None]:
        """Inside the block each replica draws the random numbers that it would among all."""

    def by_row(self) -> AbstractContextManager[object]:
        """The same for numbers that are never made by count."""

    def gather(self, values: Tensor) -> Tensor:
        """Return values (rows, ...) of all ranks as (replicas, ...), on every rank."""

    def collect(self, report: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return named values (rows, ...) as (replicas, ...) on the writer; on the others nothing."""

    def state(self, phase: Phase) -> State:
        """Return everything that moves of all replicas, on the CPU, on the writer; on the others nothing."""

    def restore(self, phase: Phase, state: State) -> None:
        """Put this rank's part of what `state` returned into the phase."""

    def select(self, integrator: Integrator, phase: Phase, parents: Tensor) -> None:
        """Put replica r where replica parents[r] is, parents (replicas,), wherever it is; heat stays."""

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of values over the parts of the replicas, such as histograms of any shape."""

    def meet(self, step: int, asked: Sequence[bool]) -> Sequence[bool]:
        """Return of each question whether any rank says yes; between two meetings all are no."""

    def meeting(self, step: int) -> int:
        """Return the step of the next meeting."""


class Alone:
    """One process that has all replicas and all data: a World in which there is nothing to agree on."""

    rank, is_writer, counted, reduces = 0, True, False, False
    rows = slice(None)

    def over(self, system: ParticleSystem) -> World:
        """Return itself."""
        return self

    def part(self, system: ParticleSystem) -> ParticleSystem:
        """Return the system."""
        return system

    def method(self, integrator: Integrator, whole: ParticleSystem, own: ParticleSystem) -> Integrator:
        """Return the integrator."""
        return integrator

    def schedules(self, schedules: Mapping[str, Schedule]) -> Mapping[str, Schedule]:
        """Return the schedules."""
        return schedules

    def reporters(self, reporters: Sequence[Reporter]) -> Sequence[Reporter]:
        """Return the reporters."""
        return reporters

    def admit(self, action: Any) -> None:
        """Do nothing."""

    def everyone(self, own: ParticleSystem) -> int:
        """Return the system's."""
        return own.replicas

    def mine(self, values: Tensor) -> Tensor:
        """Return the values."""
        return values

    def settle(self, integrator: Integrator, phase: Phase) -> None:
        """Do nothing: the rows begin at zero."""

    def draws(self, counted: bool) -> AbstractContextManager[None]:
        """Draw by count where a checkpoint of many ranks says so."""
        return noise.counted() if counted else nullcontext()

    def by_row(self) -> AbstractContextManager[object]:
        """Do nothing."""
        return nullcontext()

    def gather(self, values: Tensor) -> Tensor:
        """Return the values."""
        return values

    def collect(self, report: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the report."""
        return report

    def state(self, phase: Phase) -> State:
        """Return everything that moves, on the CPU."""
        state = {name: getattr(phase, name).cpu() for name in MOVING}
        return state | {"bath": [x.cpu() for x in phase.bath]}

    def restore(self, phase: Phase, state: State) -> None:
        """Put what `state` returned into the phase."""
        for name in MOVING:
            getattr(phase, name).copy_(state[name])
        for variable, saved in zip(phase.bath, state["bath"], strict=True):
            variable.copy_(saved)

    def select(self, integrator: Integrator, phase: Phase, parents: Tensor) -> None:
        """Let the integrator do it."""
        integrator.select(phase, parents)

    def sum(self, values: Tensor) -> Tensor:
        """Return the values."""
        return values

    def meet(self, step: int, asked: Sequence[bool]) -> Sequence[bool]:
        """Return what is asked."""
        return asked

    def meeting(self, step: int) -> int:
        """Return a step that is never reached: nobody has to be met."""
        return NEVER


MOVING = ("q", "p", "f", "u", "heat")
ALONE = Alone()
