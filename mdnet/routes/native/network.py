"""A dense network and its loss as a chain of layers, and where their numbers are."""

from __future__ import annotations

from dataclasses import dataclass

import torch

_GRAIN = 64  # bytes: points are padded to whole vectors of the widest registers
_TILES = (5, 6, 7)  # vectors whose sums stay in registers together
_SUMMING = 4  # vectors whose work is about that of adding up the lanes after a block
_CACHED = 640 * 1024  # bytes that the intermediate results of one block of points may take


@dataclass(frozen=True)
class Place:
    """Where a tensor starts: among the positions, or among the frozen parameters, which are no particles."""

    start: int
    frozen: bool = False


@dataclass(frozen=True)
class Norm:
    """BatchNorm over the batch, (z - mean)/sqrt(variance + eps), and where its weight and bias start if it has some."""

    eps: float
    weight: Place | None
    bias: Place | None


@dataclass(frozen=True)
class Layer:
    """A linear map (outputs, inputs), then BatchNorm where there is one, then an activation.

    `unit`: the map is divided by its Frobenius norm.
    """

    inputs: int
    outputs: int
    weight: Place
    bias: Place | None
    norm: Norm | None = None
    activation: str = "Identity"
    unit: bool = False


@dataclass(frozen=True)
class Chain:
    """Layers one after the other and the mean loss of their outputs over `points` rows of data."""

    layers: tuple[Layer, ...]
    frozen: tuple[str, ...]  # the names of the frozen parameters, in the order of their places
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
        """Points that go through the network together: whole tiles of 5 to 7 vectors, with little to pad.

        All of them, where a BatchNorm needs the statistics of all.
        """
        vectors = -(-self.points // self.grain)
        if vectors <= _TILES[-1] or any(layer.norm for layer in self.layers):
            return self.grain * vectors
        column = _GRAIN * (self.layers[0].inputs + 2 * sum(layer.outputs for layer in self.layers))
        most = max(_TILES[-1], _CACHED // column)
        sizes = [tile * count for tile in _TILES for count in range(1, most // tile + 1)]
        return self.grain * min(sizes, key=lambda size: -(-vectors // size) * (size + _SUMMING))

    @property
    def blocks(self) -> int:
        """Blocks of points."""
        return -(-self.points // self.block)
