"""Small networks by name, for scripts and run files; any other torch.nn.Module serves as well."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, Literal

from torch import nn

from mdnet.spelling import unknown

Shape = int | Sequence[int]
"""The shape of one input: a number of features, or (channels, height, width)."""

Activation = Literal["tanh", "relu", "gelu", "silu", "sigmoid", "identity"]
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}


def linear(inputs: Shape, outputs: int) -> nn.Sequential:
    """Return the linear map W x + b, whose posterior is known in closed form."""
    return mlp(inputs, outputs, hidden=())


def mlp(
    inputs: Shape, outputs: int, hidden: Sequence[int] = (32, 32), activation: Activation = "tanh"
) -> nn.Sequential:
    """Return a fully connected network (n, *inputs) -> (n, outputs) with layers hidden1, hidden2, ..., output.

    Raises ValueError for sizes below one and for an unknown activation.
    """
    shape = _shape(inputs)
    sizes = _positive("hidden", hidden)
    widths = [prod(shape), *sizes]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if len(shape) > 1:
        layers["flatten"] = nn.Flatten()
    for k, (before, after) in enumerate(zip(widths, sizes, strict=False), start=1):
        layers[f"hidden{k}"] = nn.Linear(before, after)
        layers[f"activation{k}"] = _activation(activation)
    layers["output"] = nn.Linear(widths[-1], _positive("outputs", [outputs])[0])
    return nn.Sequential(layers)


def convnet(
    inputs: Shape, outputs: int, channels: Sequence[int] = (16, 32), activation: Activation = "relu"
) -> nn.Sequential:
    """Return a convolutional network (n, channels, height, width) -> (n, outputs).

    Layers convolution1, convolution2, ... (3 x 3, padded), each followed by its activation and the mean over
    2 x 2 pixels, which unlike the maximum leaves the energy smooth; then `output`.

    Raises ValueError for inputs that are no images or too small to be halved that often, for sizes below one
    and for an unknown activation.
    """
    shape, sizes = _shape(inputs), _positive("channels", channels)
    if len(shape) != 3 or min(shape[1:]) >> len(sizes) < 1:
        raise ValueError(
            f"inputs of shape {shape}: a convnet of {len(sizes)} layers needs (channels, height, width) with at "
            f"least {1 << len(sizes)} x {1 << len(sizes)} pixels; take mlp, or fewer channels"
        )
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for k, (before, after) in enumerate(zip([shape[0], *sizes], sizes, strict=False), start=1):
        layers[f"convolution{k}"] = nn.Conv2d(before, after, kernel_size=3, padding=1)
        layers[f"activation{k}"] = _activation(activation)
        layers[f"mean{k}"] = nn.AvgPool2d(2)
    layers["flatten"] = nn.Flatten()
    pixels = prod(side >> len(sizes) for side in shape[1:])
    layers["output"] = nn.Linear([shape[0], *sizes][-1] * pixels, _positive("outputs", [outputs])[0])
    return nn.Sequential(layers)


NETWORKS: dict[str, Callable[..., nn.Module]] = {"mlp": mlp, "linear": linear, "convnet": convnet}


def build(name: str, inputs: Shape, outputs: int, options: Mapping[str, Any] | None = None) -> nn.Module:
    """Return the network called `name` in NETWORKS for one input's shape and a number of outputs.

    Raises ValueError for an unknown name or option, naming the nearest known one.
    """
    if name not in NETWORKS:
        raise ValueError(unknown("network", name, NETWORKS))
    maker, given = NETWORKS[name], dict(options or {})
    allowed = [key for key in inspect.signature(maker).parameters if key not in ("inputs", "outputs")]
    for key in given:
        if key not in allowed:
            raise ValueError(unknown(f"option of the network {name!r}", key, allowed))
    return maker(inputs, outputs, **given)


def _shape(inputs: Shape) -> tuple[int, ...]:
    return _positive("inputs", [inputs] if isinstance(inputs, int) else inputs)


def _positive(name: str, sizes: Sequence[int]) -> tuple[int, ...]:
    if any(size < 1 for size in sizes):
        raise ValueError(f"{name} = {tuple(sizes)}: every size must be one or more")
    return tuple(sizes)


def _activation(name: str) -> nn.Module:
    if name not in ACTIVATIONS:
        raise ValueError(unknown("activation", name, ACTIVATIONS))
    return ACTIVATIONS[name]()
