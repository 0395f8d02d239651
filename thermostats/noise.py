"""Random numbers of the stochastic baths: torch's generator, or a counter-based one inside a compiled graph.

torch's normal numbers cost more than all else that a compiled step does around its force. In a compiled graph
they are therefore made by Threefry-2x32 with 13 rounds from (key, count), which the graph fuses with their use.
Key and count are a bath variable, so that a checkpoint holds them. Each replica has numbers of its own by its row,
so that a part of the replicas draws what it would among all of them: source[3] is the row of the first.

Reference: Salmon, Moraes, Dror, Shaw, Proc. SC11, 16 (2011): 13 rounds pass BigCrush; Box, Muller (1958).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import pi, prod

import torch
from torch import Tensor

_ROUNDS = 13
_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY = 0x1BD11BDA


_counted = False


@contextmanager
def counted() -> Iterator[None]:
    """Draw by count inside the block where nothing is compiled, too."""
    global _counted
    before, _counted = _counted, True
    try:
        yield
    finally:
        _counted = before


def source(like: Tensor) -> Tensor:
    """Return a new source of random numbers for tensors like this one: a key of two words, a count, a row, int64.

    The key is drawn from torch's default generator, so that one seed makes a run.
    """
    words = torch.randint(-(2**31), 2**31, (2,), dtype=torch.int64)
    return torch.cat([words, torch.zeros(2, dtype=torch.int64)]).to(like.device)


def normal(like: Tensor, source: Tensor) -> Tensor:
    """Return normal numbers of mean 0 and variance 1 in the shape, type and device of `like`."""
    if not (_counted or torch.compiler.is_compiling()):
        return torch.randn_like(like)
    first, second = _words(like, source)
    radius = torch.sqrt(-2 * torch.log(_unit(first, like.dtype)))
    angle = (2 * pi) * _unit(second, like.dtype)
    return _joined(radius * torch.cos(angle), radius * torch.sin(angle), like)


def uniform(like: Tensor, source: Tensor) -> Tensor:
    """Return numbers uniform in (0, 1) in the shape, type and device of `like`."""
    if not (_counted or torch.compiler.is_compiling()):
        return torch.rand_like(like)
    first, second = _words(like, source)
    return _joined(_unit(first, like.dtype), _unit(second, like.dtype), like)


def _joined(first: Tensor, second: Tensor, like: Tensor) -> Tensor:
    """Both halves of the columns side by side; the last number is dropped where their number is odd."""
    return torch.cat([first, second], -1)[..., : like.shape[-1]]


def _words(like: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """Two random words for each pair of columns of `like`, int32 each; the source's count goes up by one."""
    shape = (*like.shape[:-1], (like.shape[-1] + 1) // 2)
    index = torch.arange(prod(shape), dtype=torch.int32, device=source.device).view(shape)
    index = index + (source[3] * prod(shape[1:])).to(torch.int32)
    low, high = source[2].to(torch.int32), (source[2] >> 32).to(torch.int32)
    k0, k1 = source[0].to(torch.int32), source[1].to(torch.int32) ^ high
    words = threefry(k0, k1, index, low.expand(shape))
    source[2].add_(1)
    return words


def threefry(k0: Tensor, k1: Tensor, x0: Tensor, x1: Tensor, rounds: int = _ROUNDS) -> tuple[Tensor, Tensor]:
    """Threefry-2x32: mix the words x (...,) under the key k; all int32 with wrap-around."""
    keys = (k0, k1, k0 ^ k1 ^ _PARITY)
    x0, x1 = x0 + keys[0], x1 + keys[1]
    for i in range(rounds):
        x0 = x0 + x1
        x1 = _rotate(x1, _ROTATIONS[i % 8]) ^ x0
        if i % 4 == 3:
            turn = i // 4 + 1
            x0, x1 = x0 + keys[turn % 3], x1 + keys[(turn + 1) % 3] + turn
    return x0, x1


def _rotate(word: Tensor, bits: int) -> Tensor:
    return (word << bits) | ((word >> (32 - bits)) & ((1 << bits) - 1))


def _unit(word: Tensor, dtype: torch.dtype) -> Tensor:
    """Map int32 words to (0, 1): 23 bits in float32, 32 in float64, at the middles of their cells, without rounding."""
    if dtype == torch.float64:
        return (word.to(dtype) + (2.0**31 + 0.5)) * 2.0**-32
    return (((word >> 9) & 0x7FFFFF).to(dtype) + 0.5) * 2.0**-23
