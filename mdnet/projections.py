"""A few numbers in place of all weights: random and principal projections, taken while the run goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from integrators import Integrator, Phase
from mdnet.cadence import Cadence, cadence
from mdnet.system import ParticleSystem

_BLOCK = 1 << 20  # numbers handled at a time
_HELD = 1 << 26  # numbers of a projection that stay on the device; a larger one is drawn anew at every report


class RandomProjection:
    """y = P q with a fixed Gaussian P (dimension, dof), P_ij ~ N(0, 1/dimension): "projection" (replicas, dimension).

    Distances between all pairs of n points are kept within 1 +- e with high probability where dimension is above
    about 8 log(n)/e^2, whatever dof is. P follows from `seed` alone: it is drawn block by block, 2^20 numbers at a
    time, by a generator of its own on the CPU. Up to 2^26 numbers stay on the device; a larger P is drawn again at
    every report, so that memory stays bounded. `every`: steps between reports.

    Raises ValueError for a dimension below one.

    Reference: Johnson, Lindenstrauss, Contemp. Math. 26, 189 (1984); Dasgupta, Gupta, Random Struct. Algorithms 22,
    60 (2003).
    """

    def __init__(self, dimension: int = 64, every: Cadence = 10, *, seed: int = 0) -> None:
        if dimension < 1:
            raise ValueError(f"dimension = {dimension} must be one or more")
        self.dimension, self.every, self.seed = dimension, cadence(every), seed

    @property
    def settings(self) -> dict[str, Any]:
        """What the file remembers under /parameters/reporters."""
        return {"dimension": self.dimension, "seed": self.seed}

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """Learn the number of coordinates, and draw the projection where it can be held."""
        self._dof, self._dtype, self._device = system.dof, system.dtype, system.device
        self._held = list(self._blocks()) if self.dimension * self._dof <= _HELD else None

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Return the projections of all replicas."""
        projected, begin = phase.q.new_zeros(len(phase.q), self.dimension), 0
        for block in self._blocks() if self._held is None else self._held:
            end = begin + len(block)
            projected.addmm_(phase.q[:, begin:end], block)
            begin = end
        return {"projection": projected}

    def matrix(self) -> Tensor:
        """Return P (dimension, dof), for comparisons: it is as large as it is."""
        return torch.cat(list(self._blocks())).T

    def _blocks(self) -> Iterator[Tensor]:
        """Draw the rows of P transposed, (at most _BLOCK/dimension, dimension) at a time."""
        generator, rows = torch.Generator().manual_seed(self.seed), max(1, _BLOCK // self.dimension)
        for begin in range(0, self._dof, rows):
            shape = (min(rows, self._dof - begin), self.dimension)
            block = torch.randn(shape, generator=generator, dtype=torch.float32) / self.dimension**0.5
            yield block.to(device=self._device, dtype=self._dtype)


class PrincipalComponents:
    """The leading principal components of the weights, learnt from the first `learn` reports, then projected on.

    Learning goes on in float64 with one pass and bounded memory, 2 dimension rows of dof numbers: each batch M
    (replicas, dof) joins the scaled components so far, whose Gram matrix gives the new ones. From then on
    "principal/coordinates" is (replicas, dimension); once learnt, components (dimension, dof), mean (dof,) and
    variance (dimension,), largest first, are in the file: `trajectories.open(run).learnt["principal/components"]`.
    `every`: steps between reports.

    Raises ValueError where there are fewer samples to learn from, or fewer coordinates, than components.

    Reference: Ross, Lim, Lin, Yang, Int. J. Comput. Vis. 77, 125 (2008).
    """

    def __init__(self, dimension: int = 16, every: Cadence = 10, *, learn: int = 100) -> None:
        if dimension < 1 or learn < 1:
            raise ValueError(f"dimension = {dimension} and learn = {learn} must be one or more")
        self.dimension, self.every, self.learn = dimension, cadence(every), learn

    @property
    def settings(self) -> dict[str, Any]:
        """What the file remembers under /parameters/reporters."""
        return {"dimension": self.dimension, "learn": self.learn}

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """Begin to learn; raises ValueError where so many components cannot be learnt."""
        if self.dimension > system.dof or self.dimension >= self.learn * system.replicas:
            raise ValueError(
                f"dimension = {self.dimension}: learn = {self.learn} reports of {system.replicas} replicas with "
                f"{system.dof} coordinates have fewer components; take a smaller dimension, or learn longer"
            )
        wide = {"dtype": torch.float64, "device": system.device}
        self._reports = torch.zeros((), dtype=torch.int64)
        self._mean = torch.zeros(system.dof, **wide)  # type: ignore[call-overload]
        self._rows = torch.zeros(2 * self.dimension, system.dof, **wide)  # type: ignore[call-overload]
        self._learnt: dict[str, Tensor] = {}

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Learn from the phase, or project it."""
        report: dict[str, Tensor] = {}
        if not self._learnt:
            self._join(phase.q.detach())
            if self._reports < self.learn:
                return {}
            self._learnt = self._finish(len(phase.q), phase.q.dtype)
            report = {f"learnt/principal/{name}": value for name, value in self._learnt.items()}
        away = phase.q - self._learnt["mean"]
        return report | {"principal/coordinates": away @ self._learnt["components"].T}

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold."""
        if self._learnt:
            return dict(self._learnt)
        return {"reports": self._reports, "sum": self._mean, "rows": self._rows}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` returned."""
        placed = {name: value.to(self._mean.device) for name, value in state.items()}
        if "rows" in placed:
            self._reports, self._mean, self._rows = state["reports"], placed["sum"], placed["rows"]
            self._learnt = {}
        else:
            self._learnt = placed

    def _join(self, q: Tensor) -> None:
        """Take the rows q (replicas, dof) into mean and components.

        The scatter about the joint mean is that of the parts about their own, and of the means about each other:
        three groups of rows whose Gram matrix (rows, rows) is all that has to be decomposed.
        """
        old, new = int(self._reports) * len(q), len(q)
        batch = q.mean(0, dtype=torch.float64)
        step = batch - self._mean
        between = (old * new / (old + new)) ** 0.5
        spans = [slice(begin, begin + _BLOCK) for begin in range(0, q.shape[1], _BLOCK)]

        def rows(span: slice) -> Tensor:
            return torch.cat([self._rows[:, span], q[:, span] - batch[span], between * step[None, span]])

        gram = sum((m @ m.T for m in map(rows, spans)), start=self._mean.new_zeros(()))
        _, directions = torch.linalg.eigh(gram)  # ascending
        leading = directions[:, -2 * self.dimension :].flip(-1)
        for span in spans:
            self._rows[:, span] = leading.T @ rows(span)
        self._mean += step * (new / (old + new))
        self._reports = self._reports + 1

    def _finish(self, replicas: int, dtype: torch.dtype) -> dict[str, Tensor]:
        """Return unit components, their variances and the mean; the largest entry of a component is positive."""
        rows = self._rows[: self.dimension]
        lengths = rows.norm(dim=1)
        components = rows / lengths.clamp_min(torch.finfo(torch.float64).tiny)[:, None]
        largest = components.gather(1, components.abs().argmax(1, keepdim=True))
        components = torch.where(largest < 0, -components, components)
        variance = lengths.square() / (self.learn * replicas - 1)
        return {"components": components.to(dtype), "mean": self._mean.to(dtype), "variance": variance}
