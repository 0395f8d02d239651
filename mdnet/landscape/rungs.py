"""Walkers under one bias for each rung of a ladder, tested by Metropolis, that exchange their rungs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from integrators import Integrator, Phase
from mdnet.distributed.world import ALONE, World
from mdnet.landscape.bias import BiasedForce, Line, Umbrella, refuse_another_law
from mdnet.landscape.confinement import Confinement
from mdnet.system import ParticleSystem
from trajectories.landscape.axes import Axis

Levels = Line | Umbrella


class Rungs:
    """The bias b_{k(r)}(x) of the rung k(r) that walker r is on; walkers start on rung r % rungs of copy r // rungs.

    `levels`: the biases of all rungs, Line(n) with n (rungs, 1) or Umbrella(centre) with centre (rungs, variables),
    neighbours in order. `replicas`: rungs x copies. Attribute: `rung` (replicas,).

    Raises ValueError for levels of one rung, and for replicas that do not fill whole copies.
    """

    def __init__(self, levels: Levels, replicas: int) -> None:
        rows = levels.n if isinstance(levels, Line) else levels.centre
        if rows.ndim != 2 or len(rows) < 2 or replicas < 1 or replicas % len(rows):
            raise ValueError(
                f"levels of the shape {tuple(rows.shape)} for {replicas} replicas: give n (rungs, 1) or a centre "
                "(rungs, variables) of two rungs or more, and a whole number of replicas for each rung"
            )
        self.levels, self.rungs = levels, len(rows)
        self.rung = torch.arange(replicas) % self.rungs

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return b (replicas,) and db/dx (replicas, variables) at x (replicas, variables)."""
        return self.levels.part(self.rung)(x)

    def part(self, rows: slice) -> Rungs:
        """Return the bias of these replicas."""
        own = copy.copy(self)
        own.rung = self.rung[rows].clone()
        return own

    @property
    def settings(self) -> dict[str, Any]:
        """The biases of the rungs."""
        return {"kind": "rungs", "levels": self.levels.settings}


