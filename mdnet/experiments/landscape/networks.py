"""The convolutional networks of the entropy landscapes: three blocks for digits, and a small ResNet with LayerNorm."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn


def three_blocks(channels: int, outputs: int = 10, pixels: int = 28) -> nn.Sequential:
    """Return five 3 x 3 convolutions of `channels` in three blocks, of one, two and two, and a linear map at the end.

    A ReLU is behind each convolution, the maximum over 2 x 2 pixels behind each block: (n, 1, pixels, pixels) ->
    (n, outputs). With 28 pixels and ten outputs it has 36 c^2 + 104 c + 10 parameters: 362, 646 and 1002 for c = 2, 3,
    4.
    Reference: Yang, Zhang, Shang, Zhang, arXiv:2503.13145.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    number, before = 0, 1
    for block, depth in enumerate((1, 2, 2), start=1):
        for _ in range(depth):
            number += 1
            layers[f"convolution{number}"] = nn.Conv2d(before, channels, kernel_size=3, padding=1)
            layers[f"activation{number}"] = nn.ReLU()
            before = channels
        layers[f"maximum{block}"] = nn.MaxPool2d(2)
    layers["flatten"] = nn.Flatten()
    layers["output"] = nn.Linear((pixels >> 3) ** 2 * channels, outputs)
    return nn.Sequential(layers)


def layer_norm_resnet(channels: Sequence[int] = (6, 12, 24, 48), outputs: int = 2, pixels: int = 32) -> nn.Sequential:
    """Return a residual network of one block for each number of channels: (n, 3, pixels, pixels) -> (n, outputs).

    A 3 x 3 convolution with ReLU; blocks, of which all but the first halve the image; the mean over all pixels; a
    linear map. It has no BatchNorm, so the loss of a data set is the mean of the losses of its rows. By default it has
    43,604 parameters. Reference: Yang, Zhang, Shang, Zhang, arXiv:2503.13145.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["convolution"] = nn.Conv2d(3, channels[0], kernel_size=3, padding=1, bias=False)
    layers["activation"] = nn.ReLU()
    before = channels[0]
    for stage, after in enumerate(channels, start=1):
        layers[f"block{stage}"] = LayerNormBlock(before, after, stride=1 if stage == 1 else 2)
        before = after
    layers["mean"], layers["flatten"] = nn.AvgPool2d(pixels >> (len(channels) - 1)), nn.Flatten()
    layers["output"] = nn.Linear(before, outputs)
    return nn.Sequential(layers)


class LayerNormBlock(nn.Module):
    """A residual block, ReLU(F(x) + S(x)): F is two 3 x 3 convolutions, each with a LayerNorm over the channels.

    S is the identity, or a 1 x 1 convolution where `stride` or the number of channels changes the shape.
    """

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution1 = nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm1, self.activation = nn.LayerNorm(after), nn.ReLU()
        self.convolution2 = nn.Conv2d(after, after, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.LayerNorm(after)
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.skip = nn.Conv2d(before, after, kernel_size=1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output (n, after, height/stride, width/stride) for x (n, before, height, width)."""
        inner = self.activation(_over_channels(self.norm1, self.convolution1(x)))
        y: Tensor = self.activation(_over_channels(self.norm2, self.convolution2(inner)) + self.skip(x))
        return y


def _over_channels(norm: nn.Module, x: Tensor) -> Tensor:
    """Normalise the channels of each pixel of x (n, channels, height, width)."""
    y: Tensor = norm(x.movedim(1, -1)).movedim(-1, 1)
    return y
