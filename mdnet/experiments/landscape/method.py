"""The methods of the entropy landscape: molecular dynamics, Monte Carlo, windows, ladder and enumeration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import trajectories
from integrators import OBABO, Integrator, Splitting
from mdnet.actions import Action
from mdnet.adaptation import AdaptStep
from mdnet.experiments.landscape.discrete import accuracies, signs
from mdnet.experiments.landscape.task import Split, Task, Walk
from mdnet.landscape import BiasedForce, Line, OneOverT, Recorded, StepsByPlace, Table, WangLandau
from mdnet.landscape.coordinates import Coordinates
from mdnet.landscape.enumeration import enumerate_density, exact
from mdnet.landscape.ladder import exponents, ladder, pilot
from mdnet.landscape.monte_carlo import MonteCarlo, walk_inside
from mdnet.landscape.moves import OneParameter
from mdnet.landscape.starting import bring_inside
from mdnet.reporters import Scalars
from mdnet.simulation import Simulation, finish
from mdnet.system import ParticleSystem
from thermostats import Langevin
from trajectories.landscape import Landscape, Row, of_run, verdict
from trajectories.landscape import ladder as offline

SIGMA = 5.0  # bins: the standard deviation of a kernel
RISE, DROP = 0.05, 0.2  # of the steps of learning: the weight rises until then, and falls as 1/t from then on
WINDOWS, EXCHANGE = 4, 20  # of replica exchange: windows, and visits between attempts
SPACING = 1.2  # of rungs, in widths of a mode
SETTLE = 8  # one part in so many of production is not counted
PILOT, _SHORTEST = 2_000, 100  # steps of a pilot, and of that of a short walk
SAMPLES = 500  # times that energies and places are written in a run


@dataclass(frozen=True, eq=False)
class Plan:
    """One cell of a task, and how it is walked.

    `copies`: independent tables (or ladders), whose scatter is the error. `flat`: whether walkers are spread evenly
    over y as well, as in the paper, or over x alone with y counted, which takes far fewer steps. `folder`: of the run,
    with which `resume` goes on, where it has begun; a ladder is begun anew.
    """

    task: Task
    width: int
    points: int
    walk: Walk
    folder: Path
    copies: int = 4
    flat: bool = False
    seed: int = 1
    device: str = "cpu"
    overwrite: bool = False
    resume: bool = False
    progress: bool = True

    @property
    def split(self) -> Split:
        """The training and test rows."""
        return self.task.data(self.points, self.seed)

    def system(self, replicas: int) -> ParticleSystem:
        """Return so many networks of the cell."""
        return self.task.system(self.width, self.points, replicas, seed=self.seed, device=self.device)


@dataclass(frozen=True, eq=False)
class Found:
    """What a method found: S(x, y), whether the run has converged (no rows where that cannot be asked), and its run.

    `samples`: of a ladder, x and what is recorded by rung.
    """

    landscape: Landscape
    rows: Sequence[Row] = ()
    run: Path | None = None
    samples: offline.Ladder | None = None


def molecular_dynamics(plan: Plan, windows: int = 1) -> Found:
    """WLMD: walkers in the force T dS/dx dx/dq of a table that fills where they are, then counted with it frozen."""
    walk, system = plan.walk, plan.system(plan.walk.walkers)
    (x, y), axes = plan.task.variables(system, plan.points, seed=plan.seed), plan.task.axes
    seen = 2 if plan.flat else 1
    table = Table(axes[:seen], walk.walkers, windows=windows, copies=plan.copies, sigma=SIGMA, device=plan.device)
    force = BiasedForce(system, [x, y][:seen], table)
    action = WangLandau(
        _weights(walk), walk.learn, every=walk.every, settle=walk.count // SETTLE, steps=StepsByPlace(walk.power),
        record=[Recorded(axes[1], y)][: 2 - seen], exchange=EXCHANGE if windows > 1 else 0,
    )  # fmt: skip
    engine = Splitting(OBABO, force, torch.full((walk.walkers, 1), walk.dt), Langevin(1.0, walk.friction))
    return _run(plan, system, engine, action, bring_inside(force, system.positions(plan.seed)))


def windows(plan: Plan) -> Found:
    """REWL: the same in overlapping windows of x, whose walkers exchange."""
    return molecular_dynamics(plan, WINDOWS)


def monte_carlo(plan: Plan) -> Found:
    """WLMC: one random weight of each walker at a time, over the accuracies of a classification as in the paper.

    For other tasks over ln L_train, y being counted. The width of a move is adapted during the first tenth of learning.
    """
    walk, system = plan.walk, plan.system(plan.walk.walkers)
    if classifies := _classifies(plan.task):
        variables, axes = accuracies(system, plan.split)
    else:
        variables, axes = plan.task.variables(system, plan.points, seed=plan.seed), plan.task.axes
    seen = 2 if classifies else 1
    table = Table(axes[:seen], walk.walkers, copies=plan.copies, sigma=0 if classifies else SIGMA, device=plan.device)
    force = BiasedForce(system, variables[:seen], table)
    record = [Recorded(axis, variable) for axis, variable in zip(axes[seen:], variables[seen:], strict=True)]
    action = WangLandau(_weights(walk), walk.learn, settle=walk.count // SETTLE, record=record)
    move = OneParameter(torch.full((walk.walkers, 1), 0.5))
    start = system.positions(plan.seed)
    start = walk_inside(force, start, move, seed=plan.seed) if classifies else bring_inside(force, start)
    adapted = AdaptStep(max(4, walk.learn // 10), every=1, acceptance=0.5)
    return _run(plan, system, MonteCarlo(force, move), action, start, adapted)


def rungs(plan: Plan) -> Found:
    """The independent route: p ~ L_train^-n for a ladder of n whose modes go through the window, and MBAR."""
    walk, axes = plan.walk, plan.task.axes
    probe = plan.system(16)
    x, _ = plan.task.variables(probe, plan.points, seed=plan.seed)
    slow = walk.dt * exp(0.5 * walk.power * (plan.task.low - plan.task.high))
    steps = min(PILOT, max(_SHORTEST, walk.learn // SETTLE))
    known = pilot(probe, x, axes[0], steps=steps, dt=slow, friction=walk.friction, every=walk.every, seed=plan.seed)
    n = exponents(known.x, known.slope, axes[0], spacing=SPACING)
    system = plan.system(len(n) * plan.copies)
    x, y = plan.task.variables(system, plan.points, seed=plan.seed)
    share = walk.walkers / system.replicas  # the same number of gradients as the walkers of a table
    samples = ladder(
        system, x, Line(n), axes[0], steps=int(share * walk.count), equilibration=int(share * walk.learn), dt=slow,
        friction=walk.friction, record=[y], every=walk.every, sample=4 * walk.every, seed=plan.seed,
        output=plan.folder, overwrite=plan.overwrite or plan.resume, progress=plan.progress,
    )  # fmt: skip
    return Found(offline.density(samples, *axes), run=plan.folder, samples=samples)


def enumeration(plan: Plan) -> Found:
    """Count all states of a network of signs 2-h-1 with weights +1 and -1, its accuracies on the task's points.

    Raises ValueError for a task that is no classification of points in a plane.
    """
    split = plan.split
    if not _classifies(plan.task):
        raise ValueError(
            f"task {plan.task.name!r} has no network whose states can be counted; take --task spiral-classification, "
            "or the method 'ladder'"
        )
    system, variables, axes = signs(split, 1)
    return Found(exact(axes, enumerate_density(system, variables, axes)))


METHODS: dict[str, Callable[[Plan], Found]] = {
    "wlmd": molecular_dynamics,
    "wlmc": monte_carlo,
    "ladder": rungs,
    "rewl": windows,
    "exact": enumeration,
}


def _weights(walk: Walk) -> OneOverT:
    return OneOverT(walk.peak, max(1, int(RISE * walk.learn)), max(1, int(DROP * walk.learn)))


def _classifies(task: Task) -> bool:
    """Whether a task's points in a plane have classes, so that accuracies are variables of a few values."""
    return task.loss is cross_entropy and task.name.startswith("spiral")


def _run(
    plan: Plan, system: ParticleSystem, engine: Integrator, action: WangLandau, start: Tensor, *more: Action
) -> Found:
    """Learn and count, the last table being that of the last step, and read what the file holds."""
    steps = plan.walk.learn + plan.walk.count
    steps += -steps % action.write
    cadence = max(1, steps // SAMPLES)
    simulation = Simulation(
        system, engine, positions=start, seed=plan.seed, actions=[action, *more], output=plan.folder,
        reporters=[Scalars(cadence), Coordinates(cadence)], overwrite=plan.overwrite or plan.resume,
    )  # fmt: skip
    finish(simulation, steps, progress=plan.progress, resume=plan.resume)
    with trajectories.open(plan.folder) as run:
        return Found(of_run(run), verdict(run), plan.folder)