class Metropolis:
    """Tests walkers under a fixed bias every `every` steps, so that e^{-b(x)} is exact, and lets rungs exchange.

    The test is that of `Confinement`. Every `exchange` tests (0: never) walkers a, b on neighbouring rungs i, j of a
    copy swap their rungs, even and odd pairs in turn, with the probability

        min(1, e^{b_i(x_a) + b_j(x_b) - b_i(x_b) - b_j(x_a)}),      lines: e^{(n_i - n_j)(x_a - x_b)}

    `window`: a range of the first variable that walkers do not leave; the law is e^{-b} within it. `write`: steps
    between reports: "metropolis/accepted" (replicas,), the share of accepted tests since the last one, and, by all
    replicas together, "learnt/ladder/swaps" (2, rungs - 1): attempts and exchanges of each pair since the start.

    Raises ValueError for an integrator without a biased force, at another temperature or not canonical, for exchange
    without `Rungs`, for walkers that start outside the window, and values out of range.

    References: Horowitz, Phys. Lett. B 268, 247 (1991); Fukunishi, Watanabe, Takada, J. Chem. Phys. 116, 9058 (2002).
    """

    world: World = ALONE

    def __init__(self, every: int = 5, *, exchange: int = 1, window: Axis | None = None, write: int = 1000) -> None:
        if every < 1 or exchange < 0 or write < every:
            raise ValueError(
                f"every = {every}, exchange = {exchange}, write = {write}: 1 <= every <= write, not below 0"
            )
        self.every, self.exchange, self.window, self.write = every, exchange, window, write - write % every

    def start(self, system: ParticleSystem, integrator: Integrator, phase: Phase) -> None:
        """Take the force from the integrator, and see that the walkers are in the window."""
        self.force, self.phase = _biased(integrator), phase
        bias = self.force.bias
        if self.exchange and not isinstance(bias, Rungs):
            raise ValueError(f"there is nothing to exchange under {bias!r}; give Rungs, or exchange=0")
        self.rungs = bias if self.exchange and isinstance(bias, Rungs) else None
        outside = (~self._inside()).nonzero().flatten().tolist()
        if outside:
            raise ValueError(
                f"{len(outside)} walkers start outside the window {self.window}, such as replica {outside[0]} at "
                f"{self.force.x[outside[0]].tolist()}; bring them inside with mdnet.landscape.bring_inside"
            )
        self.tests, self.since = 0, 0
        self.accepted = torch.zeros_like(phase.u)
        self.swaps = torch.zeros(2, self.rungs.rungs - 1 if self.rungs else 0, dtype=torch.float64)
        self.confinement = Confinement(integrator, self.force, phase)

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Test, put back the rejected, and let this turn's pairs exchange."""
        self.confinement.look(phase)
        with self.world.by_row():
            self.accepted += self.confinement(phase, self._inside())
        self.tests, self.since = self.tests + 1, self.since + 1
        if self.rungs is not None and self.tests % self.exchange == 0:
            phase.heat.add_(self._swap(self.rungs))
        self.force.refresh(phase)
        with self.world.by_row():
            self.confinement.keep(phase)
        if step % self.write:
            return {}
        share, self.since = self.accepted / self.since, 0
        self.accepted = torch.zeros_like(self.accepted)
        swaps = {} if self.rungs is None else {"learnt/ladder/swaps": self.swaps.clone()}
        return {"metropolis/accepted": share, **swaps}

    def state(self) -> dict[str, Tensor]:
        """Return the rungs, the sums, and where the walkers were at the last test."""
        gather = self.world.gather
        state = {f"last/{name}": value for name, value in self.confinement.state(gather).items()}
        state |= {"accepted": gather(self.accepted), "swaps": self.swaps}
        state["tests"] = torch.tensor([self.tests, self.since])
        return state if self.rungs is None else state | {"rung": gather(self.rungs.rung)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` returned; x and its gradients are evaluated anew, where the walkers are."""
        mine = self.world.mine
        if self.rungs is not None:
            self.rungs.rung.copy_(mine(state["rung"]))
        self.accepted.copy_(mine(state["accepted"]))
        self.swaps.copy_(state["swaps"])
        self.tests, self.since = state["tests"].tolist()
        last = {name[5:]: value for name, value in state.items() if name.startswith("last/")}
        self.confinement.load(last, mine, self.phase)

    def _inside(self) -> Tensor:
        first, window = self.force.x[:, 0], self.window
        return (
            torch.ones_like(first, dtype=torch.bool)
            if window is None
            else (first >= window.low) & (first < window.high)
        )

    def _swap(self, bias: Rungs) -> Tensor:
        """Exchange rungs, and return the energy (replicas,) that this brings: decided alike for all replicas."""
        x, rung = self.world.gather(self.force.x).cpu(), self.world.gather(bias.rung)
        turn = self.tests // self.exchange % min(2, bias.rungs - 1)  # the lowest rung of this turn's pairs
        first = torch.arange(0, len(rung), bias.rungs)[:, None]
        at = rung.view(-1, bias.rungs).argsort(-1) + first  # (copies, rungs): the replica on each rung
        low, high = at[:, turn : bias.rungs - 1 : 2], at[:, turn + 1 :: 2]  # (copies, pairs)
        pairs = torch.arange(turn, bias.rungs - 1, 2).expand_as(low)

        def at_rung(k: Tensor, replica: Tensor) -> Tensor:
            return bias.levels.part(k.flatten())(x[replica.flatten()])[0].view_as(k)

        gain = at_rung(pairs, low) + at_rung(pairs + 1, high) - at_rung(pairs, high) - at_rung(pairs + 1, low)
        accept = (torch.log(torch.rand_like(gain)) < gain).long()
        self.swaps[0, turn::2] += len(accept)
        self.swaps[1, turn::2] += accept.sum(0)
        before = bias(self.force.x)[0]
        rung[low] += accept
        rung[high] -= accept
        bias.rung.copy_(self.world.mine(rung))
        return self.force.temperature * (bias(self.force.x)[0] - before)

    def __repr__(self) -> str:
        return f"Metropolis(every={self.every}, exchange={self.exchange}, window={self.window}, write={self.write})"


def _biased(integrator: Integrator) -> BiasedForce:
    force = getattr(integrator, "force", None)
    if not isinstance(force, BiasedForce):
        raise ValueError(f"Metropolis needs an integrator with a BiasedForce, not {force!r}")
    refuse_another_law(force, integrator)
    return force
