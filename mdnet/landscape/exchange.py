"""Replica exchange between windows (REWL): walkers of neighbouring windows that are in both swap their windows."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from mdnet.distributed.world import World
from mdnet.landscape.table import Table


class WindowExchange:
    """Walkers i, j of neighbouring windows of a copy, each inside the other's, swap their tables with the probability

        min(1, e^{S_i(x_i) - S_i(x_j) + S_j(x_j) - S_j(x_i)})

    Pairs of windows that begin with an even and with an odd one take turns. In each pair the walkers of one window
    meet those of the other at random, each at most one; where one window has more, some are left over. Walkers keep
    their positions and change `table.owner`. Every rank decides for all walkers, by the same random numbers.

    Raises ValueError for a table of one window. Reference: Vogel, Li, Wuest, Landau, Phys. Rev. Lett. 110, 210603
    (2013).
    """

    def __init__(self, table: Table, world: World) -> None:
        if table.windows < 2:
            raise ValueError(
                "a table of one window has none to exchange with; take windows=2 or more, or leave exchange out"
            )
        self.table, self.world, self.attempts = table, world, 0
        self._totals = torch.zeros(2, table.windows - 1, dtype=torch.int64, device=table.entropy.device)

    def __call__(self, x: Tensor) -> None:
        """Let this turn's pairs exchange, walkers being at x (replicas, variables)."""
        x, owner = self.world.gather(x), self.world.gather(self.table.owner)
        low, high = self._pairs(owner)
        self.attempts += 1
        swapped = owner.clone()
        swapped[low], swapped[high] = owner[high], owner[low]
        here, there = self._of(owner), self._of(swapped)
        gain = here(x)[0] - there(x)[0]  # S_i(x_i) - S_j(x_i) of a walker in window i with a partner in j
        chance = gain[low] + gain[high]
        inside = there.inside(x)
        accept = inside[low] & inside[high] & (torch.log(torch.rand_like(chance)) < chance)
        first = owner[low] % self.table.windows
        self._totals.index_add_(1, first, torch.stack([torch.ones_like(accept), accept]).long())
        swapped[low] = torch.where(accept, swapped[low], owner[low])
        swapped[high] = torch.where(accept, swapped[high], owner[high])
        self.table.owner.copy_(self.world.mine(swapped))

    def totals(self) -> Tensor:
        """Return the numbers of pairs that tried and that swapped (2, windows - 1), by their lower window."""
        return self._totals.clone()

    def state(self) -> Tensor:
        """Return the attempts so far, and the totals."""
        return torch.cat([torch.tensor([self.attempts]), self._totals.flatten().cpu()])

    def load(self, state: Tensor) -> None:
        """Put back what `state` returned."""
        self.attempts = int(state[0])
        self._totals.copy_(state[1:].view_as(self._totals))

    def _pairs(self, owner: Tensor) -> tuple[Tensor, Tensor]:
        """Walkers (pairs,) of the lower windows of this turn, and their partners (pairs,) in the next window."""
        windows = self.table.windows
        order = torch.argsort(owner + torch.rand(len(owner), dtype=torch.float64, device=owner.device))
        count = torch.bincount(owner, minlength=len(self.table.entropy))
        begin = count.cumsum(0) - count
        table = owner[order]  # rising; within a table the walkers are in random order
        place = torch.arange(len(owner), device=owner.device) - begin[table]
        window = table % windows
        lower = (window % 2 == self.attempts % min(2, windows - 1)) & (window < windows - 1)
        following = (table + 1).clamp_max(len(count) - 1)
        chosen = (lower & (place < count[following])).nonzero()[:, 0]
        return order[chosen], order[begin[following[chosen]] + place[chosen]]

    def _of(self, owner: Tensor) -> Table:
        """The same tables, for all walkers of the run, owned so."""
        table = copy.copy(self.table)
        table.owner = owner
        return table
