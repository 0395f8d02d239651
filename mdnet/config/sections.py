"""The tables of a run file and what may stand in them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from torch import Tensor

from integrators.phase import time_step
from mdnet.config.choices import Bath, Network, PriorTable, ScheduleTable, bath
from mdnet.config.options import Options, Section
from mdnet.config.schemes import BROWNIAN, spell
from mdnet.config.values import ByLayer, Numbers, Rows, Scale, tensor
from mdnet.data import SETS, split
from mdnet.reporters import Evaluate, Frames, Predictions, Scalars
from mdnet.schedules import Schedule
from mdnet.spelling import unknown
from mdnet.system import ParticleSystem

Count = Annotated[int, Field(ge=1)]
Cadence = Annotated[int, Field(ge=0)]


def default(function: Callable[..., Any], name: str) -> Any:
    """Return the default that a function or class gives an argument, so that it stands in one place."""
    return inspect.signature(function).parameters[name].default


class Data(Section):
    """[data]: the data set, the rows to train and to test on; per_replica draws another split for each replica."""

    name: str
    train: Rows = default(split, "train")
    test: Count | None = default(split, "test")
    seed: int = default(split, "seed")
    standardise: bool = default(split, "standardise")
    stratified: bool = default(split, "stratified")
    label_noise: Annotated[float, Field(ge=0, le=1)] = 0.0
    per_replica: bool = False

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in SETS:
            raise ValueError(unknown("data set", name, SETS))
        return name


class System(Section):
    """[system]: the energy, scale x mean loss + prior, and the particles; the loss is by default that of the data."""

    loss: Literal["mse", "cross-entropy"] | None = None
    replicas: Count = default(ParticleSystem, "replicas")
    scale: Scale = default(ParticleSystem, "scale")
    prior: PriorTable = default(ParticleSystem, "prior")
    masses: ByLayer = default(ParticleSystem, "masses")
    dtype: Literal["float32", "float64"] = "float32"
    device: str = "cpu"
    compile: bool = default(ParticleSystem, "compile")

    @field_validator("prior")
    @classmethod
    def _possible(cls, prior: Options | None) -> Options | None:
        if prior is not None:
            prior.make()
        return prior


class Integrator(Section):
    """[integrator]: scheme and time step; "brownian" has its bath built in, so its temperature stands here."""

    scheme: str
    dt: Numbers
    temperature: Numbers = None
    friction: Numbers = None

    @field_validator("scheme")
    @classmethod
    def _spelt(cls, word: str) -> str:
        if word != BROWNIAN:
            spell(word)
        return word

    @field_validator("dt")
    @classmethod
    def _positive(cls, dt: float | list[float]) -> float | list[float]:
        time_step(tensor(dt))
        return dt

    def bath(self) -> dict[str, float | Tensor]:
        """Return what is given here of the bath of brownian dynamics."""
        given = {"temperature": self.temperature, "friction": self.friction}
        return {name: tensor(value) for name, value in given.items() if value is not None}


class Schedules(Section):
    """[schedule.temperature] and [schedule.dt]: how the two change with the step."""

    temperature: ScheduleTable = None
    dt: ScheduleTable = None

    @field_validator("temperature", "dt")
    @classmethod
    def _possible(cls, schedule: Options | None) -> Options | None:
        if schedule is not None:
            schedule.make()
        return schedule

    def make(self) -> dict[str, Schedule]:
        """Return the schedules by what they change."""
        return {name: table.make() for name in ("temperature", "dt") if (table := getattr(self, name)) is not None}


class Start(Section):
    """[start]: every replica initialised anew, or all like one network; then Adam down the energy, if wanted."""

    init: Literal["random", "network"] = "random"
    seed: int = 0
    adam_steps: Cadence = 0
    adam_rate: Annotated[float, Field(gt=0)] = 0.005


class Run(Section):
    """[run]: steps in all, the seed of the dynamics, when to stop (seconds) and to checkpoint (steps), CPU threads.

    One thread is the fastest for small networks, by far where the processors have other work.
    """

    steps: Cadence
    seed: int = 0
    wall_clock: Annotated[float, Field(gt=0)] | None = None
    checkpoint_every: Count | None = None
    threads: Count = 1


class Report(Section):
    """[report]: steps between reports; 0 switches one off."""

    scalars: Cadence = default(Scalars, "every")
    frames: Cadence = default(Frames, "every")
    evaluate: Cadence = default(Evaluate, "every")
    predictions: Cadence = default(Predictions, "every")
    velocity: bool = default(Frames, "velocity")
    force: bool = default(Frames, "force")


class RunFile(Section):
    """A whole run."""

    network: Network
    data: Data
    system: System = System()
    integrator: Integrator
    thermostat: Bath = None
    schedule: Schedules = Schedules()
    start: Start = Start()
    run: Run
    report: Report = Report()

    @field_validator("thermostat")
    @classmethod
    def _possible(cls, options: Options | None) -> Options | None:
        if options is not None:
            bath(options, sizes=(1,))
        return options

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if problems := [*self._heat(), *self._lists()]:
            raise ValueError("\n".join(problems))
        return self

    @property
    def brownian(self) -> bool:
        """Whether the dynamics is overdamped."""
        return self.integrator.scheme == BROWNIAN

    def _heat(self) -> Iterator[str]:
        word, given = self.integrator.scheme, self.integrator.bath()
        if self.brownian and self.thermostat is not None:
            yield "[thermostat] brownian dynamics has its bath built in; leave this table out"
        if self.brownian and self.integrator.temperature is None:
            yield "[integrator] temperature is missing; brownian dynamics takes it here"
        if not self.brownian and given:
            yield f"[integrator] {min(given)} is for brownian dynamics; with {word} it belongs into [thermostat]"
        if not self.brownian and spell(word).has_bath and self.thermostat is None:
            yield f'[thermostat] is missing; scheme {word} has a heat bath (O): give a name, "none" for constant energy'

    def _lists(self) -> Iterator[str]:
        tables = {
            "integrator": self.integrator,
            "thermostat": self.thermostat,
            "system.prior": self.system.prior,
            "schedule.temperature": self.schedule.temperature,
            "schedule.dt": self.schedule.dt,
        }
        for place, table in tables.items():
            for name, values in table.lists() if table is not None else ():
                if len(values) != self.system.replicas:
                    yield f"[{place}] {name} lists {len(values)} values, but there are {self.system.replicas} replicas"
