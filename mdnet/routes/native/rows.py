"""The rows of data that the force inside a native loop sees: all of them, or a minibatch drawn for every evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

from mdnet.routes.native.gradient import NativeGradient, Seen, data_and_targets, frozen, weights
from mdnet.routes.native.network import Chain
from mdnet.routes.native.reading import chain

if TYPE_CHECKING:
    from mdnet.minibatch import MinibatchForce
    from mdnet.system import ParticleSystem

_ALL = """for (long t = 0; t < count; t++)
loss[t] = loss_and_gradient({where}, slope + t * DOF, data + apart * (first + t) * DATA,
                            target + apart * (first + t) * TARGET, weight, fixed, work.at);"""
_DRAWN = """for (long t = 0; t < count; t++) {{
    const int64_t *drawn = rows + ((step * FORCES + {number}) * batches + (batches > 1 ? first + t : 0)) * BATCH;
    gather<INPUTS, POINTS>(data + apart * (first + t) * INPUTS, drawn, BATCH, x.at);
    gather<OUTPUTS, POINTS>(target + apart * (first + t) * OUTPUTS, drawn, BATCH, y.at);
    loss[t] = loss_and_gradient({where}, slope + t * DOF, x.at, y.at, weight, fixed, work.at);
}}"""
_BATCH = """        Scratch<real> x(DATA), y(TARGET);
        std::fill_n(x.at, DATA, 0), std::fill_n(y.at, TARGET, 0);
"""


class Handed(NamedTuple):
    """What a loop gets of the data: tensors, the row numbers that were drawn, and how far replicas lie apart in it."""

    data: Tensor
    target: Tensor
    weight: Tensor
    fixed: Tensor
    rows: Tensor  # (evaluations, batches, size) int64, empty where all rows are seen
    apart: int
    batches: int


class Rows(Protocol):
    """Says how the force inside a loop comes to its data."""

    code: str
    """C++ that evaluates the force of a tile of replicas at `where`, the `number`-th of a step's."""
    room: str
    """C++ that makes room for it, once for all steps."""

    def chain(self) -> Chain:
        """Return the network's chain on the rows of one evaluation."""

    def hand(self, evaluations: int, replicas: int) -> Handed:
        """Return the data for so many evaluations of the force."""


class AllRows:
    """All rows of a system's data, packed once."""

    code, room = _ALL, ""

    def __init__(self, system: ParticleSystem, gradient: NativeGradient) -> None:
        self.system, self.gradient = system, gradient

    def chain(self) -> Chain:
        """Return the network's chain on all rows."""
        return self.gradient.pack(self.system.inputs, self.system.targets).chain

    def hand(self, evaluations: int, replicas: int) -> Handed:
        """Return all data, which are the same for all evaluations."""
        packed = self.gradient.pack(self.system.inputs, self.system.targets)
        apart = int(self.gradient.per_replica)
        return Handed(packed.data, packed.target, packed.weight, packed.fixed, torch.empty(0).long(), apart, 0)


class DrawnRows:
    """Rows drawn by a minibatch force, as many times as the loop evaluates it, in the order in which it would draw."""

    code, room = _DRAWN, _BATCH

    def __init__(self, force: MinibatchForce) -> None:
        self.force, self._chain = force, chain(force.system, force.size)
        self._take()

    def chain(self) -> Chain:
        """Return the network's chain on the rows of a minibatch."""
        return self._chain

    def _take(self) -> None:
        """Take the data as they are now."""
        system = self.force.system
        self._seen = Seen(system, self._chain, system.inputs, system.targets)
        rows = 0 if system.shares_data else 1
        data, target = data_and_targets(self._chain, system.inputs, system.targets, rows)
        self._held = data.contiguous(), target.contiguous(), weights(self._chain), frozen(system, self._chain)

    def hand(self, evaluations: int, replicas: int) -> Handed:
        """Draw the rows of so many evaluations of the force of `replicas`, and return the data with them."""
        force, batches = self.force, 1 if self.force.shared else replicas
        if not self._seen.still(force.system, force.system.inputs, force.system.targets):
            self._take()
        rows = torch.stack([force.draw(batches) for _ in range(evaluations)])
        return Handed(*self._held, rows, 0 if force.system.shares_data else force.rows, batches)
