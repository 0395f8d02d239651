"""What a large problem's page says: epochs and seconds, chosen settings, members, claims, and what was shortened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import trajectories
from mdnet import figures
from mdnet.experiments.large.descent import PASSES as COUNT
from mdnet.experiments.large.problems import LargeTask
from mdnet.experiments.large.tally import Tally
from mdnet.experiments.problems import HELD_OUT
from mdnet.experiments.results import Check, Comparison, Plot, Study, mean_of
from mdnet.experiments.simmering import Mode

ADAM, OVERFIT, SIMMERING = "Adam", "Adam, where the retrofit starts", "simmering"
CHOOSING_T, CHOOSING_DROPOUT, DROPOUT = "choosing T", "choosing dropout", "dropout"
MEAN, PASSES = "dropout, mean network", f"dropout, {COUNT} passes"
TRIAL = 0.3  # of the epochs, for each value of a setting that is tried


def early_name(task: LargeTask) -> str:
    """Return how the ensemble of early-stopped networks is called."""
    return f"early stopping, ensemble of {task.problem.networks}"


@dataclass(frozen=True)
class Tried:
    """Values of a setting with their losses on the held-out rows."""

    values: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def best(self) -> float:
        """The value of least loss; a loss that is not a number is the largest."""
        return self.values[int(np.argmin(np.nan_to_num(np.array(self.losses), nan=np.inf)))]


def spending(task: LargeTask, seconds: Mapping[str, float]) -> Study:
    """Return the table of epochs and seconds by stage."""
    epochs = task.problem.epochs
    trial = {CHOOSING_T: f"{TRIAL * epochs:g} for each value", CHOOSING_DROPOUT: f"{TRIAL * epochs:g} for each value"}
    rows = [[name, trial.get(name, f"{epochs:g}"), f"{took:.0f}"] for name, took in seconds.items()]
    caption = (
        "An epoch is as many rows in minibatches as the training set has. Seconds of wall time of all seeds together, "
        "with the predictions on the test rows; the first epochs of a retrofit are those of Adam, in whose row their "
        "time is. An ensemble of early-stopped networks shares the epochs among them."
    )
    return Study("time", "Epochs and time", ["method", "epochs a seed", "seconds"], rows, caption)


def choices(heat: Tried, noise: Tried) -> Study:
    """Return the table of the settings that were tried."""
    tried = [("T", heat), ("dropout", noise)]
    rows = [
        [name, f"{value:g}", f"{loss:.4f}", "chosen" if value == setting.best else ""]
        for name, setting in tried
        for value, loss in zip(setting.values, setting.losses, strict=True)
    ]
    caption = (
        f"One network each, {TRIAL:.0%} of the epochs, trained without {HELD_OUT:.0%} of the training rows, which "
        "judge by the negative log-likelihood of the mean softmax (T), or of the mean network (dropout). The test "
        "rows are not looked at. These epochs come on top of those of either method."
    )
    columns = ["setting", "value", "NLL on held-out rows", ""]
    return Study("settings", "Settings chosen on held-out training rows", columns, rows, caption)


def members(simmering: Tally, adam: Tally) -> Study:
    """Return how the ensemble gains on its members as they become more."""
    together = torch.stack([sample.together for sample in simmering.samples]).cpu().numpy()  # (members, seeds)
    alone = torch.stack([sample.accuracy for sample in simmering.samples]).cpu().numpy()
    count, lone = np.arange(1, len(alone) + 1), adam.scores().ensemble
    lines = [
        figures.Line("mean softmax of the members so far", count, together.mean(1), _error(together)),
        figures.Line("each member", count, alone.mean(1), _error(alone)),
    ]
    drawn = figures.curves(
        lines, x="members", y="test accuracy (share)", log="x", levels={"Adam, all epochs": float(lone.mean())}
    )
    picked = sorted({0, *(len(alone) * i // 4 - 1 for i in range(1, 5))} - {-1})
    rows = [[str(i + 1), mean_of(together[i]), mean_of(alone[i])] for i in picked]
    caption = (
        "Mean over seeds; bars are standard errors over seeds, which share the rows and differ in start and noise."
    )
    plot = Plot("The ensemble grows", drawn, caption)
    return Study("members", "Members", ["members", "accuracy together", "of the last"], rows, caption, plots=[plot])


def claims(task: LargeTask, comparison: Comparison, run: Path, after: int) -> list[Check]:
    """Return the claims: the temperature, no loss against Adam, and a gain over dropout and early stopping."""
    found = [_temperature(run, after), _gain(comparison, SIMMERING, [ADAM], "no loss", strict=False)]
    found += [
        _gain(comparison, SIMMERING, [MEAN, PASSES], "a gain", strict=True),
        _gain(comparison, SIMMERING, [early_name(task)], "a gain", strict=True),
    ]
    return found


def _temperature(run: Path, after: int) -> Check:
    """The half-step kinetic temperature while sampling, in the mean over replicas, is the set one."""
    with trajectories.open(run) as file:
        series = file.observables["half_step_temperature"]
        kinetic = np.asarray(series.values)[np.asarray(series.steps) > after].mean()
        off = float(kinetic / file.observables["set_temperature"].values[-1, 0]) - 1
    return Check("T while sampling", "within 10 %", f"{off:+.1%}", abs(off) < 0.1)


def _gain(comparison: Comparison, method: str, others: list[str], expected: str, *, strict: bool) -> Check:
    """The accuracy of the vote against the best of others, in the mean over seeds."""
    best = max(others, key=lambda other: comparison.scores[other].ensemble.mean())
    gain, wins = comparison.gain(method, best), comparison.better(method, best)
    measured = f"{100 * gain:+.2f} points, {wins.sum()}/{len(wins)} seeds"
    return Check(f"{method}: accuracy against {best}", expected, measured, gain > 0 if strict else gain >= 0)


def title(task: LargeTask, mode: Mode) -> str:
    """Return the title, which says what was shortened."""
    return f"Simmering: {task.name}, {mode}" + (" (shortened)" if shortened(task) else "")


def shortened(task: LargeTask) -> str:
    """Return how the run is less than the published one; empty where it is not."""
    rows, problem = len(task.train[0]), task.problem
    if problem.published_rows is not None and rows >= problem.published_rows and problem.epochs >= 20:
        return ""
    return f"Shortened: {problem.epochs:g} epochs on {rows:,} training rows. Published: {problem.published}."


def notes(task: LargeTask, mode: Mode, heat: Tried, noise: Tried) -> list[str]:
    """What a reader must know to judge the table."""
    problem = task.problem
    adam, heating, sampling = (f"{100 * share:.0f} %" for share in problem.shares)
    begin = f"from where Adam is after {adam} of the epochs, T is raised in {problem.stages} stages over {heating}"
    if mode == "ab-initio":
        begin = f"from random weights T holds, and {adam} + {heating} of the epochs pass"
    dof = task.particles().dof
    said = [
        shortened(task),
        f"{len(task.train[0]):,} training and {len(task.test[0]):,} test rows, {len(task.truth):,} scored points; a "
        f"network of {dof:,} weights. Seeds differ in start and noise and share the rows: ± is the standard error of "
        f"{task.seeds} such seeds, and says nothing of other rows.",
        f"Adam: minibatches of {problem.batch}, rate {problem.rate}, constant for {adam} of the epochs, then falling "
        "to zero on a line. Dropout and early stopping the same.",
        f"Simmering: {begin}, then {sampling} at the target with {problem.members} predictions. BAOAB, dt = "
        f"{problem.dt}, AdaptiveLangevin with friction {problem.friction} and tau {problem.tau} by tensor, T = "
        f"{heat.best:g} on the mean loss (1/n = {1 / len(task.train[0]):.1g}), restraint T|θ|²/(2s²), s² = 1/fan-in.",
        f"Dropout {noise.best:g}: predictions of the mean network, and of {COUNT} passes with dropout.",
        "Minibatch forces leave an error of the sampled distribution that falls with dt; no claim of exact sampling.",
    ]
    if task.train[1].ndim > 1:
        said.append("Points are tokens of the target, each given the true ones before it; perplexity = exp(NLL).")
    return [note for note in said if note]


def _error(values: np.ndarray) -> np.ndarray:
    """The standard error over seeds (members,) of values (members, seeds); zero for one seed."""
    seeds = values.shape[1]
    return np.asarray(values.std(1, ddof=1) / seeds**0.5 if seeds > 1 else np.zeros(len(values)))
