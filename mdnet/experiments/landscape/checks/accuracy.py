"""The smooth accuracy beside the accuracy, while classifiers of two spiral arms are trained."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from mdnet.experiments.results import Array, Check
from mdnet.landscape import margin, smooth_accuracy
from mdnet.networks import mlp
from mdnet.system import ParticleSystem
from mdnet.training import minimise

SHARP = 5.0, 7.0
STAGES = 0, 300, 1_000, 3_000  # steps of Adam


class Stage(NamedTuple):
    """After some steps: the mean train loss, the mean accuracy, and |A~ - A| by sharpness (sharpnesses, networks)."""

    steps: int
    loss: float
    accuracy: float
    apart: Array


def stages(seed: int = 0, *, networks: int = 24, layers: int = 3) -> list[Stage]:
    """Train networks of `layers` x 6 units on 160 points of two spiral arms, and compare the metrics on 400 others."""
    from mdnet.experiments.landscape.tasks.spirals import arms

    train, test = arms(320, seed=1 + seed), arms(800, seed=1_001 + seed)
    system = ParticleSystem(
        mlp(2, 2, (6,) * layers, "relu"), cross_entropy, train.inputs, train.targets, replicas=networks
    )
    q, done, found = system.positions(seed=seed), 0, []
    for steps in STAGES:
        q = minimise(system, q, steps - done, 5e-3, progress=False)
        done = steps
        right = system.evaluate(accuracy, q, test.inputs, test.targets)
        smooth = [system.evaluate(smooth_accuracy(k), q, test.inputs, test.targets) for k in SHARP]
        apart = torch.stack([(each - right).abs() for each in smooth]).numpy()
        found.append(Stage(steps, float(system.energy(q).mean()), float(right.mean()), apart))
    return found


def accuracy(output: Tensor, targets: Tensor) -> Tensor:
    """Return the share of rows whose true logit is the largest."""
    return (margin(output, targets) > 0).to(output.dtype).mean()


def checks(found: list[Stage]) -> list[Check]:
    """Return the claim for trained networks, one for each sharpness: the mean over networks, and the worst told."""
    last = found[-1]
    return [
        Check(f"trained classifiers: |A~ − A|, k = {k:g}", "< 0.05 in the mean over networks",
              f"{apart.mean():.3f}, {apart.max():.3f} at most, of A = {last.accuracy:.2f}", bool(apart.mean() < 0.05))
        for k, apart in zip(SHARP, last.apart, strict=True)
    ]  # fmt: skip


def rows(found: list[Stage]) -> list[list[str]]:
    """Return a row for each stage."""
    return [
        [
            f"smooth accuracy after {stage.steps} steps of Adam, train loss {stage.loss:.3f}, A = {stage.accuracy:.2f}",
            *("; ".join(f"|A~ − A| = {a.mean():.3f} at k = {k:g}" for k, a in zip(SHARP, stage.apart, strict=True)),),
            f"at most {stage.apart.max():.3f}",
        ]
        for stage in found
    ]
