"""The mean loss and its gradient of every replica of a dense network, by native code."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from mdnet.routes.native.gradient_code import gradient_code
from mdnet.routes.native.library import library
from mdnet.routes.native.network import Chain
from mdnet.routes.native.reading import chain

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem

_PREAMBLE = """#define REAL {real}
#include <algorithm>
#include <cstdlib>
#include "norms.h"
#include "loops.h"
"""
_ALL = """
extern "C" void gradients_of_all(const real *q, real *g, double *loss, const real *data, const real *target,
                                 const real *weight, const real *fixed, long apart, long replicas, long threads) {
    in_tiles(replicas, 1, threads, [=](long r, long) {
        thread_local Scratch<real> work(WORK);
        const real *x = data + apart * r * DATA, *y = target + apart * r * TARGET;
        loss[r] = loss_and_gradient(q + r * DOF, g + r * DOF, x, y, weight, fixed, work.at);
    });
}
"""


class NativeGradient:
    """q (replicas, dof), inputs, targets -> mean loss (replicas,) float64 and its gradient (replicas, dof).

    A replica goes through all layers, forward and backward, while it lies in the cache; data points are the lanes of
    the processor's vectors, replicas are shared out over torch.get_num_threads() threads. Activations are those of
    the network to a few units in the last place.

    Raises Unfit for other networks than chains of Linear layers, NotCompiled without a C++ compiler.
    """

    def __init__(self, system: ParticleSystem, *, per_replica: bool) -> None:
        self.system, self.per_replica = system, per_replica
        self._packed: tuple[Seen, Packed] | None = None
        self._functions: dict[int, ctypes._NamedFuncPointer] = {}

    def __call__(self, q: Tensor, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and gradient at q on data (n, ...), or with per_replica (replicas, n, ...).

        Raises ValueError for a q of another type or shape than the system's positions.
        """
        self._check(q, inputs)
        packed = self.pack(inputs, targets)
        q = q.contiguous()
        gradient, loss = torch.empty_like(q), torch.empty(len(q), dtype=torch.float64)
        self._function(packed.chain)(
            q.data_ptr(), gradient.data_ptr(), loss.data_ptr(), packed.data.data_ptr(), packed.target.data_ptr(),
            packed.weight.data_ptr(), packed.fixed.data_ptr(), int(self.per_replica), len(q), torch.get_num_threads(),
        )  # fmt: skip
        return loss, gradient

    def pack(self, inputs: Tensor, targets: Tensor) -> Packed:
        """Return the data as the native code wants them; what was packed last is kept until something is changed."""
        kept = self._packed
        if kept is None or not kept[0].still(self.system, inputs, targets):
            points = inputs.shape[1 if self.per_replica else 0]
            packed = Packed(self.system, chain(self.system, points), inputs, targets, self.per_replica)
            self._packed = kept = Seen(self.system, packed.chain, inputs, targets), packed
        return kept[1]

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy takes along: it finds functions and packed data anew."""
        return {**vars(self), "_packed": None, "_functions": {}}

    def _check(self, q: Tensor, inputs: Tensor) -> None:
        """Refuse what the native code, which takes addresses, would read beyond or misread."""
        replicas = len(inputs) if self.per_replica else len(q)
        wanted = (replicas, self.system.dof)
        if tuple(q.shape) != wanted or q.dtype != self.system.dtype or q.device.type != "cpu":
            raise ValueError(
                f"q is {q.dtype} of shape {tuple(q.shape)} on {q.device}; the native force wants {self.system.dtype} "
                f"of shape (replicas, dof) = {wanted} on the cpu"
            )

    def _function(self, chain: Chain) -> ctypes._NamedFuncPointer:
        if chain.points not in self._functions:
            function = library(gradient_source(chain) + _ALL).gradients_of_all
            function.argtypes, function.restype = [ctypes.c_void_p] * 7 + [ctypes.c_long] * 3, None
            self._functions[chain.points] = function
        return self._functions[chain.points]


def gradient_source(chain: Chain) -> str:
    """Return the C++ source of the gradient of one replica, with what it includes."""
    return includes(chain.real) + gradient_code(chain)


def includes(real: str) -> str:
    """Return what comes first in any source, for numbers of type `real`."""
    return _PREAMBLE.format(real=real)


class Packed:
    """Data with features as rows, in blocks of points: data (..., blocks, inputs, block), target the same, weight 1/n.

    Points that fill up the last block have weight zero. `fixed`: the frozen parameters.
    """

    def __init__(
        self, system: ParticleSystem, chain: Chain, inputs: Tensor, targets: Tensor, per_replica: bool
    ) -> None:
        self.chain, self.fixed, self.weight = chain, frozen(system, chain), weights(chain)
        data, target = data_and_targets(chain, inputs, targets, 1 if per_replica else 0)
        self.data, self.target = _blocks(chain, data), _blocks(chain, target)


def data_and_targets(chain: Chain, inputs: Tensor, targets: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Return inputs (..., n, inputs) and targets (..., n, outputs), classes as ones; `rows` is the dimension of n."""
    if not targets.is_floating_point():
        targets = functional.one_hot(targets.long(), chain.layers[-1].outputs)
    return inputs.flatten(rows + 1).to(chain.dtype), targets.to(chain.dtype)


def weights(chain: Chain) -> Tensor:
    """Return what each point of the blocks counts, (blocks, 1, block): 1/n, and zero for those that fill up."""
    return _blocks(chain, torch.full((chain.points, 1), 1 / chain.points, dtype=chain.dtype))


def _blocks(chain: Chain, rows: Tensor) -> Tensor:
    """(..., points, d) to (..., blocks, d, block), zeros at the end."""
    blocks, block = chain.blocks, chain.block
    padded = functional.pad(rows, (0, 0, 0, blocks * block - rows.shape[-2]))
    return aligned(padded.view(*rows.shape[:-2], blocks, block, rows.shape[-1]).transpose(-1, -2))


def frozen(system: ParticleSystem, chain: Chain) -> Tensor:
    """Return the parameters that are no particles, one after the other."""
    values = [system.network.get_parameter(name).detach().flatten() for name in chain.frozen]
    return aligned(torch.cat(values)) if values else torch.empty(0, dtype=chain.dtype)


class Seen:
    """The data and the frozen parameters as they were when they were packed."""

    def __init__(self, system: ParticleSystem, chain: Chain, inputs: Tensor, targets: Tensor) -> None:
        self.inputs, self.targets, self.names = inputs, targets, chain.frozen
        self.frozen = self._frozen(system)
        self.versions = self._versions()

    def still(self, system: ParticleSystem, inputs: Tensor, targets: Tensor) -> bool:
        """Whether these are the same tensors, and were not changed in place."""
        if inputs is not self.inputs or targets is not self.targets or self.versions != self._versions():
            return False
        return all(one is other for one, other in zip(self.frozen, self._frozen(system), strict=True))

    def _frozen(self, system: ParticleSystem) -> list[Tensor]:
        return [system.network.get_parameter(name) for name in self.names]

    def _versions(self) -> list[int]:
        return [_version(each) for each in (self.inputs, self.targets, *self.frozen)]


def _version(data: Tensor) -> int:
    """How often data were changed in place, as far as torch counts it."""
    return 0 if data.is_inference() else data._version


def aligned(values: Tensor) -> Tensor:
    """Return a contiguous copy that begins at a multiple of 64 bytes."""
    spare = 64 // values.element_size()
    room = torch.empty(values.numel() + spare, dtype=values.dtype)
    start = -room.data_ptr() % 64 // values.element_size()
    return room[start : start + values.numel()].view(values.shape).copy_(values)
