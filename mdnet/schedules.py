"""Schedules: the temperature or the step size as a pure function of the step, so that a resume needs no state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import cos, pi
from typing import Protocol

import torch
from torch import Tensor

from integrators import Integrator, Phase, kinetic_energy
from thermostats.parameters import maxwell

Value = float | Tensor
"""A number, or a (replicas, 1) tensor where it differs by replica."""


class Schedule(Protocol):
    """A value for every step; step k is the one that leads from step count k to k + 1."""

    def __call__(self, step: int) -> Value:
        """Return the value that holds during `step`."""


@dataclass(frozen=True)
class Constant:
    """The same value at every step."""

    value: Value

    def __call__(self, step: int) -> Value:
        """Return the value."""
        return self.value


@dataclass(frozen=True)
class Staircase:
    """From `start` to `stop` in `stages` equal rises, one every `every` steps, then constant:

        value(step) = start + (stop - start) min(step // every, stages)/stages

    Staircase(0, 0.05, stages=5, every=1000) rises by 0.01 every 1000 steps and reaches 0.05 at step 5000.
    """

    start: Value
    stop: Value
    stages: int
    every: int

    def __post_init__(self) -> None:
        _at_least_one(stages=self.stages, every=self.every)

    def __call__(self, step: int) -> Value:
        """Return the value of the stage that `step` belongs to."""
        return self.start + (self.stop - self.start) * min(step // self.every, self.stages) / self.stages


@dataclass(frozen=True)
class _Ramp:
    start: Value
    stop: Value
    steps: int

    def __post_init__(self) -> None:
        _at_least_one(steps=self.steps)

    def _between(self, fraction: float) -> Value:
        return self.start + (self.stop - self.start) * fraction


@dataclass(frozen=True)
class Linear(_Ramp):
    """From `start` to `stop` along a line over `steps` steps, then constant."""

    def __call__(self, step: int) -> Value:
        """Return the value at `step`."""
        return self._between(min(step, self.steps) / self.steps)


@dataclass(frozen=True)
class Cosine(_Ramp):
    """From `start` to `stop` along half a cosine over `steps` steps, then constant:

    value(step) = stop + (start - stop) (1 + cos(pi step/steps))/2
    """

    def __call__(self, step: int) -> Value:
        """Return the value at `step`."""
        return self._between((1 - cos(pi * min(step, self.steps) / self.steps)) / 2)


@dataclass(frozen=True)
class Cyclical(_Ramp):
    """From `start` to `stop` along half a cosine over `steps` steps, then from `start` again, and so on:

        value(step) = stop + (start - stop) (1 + cos(pi (step mod steps)/steps))/2

    As a step size it moves a run between modes at the start of each cycle and samples them at its end.

    Reference: Zhang, Li, Zhang, Chen, Wilson, ICLR 2020, Eq. (1).
    """

    def __call__(self, step: int) -> Value:
        """Return the value at `step`."""
        return self._between((1 - cos(pi * (step % self.steps) / self.steps)) / 2)


@dataclass(frozen=True)
class Table:
    """`values[i]` from step `steps[i]` on, until the next entry; `steps` starts at 0 and rises."""

    steps: Sequence[int]
    values: Sequence[Value]

    def __post_init__(self) -> None:
        rises = all(a < b for a, b in zip(self.steps, self.steps[1:], strict=False))
        if len(self.steps) != len(self.values) or not self.steps or self.steps[0] != 0 or not rises:
            raise ValueError(
                f"a table needs as many values as steps, and steps that start at 0 and rise; "
                f"got steps = {list(self.steps)} and {len(self.values)} values"
            )

    def __call__(self, step: int) -> Value:
        """Return the value of the last entry at or before `step`."""
        last = max(i for i, first in enumerate(self.steps) if first <= step)
        return self.values[last]


def _at_least_one(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} = {count} must be one or more")


class Scheduler:
    """Sets the integrator's temperature and step size by their schedules, before each step, in place.

    Where the temperature of a replica leaves zero its momenta are drawn from the Maxwell-Boltzmann law, since
    a deterministic bath hardly heats particles at rest; the kinetic energy they gain is booked as heat.

    Raises ValueError for a name that is neither "temperature" nor "dt", for a temperature of an integrator
    that has none, and for a value that is negative or not finite.
    """

    def __init__(self, schedules: Mapping[str, Schedule], integrator: Integrator) -> None:
        allowed = ["temperature", "dt"] if integrator.temperature is not None else ["dt"]
        for name in schedules:
            if name not in allowed:
                raise ValueError(f"there is no {name!r} to schedule; this integrator has {allowed}")
        self.schedules, self.integrator = dict(schedules), integrator
        self.current: dict[str, Tensor] = {}
        self._first = float(integrator.dt.flatten()[0])

    def begin(self, step: int) -> None:
        """Set every value for `step` without touching the momenta: at the start and after a resume."""
        for name, schedule in self.schedules.items():
            self.current[name] = self._value(name, schedule, step)
            self._set(name, self.current[name])

    def __call__(self, step: int, phase: Phase) -> None:
        """Set the values that hold during `step`; act only where one changes."""
        for name, schedule in self.schedules.items():
            value, before = self._value(name, schedule, step), self.current[name]
            if torch.equal(value, before):
                continue
            self.current[name] = value
            self._set(name, value)
            leaves_zero = (before == 0) & (value > 0)
            if name == "temperature" and self.integrator.has_momenta and leaves_zero.any():
                self._draw(phase, value, leaves_zero)

    def steady(self, step: int, steps: int) -> int:
        """Return how many of the next `steps` steps have the values that hold at `step`: one or more."""
        if not self.schedules:
            return steps
        return next((ahead for ahead in range(1, steps) if self._changes(step + ahead)), steps)

    def reread(self) -> None:
        """Take note of a step size that something else has set."""
        self._first = float(self.integrator.dt.flatten()[0])

    @property
    def time_step(self) -> float:
        """The present step size; that of the first replica where it differs by replica."""
        return self._first

    def _changes(self, step: int) -> bool:
        return any(
            not torch.equal(self._value(name, schedule, step), self.current[name])
            for name, schedule in self.schedules.items()
        )

    def _value(self, name: str, schedule: Schedule, step: int) -> Tensor:
        value = torch.as_tensor(schedule(step), dtype=torch.float64)
        lowest = value >= 0 if name == "temperature" else value > 0
        if not (torch.isfinite(value) & lowest).all():
            bound = "not negative" if name == "temperature" else "positive"
            raise ValueError(f"the schedule of {name} gives {value.tolist()} at step {step}; it must be {bound}")
        return value

    def _set(self, name: str, value: Tensor) -> None:
        target: Tensor = getattr(self.integrator, name)
        if target.shape != value.shape and target.numel() < value.numel():
            raise ValueError(
                f"the schedule of {name} has the shape {tuple(value.shape)}, the integrator's {name} has "
                f"{tuple(target.shape)}; give both as (replicas, 1) to let them differ by replica"
            )
        if value.ndim == 0:
            target.fill_(float(value))  # a number needs no copy from the host that a GPU would wait for
        else:
            target.copy_(value)
        if name == "dt":
            self._first = float(value.flatten()[0])

    def _draw(self, phase: Phase, temperature: Tensor, where: Tensor) -> None:
        before = kinetic_energy(phase.p, phase.m)
        fresh = maxwell(phase.p, phase.m, temperature.to(phase.p.device))
        phase.p.copy_(torch.where(where.to(phase.p.device), fresh, phase.p))
        phase.heat += kinetic_energy(phase.p, phase.m) - before
