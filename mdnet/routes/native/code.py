"""A step as one C++ function, or as one function for each part of it between two gradients."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from torch import Tensor

from integrators import Phase
from mdnet.routes.native.expressions import Array, Untraceable
from mdnet.routes.native.loops import Segment
from mdnet.routes.native.operations import TYPES
from mdnet.routes.native.tracing import Trace

TILE = 32  # replicas that move together, so that what is one number a replica is computed in vectors
_CONSTANTS = """
constexpr long TILE = {tile};
static long tile_of(long replicas, long threads) {{ return std::min(TILE, (replicas + threads - 1) / threads); }}
"""
_LOOP = """
constexpr long FORCES = {forces};
extern "C" void advance(void **a, const real *data, const real *target, const real *weight, const real *fixed,
                        [[maybe_unused]] const int64_t *rows, long apart, [[maybe_unused]] long batches, long replicas,
                        long steps, long threads) {{
    const long room = tile_of(replicas, threads);
{before}
    in_tiles(replicas, room, threads, [=](long first, long count) {{
        Scratch<real> work(WORK), slopes(room * DOF), images(room * DOF);
        real *slope = slopes.at, *image = images.at;
        double loss[TILE];
{room}{locals}
        for (long step = 0; step < steps; step++) {{
{body}
        }}
        if (first == 0) {{ {results} }}
    }});
}}
"""
_PART = """
extern "C" void part{number}(void **a, double *losses, real *slopes, real *images, long replicas, long threads) {{
    const long room = tile_of(replicas, threads);
{before}
    in_tiles(replicas, room, threads, [=](long first, long count) {{
        double *loss = losses + first;
        real *slope = slopes + first * {dof}, *image = images + first * {dof};
{locals}
{body}
        if (first == 0) {{ {results} }}
    }});
}}
"""


class Code:
    """Puts the parts of a step together; the tensors they use become a table of addresses.

    A trace is what happens between two gradients, None a gradient: at q, or with walls at its mirror image.
    """

    def __init__(self, phase: Phase, parts: Sequence[Trace | None], *, walls: bool) -> None:
        self.phase, self.parts, self.walls = phase, parts, walls
        self.tensors: list[Tensor] = []
        self._shared: dict[int, Tensor] = {}  # those that all replicas share and that change, by their number
        self._segments = [None if part is None else self._segment(part, k) for k, part in enumerate(parts)]

    def loop(self, force: str, room: str) -> str:
        """Return a function that takes steps, the gradient being that of a dense network.

        `force`: the C++ of an evaluation at {where}, the {number}-th of a step's; `room`: what it declares beforehand.
        """
        where = "image + t * DOF" if self.walls else f"{self._pointer(self.phase.q)} + (first + t) * DOF"
        numbers = count()
        body = [
            force.format(where=where, number=next(numbers)) if each is None else "\n".join(each[1])
            for each in self._segments
        ]
        declared = [line for each in self._segments if each is not None for line in each[0]]
        filled = self._filled(declared, body) | {"room": room, "forces": str(self.forces)}
        return _CONSTANTS.format(tile=TILE) + _LOOP.format(**filled)

    @property
    def forces(self) -> int:
        """Evaluations of the force in a step."""
        return sum(part is None for part in self.parts)

    def functions(self) -> str:
        """Return a function for each part, part0, part1 and so on."""
        text = _CONSTANTS.format(tile=TILE)
        for number, each in enumerate(self._segments):
            if each is not None:
                filled = self._filled(*each)
                text += _PART.format(number=number, dof=self.phase.q.shape[1], **filled)
        return text

    def _filled(self, declared: Sequence[str], body: Sequence[str]) -> dict[str, str]:
        kinds = [TYPES[tensor.dtype] for tensor in self.tensors]
        pointers = [f"        {kind} *__restrict a{k} = ({kind} *)a[{k}];" for k, kind in enumerate(kinds)]
        before, copies, results = [], [], []
        for k, tensor in self._shared.items():
            kind, size = kinds[k], tensor.numel()
            before.append(f"    std::array<{kind}, {size}> b{k}; std::copy_n(({kind} *)a[{k}], {size}, b{k}.begin());")
            copies.append(f"        auto c{k} = b{k};")
            results.append(f"std::copy_n(c{k}.begin(), {size}, a{k});")
        return {
            "before": "\n".join(before), "locals": "\n".join([*pointers, *copies, *declared]),
            "body": "\n".join(body), "results": " ".join(results),
        }  # fmt: skip

    def _segment(self, trace: Trace, number: int) -> tuple[list[str], list[str]]:
        """What a trace declares, and its statements."""
        arrays = {name: self._array(name, tensor, trace) for name, tensor in trace.tensors.items()}
        arrays |= {name: Array(place, "tile") for name, place in trace.held.items()}
        segment = Segment(trace.graph, arrays, trace.shared, f"s{number}_")
        body = segment.write()
        return segment.declared, [body]

    def _array(self, name: str, tensor: Tensor, trace: Trace) -> Array:
        number = self._number(tensor)
        if name in trace.shared and _changes(name, trace):
            if tensor.is_floating_point():
                raise Untraceable("a bath variable that replicas share changes")
            self._shared[number] = tensor
        name_in_code = f"c{number}" if number in self._shared else f"a{number}"
        return Array(name_in_code, "all" if name in trace.shared else "own")

    def _pointer(self, tensor: Tensor) -> str:
        return f"a{self._number(tensor)}"

    def _number(self, tensor: Tensor) -> int:
        if not tensor.is_contiguous():
            raise Untraceable("a tensor that is not contiguous")
        for number, known in enumerate(self.tensors):
            if known is tensor:
                return number
        self.tensors.append(tensor)
        return len(self.tensors) - 1


def _changes(name: str, trace: Trace) -> bool:
    stores: Sequence[object] = [n.args[0] for n in trace.graph.nodes if str(n.target).startswith("aten.copy_.")]
    return any(getattr(target, "name", None) == name for target in stores)
