"""Elements of a traced graph's tensors as C++ expressions, each named where it is needed first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, NamedTuple

import torch
from torch import fx

from mdnet.routes.native import indices
from mdnet.routes.native.indices import Index, Place, broadcast, fixed
from mdnet.routes.native.operations import TYPES, cast, expression, literal

UNROLLED = 8  # dimensions up to this size are written out, longer ones become loops


class Untraceable(ValueError):
    """A step does something that cannot be written out."""


class Missing(Exception):
    """A long sum, or joined vectors, that a loop of its own has to compute first."""

    def __init__(self, node: fx.Node, index: Index) -> None:
        self.node, self.index = node, index


@dataclass(frozen=True)
class Array:
    """What a tensor of the graph is in C++: its name, and its rows.

    "all": any may be read; "own": a replica reads none but its own; "tile": the same, and only the tile's are there.
    """

    name: str
    rows: Literal["all", "own", "tile"] = "all"


class Value(NamedTuple):
    """An expression, its type, and what it varies with: "loop", "replica" or nothing."""

    text: str
    dtype: torch.dtype
    varies: str


def shape_of(node: Any) -> tuple[int, ...]:
    """Return the shape of what a node holds."""
    return tuple(node.meta["val"].shape)


def dtype_of(node: Any) -> torch.dtype:
    """Return the type of the numbers that a node holds."""
    dtype: torch.dtype = node.meta["val"].dtype
    if dtype not in TYPES:
        raise Untraceable(f"numbers of type {dtype}")
    return dtype


def name_of(node: Any) -> str:
    """Return the operation's name without overload and kind: "add" for aten.add.Tensor, "view" for aten.view_copy."""
    return str(getattr(node.target, "__name__", node.target)).split(".")[0].strip("_").removesuffix("_copy")


def varies(index: Index) -> str:
    """Return what an element with this index varies with."""
    symbols = {symbol for symbol, _ in index}
    return "loop" if "c" in symbols else "replica" if "r" in symbols else ""


def arguments(node: Any) -> tuple[Any, ...]:
    """Return a node's positional arguments."""
    return tuple(node.args)


def optional(node: fx.Node, position: int, default: Any) -> Any:
    """Return a positional argument that may be left out."""
    return node.args[position] if len(node.args) > position and node.args[position] is not None else default


class Expressions:
    """Expressions of one segment: `arrays` says what its placeholders and constants are in C++.

    `define(value)` gives an expression a name and returns it under that. `length`: of the present loop.
    """

    def __init__(self, arrays: dict[str, Array], define: Callable[[Value], Value]) -> None:
        self.arrays, self.define = arrays, define
        self.known: dict[tuple[fx.Node, Index], Value] = {}  # what varies with no loop
        self.inside: dict[tuple[fx.Node, Index], Value] = {}  # of the present loop
        self.length = 0

    def __call__(self, node: Any, index: Index) -> Value:
        """Return the element of a node at an index; raises Missing and Untraceable."""
        index = broadcast(index, shape_of(node))
        found = self.inside if varies(index) == "loop" else self.known
        if (node, index) not in found:
            found[node, index] = self.define(self._made(node, index))
        return found[node, index]

    def address(self, node: Any, index: Index) -> str:
        """Return the C++ of an array's element."""
        array, shape, terms = self.arrays[node.name], shape_of(node), []
        if array.rows != "all" and index[0] != ("r", 0):
            raise Untraceable("a replica that reads another one's numbers")
        for dim, (symbol, offset) in enumerate(index):
            stride = prod(shape[dim + 1 :])
            letter = "t" if symbol == "r" and array.rows == "tile" else symbol
            terms += [f"{stride} * {letter}"] if symbol else []
            terms += [str(stride * offset)] if offset else []
        return f"{array.name}[{' + '.join(terms) or '0'}]"

    def summed(self, node: fx.Node, index: Index) -> tuple[fx.Node, Callable[[Place], Index], int]:
        """Return what a sum adds up, its index by the running one, and the number of terms."""
        source: Any = node.args[0]
        shape = shape_of(source)
        dims = [dim % len(shape) for dim in optional(node, 1, range(len(shape)))]
        if len(dims) != 1:
            raise Untraceable(f"a sum over dimensions {dims} of {shape}")
        dim = dims[0]
        before, after = index[:dim], index[dim + 1 if optional(node, 2, False) else dim :]
        return source, lambda place: (*before, place, *after), shape[dim]

    def pieces(self, node: fx.Node) -> tuple[list[tuple[fx.Node, int]], int]:
        """Return the pieces of joined tensors, where each begins, and the dimension along which they are joined."""
        dim = optional(node, 1, 0) % len(shape_of(node))
        found: list[tuple[fx.Node, int]] = []
        begin = 0
        for piece in arguments(node)[0]:
            found.append((piece, begin))
            begin += shape_of(piece)[dim]
        return found, dim

    def _made(self, node: fx.Node, index: Index) -> Value:
        dtype, name = dtype_of(node), name_of(node)
        if node.op in ("placeholder", "get_attr") or node.name in self.arrays:
            return Value(self.address(node, index), dtype, varies(index))
        if maker := _SPECIAL.get(name):
            return maker(self, node, index)
        source: Any = node.args[0] if node.args else None
        if name in ("to", "copy"):
            value = self(node.args[1] if name == "copy" else source, index)
            return Value(cast(value.text, value.dtype, dtype), dtype, value.varies)
        if isinstance(source, fx.Node):
            inner = indices.through(name, arguments(node), index, shape_of(source), shape_of(node))
            if inner is not None:
                return self(source, inner)
        return self._computed(node, name, index, dtype)

    def _computed(self, node: fx.Node, name: str, index: Index, dtype: torch.dtype) -> Value:
        seen = [""]

        def given(argument: Any, kind: torch.dtype) -> str:
            if not isinstance(argument, fx.Node):
                return literal(argument, kind)
            value = self(argument, index)
            seen.append(value.varies)
            return cast(value.text, value.dtype, kind)

        def common(*arguments: Any) -> torch.dtype:
            held = [each.meta["val"] if isinstance(each, fx.Node) else each for each in arguments]
            return torch.result_type(*held) if len(held) == 2 else held[0].dtype

        text = expression(name, arguments(node), dict(node.kwargs), dtype, given, common)
        if text is None:
            raise Untraceable(f"the operation {node.target}")
        return Value(text, dtype, max(seen, key=["", "replica", "loop"].index))


