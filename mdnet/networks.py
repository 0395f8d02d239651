"""Small networks by name, for scripts and run files; any other torch.nn.Module serves as well."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, Literal

from torch import Tensor, nn

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
    _check_image(f"a convnet of {len(sizes)} layers", shape, 1 << len(sizes))
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for k, (before, after) in enumerate(zip([shape[0], *sizes], sizes, strict=False), start=1):
        layers[f"convolution{k}"] = nn.Conv2d(before, after, kernel_size=3, padding=1)
        layers[f"activation{k}"] = _activation(activation)
        layers[f"mean{k}"] = nn.AvgPool2d(2)
    layers["flatten"] = nn.Flatten()
    pixels = prod(side >> len(sizes) for side in shape[1:])
    layers["output"] = nn.Linear([shape[0], *sizes][-1] * pixels, _positive("outputs", [outputs])[0])
    return nn.Sequential(layers)


def resnet(
    inputs: Shape,
    outputs: int,
    channels: Sequence[int] = (16, 32, 64),
    blocks: int = 1,
    activation: Activation = "relu",
) -> nn.Sequential:
    """Return a residual network (n, channels, height, width) -> (n, outputs) of 2 blocks len(channels) + 2 layers.

    A 3 x 3 `convolution`, its `norm` and `activation`; then for each number of channels `blocks` residual blocks
    stage1_block1, stage1_block2, ..., the first of every stage but the first with stride 2; then the mean over all
    pixels and `output`. The norms are BatchNorm, which couples the rows of a batch: in a particle system they always
    use its statistics, so that the energy of a batch is not the mean of energies of its rows.

    Raises ValueError for inputs that are no images or too small to be halved that often, for sizes below one
    and for an unknown activation.

    Reference: He, Zhang, Ren, Sun, CVPR 2016, section 4.2 (channels (16, 32, 64), blocks 3: ResNet-20).
    """
    shape, sizes = _shape(inputs), _positive("channels", channels)
    _check_image(f"a resnet of {len(sizes)} stages", shape, 1 << (len(sizes) - 1))
    depth = _positive("blocks", [blocks])[0]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["convolution"] = nn.Conv2d(shape[0], sizes[0], kernel_size=3, padding=1, bias=False)
    layers["norm"], layers["activation"] = nn.BatchNorm2d(sizes[0]), _activation(activation)
    before = sizes[0]
    for stage, after in enumerate(sizes, start=1):
        for block in range(1, depth + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            layers[f"stage{stage}_block{block}"] = Residual(before, after, stride, activation)
            before = after
    layers["mean"], layers["flatten"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    layers["output"] = nn.Linear(before, _positive("outputs", [outputs])[0])
    return nn.Sequential(layers)


class Residual(nn.Module):
    """A residual block, activation(F(x) + S(x)): F is two 3 x 3 convolutions, each with its BatchNorm.

    S is the identity, or a 1 x 1 convolution with BatchNorm where `stride` or the number of channels changes the shape.
    """

    def __init__(self, before: int, after: int, stride: int = 1, activation: Activation = "relu") -> None:
        super().__init__()
        self.convolution1 = nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm1, self.activation1 = nn.BatchNorm2d(after), _activation(activation)
        self.convolution2 = nn.Conv2d(after, after, kernel_size=3, padding=1, bias=False)
        self.norm2, self.activation2 = nn.BatchNorm2d(after), _activation(activation)
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.skip = nn.Sequential(
                OrderedDict(
                    convolution=nn.Conv2d(before, after, kernel_size=1, stride=stride, bias=False),
                    norm=nn.BatchNorm2d(after),
                )
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output (n, after, height/stride, width/stride) for x (n, before, height, width)."""
        inner = self.norm2(self.convolution2(self.activation1(self.norm1(self.convolution1(x)))))
        y: Tensor = self.activation2(inner + self.skip(x))
        return y


NETWORKS: dict[str, Callable[..., nn.Module]] = {"mlp": mlp, "linear": linear, "convnet": convnet, "resnet": resnet}


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


def _check_image(what: str, shape: tuple[int, ...], pixels: int) -> None:
    if len(shape) != 3 or min(shape[1:]) < pixels:
        raise ValueError(
            f"inputs of shape {shape}: {what} needs (channels, height, width) with at least {pixels} x {pixels} "
            "pixels; take mlp, or fewer channels"
        )


def _positive(name: str, sizes: Sequence[int]) -> tuple[int, ...]:
    if any(size < 1 for size in sizes):
        raise ValueError(f"{name} = {tuple(sizes)}: every size must be one or more")
    return tuple(sizes)


def _activation(name: str) -> nn.Module:
    if name not in ACTIVATIONS:
        raise ValueError(unknown("activation", name, ACTIVATIONS))
    return ACTIVATIONS[name]()
