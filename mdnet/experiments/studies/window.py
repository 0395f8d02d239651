"""The error against the temperature: where simmering works, and which T each seed chooses without its test rows."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

import mdnet as md
from mdnet.experiments import simmering
from mdnet.experiments.controls.control import by_replica
from mdnet.experiments.problems import HELD_OUT, Task
from mdnet.experiments.results import Array, Check, Comparison, Plot, Study, mean_of
from mdnet.experiments.selection import TEMPERATURES, Selection, Values, choose, joint_loss
from mdnet.experiments.simmering import Ensemble
from mdnet.experiments.studies.finished import Finished
from mdnet.figures import Line, curves

CHOSEN = "simmering, T chosen on held-out rows"
ADAM = "Adam"
ROWS = 20  # of the sine that is scanned finely
FINE = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.05, 0.1)
EVERY = 60  # steps between two predictions of a scan, at least
SHORTER = {"digits": 2_000}  # sampling steps of a scan where a problem's own would take too long


def heated(task: Task, temperatures: Values, overfit: Tensor | None = None) -> Array:
    """Return what restrained ensembles say of the test rows at each T, (temperatures, members, seeds, rows, outputs).

    All are replicas of one run, prior at T. `overfit`: Adam's minima (seeds, dof), found here unless given.
    """
    start = simmering.overfit(task, progress=False) if overfit is None else overfit
    return restrained(task, by_replica(task, temperatures), start)


def restrained(task: Task, levels: Tensor, overfit: Tensor) -> Array:
    """Return predictions (copies, members, seeds, rows, outputs) at T = lam = `levels` (seeds copies, 1)."""
    problem, copies = task.problem, len(levels) // task.seeds
    steps = SHORTER.get(task.name, problem.sample_steps)
    brief = replace(task, problem=replace(problem, sample_steps=steps, sample_every=max(EVERY, problem.sample_every)))
    run = Ensemble("temperatures", simmering.chain(levels), levels)
    start = overfit.repeat_interleave(copies, 0)
    with tempfile.TemporaryDirectory() as folder:  # only the predictions are wanted
        said = simmering.simmer(brief, run, Path(folder) / "run", start=start, copies=copies, progress=False)
    return said.swapaxes(0, 1)


class Scan(NamedTuple):
    """What the temperatures give: the choice on held-out rows, and test predictions (temperatures, members, ...)."""

    choice: Selection
    predictions: Array

    @property
    def best(self) -> Array:
        """The predictions of each seed at the T it chose, (members, seeds, rows, outputs)."""
        seeds = np.arange(len(self.choice.places))
        return np.moveaxis(self.predictions[self.choice.places, :, seeds], 0, 1)


@lru_cache(maxsize=1)
def scan(task: Task, overfit: Tensor) -> Scan:
    """Return each T's loss on held-out rows and its test predictions, from Adam's minima `overfit` (seeds, dof).

    What was found last is kept, so that the row of the main table and the study are one computation.
    """
    return Scan(choose(task, heated, TEMPERATURES), heated(task, TEMPERATURES, overfit=overfit))


def predict(task: Task, overfit: Tensor) -> tuple[Array, str]:
    """Return the predictions (members, seeds, rows, outputs) at the T that each seed chose, and a note on its cost."""
    found = scan(task, overfit)
    problem, steps = task.problem, SHORTER.get(task.name, task.problem.sample_steps)
    cost = 2 * problem.adam_steps + (len(TEMPERATURES) + 1) * (problem.heating + steps)
    return found.best, (
        f"{CHOSEN}: restrained, prior at T, {steps} steps at the target, a prediction every "
        f"{max(EVERY, problem.sample_every)}; {cost} gradients a seed with the choice. T {found.choice.note}."
    )


def window(finished: Finished) -> Study:
    """Draw the test loss and the held-out loss against T, and score the T that each seed chooses."""
    task, found = finished.task, scan(finished.task, finished.overfit)
    choice, losses = found.choice, found.choice.losses
    scored = Comparison(task.truth, task.problem.metric)
    for name, said in [*zip(map(str, TEMPERATURES), found.predictions, strict=True), ("chosen", found.best)]:
        scored.add(name, said)
    columns = ["T", scored.columns[1], *(["NLL"] if task.classes else []), "held-out loss", "seeds that chose it"]
    rows = []
    for i, t in enumerate(TEMPERATURES):
        rows.append([f"{t:g}", *_scores(scored, str(t)), mean_of(losses[i]), str((choice.places == i).sum())])
    rows.append(["chosen on held-out rows", *_scores(scored, "chosen"), mean_of(losses.min(0)), ""])
    test = [joint_loss(task, said) for said in found.predictions]
    return Study(
        name="window",
        title="The temperature: test and held-out error",
        columns=columns,
        rows=rows,
        caption=_told(task),
        plots=[_drawn(finished, test, list(losses))],
        numbers={
            "temperatures": list(TEMPERATURES),
            "chosen": choice.chosen.tolist(),
            "test_loss": [list(map(float, one)) for one in test],
            "held_out_loss": [list(map(float, one)) for one in losses],
        },
    )


def few_rows(finished: Finished) -> Study:
    """Draw the error to the truth against T for a sine with 20 training points, where too hot is worse than Adam."""
    task = narrow(finished.task)
    overfit = simmering.overfit(task, progress=False)
    adam = joint_loss(task, task.predict(task.particles(), overfit))
    errors = [joint_loss(task, said) for said in heated(task, FINE, overfit=overfit)]
    mean = [float(one.mean() / adam.mean()) for one in errors]
    best = min(range(len(FINE)), key=mean.__getitem__)
    rows = [["Adam", mean_of(adam), "1"]]
    rows += [[f"{t:g}", mean_of(one), f"{ratio:.2f}"] for t, one, ratio in zip(FINE, errors, mean, strict=True)]
    return Study(
        name="few-rows",
        title=f"The temperature window with {ROWS} training points",
        columns=["T", "error to the truth (MSE)", "mean error over that of Adam"],
        rows=rows,
        caption=f"Restrained, prior at T. Adam trains {ROWS} points to its end, and {task.problem.heating} steps of "
        f"heating and {task.problem.sample_steps} of sampling follow at each T; ± is the standard error over seeds.",
        checks=[
            Check("best T lies inside the window", f"above {FINE[0]:g}, below {FINE[-1]:g}", f"T = {FINE[best]:g}",
                  0 < best < len(FINE) - 1),
            Check("mean error at the best T against Adam", "< 0.6 times", f"{mean[best]:.2f} times", mean[best] < 0.6),
            Check(f"mean error at T = {FINE[-1]:g} against Adam", "> 1 times", f"{mean[-1]:.2f} times", mean[-1] > 1),
        ],
        plots=[_few_drawn(task, errors, adam)],
        numbers={"temperatures": list(FINE), "adam": adam.tolist(), "errors": [one.tolist() for one in errors]},
    )  # fmt: skip


def narrow(task: Task) -> Task:
    """Return the sine with a few training points, other noise for every seed."""
    seeds = range(task.seed, task.seed + task.seeds)
    splits = [md.data.split(md.data.sine(ROWS, seed=s), ROWS, seed=s, standardise=False) for s in seeds]
    return replace(task, data=md.data.stack(splits), problem=replace(task.problem, train=ROWS))


def _scores(scored: Comparison, name: str) -> list[str]:
    one = scored.scores[name]
    return [mean_of(one.ensemble), *([] if one.nll is None else [mean_of(one.nll)])]


def _line(label: str, temperatures: Sequence[float], losses: Sequence[Array]) -> Line:
    errors = [float(one.std(ddof=1)) / math.sqrt(len(one)) for one in losses]
    return Line(label, temperatures, [float(one.mean()) for one in losses], errors)


def _drawn(finished: Finished, test: Sequence[Array], held: Sequence[Array]) -> Plot:
    task = finished.task
    adam = float(joint_loss(task, finished.predictions[ADAM]).mean())
    what = "negative log-likelihood (nats)" if task.classes else "mean squared error"
    lines = [_line("test rows", TEMPERATURES, test), _line("held-out training rows", TEMPERATURES, held)]
    figure = curves(lines, x="temperature T (k_B = 1)", y=what, log="xy", levels={"Adam, test rows": adam})
    return Plot(
        "Test and held-out error against T", figure,
        f"The loss of the joint prediction, prior at T; bars are standard errors over {task.seeds} seeds. The "
        f"held-out curve is of networks that train on the other {1 - HELD_OUT:.0%} of the training rows, and its "
        "targets have their noise.",
    )  # fmt: skip


def _few_drawn(task: Task, errors: Sequence[Array], adam: Array) -> Plot:
    figure = curves(
        [_line("simmering, restrained", FINE, errors)], x="temperature T (k_B = 1)", y="error to the truth (MSE)",
        log="xy", levels={"Adam": float(adam.mean())},
    )  # fmt: skip
    caption = f"{ROWS} training points; bars are standard errors over {task.seeds} seeds."
    return Plot("The temperature window", figure, caption)


def _told(task: Task) -> str:
    problem = task.problem
    steps = SHORTER.get(task.name, problem.sample_steps)
    shorter = f", fewer than the {problem.sample_steps} of the main table" if steps < problem.sample_steps else ""
    return (
        f"Restrained, prior at T, all as replicas of one run: from Adam's minimum {problem.heating} steps of "
        f"heating, {steps} of sampling{shorter}. Each seed chooses the T of least held-out loss, that of networks "
        f"trained on the other {1 - HELD_OUT:.0%} of its training rows; no test row is seen. The held-out loss of the "
        "choice is a minimum over T and therefore too small."
    )
