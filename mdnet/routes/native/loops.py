"""A traced segment of a step written out as C++ loops: over a tile of replicas, and over parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import fx

from mdnet.routes.native.expressions import (
    UNROLLED,
    Array,
    Expressions,
    Missing,
    Untraceable,
    Value,
    dtype_of,
    name_of,
    shape_of,
)
from mdnet.routes.native.indices import Index, Place, fixed
from mdnet.routes.native.operations import TYPES, cast


@dataclass(frozen=True)
class Root:
    """A value of the graph and where it is stored."""

    value: Any
    index: Index
    target: str


class Segment:
    """Writes the statements of a traced graph for a tile of replicas r = first + t, t < count <= TILE.

    The graph is functional: it reads, computes, and stores at its end. What a loop over parameters computes is
    inlined into it; long sums and joined vectors that it needs are computed by loops of their own before it, and what
    is one number a replica by one loop over the tile. `shared`: placeholders that belong to all replicas.
    """

    def __init__(self, graph: fx.Graph, arrays: dict[str, Array], shared: frozenset[str], prefix: str) -> None:
        self.graph, self.shared, self.prefix = graph, shared, prefix
        self.make = Expressions(dict(arrays), self._define)
        self.lines: list[str] = []
        self.declared: list[str] = []
        self._single: list[str] = []  # statements of single numbers that come before the next loop
        self._each: list[str] = []  # the same, of numbers of each replica
        self._body: list[str] = []  # of the present loop
        self._names = 0

    def write(self) -> str:
        """Return the block of statements; what they store in between is `declared`, once for all steps."""
        vectors, scalars = self._roots()
        values: list[Value] = [self._settled(partial(self.make, root.value, root.index)) for root in scalars]
        self._flush()
        written: list[str] = []
        for length, roots in vectors.items():
            begun = len(self.lines)
            self._vector_loop(length, roots)
            if any(f"= {name}[" in line for name in written for line in self.lines[begun:]):
                raise Untraceable("vectors of several lengths that read what others store")
            written += [root.target.split("[")[0] for root in roots]
        for root, value in zip(scalars, values, strict=True):
            (self._each if "r" in dict(root.index) else self._single).append(f"{root.target} = {value.text};")
        self._flush()
        return "\n".join(["{", *self.lines, "}"])

    def _roots(self) -> tuple[dict[int, list[Root]], list[Root]]:
        """What is stored: vectors by the length of their loop, and single elements."""
        vectors: dict[int, list[Root]] = {}
        scalars: list[Root] = []
        for node in self.graph.nodes:
            if node.op == "call_function" and name_of(node) == "copy" and str(node.target).startswith("aten.copy_."):
                target, value = node.args[:2]
                for index, length in self._elements(target):
                    kind = dtype_of(target)
                    if dtype_of(value) != kind:
                        raise Untraceable(f"{dtype_of(value)} is stored as {kind}")
                    root = Root(value, index, self.make.address(target, index))
                    (vectors.setdefault(length, []) if length else scalars).append(root)
        return vectors, scalars

    def _elements(self, target: fx.Node) -> Iterator[tuple[Index, int]]:
        """Indices that cover a tensor, and their loop's length: the long dimension as a loop, short ones one by one."""
        shape, shared = shape_of(target), target.name in self.shared
        long = [dim for dim in range(0 if shared else 1, len(shape)) if shape[dim] > UNROLLED]
        if len(long) > 1:
            raise Untraceable(f"a tensor of shape {shape} has more than one long dimension")
        choices: list[list[Place]] = []
        for dim, size in enumerate(shape):
            whole: list[Place] = [("r", 0)] if dim == 0 and not shared else [("c", 0)]
            choices.append(whole if dim in long or (dim == 0 and not shared) else [fixed(k) for k in range(size)])
        for index in _product(choices):
            yield index, shape[long[0]] if long else 0

    def _settled(self, attempt: Callable[[], Any]) -> Any:
        """Return what the attempt returns; what it finds missing is computed first, then it is tried again."""
        while True:
            before = (dict(self.make.known), list(self._single), list(self._each), list(self.declared))
            try:
                return attempt()
            except Missing as missing:
                node, index = missing.node, missing.index
            self.make.known, self._single, self._each, self.declared = before
            if name_of(node) == "sum":
                self._sum_loop(node, index)
            else:
                self._join(node)

    def _sum_loop(self, node: fx.Node, index: Index) -> None:
        source, inner, length = self.make.summed(node, index)
        kind = TYPES[dtype_of(node)]

        def attempt() -> Value:
            self._begin(length)
            return self.make(source, inner(("c", 0)))

        value = self._settled(attempt)
        self._flush()
        name = self._name()
        self.declared.append(f"{kind} {name}[TILE];")
        self._over_tile([
            f"{kind} total = 0;", "#pragma omp simd reduction(+ : total)", f"for (long c = 0; c < {length}; c++) {{",
            *self._body, f"total += {cast(value.text, value.dtype, dtype_of(node))};", "}", f"{name}[t] = total;",
        ])  # fmt: skip
        self.make.known[node, index] = Value(f"{name}[t]", dtype_of(node), "replica")

    def _join(self, node: fx.Node) -> None:
        """Store joined vectors side by side in memory of the tile; pieces of one length share their loop."""
        pieces, dim = self.make.pieces(node)
        shape, name, kind = shape_of(node), self._name(), TYPES[dtype_of(node)]
        if dim == 0 or dim != len(shape) - 1 or any(size > UNROLLED for size in shape[1:dim]):
            raise Untraceable(f"joined tensors of shape {shape}")
        row = 1
        for size in shape[1:]:
            row *= size
        middles = list(_product([[fixed(k) for k in range(size)] for size in shape[1:dim]]))
        by_length: dict[int, list[Root]] = {}
        for piece, begin in pieces:
            for number, middle in enumerate(middles):
                target = f"{name}[{row} * t + {number * shape[dim] + begin} + c]"
                root = Root(piece, (("r", 0), *middle, ("c", 0)), target)
                by_length.setdefault(shape_of(piece)[dim], []).append(root)
        self.declared.append(f"Scratch<{kind}> {name}_room(room * {row}); {kind} *{name} = {name}_room.at;")
        for length, roots in by_length.items():
            self._vector_loop(length, roots)
        self.make.arrays[node.name] = Array(name, "tile")

    def _vector_loop(self, length: int, roots: Sequence[Root]) -> None:
        """One loop that computes values and stores them, each at its place."""

        def attempt() -> list[str]:
            self._begin(length)
            return [f"{root.target} = {self.make(root.value, root.index).text};" for root in roots]

        stores = self._settled(attempt)
        self._flush()
        self._over_tile(["#pragma omp simd", f"for (long c = 0; c < {length}; c++) {{", *self._body, *stores, "}"])

    def _begin(self, length: int) -> None:
        self.make.length, self.make.inside, self._body = length, {}, []

    def _define(self, value: Value) -> Value:
        """Name an expression: in the loop that is being written, or before it where it does not vary there."""
        kind, name = TYPES[value.dtype], self._name()
        if value.varies == "loop":
            self._body.append(f"const {kind} {name} = {value.text};")
        elif value.varies == "replica":
            self.declared.append(f"{kind} {name}[TILE];")
            name = f"{name}[t]"
            self._each.append(f"{name} = {value.text};")
        else:
            self._single.append(f"const {kind} {name} = {value.text};")
        return Value(name, value.dtype, value.varies)

    def _name(self) -> str:
        self._names += 1
        return f"{self.prefix}{self._names}"

    def _flush(self) -> None:
        """Write the single numbers that have come up, then those of each replica in one loop."""
        self.lines += self._single
        if self._each:
            self._over_tile(self._each, vector=True)
        self._single, self._each = [], []

    def _over_tile(self, statements: Sequence[str], *, vector: bool = False) -> None:
        self.lines += ["#pragma omp simd"] if vector else []
        self.lines += [
            "for (long t = 0; t < count; t++) {",
            "[[maybe_unused]] const long r = first + t;",
            *statements,
            "}",
        ]


def _product(choices: Sequence[Sequence[Place]]) -> Iterator[Index]:
    """All indices with one place of each dimension's choices."""
    if not choices:
        yield ()
        return
    for place in choices[0]:
        for rest in _product(choices[1:]):
            yield (place, *rest)
