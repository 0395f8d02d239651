"""Convolutional networks for images, without and with residual blocks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from math import prod

from torch import Tensor, nn

from mdnet.networks.parts import Activation, Shape, activation_of, image_of, positive


def convnet(
    inputs: Shape, outputs: int, channels: Sequence[int] = (16, 32), activation: Activation = "relu"
) -> nn.Sequential:
    """Return a convolutional network (n, channels, height, width) -> (n, outputs).

    Layers convolution1, convolution2, ... (3 x 3, padded), each followed by its activation and the mean over
    2 x 2 pixels, which unlike the maximum leaves the energy smooth; then `output`.

    Raises ValueError for inputs that are no images or too small to be halved that often, for sizes below one
    and for an unknown activation.
    """
    sizes = positive("channels", channels)
    shape = image_of(f"a convnet of {len(sizes)} layers", inputs, 1 << len(sizes))
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for k, (before, after) in enumerate(zip([shape[0], *sizes], sizes, strict=False), start=1):
        layers[f"convolution{k}"] = nn.Conv2d(before, after, kernel_size=3, padding=1)
        layers[f"activation{k}"] = activation_of(activation)
        layers[f"mean{k}"] = nn.AvgPool2d(2)
    layers["flatten"] = nn.Flatten()
    pixels = prod(side >> len(sizes) for side in shape[1:])
    layers["output"] = nn.Linear([shape[0], *sizes][-1] * pixels, positive("outputs", [outputs])[0])
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
    sizes = positive("channels", channels)
    shape = image_of(f"a resnet of {len(sizes)} stages", inputs, 1 << (len(sizes) - 1))
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["convolution"] = nn.Conv2d(shape[0], sizes[0], kernel_size=3, padding=1, bias=False)
    layers["norm"], layers["activation"] = nn.BatchNorm2d(sizes[0]), activation_of(activation)
    layers |= stages(sizes, blocks, lambda before, after, stride: Residual(before, after, stride, activation))
    layers["mean"], layers["flatten"] = mean_over_pixels(shape, len(sizes)), nn.Flatten()
    layers["output"] = nn.Linear(sizes[-1], positive("outputs", [outputs])[0])
    return nn.Sequential(layers)


def preact_resnet(
    inputs: Shape,
    outputs: int,
    channels: Sequence[int] = (32, 64, 128, 256),
    blocks: int = 2,
    activation: Activation = "relu",
) -> nn.Sequential:
    """Return a residual network with norms before its convolutions: (n, channels, height, width) -> (n, outputs).

    A 3 x 3 `convolution`; for each number of channels `blocks` blocks stage1_block1, stage1_block2, ..., see
    PreActivation, the first of every stage but the first with stride 2; then the mean over all pixels and `output`.
    The norms are BatchNorm, which couples the rows of a batch: in a particle system they always use its statistics.
    The default is a ResNet-18 of a quarter of the usual widths' parameters: 2,796,202 for (3, 32, 32) and 10 outputs.

    Raises ValueError for inputs that are no images or too small to be halved that often, for sizes below one
    and for an unknown activation.

    Reference: He, Zhang, Ren, Sun, ECCV 2016, arXiv:1603.05027.
    """
    sizes = positive("channels", channels)
    shape = image_of(f"a preact_resnet of {len(sizes)} stages", inputs, 1 << (len(sizes) - 1))
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["convolution"] = nn.Conv2d(shape[0], sizes[0], kernel_size=3, padding=1, bias=False)
    layers |= stages(
        sizes, blocks, lambda before, after, stride: PreActivation(before, after, stride, nn.BatchNorm2d, activation)
    )
    layers["mean"], layers["flatten"] = mean_over_pixels(shape, len(sizes)), nn.Flatten()
    layers["output"] = nn.Linear(sizes[-1], positive("outputs", [outputs])[0])
    return nn.Sequential(layers)


def stages(channels: Sequence[int], blocks: int, block: Callable[[int, int, int], nn.Module]) -> dict[str, nn.Module]:
    """Return block(channels before, after, stride) as stage1_block1, stage1_block2, ..., so many a stage.

    The first of every stage but the first has stride 2, all others 1. Raises ValueError for fewer than one block.
    """
    before, layers = channels[0], dict[str, nn.Module]()
    for stage, after in enumerate(channels, start=1):
        for number in range(1, positive("blocks", [blocks])[0] + 1):
            stride = 2 if stage > 1 and number == 1 else 1
            layers[f"stage{stage}_block{number}"] = block(before, after, stride)
            before = after
    return layers


def mean_over_pixels(shape: Sequence[int], stages: int) -> nn.AvgPool2d:
    """Return the mean over all pixels that are left of inputs (channels, height, width) after so many stages.

    Every stage but the first halves, rounding up. Unlike AdaptiveAvgPool2d it is vectorised over replicas.
    """
    height, width = (-(-side // (1 << (stages - 1))) for side in shape[1:])
    return nn.AvgPool2d((height, width))


class Residual(nn.Module):
    """A residual block, activation(F(x) + S(x)): F is two 3 x 3 convolutions, each with its BatchNorm.

    S is the identity, or a 1 x 1 convolution with BatchNorm where `stride` or the number of channels changes the shape.
    """

    def __init__(self, before: int, after: int, stride: int = 1, activation: Activation = "relu") -> None:
        super().__init__()
        self.convolution1 = nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm1, self.activation1 = nn.BatchNorm2d(after), activation_of(activation)
        self.convolution2 = nn.Conv2d(after, after, kernel_size=3, padding=1, bias=False)
        self.norm2, self.activation2 = nn.BatchNorm2d(after), activation_of(activation)
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


class PreActivation(nn.Module):
    """A residual block, S + conv(a(norm(conv(y)))) with y = a(norm(x)), a the activation and no biases.

    S is x, or a 1 x 1 convolution of y where `stride` or the number of channels changes the shape. `norm` makes a layer
    for so many channels; of one that takes away scale and mean, as BatchNorm without weight and bias does, and with
    relu the block is homogeneous: with all weights, and x, times c > 0 the result is c times as large.
    """

    def __init__(
        self,
        before: int,
        after: int,
        stride: int = 1,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.norm1, self.norm2, self.activation = norm(before), norm(after), activation_of(activation)
        self.convolution1 = nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1, bias=False)
        self.convolution2 = nn.Conv2d(after, after, kernel_size=3, padding=1, bias=False)
        self.skip: nn.Module | None = None
        if stride != 1 or before != after:
            self.skip = nn.Conv2d(before, after, kernel_size=1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output (n, after, height/stride, width/stride) for x (n, before, height, width)."""
        y = self.activation(self.norm1(x))
        inner = self.activation(self.norm2(self.convolution1(y)))
        z: Tensor = self.convolution2(inner) + (x if self.skip is None else self.skip(y))
        return z
