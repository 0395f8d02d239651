"""Population annealing: a population of replicas cools together, and the fitter ones are copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import log
from typing import Any

import torch
from torch import Tensor

from integrators import Integrator, Phase
from mdnet.system import ParticleSystem
from mdnet.tempering.tempered import Tempering, TemperingError, What


class PopulationAnnealing(Tempering):
    """Every `every` steps the temperature falls from T to the next T', and the replicas are drawn anew with weights

        w_r = exp(-(1/T' - 1/T) E_r),        ln Z(T') - ln Z(T) = ln mean(w)

    by systematic resampling: replica r is copied floor or ceil of R w_r/sum(w) times, with all that moves, the
    bath's variables too; the heat stays and books the change. All momenta are scaled to T' and given a new, random
    direction at the same kinetic energy, which keeps their law, so that copies part even in a deterministic bath.
    After the last temperature nothing happens any more. `temperatures`: falling, all replicas start at the first.
    `populations`: so many independent ones side by side, in blocks of replicas, which give ln Z its error bar.
    `tempered` as for ReplicaExchange; with "loss" Z is the integral of exp(-L/T - P/T_0), T_0 the last temperature.

    Observables at each fall, (replicas,): "tempering/stage", the number of falls so far; "tempering/energy" E,
    before the fall; "tempering/log_z", ln Z(T')/Z(first T), the same for all of a population; "tempering/family",
    the replica at the start that this one descends from: the mean square family size rho_t tells how many
    replicas are independent.

    Raises TemperingError for temperatures that do not fall, replicas that do not fill the populations, an
    integrator without a temperature for every replica, and replicas of a population with different data.

    References: Hukushima, Iba, AIP Conf. Proc. 690, 200 (2003); Machta, Phys. Rev. E 82, 026704 (2010); Wang, Machta,
    Katzgraber, Phys. Rev. E 92, 063307 (2015).
    """

    def __init__(
        self,
        temperatures: Sequence[float] | Tensor,
        every: int = 100,
        populations: int = 1,
        tempered: What = "all",
    ) -> None:
        super().__init__(temperatures, every, tempered)
        self.populations = populations
        falls = all(a > b for a, b in pairwise(self.ladder)) and all(0 < t < float("inf") for t in self.ladder)
        if len(self.ladder) < 2 or not falls:
            raise TemperingError(
                f"temperatures = {list(self.ladder)} must be two or more, positive, finite and falling; "
                "geometric(low, high, rungs).flip(0) gives such"
            )
        if populations < 1:
            raise TemperingError(f"populations = {populations} must be one or more")

    @property
    def settings(self) -> dict[str, Any]:
        """The parameters by name."""
        return super().settings | {"populations": self.populations}

    def temperatures(self, replicas: int) -> Tensor:
        """Return the temperatures at the start (replicas, 1) float64: the first for all."""
        if replicas % self.populations or replicas < 2 * self.populations:
            raise TemperingError(
                f"{replicas} replicas do not make {self.populations} equal population(s) of two or more; build the "
                f"system with replicas={self.populations * max(2, round(replicas / self.populations))}"
            )
        return torch.full((replicas, 1), self.ladder[0], dtype=torch.float64)

    def start(self, system: ParticleSystem, integrator: Integrator, phase: Phase) -> None:
        """Let every replica found a family."""
        replicas = self.world.everyone(system)
        size = replicas // self.populations
        self._begin(system, integrator, phase, group=max(1, size))
        self.stage = 0
        self.family = torch.arange(replicas, device=phase.q.device)  # (replicas,)
        self.log_z = torch.zeros(self.populations, dtype=torch.float64, device=phase.q.device)

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Lower the temperature by a stage and resample; nothing after the last."""
        if self.stage + 1 == len(self.ladder):
            return {}
        energy = self._energy(phase).clone()
        weights = self._log_weights(energy).view(self.populations, -1)  # (populations, size)
        self.stage += 1
        self.log_z += torch.logsumexp(weights, -1) - log(weights.shape[1])
        rows = _resample(torch.softmax(weights, -1))
        self.family.copy_(self.family[rows])
        self._move(phase, self._levels[self.stage].expand(len(rows)), rows)
        log_z = self.log_z.repeat_interleave(weights.shape[1])
        report = {"stage": torch.full_like(self.family, self.stage), "energy": energy, "log_z": log_z}
        return {f"tempering/{name}": value for name, value in (report | {"family": self.family.clone()}).items()}

    def _log_weights(self, energy: Tensor) -> Tensor:
        """Return ln w (replicas,) of the fall to the next temperature."""
        return (self._inverse[self.stage] - self._inverse[self.stage + 1]) * energy

    def state(self) -> dict[str, Tensor]:
        """Return the stage, the families and ln Z."""
        return {"stage": torch.tensor(self.stage), "family": self.family, "log_z": self.log_z}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` returned, and the temperature with it."""
        self.stage = int(state["stage"])
        self.family.copy_(state["family"])
        self.log_z.copy_(state["log_z"])
        self._set(self._levels[self.stage].expand(len(self.family)))


def _resample(weights: Tensor) -> Tensor:
    """The parents (populations * size,) drawn by one random number a population from weights that add up to one."""
    populations, size = weights.shape
    start = torch.rand(populations, 1, dtype=weights.dtype, device=weights.device)
    points = (torch.arange(size, device=weights.device) + start) / size
    parents = torch.searchsorted(weights.cumsum(-1), points).clamp_(max=size - 1)
    return (parents + torch.arange(0, populations * size, size, device=weights.device)[:, None]).flatten()
