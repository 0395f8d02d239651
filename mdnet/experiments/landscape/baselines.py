"""What gradient descent finds: the test metric of networks when their training loss first falls to given levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdnet.experiments.landscape.task import Baseline, Task
from mdnet.force import BatchForce
from mdnet.landscape import Variable
from mdnet.priors import mirror
from mdnet.progress import Bar
from mdnet.spelling import unknown
from mdnet.system import ParticleSystem

Floats = NDArray[np.float64]

METHODS = ("adam", "sgd")


@dataclass(frozen=True, eq=False)
class Crossings:
    """Networks trained from many seeds, seen at the same training losses.

    `levels` (levels,): of ln L_train. `metric` (seeds, levels): ln L_test or the smooth test accuracy where a network
    first falls to a level, nan where it does not. `epochs` (looks,); `train`, `test` (looks, seeds): ln L_train and
    the metric as they went. `outside` (seeds,): the share of the last weights that lies outside the landscape's box.
    """

    levels: Floats
    metric: Floats
    epochs: Floats
    train: Floats
    test: Floats
    outside: Floats

    @property
    def reached(self) -> NDArray[np.bool_]:
        """Which network fell to which level (seeds, levels)."""
        return np.isfinite(self.metric)

    def around(self, level: float, reach: float = 0.05) -> tuple[float, float]:
        """Return the mean metric at all looks within `reach` of a level of ln L_train, and its error over networks.

        The first passage alone sees a network before it has fitted more; this is all that it was at that loss, the
        mean over a network's looks counting once. nan where no network was there.
        """
        near = np.abs(self.train - level) <= reach
        looks = near.sum(0)
        each = np.where(near, self.test, 0.0).sum(0)[looks > 0] / looks[looks > 0]
        if not len(each):
            return float("nan"), float("nan")
        return float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else float("nan")

    @property
    def mean(self) -> Floats:
        """The mean metric over the seeds that reached a level (levels,), nan where none did."""
        count = self.reached.sum(0)
        return np.where(count > 0, np.nansum(self.metric, 0) / np.maximum(count, 1), np.nan)

    @property
    def error(self) -> Floats:
        """The standard error of the mean over seeds (levels,), nan where fewer than two reached a level."""
        count = self.reached.sum(0)
        square = np.nansum((self.metric - self.mean) ** 2, 0) / np.maximum(count - 1, 1)
        return np.where(count > 1, np.sqrt(square / np.maximum(count, 1)), np.nan)


def crossings(
    task: Task,
    width: int,
    points: int,
    levels: Sequence[float],
    *,
    seeds: int = 32,
    seed: int = 1,
    data_seed: int = 1,
    baseline: Baseline | None = None,
    every: int = 1,
    boxed: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> Crossings:
    """Train networks by minibatches, all `seeds` as one batched run, until each has reached the lowest level.

    Each network starts from Kaiming's normal weights and sees the rows in an order of its own, drawn anew every epoch
    (rows that do not fill a minibatch wait for the next), by the seeds seed, seed + 1, ... `baseline`: batch, rate,
    most epochs, and "adam" or "sgd"; by default the task's. `every`: epochs between two looks at the losses of all
    rows. `boxed`: begin uniform in the landscape's box and stay in it, which the published networks did not.

    Raises ValueError for an unknown method and for numbers out of range.
    References: Kingma, Ba, arXiv:1412.6980; He, Zhang, Ren, Sun, ICCV 2015 (Kaiming's weights).
    """
    plan = task.baseline if baseline is None else baseline
    system = task.system(width, points, seeds, seed=data_seed, device=device)
    _check(plan, levels, every, len(system.inputs))
    x, y = task.variables(system, points, seed=data_seed)
    generators = [torch.Generator().manual_seed(seed + k) for k in range(seeds)]
    q = _starts(system, generators, boxed=boxed)
    looked = _looks(
        _epochs(system, q, plan, generators, boxed=boxed), (x, y), q, plan, every, min(levels), progress=progress
    )
    epochs, train, test = (np.array(each, dtype=np.float64) for each in zip(*looked, strict=True))
    wanted = np.array(levels, dtype=np.float64)
    walls = torch.as_tensor(torch.inf) if system.walls is None else system.walls
    outside = (q.abs() > walls).double().mean(-1).cpu().numpy()
    return Crossings(wanted, first_passages(train, test, wanted), epochs, train, test, outside)


def first_passages(x: Floats, y: Floats, levels: Floats) -> Floats:
    """Return y (tracks, levels) where each track x (looks, tracks) first falls to a level, on the line between looks.

    The line meets the level exactly, so that a step beyond it does not count as more training. nan where a track
    begins below the level or never comes there.
    """
    found = np.full((x.shape[1], len(levels)), np.nan)
    for k, level in enumerate(levels):
        below = x <= level
        tracks = np.flatnonzero(below.any(0) & ~below[0])
        after = below[:, tracks].argmax(0)
        x0, x1 = x[after - 1, tracks], x[after, tracks]
        y0, y1 = y[after - 1, tracks], y[after, tracks]
        found[tracks, k] = y0 + (level - x0) / (x1 - x0) * (y1 - y0)
    return found


def _looks(
    epochs: Iterator[int],
    variables: tuple[Variable, Variable],
    q: Tensor,
    plan: Baseline,
    every: int,
    lowest: float,
    *,
    progress: bool,
) -> Iterator[tuple[float, Floats, Floats]]:
    """Train, and yield epoch and both variables (seeds,) at each look, until all networks have come to the lowest x."""
    least = np.full(len(q), np.inf)
    with Bar(plan.epochs, show=progress, title=plan.method) as bar:
        for epoch in epochs:
            bar.update(epoch, {})
            if epoch % every and epoch != plan.epochs:
                continue
            x, y = (variable.value(q).cpu().numpy() for variable in variables)
            yield epoch, x, y
            least = np.fmin(least, x)
            if (~np.isfinite(x) | (least <= lowest)).all():
                return


def _epochs(
    system: ParticleSystem, q: Tensor, plan: Baseline, generators: Sequence[torch.Generator], *, boxed: bool
) -> Iterator[int]:
    """Descend, q (seeds, dof) in place, and say how many epochs are done, 0 first."""
    force, rows = BatchForce(system, per_replica=True), len(system.inputs)
    descent = torch.optim.Adam([q], plan.rate, fused=True) if plan.method == "adam" else torch.optim.SGD([q], plan.rate)
    yield 0
    for epoch in range(1, plan.epochs + 1):
        order = torch.stack([torch.randperm(rows, generator=one) for one in generators]).to(system.device)
        for batch in torch.split(order[:, : rows - rows % plan.batch], plan.batch, 1):
            q.grad = force.slope_on(q, system.inputs[batch], system.targets[batch])[1]
            descent.step()
            if boxed and system.walls is not None:
                q.copy_(mirror(q, system.walls)[0])
        yield epoch


def _starts(system: ParticleSystem, generators: Sequence[torch.Generator], *, boxed: bool) -> Tensor:
    """Weights (seeds, dof): Kaiming's normal law for matrices and kernels, biases zero, norms one; or uniform."""
    if boxed and system.walls is not None:
        uniform = torch.stack([2 * torch.rand(system.dof, generator=one) - 1 for one in generators])
        return uniform.to(system.device, system.dtype) * system.walls
    normal = torch.stack([torch.randn(system.dof, generator=one) for one in generators])
    q = system.table.flatten(system.network).cpu().repeat(len(generators), 1)
    for entry in system.table.entries:
        part = slice(entry.offset, entry.offset + entry.size)
        if len(entry.shape) > 1:
            q[:, part] = normal[:, part] * (2 * entry.shape[0] / entry.size) ** 0.5  # the variance is 2/fan_in
        elif entry.name.endswith("bias"):
            q[:, part] = 0
    return q.to(system.device)


def _check(plan: Baseline, levels: Sequence[float], every: int, rows: int) -> None:
    if plan.method not in METHODS:
        raise ValueError(unknown("method", plan.method, METHODS))
    if not 1 <= plan.batch <= rows or not plan.rate > 0 or plan.epochs < 1:
        raise ValueError(f"{plan}: a batch has 1 to {rows} rows, rate is positive, and there is an epoch or more")
    if every < 1 or not len(levels):
        raise ValueError(f"every = {every} must be one or more, and levels = {list(levels)} not empty")
