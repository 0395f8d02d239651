"""The entropy of the last iterates of a run, taken while it goes on: snapshots queue, and only the entropy stays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from integrators import Integrator, Phase
from mdnet.cadence import At, before
from mdnet.system import ParticleSystem
from trajectories.entropy import graph_entropy


class GraphEntropy:
    """The entropy of the last `samples` iterates of every replica, but for a constant, as "graph_entropy" (replicas,):

        S = d [ln sum_i sum_{j<=k} |q_i - q_i(j)| - ((d - 1)/d) ln samples]     at each of the steps `at`

    by trajectories.entropy.graph_entropy, whose limits it shares. Iterates are `stride` steps apart; steps `at` whose
    iterates overlap must be whole strides apart, for they share them. `dimension`: d, by default dof; on a sphere it is
    dof - 1. Memory: samples x replicas x dof numbers on the CPU.

    Raises ValueError for no more samples than neighbours, a dimension below one, a step `at` before which there are not
    so many iterates, and steps `at` that overlap and are not whole strides apart.

    Reference: Costa, Hero, IEEE Trans. Signal Process. 52, 2210 (2004).
    """

    def __init__(
        self, at: Iterable[int], *, samples: int = 1000, stride: int = 1, k: int = 50, dimension: int | None = None
    ) -> None:
        self.at, self.samples, self.stride, self.k, self.dimension = At(at), samples, stride, k, dimension
        if not 1 <= k < samples:
            raise ValueError(f"k = {k}, samples = {samples}: a graph needs one neighbour or more, and more samples")
        if self.at.steps[0] < (samples - 1) * stride:
            raise ValueError(
                f"step {self.at.steps[0]} has fewer than {samples} iterates, {stride} steps apart, before it; the "
                f"first that has is {(samples - 1) * stride}"
            )
        if dimension is not None and dimension < 1:
            raise ValueError(f"dimension = {dimension} must be one or more; by default it is that of the system")
        self._refuse_out_of_step()
        self.every = before(self.at.steps, samples, stride)
        self._queue: Tensor | None = (
            None  # (samples, replicas, dof): the iterate of the m-th look is at m modulo samples
        )
        self._looks = 0

    @property
    def settings(self) -> dict[str, Any]:
        """What the file remembers under /parameters/reporters."""
        given = {} if self.dimension is None else {"dimension": self.dimension}
        return {"at": repr(self.at), "samples": self.samples, "stride": self.stride, "k": self.k, **given}

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """Learn the number of coordinates."""
        self._d = system.dof if self.dimension is None else self.dimension

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Queue the iterate, and return the entropy where it is time."""
        if self._queue is None:
            self._queue = torch.empty((self.samples, *phase.q.shape), dtype=phase.q.dtype)
        self._queue[self._looks % self.samples].copy_(phase.q)
        self._looks += 1
        return {"graph_entropy": self._entropies()} if step in self.at else {}

    def _refuse_out_of_step(self) -> None:
        for one, next_ in pairwise(self.at.steps):
            if next_ - one < self.samples * self.stride and (next_ - one) % self.stride:
                raise ValueError(
                    f"steps {one} and {next_}: the last {self.samples} iterates of both, {self.stride} steps apart, "
                    f"overlap and are not the same; take steps that are a multiple of {self.stride} apart, or farther "
                    f"than {(self.samples - 1) * self.stride}"
                )

    def state(self) -> dict[str, Tensor]:
        """Return the queue."""
        queue = {} if self._queue is None else {"queue": self._queue}
        return {"looks": torch.tensor(self._looks), **queue}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put back the queue."""
        self._looks, self._queue = int(state["looks"]), state.get("queue")

    def _entropies(self) -> Tensor:
        """S of each replica (replicas,) float64; minus infinity where all iterates are the same."""
        assert self._queue is not None
        by_replica = [graph_entropy(iterates.numpy(), self.k, self._d) for iterates in self._queue.unbind(1)]
        return torch.tensor(by_replica, dtype=torch.float64)
