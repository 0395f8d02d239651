"""A rank's part of a whole: of a particle system, of a method and its bath, of schedules and reporters."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor

from integrators import Integrator, Phase
from mdnet.priors import GaussianPrior, Prior
from mdnet.schedules import Schedule, Value
from mdnet.system import ParticleSystem


def division(length: int, parts: int, index: int, *, even: bool = False) -> slice:
    """Return the index-th of `parts` runs of `length` rows, none more than a row longer than another.

    `even`: they begin at even rows where there are two or more for each. A row then lies in memory as it would among
    all, so that vector instructions take its numbers in the same order.
    """
    unit = 2 if even and length >= 2 * parts else 1
    begin, end = (unit * (i * length // (unit * parts)) for i in (index, index + 1))
    return slice(begin, length if index == parts - 1 else end)


def system_part(whole: ParticleSystem, rows: slice, data: slice) -> ParticleSystem:
    """Return the system of these replicas and these rows of the data.

    Its energy is that of its own data. The prior's is in it whole, so that an average weighted by rows holds it once.
    """
    inputs, targets, index = whole.inputs[data], whole.targets[data], None
    if not whole.shares_data:
        inputs, targets = whole.inputs[rows, data], whole.targets[rows, data]
        index = torch.arange(inputs.shape[0] * inputs.shape[1]).view(inputs.shape[:2])
        inputs, targets = inputs.flatten(0, 1), targets.flatten(0, 1)
    part = ParticleSystem(
        whole.network, whole.loss, inputs, targets,
        replicas=rows.stop - rows.start, prior=_prior(whole.prior, rows), scale=whole.scale,
        masses={entry.name: float(whole.masses[entry.offset]) for entry in whole.table.entries},
        dtype=whole.dtype, device=whole.device, index=index, route=whole.route, precision=whole.precision,
    )  # fmt: skip
    part.why = whole.why  # the route was chosen for the whole
    return part


def method_part(integrator: Integrator, whole: ParticleSystem, own: ParticleSystem, rows: slice) -> Integrator:
    """Return a copy of a method for these replicas: every value (replicas, 1) in it is cut, its force is own's.

    Raises ValueError for a force that is neither the system's nor says how it is divided, by part(own, rows).
    """
    known: dict[int, Any] = {id(whole): own, id(whole.force): own.force}
    force = getattr(integrator, "force", whole.force)
    if (divide := getattr(type(force), "part", None)) is not None:
        known[id(force)] = divide(force, own, rows)
    elif force is not whole.force:
        raise ValueError(
            f"the force {force} cannot be divided over ranks; allowed are system.force, system.minibatch(...), "
            "a TangentNoise and a BiasedForce, or run in one process"
        )
    known |= {id(x): x[rows].clone() for x in _tensors(integrator, {*known}) if x.shape == (whole.replicas, 1)}
    return copy.deepcopy(integrator, known)


def replica_dimensions(integrator: Integrator, phase: Phase) -> list[int | None]:
    """Return of each bath variable the dimension that counts replicas, None where all replicas share it.

    The thermostat is asked for its variables for every replica twice: the dimension that is twice as long is the one.
    A method without a thermostat has replicas first, in everything.
    """
    thermostat = getattr(integrator, "thermostat", None)
    if thermostat is None:
        return [0 if len(variable) == len(phase.p) else None for variable in phase.bath]
    with torch.random.fork_rng():
        twice = _doubled(thermostat, len(phase.p)).bath(torch.cat([phase.p, phase.p]))
    pairs = zip(phase.bath, twice, strict=True)
    return [next((d for d in range(a.ndim) if a.shape[d] != b.shape[d]), None) for a, b in pairs]


@dataclasses.dataclass(frozen=True)
class ScheduleRows:
    """A schedule of these replicas only."""

    whole: Schedule
    rows: slice

    def __call__(self, step: int) -> Value:
        """Return the value, cut where it differs by replica."""
        value = self.whole(step)
        return value[self.rows] if isinstance(value, Tensor) and value.ndim else value


def reporter_part(reporter: Any, rows: slice) -> Any:
    """Return a copy of a reporter whose data of each replica are those of these replicas."""
    if callable(divide := getattr(reporter, "part", None)):
        return divide(rows)
    cut = copy.copy(reporter)
    if getattr(reporter, "per_replica", False):
        if isinstance(getattr(reporter, "data", None), Mapping):
            cut.data = {name: (x[rows], y[rows]) for name, (x, y) in reporter.data.items()}
        if isinstance(getattr(reporter, "inputs", None), Tensor):
            cut.inputs = reporter.inputs[rows]
    return cut


def _prior(prior: Prior | None, rows: slice) -> Prior | None:
    if isinstance(prior, GaussianPrior) and isinstance(prior.temperature, Tensor) and prior.temperature.ndim:
        return dataclasses.replace(prior, temperature=prior.temperature[rows])
    return prior


def _tensors(thing: Any, seen: set[int]) -> Iterator[Tensor]:
    """Every tensor that a method holds, in itself, in its thermostat, in a method that it uses."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, tuple | list):
        for one in thing:
            yield from _tensors(one, seen)
    elif hasattr(thing, "__dict__") and not isinstance(thing, type | FunctionType | MethodType):
        for one in vars(thing).values():
            yield from _tensors(one, seen)


def _doubled(bath: Any, replicas: int) -> Any:
    """The bath for all replicas twice."""
    made = copy.copy(bath)
    for name, value in vars(bath).items():
        if isinstance(value, Tensor) and value.shape == (replicas, 1):
            object.__setattr__(made, name, torch.cat([value, value]))
        elif isinstance(value, tuple) and any(hasattr(one, "bath") for one in value):
            object.__setattr__(made, name, tuple(_doubled(one, replicas) for one in value))
    return made
