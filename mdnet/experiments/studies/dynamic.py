"""Dynamic temperature: T fixed beforehand, chosen on a grid, steered as the run goes, or exchanged in a ladder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mdnet.experiments import simmering
from mdnet.experiments.problems import HELD_OUT, Task
from mdnet.experiments.results import Array, Check, Comparison, Plot, Study, mean_of
from mdnet.experiments.selection import TEMPERATURES, joint_loss
from mdnet.experiments.studies.finished import Finished
from mdnet.experiments.studies.tempered import ATTEMPTS, Steered, climb, steer
from mdnet.experiments.studies.window import ADAM, restrained, scan
from mdnet.figures import Line, curves
from mdnet.tempering import geometric

FIRST = (0.03, 0.003, 0.001)  # where T is steered from; the table has the first
RUNGS, SPAN = 9, 4.0  # of a ladder from T/SPAN to T SPAN, T being the problem's
STEERED, EXCHANGED = "T steered, then all rows", "replica exchange, rung chosen"


@dataclass(frozen=True, eq=False)
class Method:
    """What a method says of the test rows (members, seeds, rows, outputs), its T (seeds,), and gradients a seed."""

    predictions: Array
    temperatures: Array
    gradients: int


def dynamic(finished: Finished) -> Study:
    """Compare the ways to a temperature, all restrained with prior at T, and draw how the steered T moves."""
    task = finished.task
    part = task.held_out
    overfit = simmering.overfit(part, progress=False)
    runs = [steer(finished, part, overfit, first) for first in FIRST]
    exchanged, acceptance = exchange(finished, part, overfit)
    methods = {**set_beforehand(finished), **steered(finished, runs[0]), **exchanged}
    scored = Comparison(task.truth, task.problem.metric)
    for name, method in methods.items():
        scored.add(name, method.predictions)
    columns = ["method", scored.columns[1], *(["NLL"] if task.classes else []), "T, and its range over seeds"]
    return Study(
        name="dynamic",
        title="Dynamic temperature",
        columns=[*columns, "gradients a seed"],
        rows=[_row(name, method, scored) for name, method in methods.items()],
        caption=_told(task, runs, acceptance),
        checks=[_beats_adam(finished, scored)],
        plots=[_drawn(finished, runs)],
        numbers={
            "temperatures": {name: method.temperatures.tolist() for name, method in methods.items()},
            "scores": {name: one.entry() for name, one in scored.scores.items()},
            "steered_from": {f"{run.first:g}": run.temperatures[-1].tolist() for run in runs},
            "acceptance": acceptance,
        },
    )


def set_beforehand(finished: Finished) -> dict[str, Method]:
    """Return Adam, the T of the problem, and the T that each seed chose on a grid."""
    task, problem = finished.task, finished.task.problem
    found = scan(task, finished.overfit)
    steps = problem.heating + problem.sample_steps
    fixed = np.full(task.seeds, problem.temperature)
    return {
        ADAM: Method(finished.predictions[ADAM], np.zeros(task.seeds), problem.adam_steps),
        "T of the problem": Method(finished.predictions["simmering, restrained"], fixed, problem.budget),
        "T chosen on a grid": Method(
            found.best,
            found.choice.chosen,
            2 * problem.adam_steps + (len(TEMPERATURES) + 1) * steps,
        ),
    }


def steered(finished: Finished, run: Steered) -> dict[str, Method]:
    """Return the steered run's own ensemble, and that of all rows at the T which it found."""
    problem, found = finished.task.problem, run.temperatures[-1]
    again = restrained(finished.task, torch.tensor(found)[:, None], finished.overfit)[0]
    kept = f"{1 - HELD_OUT:.0%}"
    return {
        f"T steered, {kept} of the rows": Method(run.predictions, found, problem.budget),
        STEERED: Method(again, found, 2 * problem.budget),
    }


