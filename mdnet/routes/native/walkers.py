"""What walkers do with a table of entropy, by native code: read it, fill it, and stay or go back after a test."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mdnet.routes.native.gradient import includes
from mdnet.routes.native.library import NotCompiled, library
from mdnet.routes.native.operations import TYPES

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem

_ARGUMENTS = {
    "look_up": (8, 2),
    "bin": (7, 2),
    "spread": (6, 2),
    "settle": (11, 3),
    "count": (6, 3),
}  # addresses, and numbers
Function = Callable[..., Any]


@cache
def _functions(dtype: torch.dtype) -> dict[str, Function]:
    """The functions by name, for positions of this type; raises NotCompiled without a C++ compiler."""
    made = library(includes(TYPES[dtype]) + '#include "walkers.h"\n')
    functions: dict[str, Function] = {}
    for name, (addresses, numbers) in _ARGUMENTS.items():
        function = getattr(made, name)
        function.argtypes, function.restype = [ctypes.c_void_p] * addresses + [ctypes.c_long] * numbers, None
        functions[name] = function
    return functions


def usable(system: ParticleSystem) -> bool:
    """Whether walkers of a system are served by native code: where its forces are, on a CPU with a compiler."""
    try:
        return system.route == "native" and bool(_functions(system.dtype))
    except NotCompiled:
        return False


class NativeTable:
    """Reads and fills tables of entropy on the CPU, as mdnet.landscape.Table defines it, to rounding.

    `bins`: of each variable. `kernels`: K (bins, bins) of each variable, by columns; `reach`: of a kernel, in bins.
    """

    def __init__(self, bins: Sequence[int], kernels: Sequence[Tensor], reach: int) -> None:
        self.variables = len(bins)
        self._bins = torch.tensor(bins)
        self._reach = torch.tensor([reach if 2 * reach < n else n for n in bins])
        self._rows = [kernel.T.contiguous() for kernel in kernels]

    def look_up(self, x: Tensor, low: Tensor, width: Tensor, owner: Tensor, entropy: Tensor) -> tuple[Tensor, Tensor]:
        """Return S (replicas,) and dS/dx (replicas, variables) at x (replicas, variables)."""
        x = x.contiguous()
        value, slope = x.new_empty(len(x)), torch.empty_like(x)
        _functions(x.dtype)["look_up"](
            x.data_ptr(), low.data_ptr(), width.data_ptr(), owner.data_ptr(), entropy.data_ptr(),
            self._bins.data_ptr(), value.data_ptr(), slope.data_ptr(), len(x), self.variables,
        )  # fmt: skip
        return value, slope

    def bin(self, x: Tensor, low: Tensor, width: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
        """Return the bin of each x in the tables, flattened, and whether it lies in the window, both (replicas,)."""
        x = x.contiguous()
        cell, inside = torch.empty_like(owner), torch.empty(len(x), dtype=torch.bool)
        _functions(x.dtype)["bin"](
            x.data_ptr(), low.data_ptr(), width.data_ptr(), owner.data_ptr(), self._bins.data_ptr(), cell.data_ptr(),
            inside.data_ptr(), len(x), self.variables,
        )  # fmt: skip
        return cell, inside

    def spread(self, entropy: Tensor, hits: Tensor) -> None:
        """Add hits (tables, *bins), spread by the kernels, to S, and clear them: it costs what is hit, no more."""
        _functions(entropy.dtype)["spread"](
            entropy.data_ptr(), hits.data_ptr(), self._rows[0].data_ptr(), self._rows[-1].data_ptr(),
            self._bins.data_ptr(), self._reach.data_ptr(), len(entropy), self.variables,
        )  # fmt: skip

    def count(
        self, x: Tensor, owner: Tensor, accept: Tensor, side: Tensor, tested: Tensor, ends: tuple[float, float]
    ) -> None:
        """Count a test of every walker in `tested` (3, tables), and the ends they come from in `side` (replicas,)."""
        x, bounds = x.contiguous(), (ctypes.c_double * 2)(*ends)
        addresses = [tensor.data_ptr() for tensor in (x, owner, accept, side, tested)]
        _functions(x.dtype)["count"](*addresses, ctypes.addressof(bounds), len(x), self.variables, tested.shape[1])


def settle(accept: Tensor, now: Sequence[Tensor], last: Sequence[Tensor]) -> None:
    """Copy `now` to `last` where accepted (replicas,), `last` to `now` elsewhere, the momenta turned round in both.

    Each is q, p (replicas, dof), heat (replicas,), x (replicas, variables), gradients (variables, replicas, dof), in
    place, on the CPU and contiguous.
    """
    replicas, dof = now[0].shape
    addresses = [tensor.data_ptr() for tensor in (accept, *now, *last)]
    _functions(now[0].dtype)["settle"](*addresses, replicas, dof, now[3].shape[1])
