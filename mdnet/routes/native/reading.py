"""Reads a network and its loss as a chain of layers: which networks are such chains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from mdnet.networks.scale_invariant import UnitLinear
from mdnet.routes.native.network import Chain, Layer, Norm, Place

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem

_ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.Identity: "Identity", nn.Tanh: "Tanh", nn.Sigmoid: "Sigmoid", nn.ReLU: "ReLU", nn.SiLU: "SiLU",
}  # fmt: skip
_NOTHING = (nn.Dropout, nn.Flatten)
_WIDEST = 256  # wider layers are better off with a matrix library


class Unfit(ValueError):
    """The network, its loss or its data are not what the native code is for."""


def chain(system: ParticleSystem, points: int) -> Chain:
    """Return the chain of a system's network on `points` rows; raises Unfit with the reason where it is none."""
    if system.device.type != "cpu" or system.dtype not in (torch.float32, torch.float64):
        raise Unfit(f"native code is for float32 and float64 on a CPU, not {system.dtype} on {system.device.type}")
    reader = _Reader(system)
    layers = reader.layers()
    widest = max(max(layer.inputs, layer.outputs) for layer in layers)
    if widest > _WIDEST:
        raise Unfit(f"a layer is {widest} wide; native code is for layers up to {_WIDEST}")
    if unread := [entry.name for entry in system.table.entries if entry.name not in reader.read]:
        raise Unfit(f"{unread[0]!r} is no parameter of a Linear or BatchNorm layer")
    if layers[-1].activation != "Identity":
        raise Unfit("there is an activation behind the last Linear layer")
    if points < 2 and any(layer.norm for layer in layers):
        raise Unfit("BatchNorm needs two rows or more")
    loss = _loss(system, layers[0].inputs, layers[-1].outputs)
    return Chain(layers, tuple(reader.frozen), loss, points, system.dof, system.dtype)


class _Reader:
    """Reads the layers of a network, and finds the places of their parameters."""

    def __init__(self, system: ParticleSystem) -> None:
        self.network = system.network
        self._parameters = dict(system.network.named_parameters())  # those that are tied once
        self._offsets = {entry.name: entry.offset for entry in system.table.entries}
        self.read: set[str] = set()
        self.frozen: list[str] = []
        self._frozen_size = 0

    def layers(self) -> tuple[Layer, ...]:
        """Return the layers; raises Unfit where there is something else."""
        found: list[Layer] = []
        for name, module in _modules(self.network):
            _check_plain(module)
            if type(module) in _NOTHING:
                if isinstance(module, nn.Flatten) and (found or (module.start_dim, module.end_dim) != (1, -1)):
                    raise Unfit("a Flatten that is not the first layer")
            elif type(module) in (nn.Linear, UnitLinear):
                found.append(self._linear(name, module))
            elif found and (joined := self._joined(found[-1], name, module)) is not None:
                found[-1] = joined
            else:
                raise Unfit(
                    f"there is no native code for {type(module).__name__} here; there is for Linear layers with "
                    f"BatchNorm1d and {', '.join(kind.__name__ for kind in _ACTIVATIONS)} between them"
                )
        if not found:
            raise Unfit("there is no Linear layer")
        return tuple(found)

    def _linear(self, name: str, module: nn.Module) -> Layer:
        assert isinstance(module, nn.Linear | UnitLinear)
        weight, unit = self._place(name, "weight"), isinstance(module, UnitLinear)
        if unit and weight.frozen:
            raise Unfit(f"the weight of layer {name!r}, which is divided by its norm, is frozen")
        bias = None if getattr(module, "bias", None) is None else self._place(name, "bias")
        return Layer(module.in_features, module.out_features, weight, bias, unit=unit)

    def _joined(self, layer: Layer, name: str, module: nn.Module) -> Layer | None:
        """The layer with a norm or an activation behind it; None where that does not fit there."""
        if layer.activation != "Identity":
            return None
        if type(module) is nn.BatchNorm1d and layer.norm is None:
            if module.num_features != layer.outputs or module.running_mean is not None:
                return None
            places = [self._place(name, each) if module.affine else None for each in ("weight", "bias")]
            return replace(layer, norm=Norm(module.eps, *places))
        if type(module) not in _ACTIVATIONS:
            return None
        if type(module) is nn.SiLU and layer.norm is not None and layer.norm.weight is not None:
            return None  # its slope needs what is behind the norm, and that is not kept
        return replace(layer, activation=_ACTIVATIONS[type(module)])

    def _place(self, module: str, parameter: str) -> Place:
        name = f"{module}.{parameter}" if module else parameter
        if name not in self._parameters or name in self.read:
            raise Unfit(f"parameters of layer {module!r} are tied")
        self.read.add(name)
        if name in self._offsets:
            return Place(self._offsets[name])
        place = Place(self._frozen_size, frozen=True)
        self.frozen.append(name)
        self._frozen_size += self._parameters[name].numel()
        return place


def _modules(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of nested Sequentials in the order in which they act, with their names."""
    if type(module).forward is not nn.Sequential.forward:
        yield "", module
        return
    _check_plain(module)
    for name, child in module._modules.items():  # named_children would leave out what stands there twice
        assert child is not None
        for below, each in _modules(child):
            yield f"{name}.{below}".rstrip("."), each


def _check_plain(module: nn.Module) -> None:
    """Raise Unfit for a module whose call is not just its class's forward."""
    if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks:
        raise Unfit(f"{type(module).__name__} has hooks")
    if "forward" in vars(module):
        raise Unfit(f"{type(module).__name__} has a forward of its own")


def _loss(system: ParticleSystem, first: int, outputs: int) -> str:
    given, targets = system.loss, system.targets if system.shares_data else system.targets[0]
    inputs = system.inputs if system.shares_data else system.inputs[0]
    if not inputs.is_floating_point() or prod(inputs.shape[1:]) != first:
        raise Unfit("the inputs are not rows of numbers, one for each input of the first layer")
    if given is functional.mse_loss or (type(given) is nn.MSELoss and given.reduction == "mean"):
        if targets.shape != (len(inputs), outputs) or not targets.is_floating_point():
            raise Unfit("the targets of mse_loss are not rows of as many numbers as the outputs")
        return "squared_error"
    if given is functional.cross_entropy:
        if targets.shape != ((len(inputs), outputs) if targets.is_floating_point() else (len(inputs),)):
            raise Unfit("the targets of cross_entropy are neither classes nor probabilities of a row of outputs")
        return "cross_entropy"
    raise Unfit(
        f"there is no native code for the loss {getattr(given, '__name__', given)}; "
        "there is for mse_loss and cross_entropy"
    )
