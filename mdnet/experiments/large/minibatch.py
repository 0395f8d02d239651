"""Simmering by minibatch forces: images and translation, with controls that have the same epochs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import mdnet as md
import trajectories
from integrators import BAOAB, Splitting
from mdnet.experiments import results
from mdnet.experiments.large import descent, telling
from mdnet.experiments.large.problems import LargeTask, prepare
from mdnet.experiments.large.tally import Collect, Tally
from mdnet.experiments.large.telling import (
    ADAM,
    CHOOSING_DROPOUT,
    CHOOSING_T,
    DROPOUT,
    MEAN,
    OVERFIT,
    PASSES,
    SIMMERING,
    TRIAL,
    Tried,
)
from mdnet.experiments.reproduction import Reproduction
from mdnet.experiments.results import Comparison
from mdnet.experiments.simmering import Mode
from mdnet.experiments.stages import Stages, Tell
from mdnet.recording import refuse_existing
from mdnet.simulation import finish
from thermostats import AdaptiveLangevin


def reproduce(
    name: str,
    out: Path,
    *,
    seeds: int = 2,
    seed: int = 0,
    mode: Mode = "retrofit",
    epochs: float | None = None,
    rows: int | None = None,
    device: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
    tell: Tell = lambda stage, seconds: None,
) -> Reproduction:
    """Run a large problem with its controls; write the trajectory, results.json and report.html below `out`/`name`.

    `epochs`, `rows`: other numbers than the problem's own. `device`: by default the GPU where there is one. `tell` is
    called with name and seconds of every stage. Raises ValueError for an unknown problem and for less than one epoch,
    FileNotFoundError without its data, OutputExistsError where a run is there and overwrite is False.
    """
    task = prepare(name, seeds=seeds, seed=seed, device=device, rows=rows, epochs=epochs)
    folder, early = out / name, telling.early_name(task)
    run = folder / "simmering"
    if not overwrite:
        refuse_existing(run)
    stages, said = Stages(tell), dict[str, Tally]()
    with stages(CHOOSING_T):
        heat = choose_temperature(task, mode)
    with stages(CHOOSING_DROPOUT):
        noise = choose_dropout(task)
    with stages(ADAM):
        said[ADAM], said[OVERFIT], start = adam(task, progress)
    with stages(DROPOUT):
        said[MEAN], said[PASSES] = descent.dropout(task, noise.best, task.problem.epochs)
    with stages(early):
        said[early] = descent.stopped_early(task, progress=progress)
    with stages(SIMMERING):
        start = start if mode == "retrofit" else task.particles().positions(seed=task.seed)
        said[SIMMERING] = simmer(task, heat.best, start, mode, run, overwrite=overwrite, progress=progress)
    comparison = Comparison(np.tile(task.truth.cpu().numpy(), (seeds, 1)), "accuracy")
    comparison.scores |= {method: tally.scores() for method, tally in said.items()}
    studies = [
        telling.spending(task, stages.seconds),
        telling.choices(heat, noise),
        telling.members(said[SIMMERING], said[ADAM]),
    ]
    checks = telling.claims(task, comparison, run, sampling_from(task, mode))
    notes, title = telling.notes(task, mode, heat, noise), telling.title(task, mode)
    results.write(folder, title, comparison, checks, notes, studies, [run], stages.seconds)
    trajectories.report.write([folder, run], folder)
    return Reproduction(folder, [run], comparison, checks, studies)


def choose_temperature(task: LargeTask, mode: Mode) -> Tried:
    """Try the temperatures by short runs, all in one batch, on a part of the training rows; the others judge."""
    problem, values = task.problem, task.problem.temperatures
    short = replace(problem, epochs=TRIAL * problem.epochs, members=10)
    one = replace(task.held_out(), seeds=1, problem=short)
    if mode == "retrofit":
        descending = replace(one, problem=replace(short, shares=(1.0, 0.0, 0.0)))
        start = descent.descend(descending, one.particles(), short.shares[0] * short.epochs, progress=False)
    else:
        start = one.particles().positions(seed=task.seed)
    temperature = torch.tensor(values, dtype=torch.float64, device=task.device)[:, None]
    several = replace(one, seeds=len(values))
    tally = simmer(several, temperature, start.repeat(len(values), 1), mode, None, progress=False)
    return Tried(values, tuple(tally.nll().tolist()))


def choose_dropout(task: LargeTask) -> Tried:
    """Try the probabilities of dropout on the same rows for as many epochs."""
    one, values = replace(task.held_out(), seeds=1), task.problem.dropouts
    losses = [descent.dropout(one, value, TRIAL * task.problem.epochs)[0].nll().item() for value in values]
    return Tried(values, tuple(losses))


def adam(task: LargeTask, progress: bool) -> tuple[Tally, Tally, Tensor]:
    """Return what Adam predicts after all epochs, what it does where the retrofit starts, and the weights there."""
    system, turn = task.particles(), descent.plateau(task, task.steps(task.problem.epochs))
    seen = {}

    def watch(step: int, q: Tensor) -> None:
        if step == turn:
            seen[step] = q.clone()

    final = descent.descend(task, system, task.problem.epochs, watch=watch, progress=progress)
    done, before = Tally(task.truth), Tally(task.truth)
    for tally, q in ((done, final), (before, seen[turn])):
        tally.add(task.at_points(system.output(q, task.test[0])))
    return done, before, seen[turn]


def simmer(
    task: LargeTask,
    temperature: float | Tensor,
    start: Tensor,
    mode: Mode,
    folder: Path | None,
    *,
    overwrite: bool = False,
    progress: bool = True,
) -> Tally:
    """Raise T from the start (replicas, dof) to the target, sample there, and return the tally of the samples.

    BAOAB moves the weights by minibatch forces, and AdaptiveLangevin takes back the heat of their noise, one friction a
    tensor. U = mean loss + T |theta|^2/(2 s^2), s^2 = 1/fan_in. Ab initio the target holds from random weights on, and
    as many steps as a retrofit spends on Adam and heating pass before the first sample.
    """
    problem, after = task.problem, sampling_from(task, mode)
    steps, heating = lasting(task, mode), stages_of(task)
    system = task.particles(restraint=temperature)
    bath = AdaptiveLangevin(temperature, problem.friction, problem.tau, group="layer", sizes=system.sizes)
    stair = md.Staircase(temperature / problem.stages, temperature, stages=problem.stages - 1, every=heating)
    every = max(1, (steps - after) // problem.members)
    collect = Collect(task, every=every, after=after, most=(steps - after) // every + 1)
    epoch = task.steps(1)
    simulation = md.Simulation(
        system, Splitting(BAOAB, system.minibatch(problem.batch), problem.dt, bath), positions=start, seed=task.seed,
        schedule={"temperature": stair if mode == "retrofit" else md.Constant(temperature)},
        output=folder, overwrite=overwrite,
        reporters=[md.Scalars(every=epoch), md.Frames(every=2 * epoch), collect],
        parameters={
            "problem": {"name": task.name, "mode": mode, "epochs": problem.epochs, "rows": len(task.train[0])},
            "sampling_from_step": after,
            "test": {"targets": task.truth[: collect.kept].cpu().numpy()},
        },
    )  # fmt: skip
    finish(simulation, steps, progress=progress)
    return collect.tally


def lasting(task: LargeTask, mode: Mode) -> int:
    """Return the steps of a simmering run: all epochs, or in a retrofit what Adam left of them."""
    total = task.steps(task.problem.epochs)
    return total - (descent.plateau(task, total) if mode == "retrofit" else 0)


def sampling_from(task: LargeTask, mode: Mode) -> int:
    """Return the step after which samples count."""
    return lasting(task, mode) - task.steps(task.problem.shares[2] * task.problem.epochs)


def stages_of(task: LargeTask) -> int:
    """Return the steps of one stage of the heating."""
    return max(1, sampling_from(task, "retrofit") // task.problem.stages)