def exchange(finished: Finished, part: Task, overfit: Tensor) -> tuple[dict[str, Method], float]:
    """Return the ensembles of two rungs of a ladder about the problem's T, and the mean acceptance.

    One is the rung of the problem's T, the other that of least loss on held-out rows in a ladder without them.
    """
    task, problem = finished.task, finished.task.problem
    ladder = geometric(problem.temperature / SPAN, problem.temperature * SPAN, RUNGS)
    held, _ = climb(finished, part, overfit, ladder, "exchange-held-out")
    said, acceptance = climb(finished, task, finished.overfit, ladder, "exchange")
    chosen = np.stack([joint_loss(part, rung) for rung in held]).argmin(0)
    best = np.moveaxis(said[chosen, :, np.arange(task.seeds)], 0, 1)
    gradients = problem.adam_steps + RUNGS * (problem.heating + problem.sample_steps)
    middle = np.full(task.seeds, problem.temperature)
    return {
        "replica exchange, T of the problem": Method(said[RUNGS // 2], middle, gradients),
        EXCHANGED: Method(best, ladder.numpy()[chosen], 2 * gradients),
    }, acceptance


def _row(name: str, method: Method, scored: Comparison) -> list[str]:
    one, t = scored.scores[name], method.temperatures
    told = f"{np.exp(np.log(t).mean()):.2g}" if t.all() else "–"
    if t.max() > t.min():
        told += f" ({t.min():.2g} to {t.max():.2g})"
    nll = [] if one.nll is None else [mean_of(one.nll)]
    return [name, mean_of(one.ensemble), *nll, told, str(method.gradients)]


def _beats_adam(finished: Finished, scored: Comparison) -> Check:
    wins = scored.better(STEERED, ADAM)
    return Check(
        f"{STEERED}: against Adam",
        "three quarters of the seeds win",
        f"{wins.sum()}/{len(wins)}",
        bool(wins.mean() >= 0.75),
    )


def _drawn(finished: Finished, runs: Sequence[Steered]) -> Plot:
    lines = []
    for run in runs:
        t = np.log(np.vstack([np.full(run.temperatures.shape[1], run.first), run.temperatures]))
        mean, error = np.exp(t.mean(1)), t.std(1, ddof=1) / math.sqrt(t.shape[1])
        lines.append(Line(f"steered from T = {run.first:g}", [0, *run.steps], mean, mean * error))
    found = scan(finished.task, finished.overfit)
    levels = {
        "least mean held-out loss on the grid": TEMPERATURES[int(found.choice.losses.mean(1).argmin())],
        "T of the problem": finished.task.problem.temperature,
    }
    figure = curves(lines, x="step", y="temperature T (k_B = 1)", log="y", levels=levels)
    return Plot(
        "The steered temperature", figure,
        f"Geometric mean over {finished.task.seeds} seeds, each steered by its own held-out rows; bars are standard "
        "errors over seeds. The last point is the T that is held.",
    )  # fmt: skip


def _told(task: Task, runs: Sequence[Steered], acceptance: float) -> str:
    problem = task.problem
    ends = ", ".join(f"{np.exp(np.log(run.temperatures[-1]).mean()):.2g}" for run in runs)
    starts = ", ".join(f"{run.first:g}" for run in runs)
    period = 2 * math.pi / math.sqrt(runs[-1].first) / problem.dt
    return (
        f"Restrained, prior at T. Steered: on {1 - HELD_OUT:.0%} of the training rows T goes down the held-out loss "
        f"of the run's own ensemble for {problem.sample_steps} steps from T = {FIRST[0]:g}, is held for "
        f"{problem.heating}, in which that ensemble is sampled, and then all rows are heated to it. Replica exchange: "
        f"{RUNGS} rungs from {problem.temperature / SPAN:g} to {problem.temperature * SPAN:g} for every seed, the loss "
        f"tempered, an attempt every {ATTEMPTS} steps of which {acceptance:.0%} succeed; the rung chosen is that of "
        "least loss on held-out rows in a ladder that does not train on them. What was spent differs: see the last "
        f"column. From T = {starts} the steered T comes to {ends} (geometric means). Where these differ the run is too "
        "short to tell its best T, and a hot start is the safer one: steering sees the answer of modes that move "
        f"within its looks, and at T = {runs[-1].first:g} one that the restraint alone holds (variance 1) takes "
        f"{period:.0f} steps for one oscillation."
    )
