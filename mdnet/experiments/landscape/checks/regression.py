"""Linear least squares, of which the mean test loss at a train loss is exact, and walkers that measure it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from mdnet.experiments.landscape.checks import walks
from mdnet.experiments.landscape.checks.walks import Found
from mdnet.experiments.landscape.task import Walk
from mdnet.experiments.results import Array
from mdnet.landscape import LogLoss, Mean, Recorded, Table
from mdnet.priors import Box
from mdnet.system import ParticleSystem
from trajectories.landscape.axes import Axis

LEAST, MOST = 1.2, 12.0  # the window of the train loss, in units of its minimum
ROWS = 40  # of the train set and of the test set


class Regression(NamedTuple):
    """ln L_train (groups,) of groups of bins, <L_test> (copies, groups), its exact value (groups,), rms (copies,)."""

    x: Array
    measured: Array
    exact: Array
    rms: Array


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """L(w) = mean (y - X w)^2/2 of train rows X (n, dof), y (n, 1) and of test rows."""

    inputs: Tensor
    targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor

    @classmethod
    def drawn(cls, dof: int, seed: int) -> LeastSquares:
        """Return normal rows whose targets are the sum of their numbers with unit noise."""
        noise = torch.Generator().manual_seed(1 + seed)
        rows = torch.randn(2 * ROWS, dof, generator=noise, dtype=torch.float64)
        targets = rows.sum(1, keepdim=True) + torch.randn(2 * ROWS, 1, generator=noise, dtype=torch.float64)
        return cls(rows[:ROWS], targets[:ROWS], rows[ROWS:], targets[ROWS:])

    @cached_property
    def minimum(self) -> Tensor:
        """The weights w* of the least train loss (dof,)."""
        solution: Tensor = torch.linalg.lstsq(self.inputs, self.targets).solution[:, 0]
        return solution

    @cached_property
    def lowest(self) -> float:
        """The train loss at w*."""
        return float(half_mean_square(self.inputs @ self.minimum, self.targets[:, 0]))

    @cached_property
    def curvatures(self) -> tuple[Tensor, Tensor]:
        """A = X^T X/n of train and of test rows, (dof, dof) each."""
        train, test = (rows.T @ rows / len(rows) for rows in (self.inputs, self.test_inputs))
        return train, test

    def test_loss(self, excess: Array) -> Array:
        """Return <L_test> = L_test(w*) + excess tr(A_test A_train^-1)/D at L - L(w*) = `excess`, without walls."""
        train, test = self.curvatures
        slope = float(torch.trace(torch.linalg.solve(train, test))) / len(train)
        return float(half_mean_square(self.test_inputs @ self.minimum, self.test_targets[:, 0])) + excess * slope

    def reach(self, excess: float) -> tuple[float, float]:
        """Return the largest |w_i|, and more than the largest test loss, where L - L(w*) <= `excess`."""
        train, test = self.curvatures
        inverse = torch.linalg.inv(train)
        farthest = self.minimum.abs() + torch.sqrt(2 * excess * inverse.diagonal())
        stretch = float(torch.linalg.eigvals(inverse @ test).real.max())
        return float(farthest.max()), (float(self.test_loss(np.zeros(1))[0]) ** 0.5 + (stretch * excess) ** 0.5) ** 2

    def spread(self, replicas: int, seed: int) -> Tensor:
        """Return weights (replicas, dof) whose ln L is uniform in the window, in directions at random."""
        noise = torch.Generator().manual_seed(seed)
        way = torch.randn(replicas, len(self.minimum), generator=noise, dtype=torch.float64)
        way = way / way.norm(dim=1, keepdim=True)
        ratio = LEAST * (MOST / LEAST) ** torch.rand(replicas, 1, generator=noise, dtype=torch.float64)
        root = torch.linalg.cholesky(torch.linalg.inv(self.curvatures[0]))
        weights: Tensor = self.minimum + torch.sqrt(2 * self.lowest * (ratio - 1)) * way @ root.T
        return weights


def half_mean_square(output: Tensor, targets: Tensor) -> Tensor:
    """Return half the mean square of the error."""
    loss: Tensor = 0.5 * (output - targets).square().mean()
    return loss


def regression(walk: Walk, *, copies: int, seed: int, dof: int = 8, groups: int = 7) -> Regression:
    """Measure <L_test> at each train loss by walkers that are flat in ln L_train, in a box that they do not reach."""
    fit, replicas = LeastSquares.drawn(dof, seed), copies * walk.walkers
    farthest, most = fit.reach((MOST - 1) * fit.lowest)
    sets = (fit.inputs, fit.targets, fit.test_inputs, fit.test_targets)
    inputs, targets, test_inputs, test_targets = (rows / 2**0.5 for rows in sets)  # whose mean square is L
    system = ParticleSystem(
        nn.Linear(dof, 1, bias=False), mse_loss, inputs, targets, replicas=replicas, prior=Box(1.01 * farthest),
        dtype=torch.float64,
    )  # fmt: skip
    low, high = float(np.log(LEAST * fit.lowest)), float(np.log(MOST * fit.lowest))
    axis = Axis("ln L_train", low, high, 10 * groups)
    test = Mean(system, "L_test", inputs=test_inputs, targets=test_targets)
    table = Table([axis], replicas, copies=copies, sigma=2.0)
    simulation, action = walks.begin(
        system, [LogLoss(system, "ln L_train")], table, walk, fit.spread(replicas, seed), seed=seed,
        record=[Recorded(Axis("L_test", 0.0, 1.01 * most, 1000), test)],
    )  # fmt: skip
    return compared(fit, walks.finish(simulation, action, walk), groups)


def compared(fit: LeastSquares, found: Found, groups: int) -> Regression:
    """Average the test loss over groups of bins, and ln Omega over the test loss."""
    train, test = found.axes
    share = np.exp(found.entropy - found.entropy.max())
    weight = share.sum(-1)
    mean = (share * test.centres).sum(-1) / weight
    excess = np.exp(train.centres) - fit.lowest
    exact = (len(fit.minimum) / 2 - 1) * np.log(excess) + train.centres
    return Regression(
        train.centres.reshape(groups, -1).mean(-1),
        mean.reshape(len(mean), groups, -1).mean(-1),
        fit.test_loss(excess).reshape(groups, -1).mean(-1),
        walks.rms(np.log(weight), exact),
    )
