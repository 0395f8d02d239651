"""Where an element of a view lies in what it is a view of: index maps of a traced graph's views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Place = tuple[str, int]
"""One index: a symbol ("r" replica, "c" running, "" none) and what is added to it."""
Index = tuple[Place, ...]
ZERO: Place = ("", 0)


def fixed(number: int) -> Place:
    """Return the index of a known number."""
    return ("", number)


def broadcast(index: Index, shape: Sequence[int]) -> Index:
    """Return the index of an argument of this shape, aligned from the right; dimensions of size one are repeated."""
    own = index[len(index) - len(shape) :]
    return tuple(ZERO if size == 1 else place for place, size in zip(own, shape, strict=True))


def through(
    name: str, args: tuple[Any, ...], index: Index, source: Sequence[int], shape: Sequence[int]
) -> Index | None:
    """Return the index into the first argument, of shape `source`, for one of the view, of shape `shape`.

    None for an operation that is no view.
    """
    ndim = len(source)
    if name in ("expand", "alias", "detach", "clone", "lift_fresh", "contiguous"):
        return broadcast(index, source)
    if name == "select":
        dim, at = args[1] % ndim, args[2] % source[args[1] % ndim]
        return (*index[:dim], fixed(at), *index[dim:])
    if name == "slice":
        dim = (args[1] if len(args) > 1 else 0) % ndim
        start = (args[2] if len(args) > 2 else 0) or 0
        if len(args) > 4 and args[4] != 1:
            return None
        symbol, offset = index[dim]
        start = max(start + source[dim], 0) if start < 0 else start
        return (*index[:dim], (symbol, offset + start), *index[dim + 1 :])
    if name in ("permute", "transpose", "t"):
        order = _order(name, args, ndim)
        return tuple(index[order.index(dim)] for dim in range(ndim))
    if name in ("unsqueeze", "squeeze", "view"):
        return _refolded(index, shape, source)
    return None


def _order(name: str, args: tuple[Any, ...], ndim: int) -> list[int]:
    if name == "permute":
        return [dim % ndim for dim in args[1]]
    order = list(range(ndim))
    one, other = (args[1] % ndim, args[2] % ndim) if len(args) > 2 else (0, ndim - 1)
    order[one], order[other] = order[other], order[one]
    return order


def _refolded(index: Index, shape: Sequence[int], source: Sequence[int]) -> Index | None:
    """The index where only dimensions of size one come or go; None where others are joined or split."""
    if [n for n in shape if n != 1] != [n for n in source if n != 1]:
        return None
    kept = iter(place for place, size in zip(index, shape, strict=True) if size != 1)
    return tuple(ZERO if size == 1 else next(kept) for size in source)
