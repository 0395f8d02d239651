"""Reproduces a cell of the entropy landscape: its table, its baselines, an independent method, checks, and one page."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import trajectories
from mdnet.experiments import results
from mdnet.experiments.landscape import claims
from mdnet.experiments.landscape.baselines import Crossings, crossings
from mdnet.experiments.landscape.discrete import UNITS
from mdnet.experiments.landscape.method import METHODS, Plan
from mdnet.experiments.landscape.tasks.spirals import REGRESSION
from mdnet.experiments.landscape.telling import SPACING, Cell, studies, table
from mdnet.experiments.results import Check
from mdnet.experiments.stages import Stages, Tell
from mdnet.recording import refuse_existing
from mdnet.spelling import unknown
from mdnet.stability import DivergenceError
from trajectories.errors import TrajectoryError

SEEDS = 32  # of trained networks
SGD_RATE = 0.005  # at .02 half of the networks of the spiral regression diverge
LOOK = 5  # epochs between looks at the losses of trained networks
PUBLISHED = (30, 100)  # the cell whose numbers are known


def reproduce(
    plan: Plan,
    method: str,
    *,
    seeds: int = SEEDS,
    control: bool = True,
    tell: Tell = lambda stage, seconds: None,
) -> Cell:
    """Sample the landscape of a cell, train networks beside it, and write results.json and report.html in plan.folder.

    `method`: one of METHODS. `control`: whether the ladder is run beside another method, too. Raises ValueError for an
    unknown method and one that does not fit the task, OutputExistsError where a run is there and may not be replaced.
    """
    if method not in METHODS:
        raise ValueError(unknown("method", method, METHODS))
    stages, folder = Stages(tell), plan.folder
    places = {method: folder / method, "ladder": folder / "ladder"}
    if not (plan.overwrite or plan.resume):
        for place in places.values():
            refuse_existing(place)
    with stages(method):
        found = METHODS[method](replace(plan, folder=places[method]))
    over_loss = found.landscape.axes[0].name == plan.task.axes[0].name
    ladder, trained, failed = None, {}, []
    if over_loss and control and method != "ladder":
        with stages("ladder"):
            try:
                ladder = METHODS["ladder"](replace(plan, folder=places["ladder"]))
            except (ValueError, TrajectoryError, DivergenceError) as reason:  # the landscape is worth its page
                failed.append(claims.no_other(found.landscape, str(reason)))
    if over_loss:
        trained = _trained(plan, seeds, stages)
    cell = Cell(plan, found, trained, ladder)
    checks = claimed(cell) + failed
    runs = [each.run for each in (found, ladder) if each is not None and each.run is not None]
    with stages("page"):
        title = _title(plan, method)
        results.write(folder, title, table(cell), checks, notes(cell, method), studies(cell), runs, stages.seconds)
        trajectories.report.write([folder, *runs], folder)
    return cell


def notes(cell: Cell, method: str) -> list[str]:
    """What a reader must know to judge the table."""
    copies, task = cell.found.landscape.copies, cell.plan.task
    tables = f"{copies} independent tables, ± is their standard error" if copies > 1 else "one table, without an error"
    told = [
        f"S is that of the uniform measure, k_B = 1; {tables}. Equilibrium: the mean of y at x under e^S on its whole "
        "range; ridge: where S is highest.",
        _how(cell.plan, method),
    ]
    if cell.trained:
        told += [
            f"Trained networks: {', '.join(cell.trained)}, from Kaiming's weights, minibatches of "
            f"{task.baseline.batch} rows or all; their metric where ln L_train first falls to a level. In the box: "
            "begun uniform in the landscape's box and kept in it; the others, as in the paper, are free to leave it.",
            "The advantage is the trained networks' mean metric against the equilibrium's, so signed that above zero "
            "the equilibrium is better; it is told as it is found, whatever its sign.",
        ]
    return told


def _how(plan: Plan, method: str) -> str:
    """How the landscape was found."""
    if method == "exact":
        return (
            f"exact: all states of a network of signs 2-{UNITS}-1, with weights +1 and -1, were counted on the task's "
            "points; it is not the task's own network, whose states cannot be counted."
        )
    walk = plan.walk
    moves = "one weight at a time" if method == "wlmc" else f"a visit every {walk.every}; dt = {walk.dt} at high x"
    return (
        f"{method}: {walk.walkers} walkers, {walk.learn} steps of learning and {walk.count} of counting, {moves}"
        f"{' (the ladder: as many gradients in all)' * (method == 'ladder')}. "
        + (f"The published run: {plan.task.needs}." if plan.task.needs else "A first look, at a smaller task.")
    )


def _title(plan: Plan, method: str) -> str:
    network = "a network of signs" if method == "exact" else f"W = {plan.width}"
    return f"Entropy landscape: {plan.task.title}; {network}, N = {plan.points}, {method}"


def _trained(plan: Plan, seeds: int, stages: Stages) -> dict[str, Crossings]:
    """Networks trained by Adam and by SGD, seen at levels of ln L_train inside the window."""
    low, high = plan.task.low, plan.task.high
    places = np.arange(np.ceil(low / SPACING), np.floor(high / SPACING) + 1) * SPACING
    rows = len(plan.split.inputs)
    adam = plan.task.baseline._replace(batch=min(plan.task.baseline.batch, rows))
    ways = {
        "Adam": (adam, False),
        "Adam in the box": (adam, True),
        "SGD": (adam._replace(method="sgd", rate=SGD_RATE), False),
    }
    found = {}
    for name, (baseline, boxed) in ways.items():
        with stages(name):
            found[name] = crossings(
                plan.task, plan.width, plan.points, places.tolist(), seeds=seeds, data_seed=plan.seed,
                baseline=baseline, boxed=boxed, every=LOOK, device=plan.device, progress=plan.progress,
            )  # fmt: skip
    return found


def claimed(cell: Cell) -> list[Check]:
    """Return what can be claimed of a cell: convergence, agreement of two methods, and the paper's numbers."""
    plan, found = cell.plan, cell.found.landscape
    checks = claims.converged(cell.found.rows)
    if cell.ladder is not None:
        checks.append(claims.agreement(found, cell.ladder.landscape, low=plan.task.low, high=plan.task.high))
    if plan.task is REGRESSION and (plan.width, plan.points) == PUBLISHED and cell.trained:
        checks += claims.published(found, cell.trained["Adam"])
    return checks
