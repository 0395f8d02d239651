"""The tables of a run file and what may stand in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from mdnet.adaptation import AdaptStep
from mdnet.config.choices import TEMPERED, Bath, Method, Network, PriorTable, ScheduleTable, TemperingTable, bath
from mdnet.config.options import Options, Section, default
from mdnet.config.outputs import Output, Report
from mdnet.config.values import ByLayer, Cadence, Count, Rows, Scale, Sizes
from mdnet.data import SETS, split
from mdnet.routes.choice import Route
from mdnet.routes.precision import Precision
from mdnet.schedules import Schedule
from mdnet.spelling import unknown
from mdnet.system import ParticleSystem
from thermostats import NoBath
from trajectories.storage.encoding import check


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
    route: Route = default(ParticleSystem, "route")
    precision: Precision = default(ParticleSystem, "precision")

    @field_validator("prior")
    @classmethod
    def _possible(cls, prior: Options | None) -> Options | None:
        if prior is not None:
            prior.make()
        return prior


class Minibatch(Section):
    """[minibatch]: the force on rows drawn anew at every step, in place of the force on all; sizes may be listed."""

    size: Sizes
    replace: bool = default(ParticleSystem.minibatch, "replace")
    shared: bool = default(ParticleSystem.minibatch, "shared")


class Adapt(Section):
    """[adapt]: the time step is adapted in the first steps, then frozen."""

    steps: Count
    every: Count = default(AdaptStep, "every")
    error: float = default(AdaptStep, "error")
    acceptance: float = default(AdaptStep, "acceptance")

    def make(self) -> AdaptStep:
        """Return the action."""
        return AdaptStep(self.steps, every=self.every, error=self.error, acceptance=self.acceptance)


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


class RunFile(Section):
    """A whole run."""

    network: Network
    data: Data
    system: System = System()
    minibatch: Minibatch | None = None
    integrator: Method
    thermostat: Bath = None
    tempering: TemperingTable = None
    adapt: Adapt | None = None
    schedule: Schedules = Schedules()
    start: Start = Start()
    run: Run
    report: Report = Report()
    output: Output = Output()

    @field_validator("integrator")
    @classmethod
    def _movable(cls, options: Options) -> Options:
        bathed = getattr(getattr(options, "scheme", None), "has_bath", False)
        options.make({"force": None} | _warmth(options) | ({"thermostat": NoBath()} if bathed else {}))
        return options

    @field_validator("thermostat")
    @classmethod
    def _possible(cls, options: Options | None) -> Options | None:
        if options is not None:
            bath(options, (1,), _warmth(options))
        return options

    @field_validator("tempering", "adapt", "output")
    @classmethod
    def _makeable(cls, options: Options | Adapt | Output | None) -> Options | Adapt | Output | None:
        if options is not None:
            options.make()
        return options

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if problems := [*self._warm(), *self._heat(), *self._lists(), *self._stored()]:
            raise ValueError("\n".join(problems))
        return self

    @property
    def method(self) -> str:
        """The word of the integrator's method."""
        return getattr(self.integrator, self.integrator.key)  # type: ignore[no-any-return]

    @property
    def temperature(self) -> Any:
        """The set temperature as the file gives it, of thermostat, method or ladder; None where there is none."""
        if self.tempering is not None:
            return self.tempering.make().temperatures(self.system.replicas)
        return getattr(self._heated, "temperature", None)

    @property
    def coldest(self) -> Any:
        """The set temperature, with a ladder its lowest: what a prior without one of its own takes."""
        return self.temperature if self.tempering is None else min(self.tempering.make().ladder)

    @property
    def _heated(self) -> Options | None:
        """The table that the temperature belongs to."""
        return self.integrator if hasattr(self.integrator, "temperature") else self.thermostat

    def _warm(self) -> Iterator[str]:
        table = self._heated
        place = "integrator" if table is self.integrator else "thermostat"
        given = getattr(table, "temperature", None)
        if not hasattr(table, "temperature"):
            if self.tempering is not None:
                yield "[tempering] has nothing to act on: there is no thermostat with a temperature"
        elif self.tempering is not None and given is not None:
            yield f"[{place}] temperature is set by the ladder in [tempering]; leave it out here"
        elif self.tempering is None and given is None:
            yield f"[{place}] temperature is missing"

    def _heat(self) -> Iterator[str]:
        if self.method not in TEMPERED:
            if self.thermostat is not None:
                yield f"[thermostat] the method {self.method} goes without one; leave this table out"
            return
        scheme = self.integrator.scheme  # type: ignore[attr-defined]
        if scheme.has_bath and self.thermostat is None:
            yield (
                f'[thermostat] is missing; scheme {scheme} has a heat bath (O): give a name, "none" for constant energy'
            )

    def _lists(self) -> Iterator[str]:
        tables: dict[str, Section | None] = {
            "integrator": self.integrator,
            "thermostat": self.thermostat,
            "system.prior": self.system.prior,
            "minibatch": self.minibatch,
            "schedule.temperature": self.schedule.temperature,
            "schedule.dt": self.schedule.dt,
        }
        for place, table in tables.items():
            for name, values in table.lists() if table is not None else ():
                if len(values) != self.system.replicas:
                    yield f"[{place}] {name} lists {len(values)} values, but there are {self.system.replicas} replicas"

    def _stored(self) -> Iterator[str]:
        try:
            check(self.output.make(), self.system.dtype)
        except ValueError as error:
            yield f"[output] {error}"


def _warmth(options: Options) -> dict[str, float]:
    """A temperature to try a table with that leaves its own to a ladder."""
    return {"temperature": 1.0} if getattr(options, "temperature", 0.0) is None else {}
