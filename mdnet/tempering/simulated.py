"""Simulated tempering: every replica walks by itself in a ladder of temperatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from integrators import Integrator, Phase
from mdnet.system import ParticleSystem
from mdnet.tempering.tempered import Tempering, TemperingError, What, rising

_FLAT = 0.8  # the least occupied rung over the mean one, from which on the histogram counts as flat
_WINDOW = 10  # attempts a rung that a histogram holds at least


class SimulatedTempering(Tempering):
    """Every `every` steps each replica proposes the rung above or below, k' = k +- 1, and takes it with

        min(1, exp(-(1/T_k' - 1/T_k) E + g_k' - g_k))

    so that rung k is occupied as Z_k exp(g_k): evenly where g_k = -ln Z_k. The weights g are given, or else learnt
    in the steps up to `learn` by all replicas together. They stay where they start for a quarter of these steps,
    and their mean energies make first weights, dg = <E> d(1/T). In the rest each attempt lowers g_k by the share of
    replicas on rung k times ln f, which starts from 1, is halved whenever the histogram is flat, and is K/t after t
    attempts from when on this is more. Given weights are refined so, too, if there is a `learn`. Then the weights
    are frozen, so that what follows is exact: leave out the steps before.
    `ladder`: rising temperatures (K,); replica r starts at rung r % K. `tempered` as for ReplicaExchange.

    Observables, each (replicas,): "tempering/rung" after the move, "tempering/accepted" (1, 0, or -1 where the
    proposal left the ladder), "tempering/pair" (the lower rung of the two, or -1), "tempering/energy" E, and
    "tempering/weight", g of the rung.

    Raises TemperingError for a bad ladder or weights, and an integrator without a temperature for every replica.

    References: Marinari, Parisi, Europhys. Lett. 19, 451 (1992); Wang, Landau, Phys. Rev. Lett. 86, 2050 (2001);
    Belardinelli, Pereyra, Phys. Rev. E 75, 046701 (2007).
    """

    def __init__(
        self,
        ladder: Sequence[float] | Tensor,
        every: int = 100,
        weights: Sequence[float] | Tensor | None = None,
        learn: int = 0,
        tempered: What = "all",
    ) -> None:
        super().__init__(ladder, every, tempered)
        rising(self.ladder)
        self.given = None if weights is None else tuple(float(g) for g in weights)
        self.learn = learn
        _check_learning(self.given, learn, every, len(self.ladder))

    @property
    def settings(self) -> dict[str, Any]:
        """The parameters by name."""
        return super().settings | {
            "weights": None if self.given is None else list(self.given),
            "learn": self.learn,
        }

    def temperatures(self, replicas: int) -> Tensor:
        """Return the temperatures at the start (replicas, 1) float64: rung r % K for replica r."""
        levels = torch.tensor(self.ladder, dtype=torch.float64)
        return levels[torch.arange(replicas) % len(levels)][:, None]

    def start(self, system: ParticleSystem, integrator: Integrator, phase: Phase) -> None:
        """Put replica r on rung r % K, where the integrator has to have it."""
        self._begin(system, integrator, phase, group=1)
        device = phase.q.device
        self.attempts = 0
        self.rung = torch.arange(self.replicas, device=device) % len(self.ladder)  # (replicas,)
        given = self.given or [0.0] * len(self.ladder)
        self.weights = torch.tensor(given, dtype=torch.float64, device=device)  # (K,)
        self._sums = torch.zeros_like(self.weights), torch.zeros_like(self.weights)  # of energies and their number
        self._visits = torch.zeros_like(self.weights)  # since the histogram was flat last
        self._gain = torch.ones_like(self.weights[0])  # ln f
        self._final = torch.zeros_like(self._gain, dtype=torch.bool)  # whether it is K/t by now

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Let every replica propose a rung."""
        energy = self._energy(phase).clone()
        if self.given is None and step <= self.learn // 4:
            return self._gather(step, energy)
        wanted = self.rung + 2 * torch.randint_like(self.rung, 2) - 1
        inside = (wanted >= 0) & (wanted < len(self.ladder))
        wanted = torch.where(inside, wanted, self.rung)
        accept = self._accept(wanted, energy)
        pair = torch.where(inside, torch.minimum(wanted, self.rung), -1)
        self.rung.copy_(torch.where(accept, wanted, self.rung))
        if step <= self.learn:
            self._learn()
        self._move(phase, self._levels[self.rung])
        return self._report(torch.where(inside, accept.long(), -1), pair, energy)

    def _report(self, accepted: Tensor, pair: Tensor, energy: Tensor) -> Mapping[str, Tensor]:
        report = {"rung": self.rung.clone(), "accepted": accepted, "pair": pair, "energy": energy}
        report |= {"weight": self.weights[self.rung]}
        return {f"tempering/{name}": value for name, value in report.items()}

    def _accept(self, wanted: Tensor, energy: Tensor) -> Tensor:
        """Whether the replicas with these energies take the rungs they want, (replicas,)."""
        gain = self.weights[wanted] - self.weights[self.rung]
        gain = gain - (self._inverse[wanted] - self._inverse[self.rung]) * energy
        return torch.log(torch.rand_like(gain)) < gain

    def _gather(self, step: int, energy: Tensor) -> Mapping[str, Tensor]:
        """Collect the energies of every rung while all stay; at the end make the first weights of their means."""
        if step > self.learn // 8:
            self._sums[0].index_add_(0, self.rung, energy)
            self._sums[1].index_add_(0, self.rung, torch.ones_like(energy))
        if step + self.every > self.learn // 4:
            total, number = (x.cpu().numpy() for x in self._sums)
            beta = -self._inverse.cpu().numpy()  # rises
            mean = np.interp(beta, beta[number > 0], total[number > 0] / number[number > 0])
            steps = -np.diff(beta) * (mean[1:] + mean[:-1]) / 2
            self.weights.copy_(torch.from_numpy(np.concatenate([[0.0], np.cumsum(steps)])))
        none = torch.full_like(self.rung, -1)
        return self._report(none, none, energy)

    def _learn(self) -> None:
        """Lower the weights where the replicas are; all of it on the device."""
        rungs = len(self.ladder)
        self.attempts += 1
        share = torch.zeros_like(self.weights).index_add_(0, self.rung, torch.ones_like(self.rung, dtype=torch.float64))
        share /= len(self.rung)
        self._visits += share
        enough = self._visits.sum() > _WINDOW * rungs - 0.5
        flat = enough & (self._visits.min() > _FLAT * self._visits.mean())
        self._gain.copy_(torch.where(flat, self._gain / 2, self._gain))
        self._visits.copy_(torch.where(flat, 0.0, self._visits))
        late = rungs / self.attempts
        self._final |= self._gain <= late
        self._gain.copy_(torch.where(self._final, late, self._gain))
        self.weights -= self._gain * share
        self.weights -= self.weights[0].clone()

    def state(self) -> dict[str, Tensor]:
        """Return the rungs, the weights and how far they are learnt."""
        counts = {"attempts": torch.tensor(self.attempts), "final": self._final}
        learnt = {"weights": self.weights, "visits": self._visits, "gain": self._gain}
        return {"rung": self.rung, "energies": self._sums[0], "numbers": self._sums[1]} | learnt | counts

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` returned, and the temperatures with it."""
        names = {"rung": self.rung, "weights": self.weights, "visits": self._visits, "gain": self._gain}
        names |= {"final": self._final, "energies": self._sums[0], "numbers": self._sums[1]}
        for name, value in names.items():
            value.copy_(state[name])
        self.attempts = int(state["attempts"])
        self._set(self._levels[self.rung])


def _check_learning(given: tuple[float, ...] | None, learn: int, every: int, rungs: int) -> None:
    if given is not None and (len(given) != rungs or not torch.isfinite(torch.tensor(given)).all()):
        raise TemperingError(f"weights = {list(given)} must be {rungs} finite numbers, one a rung")
    if learn < 0:
        raise TemperingError(f"learn = {learn} steps must not be negative")
    if given is None and learn < 16 * every:
        raise TemperingError(
            f"learn = {learn} steps hold fewer than 16 attempts at every = {every}: give more steps to learn the "
            "weights in, or weights=..., such as those of from_pilot"
        )
