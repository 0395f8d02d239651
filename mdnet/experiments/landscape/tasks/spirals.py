"""Two spirals: the published regression of a wave on a spiral, and the classification of two spiral arms."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from mdnet.experiments.landscape.task import Baseline, Split, Task, Walk, by_outputs
from mdnet.networks import mlp

_UNITS = 6  # of every hidden layer in the classification


def wave(points: int, seed: int = 1) -> Split:
    """Return `points` points x uniform in [-5, 5]^2 with y = sin(atan2(x_1, x_0) - 2|x|), the first half to train on.

    The numbers are those of numpy's RandomState, so that seed 1 makes the published points. Raises ValueError for
    numbers that are not even.
    """
    _check_even(points, 2)
    x = 10 * np.random.RandomState(seed).rand(points, 2) - 5
    y = np.sin(np.arctan2(x[:, 1], x[:, 0]) - 2 * np.sqrt((x**2).sum(1)))
    inputs, targets = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)[:, None]
    half = points // 2
    return Split(inputs[:half], targets[:half], inputs[half:], targets[half:])


def arms(points: int, seed: int = 1, noise: float = 0.1) -> Split:
    """Return points of two spiral arms, r uniform in [1, 5] at the angle 2 r + pi class, a quarter for each class and
    part: (cos, sin) r with normal noise on both coordinates.

    Raises ValueError for numbers that are no multiple of four.
    """  # fmt: skip
    _check_even(points, 4)
    generator = np.random.RandomState(seed)
    labels = np.arange(points) % 2
    radius = generator.uniform(1, 5, points)
    angle = 2 * radius + np.pi * labels
    x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1) + noise * generator.standard_normal((points, 2))
    inputs, targets, half = torch.tensor(x, dtype=torch.float32), torch.from_numpy(labels), points // 2
    return Split(inputs[:half], targets[:half], inputs[half:], targets[half:])


def one_halfwidth(network: nn.Module) -> dict[str, float]:
    """Return 2/sqrt(6) for every parameter: the box of the classification, by the units of a layer."""
    return {name: 2 / _UNITS**0.5 for name, _ in network.named_parameters()}


REGRESSION = Task(
    name="spiral-regression",
    title="A wave on a spiral: networks 2-W-W-1 of ReLU, W units a layer",
    network=lambda width: mlp(2, 1, (width, width), "relu"),
    data=wave,
    loss=mse_loss,
    box=by_outputs(2),
    sharpness=None,
    low=-3.0,
    high=-0.6,
    y_low=-1.6,
    y_high=1.6,
    cells=tuple((width, points) for points in (100, 200, 500) for width in (30, 100, 300, 1000)),
    baseline=Baseline(batch=10, rate=2e-3, epochs=10_000),
    short=Walk(dt=0.005, friction=3.0, walkers=32, learn=90_000, count=80_000, peak=0.2, power=0.7),
    full=Walk(dt=5e-5, friction=0.6, walkers=2, learn=20_000_000, count=10_000_000),
    needs="hours on one core for W = 30 and 100, a GPU for W = 300 and 1000",
)
CLASSIFICATION = Task(
    name="spiral-classification",
    title="Two spiral arms: ReLU networks of 6 units a layer; the width of a cell is its number of hidden layers",
    network=lambda layers: mlp(2, 2, (_UNITS,) * layers, "relu"),
    data=arms,
    loss=cross_entropy,
    box=one_halfwidth,
    sharpness=5.0,
    low=-1.2,
    high=-0.2,
    y_low=0.0,
    y_high=1.0,
    cells=tuple((layers, 80) for layers in (2, 3, 4, 5, 6)),
    baseline=Baseline(batch=10, rate=2e-3, epochs=10_000),
    short=Walk(dt=0.03, friction=1.0, walkers=64, learn=40_000, count=40_000),
    full=Walk(dt=0.03, friction=1.0, walkers=64, learn=1_000_000, count=1_000_000),
    needs="about half an hour on two cores for each depth; published by Monte Carlo, 16 walkers",
)


def _check_even(points: int, multiple: int) -> None:
    if points < multiple or points % multiple:
        raise ValueError(f"points = {points} must be a multiple of {multiple}, for half of them are test points")
