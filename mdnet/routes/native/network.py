"""A dense network and its loss as C++: which networks are such chains, and the code of their gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem

ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.Identity: "Identity", nn.Tanh: "Tanh", nn.Sigmoid: "Sigmoid", nn.ReLU: "ReLU", nn.SiLU: "SiLU",
}  # fmt: skip
_NOTHING = (nn.Dropout, nn.Flatten)
WIDEST = 256  # wider layers are better off with a matrix library
_GRAIN = 64  # bytes: points are padded to whole vectors of the widest registers
_TILES = (5, 6, 7)  # vectors whose sums stay in registers together
_SUMMING = 4  # vectors whose work is about that of adding up the lanes after a block
_CACHED = 640 * 1024  # bytes that the intermediate results of one block of points may take


class Unfit(ValueError):
    """The network, its loss or its data are not what the native code is for."""


@dataclass(frozen=True)
class Layer:
    """A linear map (outputs, inputs) and the activation behind it; where its weight and bias start in q."""

    inputs: int
    outputs: int
    weight: int
    bias: int | None
    activation: str = "Identity"


@dataclass(frozen=True)
class Chain:
    """Layers one after the other and the mean loss of their outputs over `points` rows of data."""

    layers: tuple[Layer, ...]
    loss: str
    points: int
    dof: int
    dtype: torch.dtype

    @property
    def real(self) -> str:
        """The C++ type of the numbers."""
        return "float" if self.dtype == torch.float32 else "double"

    @property
    def grain(self) -> int:
        """Points in a vector of the widest registers."""
        return _GRAIN // self.dtype.itemsize

    @property
    def block(self) -> int:
        """Points that go through the network together: whole tiles of 5 to 7 vectors, with little to pad."""
        vectors = -(-self.points // self.grain)
        if vectors <= _TILES[-1]:
            return self.grain * vectors
        column = _GRAIN * (self.layers[0].inputs + 2 * sum(layer.outputs for layer in self.layers))
        most = max(_TILES[-1], _CACHED // column)
        sizes = [tile * count for tile in _TILES for count in range(1, most // tile + 1)]
        return self.grain * min(sizes, key=lambda size: -(-vectors // size) * (size + _SUMMING))

    @property
    def blocks(self) -> int:
        """Blocks of points."""
        return -(-self.points // self.block)


def chain(system: ParticleSystem, points: int) -> Chain:
    """Return the chain of a system's network on `points` rows; raises Unfit with the reason where it is none."""
    if system.device.type != "cpu" or system.dtype not in (torch.float32, torch.float64):
        raise Unfit(f"native code is for float32 and float64 on a CPU, not {system.dtype} on {system.device.type}")
    layers = tuple(_layers(system))
    widest = max(max(layer.inputs, layer.outputs) for layer in layers)
    if widest > WIDEST:
        raise Unfit(f"a layer is {widest} wide; native code is for layers up to {WIDEST}")
    if sum(e.size for e in system.table.entries) != sum(x.outputs * (x.inputs + (x.bias is not None)) for x in layers):
        raise Unfit("not every parameter is a weight or bias of a Linear layer")
    if layers[-1].activation != "Identity":
        raise Unfit("there is an activation behind the last Linear layer")
    return Chain(layers, _loss(system, layers[-1].outputs), points, system.dof, system.dtype)


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


