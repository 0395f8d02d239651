"""Dynamic temperature: every replica's temperature is steered to where its ensemble predicts held-out rows best."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from integrators import Integrator, Phase
from mdnet.identity import digest
from mdnet.system import ParticleSystem
from mdnet.tempering.tempered import Tempering, TemperingError, What

_DECAY = 0.6  # of a move with the changes of sign


class SteerTemperature(Tempering):
    """Moves the temperature T of every replica down the held-out loss l of its own ensemble.

    Every `every` steps a replica's prediction f on the held-out rows and its energy E are seen. After `looks` of
    them the canonical law tells how the loss of the mean prediction <f> depends on T, without another temperature:

        dl/d ln T = dl/d<f> . cov(f, E)/T,     ln T <- ln T - sign(dl/d ln T) ln(factor)/(1 + c),

    where c counts how often the sign has changed: steps stay long on the way and shrink about the optimum. T stays
    within `lowest` and `highest`. What was seen before counts `memory` times as much as before after each move. f is
    the output, and with classes, integer targets, the softmax, the loss being that of its mean; l is the system's
    loss. At step `learn` T becomes e^(mean of ln T over the second half of the moves) and stays, so that what
    follows samples one law: leave out the steps before. Momenta, and the bath's, are scaled by sqrt(T'/T). Start
    hot: only modes that answer within the looks are seen, so that a cold start with slow modes stays too cold.

    `inputs` (n, ...) and `targets` (n, ...): rows that the system does not see, with `per_replica` (replicas, n, ...),
    each replica's own. `temperature`: of all replicas at the start, as the integrator must have it. `tempered`:
    "loss", E = L and the prior keeps its law at the starting temperature, so that its stiffness is proportional to
    T; "all", E = U and the prior's stiffness stays.

    Observables, each (replicas,): "steering/temperature" after the look, "steering/slope" dl/d ln T where a move was
    made, else NaN, and "steering/loss", that of the mean prediction then.

    Raises TemperingError for settings out of range, and where data or temperatures do not fit the system.

    References: Kesten, Ann. Math. Stat. 29, 41 (1958); Polyak, Juditsky, SIAM J. Control Optim. 30, 838 (1992).
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        temperature: float,
        *,
        lowest: float,
        highest: float,
        learn: int,
        every: int = 10,
        looks: int = 25,
        factor: float = 1.3,
        memory: float = 0.5,
        tempered: What = "loss",
        per_replica: bool = False,
    ) -> None:
        super().__init__((temperature,), every, tempered)
        _check(temperature, lowest, highest, factor, memory)
        if looks < 2 or learn < 2 * every * looks:
            raise TemperingError(
                f"learn = {learn}, looks = {looks}: a move needs two looks or more, and learn 2 every looks = "
                f"{2 * every * looks} steps or more"
            )
        self.inputs, self.targets, self.per_replica = inputs, targets, per_replica
        self.lowest, self.highest, self.learn = lowest, highest, learn
        self.looks, self.factor, self.memory = looks, factor, memory

    @property
    def settings(self) -> dict[str, Any]:
        """The parameters by name."""
        return super().settings | {
            "lowest": self.lowest, "highest": self.highest, "learn": self.learn, "looks": self.looks,
            "factor": self.factor, "memory": self.memory, "per_replica": self.per_replica,
            "inputs": digest(self.inputs), "targets": digest(self.targets),
        }  # fmt: skip

    def temperatures(self, replicas: int) -> Tensor:
        """Return the temperatures at the start, (replicas, 1) float64."""
        return torch.full((replicas, 1), self.ladder[0], dtype=torch.float64)

    def start(self, system: ParticleSystem, integrator: Integrator, phase: Phase) -> None:
        """Begin at the starting temperature with nothing seen."""
        self._begin(system, integrator, phase, group=1)
        self._check_data(system)
        self._rows = [x.to(phase.q.device) for x in (self.inputs, self.targets)]
        if self.per_replica:
            self._rows = [self.world.mine(x) for x in self._rows]
        self._prediction = torch.zeros_like(self._predict(phase.q))  # (rows of this process, n, outputs): sum of f
        self._product = torch.zeros_like(self._prediction)  # sum of f E
        self._seen = self._prediction.new_zeros(2, len(phase.q))  # the looks' weight, and the sum of E
        self._walk = self._prediction.new_zeros(3, self.replicas)  # last sign, its changes, sum of ln T
        self._looks = 0

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Look, and move after enough looks; after the last move do nothing."""
        if self._looks == self.looks * self.moves:
            return {}
        self._looks += 1
        self._look(phase)
        if self._looks % self.looks:
            return {}
        loss, slope = (self.world.gather(value) for value in self._slope())
        levels = self._next(slope, self._looks // self.looks)
        self._move(phase, levels)
        for sums in (self._prediction, self._product, self._seen):
            sums.mul_(self.memory)
        return {"steering/temperature": levels, "steering/loss": loss, "steering/slope": slope}

    def state(self) -> dict[str, Tensor]:
        """Return the temperatures, and what was seen and done."""
        temperature, prediction, product, seen = (
            self.world.gather(x) for x in (self._now, self._prediction, self._product, self._seen.T)
        )
        return {
            "temperature": temperature, "prediction": prediction, "product": product, "seen": seen,
            "walk": self._walk, "looks": torch.tensor(self._looks),
        }  # fmt: skip

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` returned, and the temperatures with it."""
        self._prediction.copy_(self.world.mine(state["prediction"]))
        self._product.copy_(self.world.mine(state["product"]))
        self._seen.copy_(self.world.mine(state["seen"]).T)
        self._walk.copy_(state["walk"])
        self._looks = int(state["looks"])
        self._set(state["temperature"][:, 0])

    @property
    def moves(self) -> int:
        """How often T is moved."""
        return self.learn // (self.every * self.looks)

    def _predict(self, q: Tensor) -> Tensor:
        """What is averaged of every replica's output: (rows of this process, n, outputs) float64."""
        output = self.system.output(q, self._rows[0], per_replica=self.per_replica).double()
        return output if self.targets.is_floating_point() else torch.softmax(output, -1)

    def _loss(self, prediction: Tensor, targets: Tensor) -> Tensor:
        """The loss () of one replica's mean prediction (n, outputs)."""
        if not targets.is_floating_point():
            prediction = torch.log(prediction.clamp_min(torch.finfo(prediction.dtype).tiny))
        return self.system.loss(prediction, targets.double() if targets.is_floating_point() else targets)

    def _look(self, phase: Phase) -> None:
        """Add what the replicas say and their energies to the sums."""
        said, energy = self._predict(phase.q), self.world.mine(self._energy(phase))
        self._prediction.add_(said)
        self._product.add_(said * energy[:, None, None])
        self._seen.add_(torch.stack([torch.ones_like(energy), energy]))

    def _slope(self) -> tuple[Tensor, Tensor]:
        """Return the loss of the mean prediction and its dl/d ln T, each (rows of this process,)."""
        weight, energy = (x[:, None, None] for x in self._seen)
        mean = self._prediction / weight
        response = (self._product / weight - mean * energy / weight) / self._now[..., None]  # d<f>/d ln T

        rows = (0, 0 if self.per_replica else None)
        slope, loss = vmap(grad_and_value(self._loss), rows)(mean, self._rows[1])
        return loss, (slope * response).sum((-2, -1))

    def _next(self, slope: Tensor, move: int) -> Tensor:
        """Return the temperatures (replicas,) after a move, from dl/d ln T of all replicas (replicas,)."""
        last, changes, total = self._walk  # views
        sign = torch.sign(slope)
        changes.add_(sign * last < 0)
        last.copy_(torch.where(sign == 0, last, sign))
        log_t = torch.log(self.world.gather(self._now)[:, 0]) - sign * log(self.factor) * (1 + changes) ** -_DECAY
        log_t.clamp_(log(self.lowest), log(self.highest))
        if move > self.moves // 2:
            total.add_(log_t)
        return torch.exp(log_t if move < self.moves else total / (self.moves - self.moves // 2))

    def _check_data(self, system: ParticleSystem) -> None:
        rows = 2 if self.per_replica else 1
        x, y = self.inputs, self.targets
        wanted = (self.replicas, *y.shape[1:2]) if self.per_replica else y.shape[:1]
        if x.shape[:rows] != y.shape[:rows] or tuple(x.shape[:rows]) != tuple(wanted) or 0 in wanted:
            raise TemperingError(
                f"held-out inputs {tuple(x.shape)} and targets {tuple(y.shape)} must hold as many rows, one or more, "
                f"(n, ...), or with per_replica (replicas, n, ...) of {self.replicas} replicas"
            )


def _check(temperature: float, lowest: float, highest: float, factor: float, memory: float) -> None:
    if not 0 < lowest <= temperature <= highest < float("inf") or lowest == highest:
        raise TemperingError(
            f"temperature = {temperature} must lie between lowest = {lowest} and highest = {highest}, all positive"
        )
    if not 1 < factor < float("inf"):
        raise TemperingError(f"factor = {factor} of a move must be above 1; 1.3 is usual")
    if not 0 <= memory < 1:
        raise TemperingError(f"memory = {memory} must be 0 or more and below 1")
