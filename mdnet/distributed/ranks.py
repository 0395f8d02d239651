"""A rank of a torchrun job: its part of the replicas and of the data, and what it puts together with the others."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from integrators import Integrator, Phase
from mdnet.distributed.channel import Channel
from mdnet.distributed.draws import ByRow, by_count
from mdnet.distributed.forces import Reduced
from mdnet.distributed.parts import (
    ScheduleRows,
    division,
    method_part,
    replica_dimensions,
    reporter_part,
    system_part,
)
from mdnet.distributed.pulse import Pulse
from mdnet.distributed.reports import gathered
from mdnet.distributed.world import MOVING, State, World
from mdnet.reporters import ConfigurationalTemperature, Reporter
from mdnet.schedules import Schedule
from mdnet.system import ParticleSystem
from thermostats import noise


class Ranks(Channel):
    """Rank g M + d of G x M: it has the g-th part of the replicas and the d-th of M parts of the data.

    Every M ranks in a row move the same replicas: each evaluates the force on its own data, and the mean weighted by
    rows is that of all. Collectives between replicas happen at reports, checkpoints, actions and meetings only.
    Implements World.
    """

    counted = True

    def __init__(self, data_ranks: int, pulse: Pulse) -> None:
        super().__init__(data_ranks, pulse)
        self.rows = self.data = slice(0, 0)
        self.share = 1.0  # of the rows of data
        self._dimensions: list[int | None] = []
        self._by_count = False

    def over(self, system: ParticleSystem) -> World:
        """Return the world with the replicas and the data of a whole system divided among its ranks."""
        rows = system.inputs.shape[0 if system.shares_data else 1]
        if system.replicas < self.groups:
            raise ValueError(
                f"{system.replicas} replica(s) cannot be divided over {self.size} ranks, {self.data_ranks} of which "
                "share each part; start fewer ranks, or let more of them share the data (--data-ranks)"
            )
        if rows < self.data_ranks:
            raise ValueError(f"{rows} row(s) of data cannot be divided over --data-ranks {self.data_ranks}; take fewer")
        divided = copy.copy(self)
        divided.replicas, divided.rows = system.replicas, self.rows_of(system.replicas, self.group)
        divided.data = division(rows, self.data_ranks, self.part_of_data)
        divided.share = (divided.data.stop - divided.data.start) / rows
        return divided

    def part(self, system: ParticleSystem) -> ParticleSystem:
        """Return this rank's part of a whole system."""
        own = system_part(system, self.rows, self.data)
        if self.reduces:
            own.force = Reduced(own.force, self.share, self.sum_of_data)  # type: ignore[assignment]
        return own

    def method(self, integrator: Integrator, whole: ParticleSystem, own: ParticleSystem) -> Integrator:
        """Return the integrator of this rank's part; raises ValueError for what cannot be divided."""
        if self.reduces and integrator.stochastic:
            raise ValueError(
                "a minibatch force cannot be divided over ranks that share the data; take --data-ranks 1, or all data"
            )
        made = method_part(integrator, whole, own, self.rows)
        self._by_count = by_count(made)
        return made

    def schedules(self, schedules: Mapping[str, Schedule]) -> Mapping[str, Schedule]:
        """Return the schedules of this rank's replicas."""
        return {name: ScheduleRows(schedule, self.rows) for name, schedule in schedules.items()}

    def reporters(self, reporters: Sequence[Reporter]) -> Sequence[Reporter]:
        """Return reporters that look at this rank's replicas and return what all ranks saw, to the writer."""
        if any(isinstance(each, ConfigurationalTemperature) for each in reporters) and self.size > 1:
            raise ValueError(
                "ConfigurationalTemperature ([report] configurational) draws its probes for all replicas together, and "
                "is not divided over ranks; leave it out, or run in one process"
            )
        return [gathered(reporter_part(each, self.rows), self, self.replicas) for each in reporters]

    def admit(self, action: Any) -> None:
        """Let an action act on all replicas of the run; raises ValueError for one that cannot."""
        if hasattr(action, "world"):
            action.world = self
        elif self.groups > 1:
            raise ValueError(
                f"{type(action).__name__} acts on replicas that are divided over ranks, and is not made for it; the "
                "tempering methods are. Run it in one process, or divide the data only (--data-ranks)"
            )

    def everyone(self, own: ParticleSystem) -> int:
        """Return the number of replicas of the whole run."""
        return self.replicas

    def mine(self, values: Tensor) -> Tensor:
        """Return this rank's rows of values (replicas, ...)."""
        return values[self.rows]

    def settle(self, integrator: Integrator, phase: Phase) -> None:
        """Learn which bath variables belong to replicas, and tell the sources of noise the first row of this rank."""
        self._dimensions = replica_dimensions(integrator, phase)
        self._place(phase)

    @contextmanager
    def draws(self, counted: bool) -> Iterator[None]:
        """Inside the block each replica draws the random numbers that it would among all."""
        with ExitStack() as stack:
            if counted:
                stack.enter_context(noise.counted())
            if not (counted and self._by_count):
                stack.enter_context(ByRow(self.rows, self.replicas))
            yield

    def by_row(self) -> AbstractContextManager[object]:
        """The same for numbers that are never made by count."""
        return ByRow(self.rows, self.replicas)

    def state(self, phase: Phase) -> State:
        """Return everything that moves of all replicas, on the CPU, on the writer; on the others nothing."""
        named = {name: getattr(phase, name) for name in MOVING}
        pairs = list(enumerate(zip(phase.bath, self._dimensions, strict=True)))
        named |= {str(i): variable.movedim(d, 0) for i, (variable, d) in pairs if d is not None}
        found = dict(self.collect(named))
        if not self.is_writer:
            return {}
        bath = [variable.cpu() if d is None else found.pop(str(i)).movedim(0, d) for i, (variable, d) in pairs]
        return found | {"bath": bath}

    def restore(self, phase: Phase, state: State) -> None:
        """Put this rank's part of what `state` returned into the phase."""
        for name in MOVING:
            getattr(phase, name).copy_(self.mine(state[name]))
        for variable, saved, d in zip(phase.bath, state["bath"], self._dimensions, strict=True):
            variable.copy_(saved if d is None else self.mine(saved.movedim(d, 0)).movedim(0, d))
        self._place(phase)

    def select(self, integrator: Integrator, phase: Phase, parents: Tensor) -> None:
        """Put replica r where replica parents[r] is: every rank gathers all that moves, and takes its rows."""
        bath = [
            variable.clone() if d is None else self.gather(variable.movedim(d, 0).contiguous()).movedim(0, d)
            for variable, d in zip(phase.bath, self._dimensions, strict=True)
        ]
        q, p, f, u, heat = (self.gather(getattr(phase, name)) for name in MOVING)
        whole = Phase(q, p, f, u, phase.m, heat, tuple(x.contiguous() for x in bath))
        integrator.select(whole, parents)
        for name in ("q", "p", "f", "u"):
            getattr(phase, name).copy_(self.mine(getattr(whole, name)))
        for variable, every, d in zip(phase.bath, whole.bath, self._dimensions, strict=True):
            if d is not None:
                variable.copy_(self.mine(every.movedim(d, 0)).movedim(0, d))

    def _place(self, phase: Phase) -> None:
        for variable, d in zip(phase.bath, self._dimensions, strict=True):
            if d is None and variable.dtype == torch.int64 and variable.shape == (4,):
                variable[3] = self.rows.start