def _layers(system: ParticleSystem) -> Iterator[Layer]:
    places = {entry.name: entry.offset for entry in system.table.entries}
    pending: Layer | None = None
    for name, module in _modules(system.network):
        _check_plain(module)
        if type(module) in _NOTHING:
            if isinstance(module, nn.Flatten) and (
                pending is not None or (module.start_dim, module.end_dim) != (1, -1)
            ):
                raise Unfit("a Flatten that is not the first layer")
        elif type(module) is nn.Linear:
            if pending is not None:
                yield pending
            prefix = f"{name}." if name else ""
            if f"{prefix}weight" not in places or (module.bias is not None and f"{prefix}bias" not in places):
                raise Unfit(f"parameters of layer {name!r} are frozen or tied")
            bias = None if module.bias is None else places[f"{prefix}bias"]
            pending = Layer(module.in_features, module.out_features, places[f"{prefix}weight"], bias)
        elif type(module) in ACTIVATIONS and pending is not None and pending.activation == "Identity":
            pending = Layer(pending.inputs, pending.outputs, pending.weight, pending.bias, ACTIVATIONS[type(module)])
        else:
            raise Unfit(
                f"there is no native code for {type(module).__name__} here; there is for Linear layers with "
                f"{', '.join(kind.__name__ for kind in ACTIVATIONS)} between them"
            )
    if pending is None:
        raise Unfit("there is no Linear layer")
    yield pending


def _loss(system: ParticleSystem, outputs: int) -> str:
    given, targets = system.loss, system.targets if system.shares_data else system.targets[0]
    inputs = system.inputs if system.shares_data else system.inputs[0]
    if not inputs.is_floating_point() or prod(inputs.shape[1:]) != _first(system):
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


def _first(system: ParticleSystem) -> int:
    return next(m.in_features for _, m in _modules(system.network) if isinstance(m, nn.Linear))


def gradient_code(chain: Chain) -> str:
    """Return a C++ function of one replica that gives its mean loss and the gradient g of it.

    It walks over the blocks of points: forward, loss, backward, with z, h and dU/dz of each layer in `work`.
    """
    layers, last = chain.layers, len(chain.layers) - 1
    ahead: list[str] = []
    back: list[str] = []
    for k, layer in enumerate(layers):
        shape, x, e = f"{layer.inputs}, {layer.outputs}, POINTS", f"h{k - 1}" if k else "x", f"e{k}"
        w, b, gb = f"q + {layer.weight}", "nullptr", "nullptr"
        if layer.bias is not None:
            b, gb = f"q + {layer.bias}", f"g + {layer.bias}"
        ahead.append(f"forward<{layer.activation}, {shape}>({w}, {b}, {x}, z{k}, h{k});")
        down = [f"gradients<{shape}>({e}, {x}, g + {layer.weight}, {gb});"]
        if k:
            before = f"z{k - 1}, h{k - 1}, e{k - 1}"
            down.append(f"backward<{layers[k - 1].activation}, {shape}>({w}, {e}, {before});")
        back = down + back
    outputs = layers[last].outputs
    loss = f"{chain.loss}<{outputs}, POINTS>(h{last}, target + k * {outputs} * POINTS, weight + k * POINTS, e{last})"
    rows = {f"{name}{k}": layer.outputs for k, layer in enumerate(layers) for name in "zhe"}
    starts = [sum(list(rows.values())[:k]) for k in range(len(rows) + 1)]
    return _GRADIENT.format(
        dof=chain.dof, points=chain.block, blocks=chain.blocks, inputs=layers[0].inputs, outputs=outputs,
        places="".join(f"    real *{name} = work + {at} * POINTS;\n" for name, at in zip(rows, starts, strict=False)),
        rows=starts[-1], body="\n        ".join([*ahead, f"loss += {loss};", *back]),
    )  # fmt: skip


_GRADIENT = """
constexpr long DOF = {dof}, POINTS = {points}, BLOCKS = {blocks}, WORK = {rows} * POINTS;
constexpr long DATA = {inputs} * POINTS * BLOCKS, TARGET = {outputs} * POINTS * BLOCKS;

static __attribute__((noinline)) double  // inlined its sums would lack registers
loss_and_gradient(const real *q, real *g, const real *data, const real *target, const real *weight, real *work) {{
{places}    double loss = 0;
    std::memset(g, 0, sizeof(real) * DOF);
    for (long k = 0; k < BLOCKS; k++) {{
        const real *x = data + k * {inputs} * POINTS;
        {body}
    }}
    return loss;
}}
"""
