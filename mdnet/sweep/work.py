"""What a worker does: one run in its folder, begun or gone on with, that can be stopped softly."""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import trajectories
from mdnet import checkpoint, config
from mdnet.config import RunFile
from mdnet.simulation import Simulation
from mdnet.sweep.records import State

_SLICE = 2.0  # seconds between two looks whether to stop, each with a checkpoint
_LONGEST = 60.0
_SHARE = 50.0  # a slice is at least so many times as long as what surrounds it
_one = threading.Lock()  # the default generator belongs to the process, so one run at a time
_stopped: set[str] = set()


@dataclass(frozen=True)
class Result:
    """How a try at a run ended: "pending" where it was stopped or is out of time, and goes on from its checkpoint."""

    state: State
    steps: int
    seconds: float
    error: str = ""
    energy: float | None = None
    temperature: float | None = None
    warnings: tuple[str, ...] = ()


def stop(sweep: str) -> None:
    """Let the runs of a sweep in this process end at their next look, and begin no more of them."""
    _stopped.add(sweep)


def work(sweep: str, name: str, tables: dict[str, Any], folder: str) -> Result:
    """Advance one run to its end, or to a stop, and return how it ended; an error of its own is a result too.

    `sweep`: the topic under which it tells (name, step, whether it begins). `tables`: the run file. `folder`: absolute.
    """
    with _one, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        began, path = time.monotonic(), Path(folder)
        state: State = "pending"
        steps, error, last = 0, "", {}
        try:
            if sweep not in _stopped:
                runfile = RunFile.model_validate(tables)
                steps = _advance(runfile, path, sweep, partial(_tell, sweep, name))
                state = "finished" if steps >= runfile.run.steps else "pending"
                last = _last(path)
        except Exception as wrong:  # whatever it is, it is this run's own, and the others go on
            state, error = "failed", f"{type(wrong).__name__}: {wrong}"
            steps = checkpointed(path)
        said = tuple(dict.fromkeys(str(each.message) for each in caught if issubclass(each.category, UserWarning)))
        return Result(state, steps, time.monotonic() - began, error, **last, warnings=said)


def checkpointed(folder: Path) -> int:
    """Return the step of the last checkpoint in a folder, 0 where there is none."""
    found = checkpoint.found(folder)
    return int(found[-1].stem.partition("-")[2]) if found else 0


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C, which a terminal sends to all processes, to the one that leads: called as a worker starts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _advance(runfile: RunFile, folder: Path, sweep: str, tell: Callable[[int, bool], None]) -> int:
    """Run in slices until the steps are done, the run's time is over or the sweep is stopped; return the step."""
    tell(checkpointed(folder), True)
    torch.set_num_threads(runfile.run.threads)
    resume = bool(checkpoint.found(folder))  # a file without a checkpoint was killed as it was begun
    simulation = config.build(runfile, folder, overwrite=not resume, resume=resume, progress=False)
    config.store(runfile, folder)
    if simulation.step >= runfile.run.steps:
        trajectories.recover(folder)  # killed after its last step, it may bear the mark of a writer
    end, length = time.monotonic() + (runfile.run.wall_clock or float("inf")), _SLICE
    while simulation.step < runfile.run.steps and sweep not in _stopped and time.monotonic() < end:
        length = _slice(simulation, runfile.run.steps, min(length, end - time.monotonic()))
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


def _last(folder: Path) -> dict[str, float]:
    """The energy and the temperature that were reported last, means over the replicas, where they were."""
    if not (folder / "trajectory.h5").exists():
        return {}
    with trajectories.open(folder) as run:
        series = {"energy": "potential_energy", "temperature": "temperature"}
        there = {short: run.observables[name] for short, name in series.items() if name in run.observables}
        return {short: float(np.mean(one.values[-1])) for short, one in there.items() if len(one.steps)}
