"""What writing costs: a frame every 100 steps beside the run, and megabytes per second beside bare h5py."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

import mdnet as md
from integrators import Integrator, Phase
from mdnet.bench.cases import CASES, PAIRS
from mdnet.bench.table import Table, Value
from mdnet.bench.work import elapsed
from mdnet.reporters import Reporter
from mdnet.system import ParticleSystem
from mdnet.timing import ratio
from trajectories import Writer
from trajectories.storage.options import Storage

Frames = Sequence[NDArray[Any]]
_POSITIONS = "particles/trajectory/position/value"
BARE = "bare h5py"
STORAGES: dict[str, dict[str, Any]] = {
    "none": {},
    "lzf": {"compression": "lzf"},
    "gzip": {"compression": "gzip"},
    "zstd": {"compression": "zstd"},
    "blosc-zstd": {"compression": "blosc-zstd"},
    "10 bits, none": {"bits": 10},
    "10 bits, blosc-zstd": {"compression": "blosc-zstd", "bits": 10},
}  # settings of Storage, made where it is timed: some want a library that need not be there


class Clock:
    """A reporter that reports nothing but looks at the clock: seconds that pass, and those the process computes."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.seen: list[tuple[float, float]] = []

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """Nothing has to be known."""

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Look."""
        self.seen.append((time.perf_counter(), time.process_time()))
        return {}

    def spent(self) -> tuple[float, float]:
        """The two kinds of seconds between the first look and the last, which are forgotten."""
        first, last = self.seen[0], self.seen[-1]
        self.seen.clear()
        return last[0] - first[0], last[1] - first[1]


def frames_table(system: ParticleSystem, title: str, steps: int, rounds: int) -> Table:
    """Time what a frame every 100 steps costs, as a share of the run without output, the two taken in turn.

    Opening the file and the checkpoint at the end of each turn are not counted.
    """
    with tempfile.TemporaryDirectory() as folder:
        pair = [_simulation(system, None), _simulation(system, Path(folder) / "run")]
        turns = []
        for _ in range(rounds + 1):  # the first turn compiles
            for run, _ in pair:
                run.run(steps + 100, progress=False)
            turns.append([clock.spent() for _, clock in pair])
    size = system.replicas * system.dof * system.masses.element_size() / 1e6
    rows: list[dict[str, Value]] = []
    for kind, label in enumerate(("wall clock", "processor, both threads")):
        bare = [without[kind] for without, _ in turns[1:]]
        written = [with_it[kind] for _, with_it in turns[1:]]
        rows.append({"clock": label, "without": min(bare), "with": min(written), "ratio": ratio(written, bare)})
    title = f"{title}; {system.replicas} replicas, {steps} steps, a frame of {size:.1f} MB every 100; least of {rounds}"
    columns = {"clock": "", "without": "without (s)", "with": "with frames (s)", "ratio": "with / without, median"}
    return Table("frames", title, columns, rows)


def throughput_table(replicas: int, dof: int, count: int, rounds: int) -> Table:
    """Time MB/s of float32 frames through Writer until they are flushed, beside bare h5py with the same arrays."""
    rng = np.random.default_rng(0)
    frames = [rng.standard_normal((replicas, dof), dtype=np.float32) for _ in range(count)]
    place = Path("/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir())
    best: dict[str, float] = {}
    sizes: dict[str, float] = {}
    for _ in range(rounds):
        for name in (BARE, *STORAGES):
            with tempfile.TemporaryDirectory(dir=place) as folder:
                path = Path(folder) / "trajectory.h5"
                seconds = (
                    _bare(path, frames) if name == BARE else _through_writer(path, frames, Storage(**STORAGES[name]))
                )
                sizes[name] = _stored(path)
            best[name] = min(seconds, best.get(name, seconds))
    total = sum(frame.nbytes for frame in frames) / 1e6
    rows: list[dict[str, Value]] = [
        {
            "through": name, "rate": total / seconds, "of_bare": best[BARE] / seconds,
            "smaller": total / sizes[name],
        }
        for name, seconds in best.items()
    ]  # fmt: skip
    title = f"{count} frames of {replicas} replicas x {dof} float32, {total:.0f} MB, in {place}; the least of {rounds}"
    columns = {"through": "through", "rate": "MB/s", "of_bare": "of bare h5py", "smaller": "times smaller"}
    return Table("throughput", title, columns, rows)


def _simulation(system: ParticleSystem, output: Path | None) -> tuple[md.Simulation, Clock]:
    integrator = PAIRS["nhc"].integrator(system, CASES["b"].dt)
    clock = Clock(100)
    reporters: list[Reporter] = [clock] if output is None else [md.Frames(100), clock]
    return md.Simulation(system, integrator, output=output, reporters=reporters), clock


def _bare(path: Path, frames: Frames) -> float:
    """Seconds to append and flush every frame with h5py alone, in chunks of one frame."""
    row = (frames[0].size, 1)
    with h5py.File(path, "w", libver="latest") as h5:
        value = h5.create_dataset(
            _POSITIONS, shape=(0, *row), maxshape=(None, *row), chunks=(1, *row), dtype="f4", fill_time="never"
        )

        def append() -> None:
            for number, frame in enumerate(frames):
                value.resize(number + 1, axis=0)
                value[number] = frame.reshape(row)
                h5.flush()

        return elapsed(append)


def _through_writer(path: Path, frames: Frames, storage: Storage) -> float:
    replicas, dof = frames[0].shape
    table, masses = [("w", (dof,), 0)], np.ones(dof, dtype=np.float32)
    with Writer.create(path, table=table, replicas=replicas, masses=masses, parameters={}, storage=storage) as writer:

        def append() -> None:
            for number, frame in enumerate(frames):
                writer.frame(number, float(number), frame)
            writer.flush()

        return elapsed(append)


def _stored(path: Path) -> float:
    """Megabytes that the positions take in the file."""
    with h5py.File(path) as h5:
        return float(h5[_POSITIONS].id.get_storage_size() / 1e6)
