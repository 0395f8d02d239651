"""Networks by name, as run files ask for them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from mdnet.networks.convolutional import convnet, preact_resnet, resnet
from mdnet.networks.dense import linear, mlp
from mdnet.networks.parts import Shape
from mdnet.networks.scale_invariant import (
    preact_resnet18,
    scale_invariant_convnet,
    scale_invariant_mlp,
    unit_linear,
)
from mdnet.spelling import unknown

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "mlp": mlp,
    "linear": linear,
    "convnet": convnet,
    "resnet": resnet,
    "preact-resnet": preact_resnet,
    "unit-linear": unit_linear,
    "scale-invariant-mlp": scale_invariant_mlp,
    "scale-invariant-convnet": scale_invariant_convnet,
    "preact-resnet18": preact_resnet18,
}


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
