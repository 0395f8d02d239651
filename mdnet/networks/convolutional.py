"""Convolutional networks for images, without and with residual blocks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
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
    depth = positive("blocks", [blocks])[0]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["convolution"] = nn.Conv2d(shape[0], sizes[0], kernel_size=3, padding=1, bias=False)
    layers["norm"], layers["activation"] = nn.BatchNorm2d(sizes[0]), activation_of(activation)
    before = sizes[0]
    for stage, after in enumerate(sizes, start=1):
        for block in range(1, depth + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            layers[f"stage{stage}_block{block}"] = Residual(before, after, stride, activation)
            before = after
    layers["mean"], layers["flatten"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    layers["output"] = nn.Linear(before, positive("outputs", [outputs])[0])
    return nn.Sequential(layers)


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
