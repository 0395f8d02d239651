"""Fully connected networks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from math import prod

from torch import nn

from mdnet.networks.parts import Activation, Shape, activation_of, positive, shape_of


def linear(inputs: Shape, outputs: int) -> nn.Sequential:
    """Return the linear map W x + b, whose posterior is known in closed form."""
    return mlp(inputs, outputs, hidden=())


def mlp(
    inputs: Shape, outputs: int, hidden: Sequence[int] = (32, 32), activation: Activation = "tanh"
) -> nn.Sequential:
    """Return a fully connected network (n, *inputs) -> (n, outputs) with layers hidden1, hidden2, ..., output.

    Raises ValueError for sizes below one and for an unknown activation.
    """
    shape = shape_of(inputs)
    sizes = positive("hidden", hidden)
    widths = [prod(shape), *sizes]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if len(shape) > 1:
        layers["flatten"] = nn.Flatten()
    for k, (before, after) in enumerate(zip(widths, sizes, strict=False), start=1):
        layers[f"hidden{k}"] = nn.Linear(before, after)
        layers[f"activation{k}"] = activation_of(activation)
    layers["output"] = nn.Linear(widths[-1], positive("outputs", [outputs])[0])
    return nn.Sequential(layers)
