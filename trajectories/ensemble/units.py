"""Error bars of ensemble scores: units of members drawn again, and test points drawn again."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.ensemble.blocks import BLOCK, Predictions, Stored
from trajectories.ensemble.predictions import checked
from trajectories.statistics import Estimate

Floats = NDArray[np.float64]
Feature = Callable[[Floats], Floats]  # outputs (..., points, outputs) -> anything (..., points, *)
Features = Callable[[Floats], Mapping[str, Floats]]  # several of them by name
ENOUGH = 4  # independent replicas from which on they give the error bar
_MOST = 64  # units; more replicas are taken in groups
_BLOCKS = 16  # blocks of time where there are too few replicas
_RESAMPLES = 100  # sets of test points that the bootstrap draws
_DRAWS = (20, 100)  # sets of units that it draws, fewest and most
_MEMORY = 256 << 20  # bytes that one feature of all sets may take, where fewer draws can help


class Score(NamedTuple):
    """A score of an ensemble and its two standard errors."""

    value: float
    sampling: float  # from the members: what another run of the same length would change
    data: float  # from the test points: what another test set of the same size would change

    @property
    def estimate(self) -> Estimate:
        """The score with both errors together, the root of the sum of their squares."""
        return Estimate(self.value, math.hypot(self.sampling, self.data))

    def __str__(self) -> str:
        """Score and both errors: "0.9312 ± 0.0021 (members) ± 0.0102 (test points)"."""
        both = self.estimate
        if not (math.isfinite(both.value) and math.isfinite(both.error) and both.error > 0):
            return f"{self.value:.4g} ± {self.sampling:.2g} (members) ± {self.data:.2g} (test points)"
        digits = max(0, 1 - math.floor(math.log10(both.error)))
        parts = (f"{number:.{digits}f}" for number in self)
        return "{} ± {} (members) ± {} (test points)".format(*parts)


class Sets(Protocol):
    """Weights of the members in several ensembles: first the one there is, then those drawn again from its units."""

    units: int  # independent units that are drawn from
    draws: int
    source: str  # what the units are, in words

    def __call__(self, rows: slice) -> Floats:
        """Return the weights (1 + draws, rows, replicas)."""


class Units:
    """Which members belong to which independent unit; as `Sets`, the bootstrap that draws units again.

    Units are replicas, in up to 64 groups; with fewer than 4 independent ones they are 16 blocks of time of each,
    which must be longer than the run's correlation time.

    Args:
        shape: (samples, replicas, points, outputs) of the predictions.
        weights: (samples, replicas) of the members, all the same unless given.
        together: (replicas,) which independent group each replica belongs to, such as its ladder in a replica
            exchange; each on its own unless given.
    """

    def __init__(
        self, shape: tuple[int, ...], weights: ArrayLike | None = None, together: ArrayLike | None = None
    ) -> None:
        samples, replicas = shape[:2]
        self._weights = checked(weights, shape)
        groups = np.arange(replicas) if together is None else np.unique(np.asarray(together), return_inverse=True)[1]
        if groups.shape != (replicas,):
            raise ValueError(f"together has shape {groups.shape}: give one group a replica, ({replicas},)")
        number = int(groups.max()) + 1
        blocks = 1 if number >= ENOUGH else min(_BLOCKS, samples)
        self.unit = (np.arange(samples) * blocks // samples)[:, None] + blocks * (groups % _MOST)[None]
        some = np.bincount(self.unit.ravel(), self._weights.ravel()) > 0  # a unit without weight is none
        self.units, self.together = int(some.sum()), groups
        kind = "replicas" if together is None else "independent groups of replicas"
        merged = f", {_MOST} at a time" if number > _MOST else ""
        self.source = f"{number} {kind}{merged}" if blocks == 1 else f"{self.units} blocks of time"
        self.draws = int(np.clip(_MEMORY // (8 * np.prod(shape[2:], dtype=np.int64)), *_DRAWS))
        rng = np.random.default_rng(0)  # the same error bar each time it is asked for
        drawn = rng.multinomial(self.units, some / self.units, size=self.draws)
        self.counts = np.concatenate([np.ones((1, len(some)), dtype=drawn.dtype), drawn])  # (1 + draws, units)

    def __call__(self, rows: slice) -> Floats:
        """Return the weights (1 + draws, rows, replicas)."""
        return np.asarray(self._weights[rows] * self.counts[:, self.unit[rows]])


def gather(predictions: Predictions, features: Features, sets: Sets) -> dict[str, Floats]:
    """Mean of every feature over the members of every set, (1 + draws, points, ...), in one pass over the file."""
    found = Stored(predictions)
    width = found.shape[2] * found.shape[3]
    total: dict[str, Floats] = {}
    mass = np.zeros(1 + sets.draws)
    for rows, block in found.blocks(BLOCK * width // max(width, sets.draws)):  # the weights must fit as well
        weights = sets(rows)
        flat = weights.reshape(len(weights), -1)  # (sets, members of the block)
        mass += flat.sum(axis=1)
        for name, values in features(block).items():  # (rows, replicas, points, ...)
            sums = flat @ values.reshape(flat.shape[1], -1)
            total[name] = total.get(name, 0.0) + sums.reshape(len(flat), *values.shape[2:])
    return {name: sums / mass.reshape(-1, *[1] * (sums.ndim - 1)) for name, sums in total.items()}


def scatter(values: ArrayLike, units: int) -> Floats:
    """Standard error from values of all units and of each drawing of n units again, (1 + draws, ...) -> (...).

    error^2 = n/(n - 1) var over the drawings, which is exact for means; infinite with one unit, which says nothing of
    its error. Leaving units out one by one would do for means, but makes the error bar of an accuracy or an ece, which
    jump as a point changes sides, far too long. Where a score is second order in the members' noise, as the mse and the
    coverage of an ensemble without bias, the error bar is up to about twice too long.

    Reference: Efron, Tibshirani, An Introduction to the Bootstrap (1993).
    """
    drawn = np.asarray(values, dtype=np.float64)[1:]
    if units < 2:
        return np.full(drawn.shape[1:], math.inf)
    with np.errstate(invalid="ignore"):
        return np.asarray(math.sqrt(units / (units - 1)) * drawn.std(axis=0, ddof=1))


Statistic = Callable[[Mapping[str, Floats], NDArray[np.generic]], float]  # features (points, ...), truth -> score


def judged(
    found: Mapping[str, Floats], truth: NDArray[np.generic], statistics: Mapping[str, Statistic], units: int
) -> list[Score]:
    """Score gathered features (1 + draws, points, ...), with the errors of members and of test points."""
    draws = len(next(iter(found.values())))
    by_draw = [_scores({name: one[b] for name, one in found.items()}, truth, statistics) for b in range(draws)]
    rng = np.random.default_rng(0)
    again = []
    for _ in range(_RESAMPLES):
        drawn = rng.integers(len(truth), size=len(truth))
        again.append(_scores({name: one[0][drawn] for name, one in found.items()}, truth[drawn], statistics))
    with np.errstate(invalid="ignore"):
        errors = zip(scatter(by_draw, units), np.std(again, axis=0, ddof=1), strict=True)
        return [Score(value, float(a), float(b)) for value, (a, b) in zip(by_draw[0], errors, strict=True)]


def _scores(
    found: Mapping[str, Floats], truth: NDArray[np.generic], statistics: Mapping[str, Statistic]
) -> list[float]:
    return [float(statistic(found, truth)) for statistic in statistics.values()]
