"""Accuracies as variables: of networks that classify, and of networks of signs whose states can be counted."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from mdnet.experiments.landscape.task import Split
from mdnet.landscape import Mean, margin
from mdnet.landscape.enumeration import accuracy_of_signs, binary_network, of_counts
from mdnet.landscape.variables import Variable
from mdnet.priors import Box
from mdnet.system import Loss, ParticleSystem
from trajectories.landscape import Axis

UNITS = 6  # of the network of signs: 2^18 states


def accuracy(output: Tensor, targets: Tensor) -> Tensor:
    """Return the share of rows whose true logit is the largest: logits (n, classes), labels (n,) -> ()."""
    return (margin(output, targets) > 0).to(output.dtype).mean()


def accuracies(
    system: ParticleSystem, split: Split, metric: Loss = accuracy
) -> tuple[tuple[Variable, Variable], tuple[Axis, Axis]]:
    """Return training and test accuracy as variables, and axes with a bin for each number of right answers."""
    train = Mean(system, "train accuracy", metric=metric)
    test = Mean(system, "test accuracy", metric=metric, inputs=split.test_inputs, targets=split.test_targets)
    axes = of_counts("train accuracy", len(split.targets)), of_counts("test accuracy", len(split.test_targets))
    return (train, test), axes


def signs(split: Split, replicas: int) -> tuple[ParticleSystem, tuple[Variable, Variable], tuple[Axis, Axis]]:
    """Return networks of signs 2-h-1 with weights +1 and -1 on two classes of points, their accuracies, and axes."""
    inputs, targets = split.inputs, _signs(split.targets)
    system = ParticleSystem(
        binary_network((inputs.shape[1], UNITS, 1)), mse_loss, inputs, targets, replicas=replicas, prior=Box(1.0)
    )
    signed = Split(inputs, targets, split.test_inputs, _signs(split.test_targets))
    return system, *accuracies(system, signed, accuracy_of_signs)


def _signs(labels: Tensor) -> Tensor:
    return (2 * labels - 1).to(torch.get_default_dtype())[:, None]
