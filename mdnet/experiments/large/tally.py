"""Running scores of an ensemble whose predictions are too many to keep: members are added one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from integrators import Integrator, Phase
from mdnet.cadence import cadence
from mdnet.experiments.large.problems import LargeTask
from mdnet.experiments.results import Scores
from mdnet.system import ParticleSystem

_BYTES = 200_000_000  # of stored predictions at most


class Sample(NamedTuple):
    """How one member does, and the ensemble with it: each (replicas,)."""

    accuracy: Tensor
    loss: Tensor
    together: Tensor  # the accuracy of the mean softmax so far


class Tally:
    """Sums over members: their probabilities and votes, (replicas, points, classes), against the `truth` (points,)."""

    def __init__(self, truth: Tensor) -> None:
        self.truth = truth
        self.samples: list[Sample] = []
        self._chances: Tensor | float = 0.0
        self._votes: Tensor | float = 0.0

    def add(self, logits: Tensor) -> None:
        """Add one member of every replica: logits (replicas, points, classes)."""
        self._chances = self._chances + logits.softmax(-1)
        self._votes = self._votes + functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(torch.int16)
        self.samples.append(Sample(*scored(logits, self.truth), self._right(self._chances)))

    def nll(self) -> Tensor:
        """Return the negative log-likelihood of the mean softmax, (replicas,)."""
        chances = torch.as_tensor(self._chances)[:, torch.arange(len(self.truth)), self.truth] / len(self.samples)
        return -chances.double().log().mean(-1)

    def scores(self) -> Scores:
        """Return the scores by replica as a Comparison holds them: vote, mean member, NLL, mean softmax."""
        members = torch.stack([sample.accuracy for sample in self.samples]).mean(0)
        vote, soft = self._right(self._votes), self._right(self._chances)
        alone = len(self.samples) == 1
        return Scores(
            vote.cpu().numpy(), None if alone else members.cpu().numpy(), self.nll().cpu().numpy(), soft.cpu().numpy()
        )

    def _right(self, shares: Tensor | float) -> Tensor:
        return (torch.as_tensor(shares).argmax(-1) == self.truth).double().mean(-1)


class Collect:
    """Reports "test/accuracy", "test/loss" and the logits of some points, "test/prediction"; tallies those of all.

    `after`: the step after which samples count, and are reported. `most`: how many there will be, which says how many
    points fit in the file.
    """

    feeds_ensemble = True

    def __init__(self, task: LargeTask, *, every: int, after: int, most: int) -> None:
        self.task, self.every, self.after, self.most = task, cadence(every), after, most
        self.tally = Tally(task.truth)

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """Remember the system."""
        self.system = system

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Return the scores and the logits of the points that are kept; nothing before samples count."""
        if step <= self.after:
            return {}
        logits = self.task.at_points(self.system.output(phase.q, self.task.test[0]))
        accuracy, loss = scored(logits, self.tally.truth)
        self.tally.add(logits)
        return {"test/accuracy": accuracy, "test/loss": loss, "test/prediction": logits[:, : self.kept].clone()}

    @property
    def kept(self) -> int:
        """How many points are stored, the first ones."""
        each = 4 * self.task.seeds * self.task.classes * self.most
        return min(len(self.tally.truth), max(1, _BYTES // each))


def scored(logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return accuracy and mean negative log-likelihood (replicas,) of logits (replicas, points, classes)."""
    right = (logits.argmax(-1) == truth).double().mean(-1)
    chosen = logits.log_softmax(-1)[:, torch.arange(len(truth)), truth]
    return right, -chosen.double().mean(-1)
