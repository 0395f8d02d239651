"""The states of a sweep of learning rates: energy and entropy by rate and seed, and what seeds tell of errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class Values(NamedTuple):
    """Numbers and their standard errors over seeds, of one shape; errors are nan where one seed was run."""

    value: Floats
    error: Floats

    def z(self, expected: ArrayLike) -> Floats:
        """Deviation from what is expected in standard errors."""
        return np.asarray((self.value - np.asarray(expected)) / self.error)


@dataclass(frozen=True, eq=False)
class States:
    """Stationary states of a sweep of learning rates, each seed an independent run.

    `rates` (n,), rising; `energy` U and `entropy` S (n, seeds), S but for a constant that all rates share;
    `dimension`: that of the space S was measured in. Values that are not finite (a run that diverged, iterates that
    stand still, S = -inf) are allowed and told by what is computed from them.

    Raises ValueError for shapes that do not fit, fewer than three rates, and rates that are not positive and rising.
    """

    rates: Floats
    energy: Floats
    entropy: Floats
    dimension: int

    def __post_init__(self) -> None:
        for name in ("rates", "energy", "entropy"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        n = len(np.atleast_1d(self.rates))
        if self.rates.ndim != 1 or n < 3:
            raise ValueError(f"rates of shape {self.rates.shape}: a temperature needs three rates or more, (n,)")
        if self.energy.ndim != 2 or self.energy.shape[0] != n or self.energy.shape != self.entropy.shape:
            raise ValueError(
                f"energy {self.energy.shape} and entropy {self.entropy.shape} must both be ({n}, seeds), as the rates"
            )
        if not (np.all(self.rates > 0) and np.all(np.diff(self.rates) > 0)):
            raise ValueError(f"rates {self.rates.tolist()} must be positive, rising and different: sort the rows first")
        if self.dimension < 1:
            raise ValueError(f"dimension = {self.dimension} must be one or more")

    @property
    def seeds(self) -> int:
        """How many independent runs each rate has."""
        return int(self.energy.shape[1])

    @property
    def U(self) -> Values:
        """Mean energy of each rate (n,) and its standard error over seeds."""
        return over_seeds(self.energy)

    @property
    def S(self) -> Values:
        """Mean entropy of each rate (n,) and its standard error over seeds."""
        return over_seeds(self.entropy)


def over_seeds(values: ArrayLike) -> Values:
    """Return the mean over seeds of values (..., seeds), (...), and its standard error; nan of a single seed."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape[-1] < 2:
        return Values(array.mean(axis=-1), np.full(array.shape[:-1], np.nan))
    with np.errstate(invalid="ignore"):
        return Values(array.mean(axis=-1), array.std(axis=-1, ddof=1) / np.sqrt(array.shape[-1]))


def jackknife(statistic: Callable[..., Floats], *tables: Floats) -> Values:
    """Return statistic(means over seeds of each table) and its standard error, error^2 = (m - 1)/m sum (x_s - <x>)^2.

    x_s leaves out seed s of m. `tables`: each (..., seeds); the statistic takes their means (...). nan of one seed.

    Reference: Efron, Stein, Ann. Stat. 9, 586 (1981).
    """
    arrays = [np.asarray(table, dtype=np.float64) for table in tables]
    whole = np.asarray(statistic(*(array.mean(axis=-1) for array in arrays)), dtype=np.float64)
    seeds = arrays[0].shape[-1]
    if seeds < 2:
        return Values(whole, np.full(whole.shape, np.nan))
    left_out = np.stack(
        [statistic(*(np.delete(array, s, axis=-1).mean(axis=-1) for array in arrays)) for s in range(seeds)]
    )
    with np.errstate(invalid="ignore"):
        return Values(whole, np.sqrt((seeds - 1) * np.square(left_out - left_out.mean(axis=0)).mean(axis=0)))
