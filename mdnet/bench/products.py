"""Convolutions as matrix products, for replicas with weights of their own, beside the grouped ones that torch makes."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional


class ProductConv2d(nn.Module):
    """A convolution as one matrix product, W (out, in k k) times the shifted images (in k k, n h w).

    Over replicas with weights of their own it becomes a batched product, where Conv2d becomes a grouped convolution,
    for which GPUs have slow kernels. The same numbers but for rounding; it takes k^2 times the memory of its inputs.

    It has the weight of `convolution`, one without bias, groups and dilation that is padded with zeros.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.stride = convolution.weight, convolution.stride
        self.edges = tuple(map(int, convolution.padding))

    def reset_parameters(self) -> None:
        """Draw the weight anew from torch's default generator, as Conv2d does."""
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, out, height, width) for x (n, in, height, width)."""
        rows, columns = self.weight.shape[2:]
        padded = functional.pad(x, (self.edges[1], self.edges[1], self.edges[0], self.edges[0])).transpose(0, 1)
        high, wide = padded.shape[2] - rows + 1, padded.shape[3] - columns + 1  # of the output, were the stride 1
        down, along = self.stride
        shifted = [padded[:, :, i : i + high : down, j : j + wide : along] for i in range(rows) for j in range(columns)]
        images = torch.stack(shifted, 1)  # (in, rows columns, n, height, width)
        product: Tensor = self.weight.flatten(1) @ images.flatten(0, 1).flatten(1)  # (out, n height width)
        return product.view(-1, *images.shape[2:]).transpose(0, 1)


def by_products(network: nn.Module) -> nn.Module:
    """Return a copy of a network whose convolutions are matrix products, where ProductConv2d knows them.

    Its weights have the same names, shapes and values.
    """
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d) and _known(child):
                setattr(module, name, ProductConv2d(child))
    return network


def _known(convolution: nn.Conv2d) -> bool:
    plain = convolution.bias is None and convolution.groups == 1 and set(convolution.dilation) == {1}
    return plain and convolution.padding_mode == "zeros" and not isinstance(convolution.padding, str)
