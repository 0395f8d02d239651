"""Native steps: of dense networks many in one call, of others the parts of a step between two gradients."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from integrators import Integrator, Phase
from integrators.dynamics import Part
from mdnet.routes.native.code import Code
from mdnet.routes.native.expressions import Untraceable
from mdnet.routes.native.gradient import gradient_source, includes
from mdnet.routes.native.library import library
from mdnet.routes.native.network import Chain
from mdnet.routes.native.operations import TYPES
from mdnet.routes.native.rows import Rows
from mdnet.routes.native.tracing import PHASE, attributes, parts_of_step, traced

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem

_SECONDS = 0.2  # that a block of steps may take, so that a run stops soon when it is asked to
Function = Callable[..., Any]
"""A compiled function, with its argument types set."""


def step_code(system: ParticleSystem, integrator: Integrator, phase: Phase) -> Code:
    """Return a step, traced from the parts of the integrator and its thermostat: there is one definition.

    Random numbers are drawn by count (see thermostats.noise). Steps equal those of torch to rounding.
    Raises Untraceable for a method that does not tell its parts, and for what cannot be written out.
    """
    force = getattr(integrator, "force", None)
    if not hasattr(force, "slope"):
        raise Untraceable(f"the force {force!r} is no mean loss with a prior")
    thermostat = getattr(integrator, "thermostat", None)
    if getattr(thermostat, "select", None) is not None:
        raise Untraceable(f"{type(thermostat).__name__} keeps its variables in an order of its own")
    owners = (integrator,)
    told = parts_of_step(system, integrator, _parts(integrator))
    parts = [None if part is None else traced(part, phase, owners) for part in told]
    return Code(phase, parts, walls=system.walls is not None)


def _parts(integrator: Integrator) -> tuple[Part, ...]:
    """The parts of a step, from the class that also says how it is called; raises Untraceable without them."""
    for kind in type(integrator).__mro__:
        if "parts" in vars(kind):
            return tuple(integrator.parts)  # type: ignore[attr-defined]
        if "__call__" in vars(kind):
            break
    raise Untraceable(f"{type(integrator).__name__} does not tell the parts of its step")


class _Blocks:
    """What both kinds of native steps share: the phase they were made for, and blocks that can be stopped in time.

    Tensors may change in place; where one, or any attribute that a step reads, was replaced, the step is traced anew.
    """

    def __init__(self, system: ParticleSystem, integrator: Integrator, phase: Phase) -> None:
        self.system, self.integrator, self.phase, self.block = system, integrator, phase, 1
        self._bind()

    def _bind(self) -> None:
        code = step_code(self.system, self.integrator, self.phase)
        self.tensors, self._bound = tuple(code.tensors), self._read()
        self._write(code)

    def _read(self) -> list[Any]:
        """All that a traced step may have read."""
        moved = [getattr(self.phase, name) for name in PHASE]
        held = [value for _, _, value in attributes([self.system, self.integrator])]
        return [*moved, *self.phase.bath, *held]

    def advance(self, phase: Phase, steps: int) -> None:
        """Advance phase by `steps` steps, in place; raises ValueError for another phase than its own."""
        if phase is not self.phase:
            raise ValueError("native steps move the phase they were made for; make others by stepper(...)")
        now = self._read()
        if len(now) != len(self._bound) or any(a is not b for a, b in zip(now, self._bound, strict=True)):
            self._bind()
        addresses = (ctypes.c_void_p * len(self.tensors))(*(tensor.data_ptr() for tensor in self.tensors))
        began = time.perf_counter()
        self._advance(addresses, steps)
        self.block = max(1, int(_SECONDS * steps / (time.perf_counter() - began)))

    def _advance(self, addresses: ctypes.Array[ctypes.c_void_p], steps: int) -> None:
        raise NotImplementedError

    def _write(self, code: Code) -> None:
        raise NotImplementedError

    def compile(self) -> None:
        """Make the library now and not at the first step; raises NotCompiled where that fails."""
        raise NotImplementedError


class NativeLoop(_Blocks):
    """Steps of a dense network, many in one call: each replica moves on while it lies in the cache.

    Any number of steps in one call equals the same number in several, bit for bit, on any number of threads.
    `phase`: what is to be moved; the compiled step keeps the addresses of its tensors. `rows`: of the data, that its
    force sees. Raises Untraceable as step_code.
    """

    def __init__(self, system: ParticleSystem, integrator: Integrator, phase: Phase, rows: Rows) -> None:
        self.rows = rows
        super().__init__(system, integrator, phase)

    def _write(self, code: Code) -> None:
        self._code, self._forces = code.loop(self.rows.code, self.rows.room), code.forces
        self._functions: dict[int, Function] = {}

    def compile(self) -> None:
        self._function(self.rows.chain())

    def _function(self, chain: Chain) -> Function:
        """The function for a chain, which differs by the number of points."""
        if chain.points not in self._functions:
            function = library(gradient_source(chain) + self._code).advance
            function.argtypes, function.restype = [ctypes.c_void_p] * 6 + [ctypes.c_long] * 5, None
            self._functions[chain.points] = function
        return self._functions[chain.points]

    def _advance(self, addresses: ctypes.Array[ctypes.c_void_p], steps: int) -> None:
        replicas = len(self.phase.q)
        *held, apart, batches = self.rows.hand(steps * self._forces, replicas)
        self._function(self.rows.chain())(
            addresses, *(tensor.data_ptr() for tensor in held), apart, batches, replicas, steps, torch.get_num_threads()
        )

    def __repr__(self) -> str:
        return "native steps, many in one call"


class NativeParts(_Blocks):
    """Steps of any network: native code for what happens between two gradients, which come from their own route.

    Scale, prior, kick, bath and drift are one pass over a replica's numbers, in place. The force may be a minibatch's.
    `phase` as in NativeLoop. Raises Untraceable as step_code.
    """

    def _write(self, code: Code) -> None:
        self.force = self.integrator.force  # type: ignore[attr-defined]
        self._code, self._parts = code.functions(), [part is not None for part in code.parts]
        self._functions: list[Function | None] = []
        self._image = torch.empty_like(self.phase.q) if self.system.walls is not None else self.phase.q

    def compile(self) -> None:
        self._compiled()

    def _advance(self, addresses: ctypes.Array[ctypes.c_void_p], steps: int) -> None:
        functions = self._functions or self._compiled()
        replicas, threads = len(self.phase.q), torch.get_num_threads()
        loss, slope = self.phase.u, self.phase.f  # stand in until there is a gradient
        for _ in range(steps):
            for function in functions:
                if function is None:
                    loss, slope = self._gradient()
                    continue
                function(addresses, loss.data_ptr(), slope.data_ptr(), self._image.data_ptr(), replicas, threads)

    def _gradient(self) -> tuple[Tensor, Tensor]:
        loss, slope = self.force.slope(self._image)
        return loss.double().contiguous(), slope.contiguous()

    def _compiled(self) -> list[Function | None]:
        self._functions = []
        made = library(includes(TYPES[self.phase.q.dtype]) + self._code)
        for number, is_native in enumerate(self._parts):
            function = getattr(made, f"part{number}") if is_native else None
            if function is not None:
                function.argtypes, function.restype = [ctypes.c_void_p] * 4 + [ctypes.c_long] * 2, None
            self._functions.append(function)
        return self._functions

    def __repr__(self) -> str:
        return "native steps around torch's gradient"
