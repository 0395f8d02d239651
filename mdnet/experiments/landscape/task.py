"""What a task of the entropy landscape is: its network, its data, its box, its variables and their ranges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mdnet.landscape import LogLoss, Mean, Variable, smooth_accuracy
from mdnet.landscape.starting import masses_of_box
from mdnet.priors import Box
from mdnet.routes.choice import Route
from mdnet.system import Loss, ParticleSystem
from trajectories.landscape.axes import Axis

_FEWEST = 400  # steps of a short walk, however large the network

Widths = Callable[[nn.Module], dict[str, float]]
"""A network -> the halfwidth of the box by parameter tensor."""


class Split(NamedTuple):
    """Training and test rows, inputs (n, ...) and targets (n, ...)."""

    inputs: Tensor
    targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor


class Baseline(NamedTuple):
    """How the gradient's networks are trained: minibatches of `batch` rows at `rate` for `epochs`, by Adam or SGD."""

    batch: int
    rate: float
    epochs: int
    method: str = "adam"


@dataclass(frozen=True)
class Walk:
    """How the walkers move: time step, friction, steps of learning and of production, and steps between visits.

    `dt`: at the high end of x; below, it is dt e^{power (x - high)}. `peak`: of the weights.
    """

    dt: float
    friction: float
    walkers: int
    learn: int
    count: int
    every: int = 5
    peak: float = 0.1
    power: float = 0.5


@dataclass(frozen=True, eq=False)
class Task:
    """A task of arXiv:2503.13145 (or one like it), by name; the fields are those of the paper where it has them.

    `network`: width -> module. `data`: (points, seed) -> Split, half of the points for training where the paper says
    so. `box`: halfwidths. `sharpness`: of the smooth accuracy that is y; None where y is ln L_test. `low`, `high`: the
    window of x = ln L_train; `y_low`, `y_high`: the range of y, wide enough for all of it. `bin`: width of both bins.
    `cells`: the (width, points) that were published. `short`: the walk on two CPU cores in about two minutes;
    `full`: the published one, with `needs` saying what it takes. `route`: that of forces.
    """

    name: str
    title: str
    network: Callable[[int], nn.Module]
    data: Callable[[int, int], Split]
    loss: Loss
    box: Widths
    sharpness: float | None
    low: float
    high: float
    y_low: float
    y_high: float
    cells: tuple[tuple[int, int], ...]
    baseline: Baseline
    short: Walk
    full: Walk
    needs: str
    bin: float = 0.02
    route: Route = "auto"

    def system(self, width: int, points: int, replicas: int, *, seed: int = 1, device: str = "cpu") -> ParticleSystem:
        """Return the networks on the training rows, in the box, with masses that suit it."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self.network(width)
        split, box = self.data(points, seed), Box(self.box(network))
        return ParticleSystem(
            network, self.loss, split.inputs, split.targets, replicas=replicas, prior=box,
            masses=masses_of_box(network, box), device=device, route=self.route,
        )  # fmt: skip

    def variables(self, system: ParticleSystem, points: int, *, seed: int = 1) -> tuple[Variable, Variable]:
        """Return x = ln L_train and y, ln L_test or the smooth accuracy on the test rows."""
        split = self.data(points, seed)
        inputs, targets = (rows.to(system.device) for rows in (split.test_inputs, split.test_targets))
        if self.sharpness is None:
            return LogLoss(system, "ln L_train"), LogLoss(system, "ln L_test", inputs=inputs, targets=targets)
        metric = smooth_accuracy(self.sharpness)
        accuracy = Mean(system, "smooth test accuracy", metric=metric, inputs=inputs, targets=targets)
        return LogLoss(system, "ln L_train"), accuracy

    def shortened(self, width: int, points: int) -> Walk:
        """Return the short walk, of a larger network or more points than the first cell's with fewer steps."""
        cost = [self.size(*cell) for cell in (self.cells[0], (width, points))]
        share = min(1.0, cost[0] / cost[1])
        steps = (max(_FEWEST, int(share * each)) for each in (self.short.learn, self.short.count))
        return replace(self.short, **dict(zip(("learn", "count"), steps, strict=True)))

    def size(self, width: int, points: int) -> int:
        """Return parameters x points: what a gradient costs, in proportion."""
        return points * sum(parameter.numel() for parameter in self.network(width).parameters())

    @property
    def axes(self) -> tuple[Axis, Axis]:
        """Return the axes of x and y."""
        y = "ln L_test" if self.sharpness is None else "smooth test accuracy"
        return (
            Axis.of_width("ln L_train", self.low, self.high, self.bin),
            Axis.of_width(y, self.y_low, self.y_high, self.bin),
        )


def by_outputs(scale: float) -> Widths:
    """Return scale/sqrt(numel/size[1]) for matrices and kernels, scale/sqrt(numel) for vectors: the paper's box."""

    def widths(network: nn.Module) -> dict[str, float]:
        return {
            name: scale / (p.numel() / p.shape[1] if p.ndim > 1 else p.numel()) ** 0.5
            for name, p in network.named_parameters()
        }

    return widths


def by_first_size(scale: float) -> Widths:
    """Return scale/sqrt(size[0]): the paper's box of tabular and language networks."""

    def widths(network: nn.Module) -> dict[str, float]:
        return {name: scale / p.shape[0] ** 0.5 for name, p in network.named_parameters()}

    return widths
