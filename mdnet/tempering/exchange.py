"""Replica exchange (parallel tempering): neighbours in temperature swap their temperatures."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from integrators import Integrator, Phase
from mdnet.system import ParticleSystem
from mdnet.tempering.ladder import harmonic_acceptance
from mdnet.tempering.tempered import Tempering, TemperingError, TemperingWarning, What, rising

_HOPELESS = 1e-3  # mean acceptance below which a ladder does not conduct


class ReplicaExchange(Tempering):
    """Every `every` steps replicas at neighbouring temperatures T_i < T_j swap them with the probability

        min(1, exp((1/T_i - 1/T_j)(E_i - E_j)))

    Even and odd pairs take turns (DEO), so that a replica that goes up goes on going up. Temperatures move
    between replicas and configurations stay; momenta, and the bath's, are scaled by sqrt(T'/T). No force is
    evaluated. `ladder`: rising temperatures (K,). There are K x ladders replicas, any number of independent
    ladders side by side: replica r starts at rung r % K of ladder r // K; `ladders`, if given, is checked.
    `tempered`: "all", E = U, or "loss", E = L and the prior keeps its law at the lowest temperature, so that
    only the modes that the data hold need rungs; T_K/T_1 times as stiff on the highest rung, it may ask for a
    shorter dt. Chosen layers: freeze the others by requires_grad_(False)
    before the system is built; the rungs that a ladder needs grow as the square root of the moving parameters.
    A Nose-Hoover chain keeps the masses of the temperature it starts with, so it is sqrt(T_K/T_1) times as fast
    where a cold replica has become hot: take a tau that is longer by as much.

    Observables, each (replicas,): "tempering/rung" after the exchange, "tempering/accepted" (1, 0, or -1 where
    none was tried), "tempering/pair" (the lower rung of the pair tried, or -1), "tempering/energy" E.

    Raises TemperingError for a bad ladder, a wrong number of replicas, an integrator without a temperature for
    every replica, and replicas of a ladder with different data. Warns where N harmonic modes would not exchange.

    References: Hukushima, Nemoto, J. Phys. Soc. Jpn. 65, 1604 (1996); Okabe, Kawata, Okamoto, Mikami, Chem. Phys.
    Lett. 335, 435 (2001); Syed, Bouchard-Cote, Deligiannidis, Doucet, J. R. Stat. Soc. B 84, 321 (2022).
    """

    def __init__(
        self, ladder: Sequence[float] | Tensor, every: int = 100, ladders: int | None = None, tempered: What = "all"
    ) -> None:
        super().__init__(ladder, every, tempered)
        rising(self.ladder)
        self.ladders = ladders

    @property
    def settings(self) -> dict[str, Any]:
        """The parameters by name."""
        return super().settings | ({} if self.ladders is None else {"ladders": self.ladders})

    def temperatures(self, replicas: int) -> Tensor:
        """Return the temperatures at the start (replicas, 1) float64: rung r % K for replica r."""
        rungs = len(self.ladder)
        if replicas < 1 or replicas % rungs or replicas != rungs * (self.ladders or replicas // rungs):
            raise TemperingError(
                f"{replicas} replicas do not fill {self.ladders or 'whole'} ladder(s) of {rungs} rungs; build the "
                f"system with replicas={rungs * (self.ladders or max(1, round(replicas / rungs)))}"
            )
        return torch.tensor(self.ladder, dtype=torch.float64).repeat(replicas // rungs)[:, None]

    def start(self, system: ParticleSystem, integrator: Integrator, phase: Phase) -> None:
        """Put replica r on rung r % K, where the integrator has to have it."""
        rungs = len(self.ladder)
        self._begin(system, integrator, phase, group=rungs)
        self._warn_if_hopeless(system)
        self.attempts = 0
        self.rung = torch.arange(self.replicas, device=phase.q.device) % rungs  # (replicas,)
        self._offset = torch.arange(0, self.replicas, rungs, device=phase.q.device)[:, None]  # (ladders, 1)

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Let this turn's pairs exchange."""
        rungs = len(self.ladder)
        energy = self._energy(phase).clone()
        first = self.attempts % min(2, rungs - 1)  # the lowest rung of this turn's pairs
        self.attempts += 1
        at = self.rung.view(-1, rungs).argsort(-1) + self._offset  # (ladders, rungs): the replica on each rung
        low, high = at[:, first : rungs - 1 : 2], at[:, first + 1 :: 2]  # (ladders, pairs)
        pairs = torch.arange(first, rungs - 1, 2, device=low.device).expand_as(low)
        accept = self._accept(pairs, energy[low], energy[high]).long()

        accepted, pair = torch.full_like(self.rung, -1), torch.full_like(self.rung, -1)
        for side, change in ((low, accept), (high, -accept)):
            accepted[side], pair[side] = accept, pairs
            self.rung[side] += change
        self._move(phase, self._levels[self.rung])
        report = {"rung": self.rung.clone(), "accepted": accepted, "pair": pair, "energy": energy}
        return {f"tempering/{name}": value for name, value in report.items()}

    def _accept(self, pairs: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Whether energies `low` on rungs `pairs` and `high` one rung above exchange, all (ladders, pairs)."""
        gain = (self._inverse[pairs] - self._inverse[pairs + 1]) * (low - high)
        return torch.log(torch.rand_like(gain)) < gain

    def state(self) -> dict[str, Tensor]:
        """Return the rung of every replica and the number of attempts."""
        return {"rung": self.rung, "attempts": torch.tensor(self.attempts)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` returned, and the temperatures with it."""
        self.rung.copy_(state["rung"])
        self.attempts = int(state["attempts"])
        self._set(self._levels[self.rung])

    def _warn_if_hopeless(self, system: ParticleSystem) -> None:
        expected = harmonic_acceptance(self.ladder, system.dof)
        if self.tempered == "all" and system.stiffness is not None and min(expected) < _HOPELESS:
            warnings.warn(
                f"{system.dof} harmonic degrees of freedom would exchange with a probability of {min(expected):.1g} "
                f"between neighbours of these {len(self.ladder)} rungs; take more rungs (see rungs_needed), a narrower "
                "range, tempered='loss', or freeze layers by requires_grad_(False)",
                TemperingWarning,
                stacklevel=4,
            )
