"""Runs whose temperatures move: steered by held-out rows, or exchanged between the rungs of a ladder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

import mdnet as md
import trajectories
from integrators import VERLET, Splitting, outer
from mdnet.experiments import simmering
from mdnet.experiments.problems import Task
from mdnet.experiments.results import Array
from mdnet.experiments.selection import TEMPERATURES
from mdnet.experiments.studies.finished import Finished
from mdnet.experiments.studies.window import EVERY
from mdnet.simulation import finish
from mdnet.steering import SteerTemperature
from mdnet.tempering import ReplicaExchange

ATTEMPTS = 20  # steps between two attempts of exchange; a divisor of EVERY


@dataclass(frozen=True, eq=False)
class Steered:
    """A steered run on a part of the rows: T after the move of each of `steps` (moves, seeds), and what it predicts."""

    first: float
    steps: Array
    temperatures: Array
    predictions: Array


def steer(finished: Finished, part: Task, overfit: Tensor, first: float) -> Steered:
    """Steer T by the held-out rows for as many steps as a run samples, then hold it for as long as one heats."""
    problem = part.problem
    action = SteerTemperature(
        *part.data.test,
        first,
        lowest=min(TEMPERATURES),
        highest=max(TEMPERATURES),
        learn=problem.sample_steps,
        per_replica=True,
    )
    folder = finished.folder / "dynamic" / f"steered-from-{first:g}"
    _run(finished, part, action, folder, start=overfit, restraint=first, test=finished.task.data.test[0])
    said = simmering.samples(folder, after=problem.sample_steps)
    with trajectories.open(folder) as run:
        moves = run.observables["steering/temperature"]
        return Steered(first, np.asarray(moves.steps), np.asarray(moves.values), said)


def climb(finished: Finished, task: Task, overfit: Tensor, ladder: Tensor, name: str) -> tuple[Array, float]:
    """Return what each rung says of the task's test rows (rungs, members, seeds, rows, outputs), and the acceptance."""
    folder, first, rungs = finished.folder / "dynamic" / name, task.problem.heating, len(ladder)
    action = ReplicaExchange(ladder, every=ATTEMPTS, tempered="loss")
    start = overfit.repeat_interleave(rungs, 0)
    _run(finished, task, action, folder, start=start, restraint=float(ladder[0]), test=task.data.test[0])
    said = simmering.samples(folder, after=first)
    with trajectories.open(folder) as run:
        rung, tried = (run.observables[f"tempering/{x}"] for x in ("rung", "accepted"))
        steps = np.asarray(rung.steps)
        at = np.asarray(rung.values)[(steps > first) & (steps % EVERY == 0)].reshape(len(said), task.seeds, rungs)
        outcome = np.asarray(tried.values)
    by_seed = said.reshape(*at.shape, *said.shape[2:])
    ordered = np.take_along_axis(by_seed, at.argsort(-1)[..., None, None], 2)  # the replica on each rung
    return np.moveaxis(ordered, 2, 0), float(outcome[outcome >= 0].mean())


def _run(
    finished: Finished, task: Task, action: SteerTemperature | ReplicaExchange, folder: Path, *,
    start: Tensor, restraint: float, test: Tensor,
) -> None:  # fmt: skip
    """Run a task for as long as simmering does, its temperatures set by an action, and predict the `test` rows."""
    problem, copies = task.problem, len(start) // task.seeds
    system = task.particles(restraint, copies=copies)
    bath = simmering.chain(action.temperatures(len(start)))
    simulation = md.Simulation(
        system, Splitting(outer(VERLET), system.force, problem.dt, bath), positions=start, actions=[action],
        seed=task.seed, output=folder, overwrite=finished.overwrite,
        parameters={"problem": vars(problem) | {"name": task.name, "copies": copies}},
        reporters=[
            md.Scalars(every=20),
            md.Frames(every=500),
            md.Predictions(test.repeat_interleave(copies, 0), every=EVERY, per_replica=True),
        ],
    )  # fmt: skip
    finish(simulation, problem.heating + problem.sample_steps, progress=finished.progress)
