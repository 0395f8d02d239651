"""What walkers do while they are counted: visits, their weights, kinetic energies by bin, and round trips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mdnet.distributed.world import World
from mdnet.landscape.table import Table

if TYPE_CHECKING:
    from mdnet.landscape.wang_landau import Recorded

_EDGE = 0.1  # share of the whole axis that counts as its end


class Counts:
    """Sums over visits, by table and bin; every rank has its own, and `totals` adds them up.

    `visits` and `weights` (tables, *bins of the table, *bins of what is recorded); `kinetic` (tables, *bins);
    `tested` (3, tables): tests, accepted ones, and half the number of times that a walker of this table has come from
    one end of the first axis to the other, a tenth of it being an end. A visit beyond a recorded axis is not counted.
    """

    def __init__(self, table: Table, record: Sequence[Recorded], world: World) -> None:
        self.table, self.world, self.axes = table, world, [each.axis for each in record]
        bins, device = table.entropy.shape, table.entropy.device
        self.visits = torch.zeros(*bins, *(axis.bins for axis in self.axes), dtype=torch.float64, device=device)
        self.weights, self.kinetic = torch.zeros_like(self.visits), torch.zeros_like(table.entropy)
        self.tested = torch.zeros(3, len(table.entropy), dtype=torch.float64, device=device)
        self.side = torch.zeros(len(table.owner), dtype=torch.float64, device=device)  # the end it comes from, -1 or 1

    def test(self, x: Tensor, accept: Tensor) -> None:
        """Count a test of every walker, (replicas,) accepted, at x (replicas, variables), and the ends they reach."""
        axis, native = self.table.axes[0], self.table.native
        ends = axis.low + _EDGE * (axis.high - axis.low), axis.high - _EDGE * (axis.high - axis.low)
        if native is not None:
            native.count(x, self.table.owner, accept, self.side, self.tested, ends)
            return
        side = torch.where(x[:, 0] < ends[0], -1.0, torch.where(x[:, 0] > ends[1], 1.0, self.side))
        crossed = 0.5 * (side * self.side < 0).double()
        self.side.copy_(side)
        self.tested.index_add_(1, self.table.owner, torch.stack([torch.ones_like(crossed), accept.double(), crossed]))

    def add(self, x: Tensor, recorded: Sequence[Tensor], warmth: Tensor) -> None:
        """Count a visit of every walker at x (replicas, variables), with recorded values and 2K/N_f (replicas,)."""
        table = self.table
        cell = table.cells(x)
        weight = torch.exp(table(x)[0] - table.entropy.view(-1)[cell])
        table_cell, keep = cell, torch.ones_like(weight)
        for axis, value in zip(self.axes, recorded, strict=True):
            at = ((value - axis.low) / axis.width).floor()
            keep = keep * ((at >= 0) & (at < axis.bins))
            cell = cell * axis.bins + at.clamp(0, axis.bins - 1).nan_to_num().long()
        self.visits.view(-1).index_put_((cell,), keep, accumulate=True)
        self.weights.view(-1).index_put_((cell,), keep * weight, accumulate=True)
        self.kinetic.view(-1).index_put_((table_cell,), keep * warmth, accumulate=True)

    def totals(self) -> dict[str, Tensor]:
        """Return the sums of all ranks by name."""
        names = "visits", "weights", "kinetic", "tested"
        return {name: self.world.sum(getattr(self, name)).clone() for name in names}

    def state(self) -> dict[str, Tensor]:
        """Return the sums of all ranks and the end each walker comes from."""
        return self.totals() | {"side": self.world.gather(self.side)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` returned: the sums on the rank that writes."""
        for name in ("visits", "weights", "kinetic", "tested"):
            own = getattr(self, name)
            own.copy_(state[name] if self.world.is_writer else torch.zeros_like(own))
        self.side.copy_(self.world.mine(state["side"]))
