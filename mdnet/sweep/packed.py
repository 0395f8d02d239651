"""One simulation of several run files: each has its own replicas, with its own data, start and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mdnet.config import RunFile, building
from mdnet.data import DataSet, Split, Stack
from mdnet.simulation import Simulation
from mdnet.stability import largest_frequency
from mdnet.sweep import packing
from mdnet.system import ParticleSystem
from mdnet.training import minimise


class Packed:
    """The simulation of run files that `packing.units` joins; replica i r + j is replica j of run file i, which has r.

    Each starts where it starts alone and has the data it has alone; random numbers are drawn for all together, so that
    they differ from those it has alone, and so do those of two run files with one run.seed.

    `told`: what is swept over, by key, one value a run file; the trajectory keeps it under /parameters/sweep, one value
    a replica. Raises ValueError where the run files do not fit together, and as config.build.
    """

    def __init__(
        self, runfiles: Sequence[RunFile], folder: Path, told: dict[str, list[Any]], *, resume: bool = False
    ) -> None:
        self.runfiles, self.whole = runfiles, packing.joined(runfiles)
        self.replicas = runfiles[0].system.replicas
        found = {_key(each): building.data(each) for each in {_key(each): each for each in runfiles}.values()}
        dataset, parts = _together([found[_key(each)] for each in runfiles], self.replicas)
        system = building.particles(self.whole, dataset, parts)
        self.start = None if resume else self._start(system, [found[_key(each)] for each in runfiles])
        self.simulation = Simulation(
            system,
            building.integrator(self.whole, system),
            positions=self.start,
            schedule=self.whole.schedule.make(),
            seed=self.whole.run.seed,
            output=folder,
            reporters=building.reporters(self.whole, dataset, parts, folder),
            checkpoint_every=self.whole.run.checkpoint_every,
            overwrite=not resume,
            storage=self.whole.output.make(),
            parameters={
                "run_file": self.whole.model_dump(exclude_none=True),
                "sweep": {key: self._by_replica(values) for key, values in told.items()},
                "data": {"name": dataset.name, "source": dataset.source, "kind": dataset.kind},
                "test": {"targets": parts.test[1].numpy(), "per_replica": isinstance(parts, Stack)},
            },
        )
        if resume:
            self.simulation.resume()

    @property
    def lost(self) -> tuple[int, ...]:
        """Which run files have a replica whose energy is not finite, or else one for which the time step is too long.

        Meant for a simulation that diverged; none where neither tells.
        """
        rows = ~torch.isfinite(self.simulation.phase.u)
        if not rows.any() and self.start is not None:
            frequency = largest_frequency(self.simulation.system, self.start)
            rows = torch.nan_to_num(self.simulation.integrator.strain(frequency)).flatten() > 1
        return tuple(rows.reshape(-1, self.replicas).any(1).nonzero().flatten().tolist())

    def _by_replica(self, values: Sequence[Any]) -> list[Any]:
        lists = (value if isinstance(value, list) else [value] * self.replicas for value in values)
        return [one for values in lists for one in values]

    def _start(self, system: ParticleSystem, data: Sequence[tuple[DataSet, Split | Stack]]) -> Tensor:
        """Return the starting positions (replicas, dof): each run file's own, then by Adam where that is wanted."""
        rows: dict[int, Tensor] = {}
        for runfile, (dataset, parts) in zip(self.runfiles, data, strict=True):
            if runfile.start.seed not in rows:
                own = building.particles(runfile, dataset, parts)
                refuse_unlike(system, own, runfile.start.seed)
                rows[runfile.start.seed] = own.positions(
                    seed=runfile.start.seed if runfile.start.init == "random" else None
                )
        q, section = torch.cat([rows[each.start.seed] for each in self.runfiles]), self.whole.start
        if not section.adam_steps:
            return q
        return minimise(system, q, section.adam_steps, section.adam_rate, progress=False)


def _key(runfile: RunFile) -> str:
    return runfile.data.model_dump_json()


def _together(data: Sequence[tuple[DataSet, Split | Stack]], each: int) -> tuple[DataSet, Split | Stack]:
    """The data of all: one split where it is the same for all, else a split for every replica."""
    first = data[0]
    if isinstance(first[1], Split) and all(other is first for other in data):
        return first
    train = [_for_replicas(part, parts, each) for _, parts in data for part in (parts.train,)]
    test = [_for_replicas(part, parts, each) for _, parts in data for part in (parts.test,)]
    for name, several in (("train", train), ("test", test)):
        if len({inputs.shape for inputs, _ in several}) > 1:
            raise ValueError(f"the runs have other numbers of rows to {name} on, so they cannot be one simulation")
    return first[0], Stack(_joined(train), _joined(test))


def _for_replicas(part: tuple[Tensor, Tensor], parts: Split | Stack, each: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets (replicas, rows, ...) of one run file."""
    if isinstance(parts, Stack):
        return part
    return part[0].expand(each, *part[0].shape), part[1].expand(each, *part[1].shape)


def _joined(several: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    return torch.cat([inputs for inputs, _ in several]), torch.cat([targets for _, targets in several])


def refuse_unlike(system: ParticleSystem, other: ParticleSystem, seed: int) -> None:
    """Raise ValueError where a seed gives a network another part that does not move."""
    moving = {name for name, parameter in system.network.named_parameters() if parameter.requires_grad}
    theirs = other.network.state_dict()
    for name, value in system.network.state_dict().items():
        if name not in moving and not torch.equal(value, theirs[name]):
            raise ValueError(f"start.seed = {seed} gives the frozen {name} other values, so it is a system of its own")
