"""What a worker does: one simulation in its folder, begun or gone on with, that can be stopped softly."""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

import trajectories
from mdnet import checkpoint, config
from mdnet.config import RunFile
from mdnet.simulation import Simulation
from mdnet.stability import DivergenceError
from mdnet.sweep.packed import Packed
from mdnet.sweep.records import State

_SLICE = 2.0  # seconds between two looks whether to stop, each with a checkpoint
_LONGEST = 60.0
_SHARE = 50.0  # a slice is at least so many times as long as what surrounds it
_one = threading.Lock()  # the default generator belongs to the process, so one run at a time
_stopped: set[str] = set()


@dataclass(frozen=True)
class Result:
    """How a try at a folder ended: "pending" where it was stopped or is out of time, and goes on from its checkpoint.

    `last`: what each of its runs reported last, {"energy", "temperature"}, means over its replicas. `apart`: where
    several runs failed together and may not alone, the places of those to blame, none where all may be; else None.
    """

    state: State
    steps: int
    seconds: float
    error: str = ""
    last: tuple[dict[str, float], ...] = ()
    apart: tuple[int, ...] | None = None
    warnings: tuple[str, ...] = ()


def stop(sweep: str) -> None:
    """Let the runs of a sweep in this process end at their next look, and begin no more of them."""
    _stopped.add(sweep)


def work(
    sweep: str, name: str, members: Sequence[dict[str, Any]], folder: str, told: dict[str, list[Any]] | None = None
) -> Result:
    """Advance a folder's run to its end, or to a stop, and return how it ended; an error of its own is a result too.

    `sweep`: the topic under which it tells (name, step, whether it begins). `members`: the run file, or several that go
    together as the replicas of one simulation. `folder`: absolute. `told`: see Packed.
    """
    with _one, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        began, path = time.monotonic(), Path(folder)
        state: State = "pending"
        steps, error, apart = 0, "", None
        last: tuple[dict[str, float], ...] = ()
        simulations = _Simulations(path, told or {})
        try:
            if sweep not in _stopped:
                runfiles = [RunFile.model_validate(tables) for tables in members]
                steps = _advance(runfiles, simulations, path, sweep, partial(_tell, sweep, name))
                state = "finished" if steps >= runfiles[0].run.steps else "pending"
                last = _last(path, len(members))
        except Exception as wrong:  # whatever it is, it is this run's own, and the others go on
            state, error = "failed", f"{type(wrong).__name__}: {wrong}"
            steps = checkpointed(path)
            apart = simulations.to_blame(wrong)
        said = tuple(dict.fromkeys(str(each.message) for each in caught if issubclass(each.category, UserWarning)))
        return Result(state, steps, time.monotonic() - began, error, last, apart, said)


def checkpointed(folder: Path) -> int:
    """Return the step of the last checkpoint in a folder, 0 where there is none."""
    found = checkpoint.found(folder)
    return int(found[-1].stem.partition("-")[2]) if found else 0


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C, which a terminal sends to all processes, to the one that leads: called as a worker starts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Simulations:
    """Makes the simulation of a folder from its run files, and knows afterwards which of several diverged."""

    def __init__(self, folder: Path, told: dict[str, list[Any]]) -> None:
        self.folder, self.told = folder, told
        self.joins = False  # several are to be begun together
        self.packed: Packed | None = None

    def make(self, runfiles: Sequence[RunFile]) -> Simulation:
        """Return it, gone on with where there is a checkpoint; a file without one was killed as it was begun."""
        resume = bool(checkpoint.found(self.folder))
        if len(runfiles) == 1:
            made = config.build(runfiles[0], self.folder, overwrite=not resume, resume=resume, progress=False)
            config.store(runfiles[0], self.folder)
            return made
        self.joins = not resume
        self.packed = Packed(runfiles, self.folder, self.told, resume=resume)
        return self.packed.simulation

    def to_blame(self, error: Exception) -> tuple[int, ...] | None:
        """Return what Result calls `apart`: it can help where one of several diverged, or where they do not fit."""
        if self.packed is not None:
            return self.packed.lost if isinstance(error, DivergenceError) else None
        return () if self.joins and isinstance(error, ValueError | RuntimeError) else None


def _advance(
    runfiles: Sequence[RunFile],
    simulations: _Simulations,
    folder: Path,
    sweep: str,
    tell: Callable[[int, bool], None],
) -> int:
    """Run in slices until the steps are done, the run's time is over or the sweep is stopped; return the step."""
    tell(checkpointed(folder), True)
    run = runfiles[0].run
    torch.set_num_threads(run.threads)
    simulation = simulations.make(runfiles)
    if simulation.step >= run.steps:
        trajectories.recover(folder)  # killed after its last step, it may bear the mark of a writer
    end, length = time.monotonic() + (run.wall_clock or float("inf")), _SLICE
    while simulation.step < run.steps and sweep not in _stopped and time.monotonic() < end:
        length = _slice(simulation, run.steps, min(length, end - time.monotonic()))
        tell(simulation.step, False)
    return simulation.step


def _slice(simulation: Simulation, steps: int, length: float) -> float:
    """Run for a while; return how long the next slice should be, for its checkpoint to cost little."""
    began = time.monotonic()
    simulation.run(steps - simulation.step, wall_clock=length, progress=False)
    return min(max(_SLICE, _SHARE * (time.monotonic() - began - length)), _LONGEST)


def _tell(sweep: str, name: str, step: int, began: bool) -> None:
    from distributed import get_worker

    get_worker().log_event(sweep, [name, step, began])


def _last(folder: Path, members: int) -> tuple[dict[str, float], ...]:
    """The energy and the temperature that each run reported last, means over its replicas, where they were."""
    found: tuple[dict[str, float], ...] = tuple({} for _ in range(members))
    if not (folder / "trajectory.h5").exists():
        return found
    with trajectories.open(folder) as run:
        for short, name in (("energy", "potential_energy"), ("temperature", "temperature")):
            if name in run.observables and len(run.observables[name].steps):
                means = run.observables[name].values[-1].reshape(members, -1).mean(1)
                for one, value in zip(found, means, strict=True):
                    one[short] = float(value)
    return found
