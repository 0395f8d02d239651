"""What the networks are made of by name: shapes of inputs, sizes, activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import nn

from mdnet.activations import RationalTanh
from mdnet.spelling import unknown

Shape = int | Sequence[int]
"""The shape of one input: a number of features, or (channels, height, width)."""

Activation = Literal["tanh", "relu", "gelu", "silu", "sigmoid", "identity", "tanh-rational"]
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
    "tanh-rational": RationalTanh,
}


def positive(name: str, sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the sizes; raises ValueError where one is below one."""
    if any(size < 1 for size in sizes):
        raise ValueError(f"{name} = {tuple(sizes)}: every size must be one or more")
    return tuple(sizes)


def shape_of(inputs: Shape) -> tuple[int, ...]:
    """Return the shape of one input; raises ValueError for sizes below one."""
    return positive("inputs", [inputs] if isinstance(inputs, int) else inputs)


def image_of(what: str, inputs: Shape, pixels: int) -> tuple[int, ...]:
    """Return (channels, height, width); raises ValueError for another shape and for fewer pixels a side."""
    shape = shape_of(inputs)
    if len(shape) != 3 or min(shape[1:]) < pixels:
        raise ValueError(
            f"inputs of shape {shape}: {what} needs (channels, height, width) with at least {pixels} x {pixels} "
            "pixels; take mlp, or fewer channels"
        )
    return shape


def activation_of(name: str) -> nn.Module:
    """Return a new activation; raises ValueError for an unknown name."""
    if name not in ACTIVATIONS:
        raise ValueError(unknown("activation", name, ACTIVATIONS))
    return ACTIVATIONS[name]()