def _sum(make: Expressions, node: fx.Node, index: Index) -> Value:
    source, inner, length = make.summed(node, index)
    dtype = dtype_of(node)
    if length > UNROLLED:
        if varies(index) == "loop":
            raise Untraceable(f"a sum over {length} numbers inside a loop")
        raise Missing(node, index)
    terms = [make(source, inner(fixed(k))) for k in range(length)]
    text = " + ".join(cast(term.text, term.dtype, dtype) for term in terms)
    return Value(f"({text})", dtype, max((t.varies for t in terms), key=["", "replica", "loop"].index))


def _cat(make: Expressions, node: fx.Node, index: Index) -> Value:
    pieces, dim = make.pieces(node)
    symbol, offset = index[dim]
    length = make.length if symbol else 1
    for piece, begin in pieces:
        if begin <= offset and offset + length <= begin + shape_of(piece)[dim]:
            return make(piece, (*index[:dim], (symbol, offset - begin), *index[dim + 1 :]))
    raise Missing(node, index)


def _stack(make: Expressions, node: fx.Node, index: Index) -> Value:
    dim = optional(node, 1, 0) % len(index)
    symbol, offset = index[dim]
    if symbol:
        raise Untraceable("stacked vectors inside a loop")
    return make(arguments(node)[0][offset], index[:dim] + index[dim + 1 :])


def _select_scatter(make: Expressions, node: fx.Node, index: Index) -> Value:
    base, source, given, at = arguments(node)
    dim = given % len(index)
    symbol, offset = index[dim]
    if symbol:
        raise Untraceable("a store into one of many inside a loop")
    here = offset == at % shape_of(base)[dim]
    return make(source, index[:dim] + index[dim + 1 :]) if here else make(base, index)


def _slice_scatter(make: Expressions, node: fx.Node, index: Index) -> Value:
    base, source = arguments(node)[:2]
    dim = optional(node, 2, 0) % len(index)
    start, size, length = optional(node, 3, 0), shape_of(source)[dim], shape_of(base)[dim]
    if optional(node, 5, 1) != 1:
        raise Untraceable("a store into every so many numbers")
    start = max(start + length, 0) if start < 0 else start
    symbol, offset = index[dim]
    last = offset + (make.length if symbol else 1)
    if start <= offset and last <= start + size:
        return make(source, (*index[:dim], (symbol, offset - start), *index[dim + 1 :]))
    if last <= start or start + size <= offset:
        return make(base, index)
    raise Untraceable("a store into a part of a vector inside a loop")


def _getitem(make: Expressions, node: fx.Node, index: Index) -> Value:
    """An element of unbind or split: a view of what they take apart."""
    parent, which = arguments(node)
    name = name_of(parent)
    if name == "unbind":
        dim = optional(parent, 1, 0) % (len(index) + 1)
        return make(parent.args[0], (*index[:dim], fixed(which), *index[dim:]))
    if name not in ("split", "split_with_sizes"):
        raise Untraceable(f"the operation {parent.target}")
    dim, sizes = optional(parent, 2, 0) % len(index), arguments(parent)[1]
    begin = sizes * which if isinstance(sizes, int) else sum(sizes[:which])
    symbol, offset = index[dim]
    return make(parent.args[0], (*index[:dim], (symbol, offset + begin), *index[dim + 1 :]))


def _view(make: Expressions, node: fx.Node, index: Index) -> Value:
    """A view is an index map; one of arange gives the numbers of its elements."""
    source: Any = node.args[0]
    shape = shape_of(node)
    if name_of(source) != "arange":
        inner = indices.through("view", arguments(node), index, shape_of(source), shape)
        if inner is None:
            raise Untraceable(f"a view of {shape_of(source)} as {shape}")
        return make(source, inner)
    begin, step = source.args[0] if len(source.args) > 1 else 0, optional(source, 2, 1)
    if begin != 0 or step != 1:
        raise Untraceable("numbers in turn that do not begin at 0 with steps of 1")
    terms = [f"{prod(shape[dim + 1 :])} * ({symbol or 0} + {offset})" for dim, (symbol, offset) in enumerate(index)]
    return Value(f"{TYPES[dtype_of(node)]}({' + '.join(terms)})", dtype_of(node), varies(index))


def _constant(make: Expressions, node: fx.Node, index: Index) -> Value:
    name, dtype = name_of(node).removesuffix("_like"), dtype_of(node)
    known = {"zeros": 0, "ones": 1}
    value = known[name] if name in known else arguments(node)[0 if name == "scalar_tensor" else 1]
    return Value(literal(value, dtype), dtype, "")


_SPECIAL: dict[str, Callable[[Expressions, fx.Node, Index], Value]] = {
    "sum": _sum, "cat": _cat, "stack": _stack, "select_scatter": _select_scatter, "slice_scatter": _slice_scatter,
    "getitem": _getitem, "view": _view, "unsafe_view": _view, "reshape": _view,
    **dict.fromkeys(("zeros", "ones", "full", "zeros_like", "ones_like", "full_like", "scalar_tensor"), _constant),
}  # fmt: skip
