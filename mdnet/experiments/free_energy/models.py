"""What a model of the free-energy paper is: network, data, rates, steps, and how its entropy is looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mdnet.cadence import At, before, log_spaced
from mdnet.data.splitting import Part
from mdnet.system import Loss, ParticleSystem

FEWEST = 3  # rates: a temperature needs a neighbour on each side


@dataclass(frozen=True, eq=False)
class Model:
    """A scale-invariant network with its data in one regime, and how a sweep over learning rates goes.

    `regime`: "up" (underparameterised: every rate has a stationary state) or "op" (overparameterised: below a threshold
    the loss goes to zero). `network` makes the module, `data` the training rows and the test rows, or None. `rates`
    (n,) ascending; `steps` of SGD on the sphere of `radius`; `batch` rows drawn with replacement. `start`: the weights
    that all seeds begin from (dof,), by default the layers' own law.

    `points` log-spaced looks at energy, noise and test metrics; `settled` more, evenly spaced over the time in which
    the last entropy is taken, and the last `last` of all looks make the stationary values. The entropy is that of
    `samples` iterates `stride` steps apart, with `k` neighbours, at the end and at `entropies` - 1 log-spaced times.
    `frames`: whether the positions are kept at all looks. `eps`: of the temperature, see trajectories.sgd.temperature.

    `published` and `note`: what the paper ran, and what this is beside it. Raises ValueError, naming what is wrong,
    for fewer than three rates, rates that do not ascend and steps too few for an entropy.
    """

    name: str
    regime: str
    title: str
    network: Callable[[], nn.Module]
    data: Callable[[], tuple[Part, Part | None]]
    rates: Sequence[float]
    steps: int
    batch: int
    seeds: int
    loss: Loss = cross_entropy
    samples: int = 1000
    stride: int = 1
    k: int = 50
    entropies: int = 1
    points: int = 200
    settled: int = 0
    last: int = 50
    frames: bool = False
    eps: float = 0.0
    radius: float = 1.0
    start: Sequence[float] | None = None
    dtype: torch.dtype = torch.float32
    published: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        rates = list(self.rates)
        if len(rates) < FEWEST:
            raise ValueError(f"rates = {rates}: a temperature needs {FEWEST} or more, a neighbour on each side of one")
        if not (rates[0] > 0 and rates[-1] < float("inf") and all(a < b for a, b in pairwise(rates))):
            raise ValueError(f"rates = {rates} must be positive and ascend, each above the one before")
        if self.steps < self.fewest:
            times = f", {self.entropies} of them along the run" if self.entropies > 1 else ""
            raise ValueError(
                f"steps = {self.steps}: the entropy of {self.name!r} is that of {self.samples} iterates {self.stride} "
                f"steps apart{times}, so there must be {self.fewest} steps or more"
            )

    @property
    def window(self) -> int:
        """The steps that an entropy looks back."""
        return (self.samples - 1) * self.stride

    @property
    def fewest(self) -> int:
        """The steps that a run has at the least: those of an entropy, or of several one after the other."""
        return max(2, self.window + self.stride + (self.entropies > 1))

    @property
    def looks(self) -> At:
        """When energy, noise and metrics are taken: also when the entropy is."""
        often = log_spaced(self.steps, self.points) | self.entropy_at
        if not self.settled:
            return often
        return often | before([self.steps], self.settled, max(1, self.window // self.settled))

    @property
    def entropy_at(self) -> At:
        """When the entropy is taken: always whole strides before the end, so that the windows share their iterates."""
        end = self.steps
        if self.entropies == 1:
            return At([end])
        times = log_spaced(end, self.entropies, first=self.window + self.stride).steps[1:]
        return At(end - (end - time) // self.stride * self.stride for time in times)

    def system(self, replicas: int, device: str = "cpu") -> ParticleSystem:
        """Return so many networks of the model on its training rows."""
        inputs, targets = self.data()[0]
        return ParticleSystem(
            self.network(), self.loss, inputs, targets, replicas=replicas, dtype=self.dtype, device=device
        )

    def starts(self, system: ParticleSystem, seeds: int, seed: int) -> Tensor:
        """Return where a sweep of a system begins (rates x seeds, dof), rate-major: a seed begins the same for all."""
        if self.start is None:
            return system.positions(seed)[:seeds].repeat(len(self.rates), 1)
        return torch.tensor(self.start, dtype=system.dtype, device=system.device).repeat(system.replicas, 1)

    def with_(self, rates: Sequence[float] | None = None, steps: int | None = None, seeds: int | None = None) -> Model:
        """Return the model with other rates, steps or seeds where they are given."""
        return replace(
            self,
            rates=self.rates if rates is None else rates,
            steps=self.steps if steps is None else steps,
            seeds=self.seeds if seeds is None else seeds,
        )
