"""The whole comparison: every contestant on one system, their largest steps, and the bias of <U> against dt."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from mdnet.comparison.contest import Contestant
from mdnet.comparison.cost import costs
from mdnet.comparison.measures import Reference, Row, exact, measure, observed
from mdnet.comparison.series import Series, record
from mdnet.comparison.stepsize import biases, largest_stable
from mdnet.randomness import Stream
from mdnet.validation.subjects import Subject
from trajectories.statistics import Estimate

MULTIPLES = (0.5, 1.0, 2.0, 3.0, 4.0)  # of dt, at which the bias is measured
_LONG = 4  # times the forces of a contestant: the run that others are compared with, at half their dt


@dataclass(frozen=True)
class Setting:
    """What all contestants share; `dt` is that of one force evaluation, `forces` the evaluations of each replica."""

    temperature: float
    dt: float
    replicas: int
    forces: int
    seed: int = 0
    compile: bool = False


@dataclass(frozen=True, eq=False)
class Step:
    """How long a scheme's steps may be, a force evaluation: dt and the bias (<U> - exact)/(N_f T/2) at each."""

    scheme: str
    forces: int
    largest: float
    dt: list[float]
    bias: list[Estimate]


@dataclass(frozen=True, eq=False)
class Comparison:
    """All that was measured; `bare` are the seconds of a force evaluation of all replicas."""

    subject: str
    dof: int
    setting: Setting
    reference: str
    bare: float
    rows: list[Row]
    steps: list[Step]


def compare(
    subject: Subject, contestants: Sequence[Contestant], setting: Setting, *, report: Callable[[str], None]
) -> Comparison:
    """Run every contestant at the same number of force evaluations and measure it; `report` is told what happens.

    A system whose U has no law in closed form is compared with a longer run of the first contestant that calls
    itself canonical, at half the step.
    """
    run = _Run(subject, setting)
    reference, told = run.reference(contestants)
    rows = []
    for contestant in contestants:
        report(f"{contestant.name}")
        rows.append(run.row(contestant, reference))
    report("costs")
    rows, bare = run.priced(contestants, rows)
    steps = []
    for contestant in _one_a_scheme(contestants):
        report(f"steps of {contestant.scheme}")
        steps.append(run.step(contestant, reference))
    return Comparison(subject.name, subject.dof, setting, told, bare, rows, steps)


@dataclass(frozen=True, eq=False)
class _Run:
    subject: Subject
    setting: Setting

    def reference(self, contestants: Sequence[Contestant]) -> tuple[Reference, str]:
        found = exact(self.subject, self.setting.temperature)
        if found is not None:
            return found, "exact"
        best = next((each for each in contestants if self._canonical(each)), contestants[0])
        series = self._series(best, self.setting.dt / 2, _LONG * self.setting.forces, "reference")
        told = f"{best.name}, dt/2, {_LONG} x the force evaluations"
        told += "; <U> exact" if self.subject.exact is not None else ""
        return observed(series, self.subject, self.setting.temperature), told

    def row(self, contestant: Contestant, reference: Reference) -> Row:
        series = self._series(contestant, self.setting.dt, self.setting.forces, "row")
        return measure(
            series, self.subject, reference, scheme=contestant.scheme, bath=contestant.bath,
            canonical=self._canonical(contestant), temperature=self.setting.temperature,
        )  # fmt: skip

    def priced(self, contestants: Sequence[Contestant], rows: list[Row]) -> tuple[list[Row], float]:
        setting = self.setting
        bare, each = costs(
            contestants, self.subject, temperature=setting.temperature, dt=setting.dt, replicas=setting.replicas,
            compile=setting.compile,
        )  # fmt: skip
        replicas = self.subject.rows(setting.replicas)
        return [
            replace(row, cost=seconds / bare, per_second=row.effective * replicas / (1000 * seconds))
            for row, seconds in zip(rows, each, strict=True)
        ], bare

    def step(self, contestant: Contestant, reference: Reference) -> Step:
        setting, subject = self.setting, self.subject
        largest = largest_stable(contestant, subject, temperature=setting.temperature, dt=setting.dt)
        steps = [multiple * setting.dt for multiple in MULTIPLES if multiple * setting.dt < 0.95 * largest]
        with self._seeded(contestant, "bias"):
            bias = biases(
                contestant, subject, reference, steps, temperature=setting.temperature, replicas=setting.replicas,
                forces=setting.forces,
            )  # fmt: skip
        return Step(contestant.scheme, contestant.forces(subject, setting.dt), largest, steps, bias)

    def _series(self, contestant: Contestant, dt: float, forces: int, name: str) -> Series:
        setting = self.setting
        with self._seeded(contestant, name):
            return record(
                contestant, self.subject, temperature=setting.temperature, dt=dt, replicas=setting.replicas,
                forces=forces, show=True,
            )  # fmt: skip

    def _canonical(self, contestant: Contestant) -> bool:
        return contestant.make(self.subject, self.setting.temperature, self.setting.dt, False).canonical

    @contextmanager
    def _seeded(self, contestant: Contestant, name: str) -> Iterator[None]:
        """The same random numbers for a contestant whatever others there are."""
        word = f"{contestant.name}|{self.subject.name}|{name}"
        device: torch.device = self.subject.masses.device
        with Stream(self.setting.seed + zlib.crc32(word.encode()), device).active():
            yield


def _one_a_scheme(contestants: Sequence[Contestant]) -> list[Contestant]:
    """The first contestant of each scheme: its bath hardly bears on the step."""
    first: dict[str, Contestant] = {}
    for contestant in contestants:
        first.setdefault(contestant.scheme, contestant)
    return list(first.values())
