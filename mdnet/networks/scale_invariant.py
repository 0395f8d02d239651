"""Networks whose output does not change when all their particles are scaled together, f(a w) = f(w) for a > 0."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdnet.networks.convolutional import PreActivation, mean_over_pixels, stages
from mdnet.networks.parts import Activation, Shape, activation_of, image_of, positive, shape_of

EPSILON = 1e-12  # of the variances of BatchNorm: the usual 1e-5 is no longer small where weights on a unit sphere are
_LAST = 0  # seed of the frozen last layers


def unit_linear(inputs: Shape, outputs: int) -> nn.Sequential:
    """Return the network of one layer f(x) = W x/|W|, without a bias, for inputs (n, features) or images."""
    shape = shape_of(inputs)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if len(shape) > 1:
        layers["flatten"] = nn.Flatten()
    layers["output"] = UnitLinear(prod(shape), positive("outputs", [outputs])[0])
    return nn.Sequential(layers)


class UnitLinear(nn.Module):
    """A linear map that does not know its scale, f(x) = W x/|W| with the Frobenius norm |W|.

    `weight` (out_features, in_features) begins as that of torch.nn.Linear.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weight anew from torch's default generator."""
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, out_features) for x (n, in_features)."""
        return functional.linear(x, self.weight / self.weight.norm())

    def extra_repr(self) -> str:
        """Return the sizes, for the network's description."""
        return f"in_features={self.in_features}, out_features={self.out_features}"


def scale_invariant_mlp(
    inputs: Shape,
    outputs: int,
    hidden: Sequence[int] = (6, 6),
    norm: float = 10.0,
    activation: Activation = "relu",
) -> nn.Sequential:
    """Return a fully connected scale-invariant network with layers hidden1, norm1, activation1, ..., output.

    The hidden layers have no bias, each is followed by BatchNorm without weight and bias; `output` is frozen, without
    a bias, of Frobenius norm `norm`, see `last_layer`. The norms couple the rows of a batch: in a particle system and
    outside they use its statistics.

    Raises ValueError for no hidden layer, sizes below one, a norm that is not positive and an unknown activation.

    Reference: Kodryan, Lobacheva, Nakhodnov, Vetrov, NeurIPS 2022, arXiv:2209.03695 (how networks are made invariant).
    """
    shape, sizes = shape_of(inputs), positive("hidden", hidden)
    if not sizes:
        raise ValueError("hidden = (): only hidden layers are particles here; give one or more, or take unit_linear")
    widths = [prod(shape), *sizes]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if len(shape) > 1:
        layers["flatten"] = nn.Flatten()
    for k, (before, after) in enumerate(zip(widths, sizes, strict=False), start=1):
        layers[f"hidden{k}"] = nn.Linear(before, after, bias=False)
        layers[f"norm{k}"] = nn.BatchNorm1d(after, EPSILON, affine=False, track_running_stats=False)
        layers[f"activation{k}"] = activation_of(activation)
    layers["output"] = last_layer(widths[-1], outputs, norm)
    return nn.Sequential(layers)


def scale_invariant_convnet(inputs: Shape, outputs: int, channels: int = 8, norm: float = 10.0) -> nn.Sequential:
    """Return ConvNet(c): four 3 x 3 convolutions to c, 2c, 4c and 8c channels, made scale invariant.

    No convolution has a bias, each is followed by BatchNorm without weight and bias and by ReLU, the second and third
    also by the maximum over 2 x 2 pixels, the fourth by the maximum over all that are left; then the frozen `output`,
    see `last_layer`. On (3, 32, 32) it has 24,408 particles for channels = 8 and 1,550,016 for 64.

    Raises ValueError for inputs that are no images of 4 x 4 pixels or more, sizes below one, a norm not positive.

    Reference: Kodryan, Lobacheva, Nakhodnov, Vetrov, NeurIPS 2022, arXiv:2209.03695.
    """
    shape = image_of("a convnet that halves twice", inputs, 4)
    before = shape[0]
    widths = [positive("channels", [channels])[0] << k for k in range(4)]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for k, after in enumerate(widths, start=1):
        layers[f"convolution{k}"] = nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False)
        layers[f"norm{k}"], layers[f"activation{k}"] = _norm(after), nn.ReLU()
        if k in (2, 3):
            layers[f"maximum{k}"] = nn.MaxPool2d(2)
        before = after
    layers["maximum4"] = nn.MaxPool2d((shape[1] >> 2, shape[2] >> 2))
    layers["flatten"], layers["output"] = nn.Flatten(), last_layer(before, outputs, norm)
    return nn.Sequential(layers)


def preact_resnet18(inputs: Shape, outputs: int, channels: int = 4, norm: float = 10.0) -> nn.Sequential:
    """Return PreAct ResNet-18(k) with k, 2k, 4k and 8k channels, two blocks each, scale invariant in all its weights.

    A 3 x 3 `convolution`; blocks stage1_block1, ..., stage4_block2, see PreActivation, stages 2 to 4 halving; `norm`,
    `activation`, the mean over all pixels and the frozen `output`, see `last_layer`. What runs along the sums is linear
    in the last convolutions of each branch, so that it grows as the common scale of all weights, and the last norm,
    which the usual form of the network lacks, takes it away. It is not invariant in the scale of one layer alone.
    On (3, 32, 32) it has 43,692 particles for channels = 4.

    Raises ValueError for inputs that are no images of 8 x 8 pixels or more, sizes below one, a norm not positive.

    Reference: He, Zhang, Ren, Sun, ECCV 2016, arXiv:1603.05027.
    """
    shape = image_of("a network of 4 stages", inputs, 8)
    sizes = [positive("channels", [channels])[0] << k for k in range(4)]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["convolution"] = nn.Conv2d(shape[0], sizes[0], kernel_size=3, padding=1, bias=False)
    layers |= stages(sizes, 2, lambda before, after, stride: PreActivation(before, after, stride, _norm))
    layers["norm"], layers["activation"] = _norm(sizes[-1]), nn.ReLU()
    layers["mean"], layers["flatten"] = mean_over_pixels(shape, len(sizes)), nn.Flatten()
    layers["output"] = last_layer(sizes[-1], outputs, norm)
    return nn.Sequential(layers)


def last_layer(inputs: int, outputs: int, norm: float) -> nn.Linear:
    """Return a frozen linear layer without a bias, its weight (outputs, inputs) of Frobenius norm `norm`.

    Its direction comes from a generator of its own: it is the same for all replicas, all seeds of the starting
    positions and in every process, so that a resumed run has the same energy. It is no particle.
    Raises ValueError for sizes below one and a norm that is not positive.
    """
    if not 0 < norm < float("inf"):
        raise ValueError(f"norm = {norm} must be finite and positive: it is that of the frozen last layer")
    layer = nn.Linear(inputs, positive("outputs", [outputs])[0], bias=False)
    own = torch.Generator().manual_seed(_LAST)
    with torch.no_grad():
        drawn = torch.randn(layer.weight.shape, generator=own, dtype=torch.float64)
        layer.weight.copy_(norm * drawn / drawn.norm())
    layer.weight.requires_grad_(False)
    return layer


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, EPSILON, affine=False, track_running_stats=False)
