"""Claims that can fail, each with its expectation, its measurement and its verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import trajectories
from mdnet.experiments.results import Check, Comparison


def sampled_temperature(folder: Path, *, after: int) -> Check:
    """The kinetic temperature after a step, in the mean over replicas, is the set one."""
    with trajectories.open(folder) as run:
        late = np.asarray(run.observables["temperature"].steps) > after
        kinetic = np.asarray(run.observables["temperature"].values)[late].mean()
        off = float(kinetic / run.observables["set_temperature"].values[-1, 0]) - 1
    return Check(f"T while sampling ({folder.name})", "within 2 %", f"{off:+.1%}", abs(off) < 0.02)


def plateaus(folder: Path, stage_steps: int) -> Check:
    """After a stage of a staircase the kinetic temperature (its last fifth, mean over replicas) is the set one."""
    with trajectories.open(folder) as run:
        steps = np.asarray(run.observables["temperature"].steps)
        kinetic = np.asarray(run.observables["temperature"].values)
        target = np.asarray(run.observables["set_temperature"].values)[:, 0]
    worst = 0.0
    for level in np.unique(target[1:]):
        since = steps - steps[target == level][0]
        late = (target == level) & (since > stage_steps * 4 // 5) & (since <= stage_steps)
        worst = max(worst, abs(float(kinetic[late].mean() / level) - 1))
    return Check(f"T follows its schedule ({folder.name})", "within 10 %", f"worst plateau {worst:.1%}", worst < 0.1)


def error_falls(comparison: Comparison, method: str, control: str, *, ratio: float, share: float) -> Check:
    """The error falls below `ratio` of the control's in the median, and below it in a `share` of the seeds."""
    measured, wins = comparison.ratio(method, control), comparison.better(method, control)
    expected = f"median ratio < {ratio}, {share:.0%} of the seeds win"
    holds = measured < ratio and bool(wins.mean() >= share)
    return Check(f"{method}: error against {control}", expected, f"{measured:.2f}, {wins.sum()}/{len(wins)}", holds)


def jointly_better(comparison: Comparison, method: str, control: str) -> Check:
    """The mean member of an ensemble has a larger error than the control, the ensemble a smaller one."""
    alone, together = comparison.scores[control].ensemble, comparison.scores[method]
    if together.members is None:
        raise ValueError(f"{method!r} is a single network, not an ensemble")
    members, joint = np.median(together.members / alone), np.median(together.ensemble / alone)
    expected = f"member/{control} > 1 > ensemble/{control}, medians"
    name = f"{method}: individually worse, jointly better"
    return Check(name, expected, f"{members:.2f}, {joint:.2f}", bool(members > 1 > joint))


def score_rises(comparison: Comparison, method: str, control: str, *, gain: float, share: float) -> Check:
    """The score rises by `gain` in the mean over seeds, and in a `share` of them."""
    measured, wins = comparison.gain(method, control), comparison.better(method, control)
    name = {"r2": "R²", "accuracy": "accuracy"}[comparison.metric]
    expected = f"+{gain:.2f} or more, {share:.0%} of the seeds win"
    holds = measured >= gain and bool(wins.mean() >= share)
    return Check(f"{method}: {name} against {control}", expected, f"{measured:+.3f}, {wins.sum()}/{len(wins)}", holds)


def nll_falls(comparison: Comparison, method: str, control: str, *, ratio: float) -> Check:
    """The negative log-likelihood of the mean softmax falls below `ratio` of the control's, means over seeds."""
    ours, theirs = comparison.scores[method].nll, comparison.scores[control].nll
    if ours is None or theirs is None:
        raise ValueError(f"a negative log-likelihood needs classes, not the metric {comparison.metric!r}")
    measured = float(ours.mean() / theirs.mean())
    return Check(
        f"{method}: NLL against {control}", f"{ratio} times or less", f"{measured:.2f} times", measured <= ratio
    )
