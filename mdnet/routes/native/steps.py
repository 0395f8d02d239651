"""Native steps: each replica moves by many steps, force and heat bath included, while it lies in the cache."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from integrators import Integrator, Phase, Splitting
from mdnet.routes.native.expressions import Array, Untraceable
from mdnet.routes.native.gradient import NativeGradient, gradient_source
from mdnet.routes.native.library import library
from mdnet.routes.native.loops import Segment
from mdnet.routes.native.network import Chain
from mdnet.routes.native.operations import TYPES
from mdnet.routes.native.tracing import Trace, parts_of_step, traced

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem

TILE = 32  # replicas that move together, so that what is one number a replica is computed in vectors
_SECONDS = 0.2  # that a block of steps may take, so that a run stops soon when it is asked to
_PREAMBLE = """
constexpr long TILE = {tile};

extern "C" void advance(void **a, const real *data, const real *target, const real *weight, long apart, long replicas,
                        long steps, long threads) {{
{before}
    in_tiles(replicas, std::min(TILE, (replicas + threads - 1) / threads), threads, [=](long first, long count) {{
        thread_local Scratch<real> work(WORK), slopes(TILE * DOF), images(TILE * DOF);
        real *slope = slopes.at, *image = images.at;
        double loss[TILE];
{locals}
        for (long step = 0; step < steps; step++) {{
{body}
        }}
        if (first == 0) {{ {results} }}
    }});
}}
"""
_FORCE = """for (long t = 0; t < count; t++)
loss[t] = loss_and_gradient({where}, slope + t * DOF, data + apart * (first + t) * DATA,
                            target + apart * (first + t) * TARGET, weight, work.at);"""


class NativeSteps:
    """Advances a phase by compiled steps of any scheme with any bath that is made of tensor arithmetic.

    The step is traced from the integrator and its thermostat, so there is one definition of each; random numbers are
    drawn by count (see thermostats.noise). Steps equal those of torch to rounding, and any number of steps in one call
    equals the same number in several, bit for bit.

    `phase`: what is to be moved; the compiled step keeps the addresses of its tensors.

    Raises Untraceable for another method than Splitting, a force that is not the system's own, and what cannot be
    written out; at the first step NotCompiled.
    """

    def __init__(self, system: ParticleSystem, integrator: Integrator, phase: Phase, gradient: NativeGradient) -> None:
        if not isinstance(integrator, Splitting) or type(integrator).__call__ is not Splitting.__call__:
            raise Untraceable(f"{type(integrator).__name__} is no splitting of drifts, kicks and a heat bath")
        if integrator.force is not system.force:
            raise Untraceable("the force is not the one of all data")
        if getattr(integrator.thermostat, "select", None) is not None:
            raise Untraceable(f"{type(integrator.thermostat).__name__} keeps its variables in an order of its own")
        self.system, self.gradient, self.phase = system, gradient, phase
        code = Code(phase, system.walls is not None)
        for part in parts_of_step(system, integrator):
            if part is None:
                code.force()
            else:
                code.segment(traced(part, phase))
        self._code, self._tensors = code.text(), tuple(code.tensors)
        self._function: ctypes._NamedFuncPointer | None = None
        self.block = 1

    def advance(self, phase: Phase, steps: int) -> None:
        """Advance phase by `steps` steps, in place; raises ValueError for another phase than its own."""
        if phase is not self.phase:
            raise ValueError("native steps move the phase they were made for; make others by stepper(...)")
        packed = self.gradient.pack(self.system.inputs, self.system.targets)
        function = self._function or self._compiled(packed.chain)
        addresses = (ctypes.c_void_p * len(self._tensors))(*(tensor.data_ptr() for tensor in self._tensors))
        began = time.perf_counter()
        function(
            addresses, packed.data.data_ptr(), packed.target.data_ptr(), packed.weight.data_ptr(),
            int(self.gradient.per_replica), len(phase.q), steps, torch.get_num_threads(),
        )  # fmt: skip
        self.block = max(1, int(_SECONDS * steps / (time.perf_counter() - began)))

    def _compiled(self, chain: Chain) -> ctypes._NamedFuncPointer:
        self._function = library(gradient_source(chain) + self._code).advance
        self._function.argtypes, self._function.restype = [ctypes.c_void_p] * 4 + [ctypes.c_long] * 4, None
        return self._function

    def __repr__(self) -> str:
        return "native steps, traced from the integrator and compiled"


class Code:
    """Puts the segments of a step together; the tensors they use become a table of addresses."""

    def __init__(self, phase: Phase, walls: bool) -> None:
        self.phase, self.walls = phase, walls
        self.tensors: list[Tensor] = []
        self.shared: dict[int, Tensor] = {}  # those that all replicas share and that change, by their number
        self.body: list[str] = []
        self.declared: list[str] = []

    def segment(self, trace: Trace) -> None:
        """Add what a trace does."""
        arrays = {name: self._array(name, tensor, trace) for name, tensor in trace.tensors.items()}
        arrays |= {name: Array(place, "tile") for name, place in trace.held.items()}
        prefix = f"s{len(self.body)}_"
        segment = Segment(trace.graph, arrays, trace.shared, prefix)
        self.body.append(segment.write())
        self.declared += segment.declared

    def force(self) -> None:
        """Add an evaluation of the gradient."""
        where = "image + t * DOF" if self.walls else f"{self._pointer(self.phase.q)} + (first + t) * DOF"
        self.body.append(_FORCE.format(where=where))

    def text(self) -> str:
        """Return the C++ function."""
        kinds = [TYPES[tensor.dtype] for tensor in self.tensors]
        pointers = [f"        {kind} *__restrict a{k} = ({kind} *)a[{k}];" for k, kind in enumerate(kinds)]
        before, copies, results = [], [], []
        for k, tensor in self.shared.items():
            kind, size = kinds[k], tensor.numel()
            before.append(f"    std::array<{kind}, {size}> b{k}; std::copy_n(({kind} *)a[{k}], {size}, b{k}.begin());")
            copies.append(f"        auto c{k} = b{k};")
            results.append(f"std::copy_n(c{k}.begin(), {size}, a{k});")
        return _PREAMBLE.format(
            tile=TILE, before="\n".join(before), locals="\n".join(pointers + copies + self.declared),
            body="\n".join(self.body), results=" ".join(results),
        )  # fmt: skip

    def _array(self, name: str, tensor: Tensor, trace: Trace) -> Array:
        pointer = self._pointer(tensor)
        if name in trace.shared and _changes(name, trace):
            if tensor.is_floating_point():
                raise Untraceable("a bath variable that replicas share changes")
            number = int(pointer[1:])
            self.shared[number] = tensor
        return Array(f"c{pointer[1:]}" if int(pointer[1:]) in self.shared else pointer)

    def _pointer(self, tensor: Tensor) -> str:
        if not tensor.is_contiguous():
            raise Untraceable("a tensor that is not contiguous")
        for number, known in enumerate(self.tensors):
            if known is tensor:
                return f"a{number}"
        self.tensors.append(tensor)
        return f"a{len(self.tensors) - 1}"


def _changes(name: str, trace: Trace) -> bool:
    stores: Sequence[object] = [n.args[0] for n in trace.graph.nodes if str(n.target).startswith("aten.copy_.")]
    return any(getattr(target, "name", None) == name for target in stores)
