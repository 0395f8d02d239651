"""S(x) from ladders of biased laws: the samples of every rung, read from a run, put together by MBAR."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from trajectories import statistics
from trajectories.errors import NotRecorded
from trajectories.landscape.axes import Axis, Floats
from trajectories.landscape.landscape import Landscape
from trajectories.storage.reader import Trajectory
from trajectories.thermodynamics.pymbar_quietly import mbar_class

_SOLVER = ({"method": "adaptive", "options": {"min_sc_iter": 0}},)

Biases = Callable[[Floats], Floats]
"""x (...,) -> b_k(x) of every rung (rungs, ...)."""


@dataclass(frozen=True, eq=False)
class Ladder:
    """Samples of the laws p_k(q) ~ e^{-b_k(x(q))} of a ladder's rungs, uniform in the box where b = 0.

    `name` of x; `x` (copies, rungs, samples), the copies being independent ladders; `bias`: b_k(x), see `lines` and
    `umbrellas`. `recorded`: other variables at the same moments by name, each of the shape of x.

    Raises ValueError for arrays of other shapes, and for biases of another number of rungs.
    """

    name: str
    x: Floats
    bias: Biases
    recorded: Mapping[str, Floats]

    def __post_init__(self) -> None:
        shapes = {name: values.shape for name, values in {self.name: self.x, **self.recorded}.items()}
        if self.x.ndim != 3 or len(set(shapes.values())) > 1 or len(self.bias(self.x[0, :, 0])) != self.x.shape[1]:
            raise ValueError(
                f"samples of the shapes {shapes} under {len(self.bias(np.zeros(1)))} biases: all have to be (copies, "
                "rungs, samples), with one bias for each rung"
            )

    def values(self, name: str) -> Floats:
        """Return the samples of a recorded variable; raises ValueError for one that is not."""
        if name not in self.recorded:
            raise ValueError(f"{name!r} is not recorded; there is {', '.join(self.recorded) or 'nothing'}")
        return self.recorded[name]

    @property
    def effective(self) -> Floats:
        """How many independent samples of x each rung has, all copies together (rungs,)."""
        samples = self.x.shape[-1]
        found = [(samples / statistics.inefficiencies(copy.T)) for copy in self.x]
        return np.asarray(np.sum(found, axis=0), dtype=np.float64)


def lines(n: ArrayLike) -> Biases:
    """Return b_k = n_k x: the laws p_k ~ e^{-n_k x}, with x = ln L the ladder p_k ~ L^-n_k. n (rungs,)."""
    slopes = np.asarray(n, dtype=np.float64)
    return lambda x: np.asarray(np.multiply.outer(slopes, x), dtype=np.float64)


def umbrellas(centre: ArrayLike, stiffness: ArrayLike) -> Biases:
    """Return b_k = k (x - c_k)^2/2. centre (rungs,); stiffness a number or (rungs,)."""
    c = np.asarray(centre, dtype=np.float64)
    k = np.broadcast_to(np.asarray(stiffness, dtype=np.float64), c.shape)
    return lambda x: np.stack([0.5 * one * (x - middle) ** 2 for one, middle in zip(k, c, strict=True)])


def observable(name: str) -> str:
    """Return the observable in which a file keeps the variable of this name."""
    return "coordinate/" + re.sub(r"[^A-Za-z0-9_.-]+", "_", name)


def from_run(run: Trajectory, *, start: int = 0) -> Ladder:
    """Return the samples after step `start` of a run on a ladder, regrouped by rung.

    Raises NotRecorded where the run was on no ladder of one variable or had no reporter `Coordinates`.
    """
    settings = run.parameters.get("landscape") or {}
    bias, own = settings.get("bias", {}), settings.get("variables", [])
    reporter = run.parameters.get("reporters", {}).get("Coordinates")
    if bias.get("kind") != "rungs" or reporter is None or len(own) != 1:
        raise NotRecorded(
            f"{run.path} holds no ladder of one variable: it takes a force biased by Rungs and the reporter Coordinates"
        )
    biases = _biases(bias["levels"])
    later = run.observables["ladder/rung"].steps > start
    rung = run.observables["ladder/rung"].values[later]
    order = np.argsort(rung.reshape(len(rung), -1, len(biases(np.zeros(1)))), axis=-1)

    def regrouped(name: str) -> Floats:
        values = np.asarray(run.observables[observable(name)].values[later], dtype=np.float64)
        by_rung = np.take_along_axis(values.reshape(order.shape), order, axis=-1)
        return np.asarray(by_rung.transpose(1, 2, 0))

    return Ladder(own[0], regrouped(own[0]), biases, {name: regrouped(name) for name in reporter["variables"]})


def density(ladder: Ladder, axis: Axis, y: Axis | None = None) -> Landscape:
    """Return S of every copy by MBAR, over x, or over x and a recorded variable that `y` names:

        e^{S(bin)} = sum over samples in it of 1/sum_k N_k e^{f_k - b_k(x)}

    Copies are independent, so that their scatter is the error, whatever the samples are correlated. What lies beyond
    an axis is left out. Raises TrajectoryError without pymbar, and ValueError for a variable that is not recorded.

    Reference: Shirts, Chodera, J. Chem. Phys. 129, 124105 (2008).
    """
    axes = (axis,) if y is None else (axis, y)
    edges = [one.edges for one in axes]
    tables = []
    for points, weights in zip(_points(ladder, y), log_weights(ladder), strict=True):
        counted = np.histogramdd(points, edges, weights=np.exp(weights - weights.max()))[0]
        with np.errstate(divide="ignore"):
            entropy = np.log(counted)
        tables.append(entropy - logsumexp(entropy))
    visits = [np.histogramdd(p, edges)[0] for p in _points(ladder, y)]
    return Landscape(axes, np.stack(tables), np.stack(visits), "ladder with MBAR")


def averages(ladder: Ladder, axis: Axis, y: str) -> Floats:
    """Return the mean of a recorded variable in the uniform measure, in the bins of x, (copies, bins); nan in none."""
    found = []
    for x, weights, values in zip(ladder.x, log_weights(ladder), ladder.values(y), strict=True):
        weight = np.exp(weights - weights.max())
        below, above = (np.histogram(x.ravel(), axis.edges, weights=w)[0] for w in (weight, weight * values.ravel()))
        found.append(np.divide(above, below, out=np.full(axis.bins, np.nan), where=below > 0))
    return np.stack(found)


def log_weights(ladder: Ladder) -> Floats:
    """Return the logarithm of the weight of every sample in the uniform measure, (copies, rungs x samples)."""
    mbar = mbar_class()
    rungs, samples = ladder.x.shape[1:]
    found = []
    for x in ladder.x.reshape(len(ladder.x), -1):
        biases = ladder.bias(x)
        free = mbar(biases, np.full(rungs, samples), initialize="BAR", solver_protocol=_SOLVER).f_k
        found.append(-logsumexp(free[:, None] - biases, axis=0) - np.log(samples))
    return np.stack(found)


def _biases(levels: Mapping[str, Any]) -> Biases:
    """The biases that a file describes, of the first variable."""
    if levels["kind"] == "line":
        return lines(levels["n"])
    centre, stiffness = np.asarray(levels["centre"]), np.asarray(levels["stiffness"])
    return umbrellas(centre[:, 0], stiffness if stiffness.ndim == 0 else stiffness[:, 0])


def _points(ladder: Ladder, y: Axis | None) -> list[list[Floats]]:
    """Where the samples of every copy lie, by axis."""
    samples = [ladder.x] if y is None else [ladder.x, ladder.values(y.name)]
    return [[values[copy].ravel() for values in samples] for copy in range(len(ladder.x))]
