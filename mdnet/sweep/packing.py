"""Which runs of a sweep can be the replicas of one simulation, and how they are shared out among the workers."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mdnet.config import RunFile
from mdnet.config.values import PER_REPLICA
from mdnet.sweep.planning import Planned

_SEEDS = (("run", "seed"), ("start", "seed"), ("data", "seed"))
_MOST = 256  # replicas of one simulation
_WASTE = 8  # a replica of a small batch costs as much as one of the largest, which is at most so many times its size


@dataclass(frozen=True)
class Unit:
    """What a worker is given at a time: one run in its own folder, or several as the replicas of one simulation."""

    name: str  # of the folder
    members: tuple[Planned, ...]

    @property
    def steps(self) -> int:
        """The steps that all members are to have."""
        return self.members[0].runfile.run.steps

    @property
    def told(self) -> dict[str, list[Any]]:
        """What differs between the members, by key: the value of each."""
        columns = {key: [each.values[key] for each in self.members] for key in self.members[0].values}
        return {key: values for key, values in columns.items() if any(value != values[0] for value in values)}


def alone(member: Planned) -> Unit:
    """Return a run as it is."""
    return Unit(member.name, (member,))


def together(members: Sequence[Planned]) -> Unit:
    """Return runs as one simulation in a folder that is named after them all; a single one as it is."""
    if len(members) == 1:
        return alone(members[0])
    text = "\n".join(member.name for member in members)
    return Unit(f"pack-{hashlib.sha256(text.encode()).hexdigest()[:8]}", tuple(members))


def units(planned: Sequence[Planned], workers: int) -> list[Unit]:
    """Join what can be joined, in as many parts as keep all workers busy; what cannot be joined stays alone.

    Runs go together where they differ only in seeds (run, start, data), in numbers that may differ by replica (rates,
    temperatures, friction ...) and in minibatches that divide the largest and are no smaller than an eighth of it.
    """
    found = []
    for group in _groups(planned):
        replicas = len(group) * group[0].runfile.system.replicas
        parts = max(math.ceil(replicas / _MOST), math.ceil(workers * len(group) / len(planned)))
        length = math.ceil(len(group) / min(parts, len(group)))
        found += [together(group[first : first + length]) for first in range(0, len(group), length)]
    return found


def joined(runfiles: Sequence[RunFile]) -> RunFile:
    """Return the run file of one simulation with the replicas of all, its seeds those of the first.

    Raises ValueError where it is not valid.
    """
    first, each = runfiles[0], runfiles[0].system.replicas
    tables = first.model_dump(exclude_none=True)
    for path in _numbers(first):
        values = [_value(runfile, path) for runfile in runfiles]
        if any(value != values[0] for value in values) or isinstance(values[0], list):
            _table(tables, path)[path[-1]] = [
                one for value in values for one in (value if isinstance(value, list) else [value] * each)
            ]
    tables["system"]["replicas"] = each * len(runfiles)
    return RunFile.model_validate(tables)


def _groups(planned: Sequence[Planned]) -> Iterator[list[Planned]]:
    """Runs that can go together, in the order of their first ones."""
    groups: dict[str, list[Planned]] = {}
    for place, each in enumerate(planned):
        key = str(place) if _couples(each.runfile) else _signature(each.runfile)
        groups.setdefault(key, []).append(each)
    for group in groups.values():
        yield from _by_batch(group)


def _couples(runfile: RunFile) -> bool:
    """Whether the replicas of a run have to do with each other, or the clock ends it, so that it is left alone."""
    batch, report = runfile.minibatch, runfile.report
    coupled = (runfile.tempering, runfile.adapt, runfile.run.wall_clock, report.principal)
    return any(each is not None for each in coupled) or report.tensorboard or (batch is not None and batch.shared)


def _signature(runfile: RunFile) -> str:
    """All that two runs must have in common."""
    tables = runfile.model_dump(exclude_none=True)
    for path in (*_SEEDS, *_numbers(runfile)):
        _table(tables, path)[path[-1]] = "by replica"
    return json.dumps(tables, sort_keys=True, default=str)


def _numbers(runfile: RunFile) -> list[tuple[str, ...]]:
    """Where the file has a number that may differ by replica."""
    tables = {
        ("integrator",): runfile.integrator,
        ("thermostat",): runfile.thermostat,
        ("system", "prior"): runfile.system.prior,
        ("minibatch",): runfile.minibatch,
        ("schedule", "temperature"): runfile.schedule.temperature,
        ("schedule", "dt"): runfile.schedule.dt,
    }
    return [
        (*place, name)
        for place, table in tables.items()
        if table is not None
        for name, info in type(table).model_fields.items()
        if PER_REPLICA in info.metadata and getattr(table, name) is not None
    ]


def _by_batch(group: Sequence[Planned]) -> Iterator[list[Planned]]:
    """Divide a group so that each part's minibatches divide its largest one."""
    if group[0].runfile.minibatch is None:
        yield list(group)
        return
    parts: dict[int, list[Planned]] = {}
    for each in sorted(group, key=lambda each: -max(_sizes(each))):
        sizes = _sizes(each)
        fits = (top for top in parts if all(top % size == 0 and top <= _WASTE * size for size in sizes))
        parts.setdefault(next(fits, max(sizes)), []).append(each)
    order = {each.name: place for place, each in enumerate(group)}
    for part in parts.values():
        yield sorted(part, key=lambda each: order[each.name])


def _sizes(each: Planned) -> list[int]:
    assert each.runfile.minibatch is not None
    size = each.runfile.minibatch.size
    return size if isinstance(size, list) else [size]


def _value(runfile: RunFile, path: Sequence[str]) -> Any:
    found: Any = runfile
    for part in path:
        found = getattr(found, part)
    return found


def _table(tables: Mapping[str, Any], path: Sequence[str]) -> Any:
    for part in path[:-1]:
        tables = tables[part]
    return tables
