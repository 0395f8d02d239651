"""The temperature of SGD from energy and entropy over learning rates: that at which each state has the least F."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from trajectories.sgd.table import Floats, States

REASONS = (
    "",
    "U or S is not finite",
    "no smaller rate",
    "no larger rate",
    "S does not rise here",
    "T_min > T_max: U(S) is not convex here",
)
_LEVEL = 0.95  # of intervals
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Resampled:
    """What resampled seeds give: `values` (resamples, n), nan where a resample tells nothing; `seeds` of the sweep.

    Each resample draws seeds - 1 seeds with replacement, each with its whole curve: its scatter is then the standard
    error over seeds, without the bias of drawing all of them.

    Reference: Rao, Wu, J. Am. Stat. Assoc. 83, 231 (1988).
    """

    values: Floats
    seeds: int

    @property
    def quantile(self) -> float:
        """How many standard errors reach to either end of a 95 % interval: Student's t of seeds - 1."""
        return float(stdtrit(self.seeds - 1, 0.5 + _LEVEL / 2)) if self.seeds > 1 else np.nan


@dataclass(frozen=True, eq=False)
class Temperatures:
    """T of each rate, all (n,): `low` T_min, `high` T_max, `value` sqrt(T_min T_max), `error` over seeds.

    `reasons`: why a value is nan, "" where it is a number; `resampled`: T of resampled seeds.
    """

    rates: Floats
    value: Floats
    low: Floats
    high: Floats
    error: Floats
    reasons: tuple[str, ...]
    resampled: Resampled

    @property
    def interval(self) -> Floats:
        """The 95 % interval of T (n, 2), T exp(-+ t error/T); nan where there is no error."""
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = self.resampled.quantile * self.error / self.value
        return np.asarray(self.value[:, None] * np.exp(np.stack([-reach, reach], axis=-1)))

    @property
    def monotone(self) -> bool:
        """Whether T rises from each rate that has one to the next; False where fewer than two have."""
        return bool(rising(self.value))

    @property
    def monotone_share(self) -> float:
        """The share of resampled seeds for which T rises; nan of one seed."""
        each = self.resampled.values
        return float(np.mean([rising(row) for row in each])) if len(each) else np.nan


def temperature(
    states: States, *, eps: float = 0.0, width: float = 0.3, resamples: int = 400, seed: int = 0
) -> Temperatures:
    """Return the temperature at which each state is that of least F = U - T S among all states, to within eps:

        T_max(i) = min_{S_j > S_i} (U_j - U_i + eps)/(S_j - S_i)
        T_min(i) = max(0, max_{S_j < S_i} (U_i - U_j - eps)/(S_i - S_j)),       T_i = sqrt(T_min T_max)

    of U and S smoothed by a triangular kernel of half-width `width` in ln eta; rates further apart than that are left
    as they are. T has the unit of U (k_B = 1). eps = 0 asks for the exact least; noise then soon makes T_min > T_max,
    so take a few standard errors of U.

    With eps = 0 and T_min <= T_max, F_i is least at its own rate by construction. What can fail, and so is the content,
    is that U(S) is convex (see `convexity`) and T monotone. T is nan, with a reason, where it does fail, at the first
    and the last rate (one of the bounds is missing), and where S does not rise from one rate to the next.
    Errors are those of resampled seeds, nan of one seed.

    Raises ValueError for a negative eps or width, or no resample.

    Reference: Sadrtdinov, Klimov, Lobacheva, Vetrov, arXiv:2505.23489 (2025).
    """
    if not (eps >= 0 and width > 0 and resamples >= 1):
        raise ValueError(f"eps = {eps} >= 0, width = {width} > 0 and resamples = {resamples} >= 1 are wanted")
    energy, entropy = _smoothed(states.rates, [states.U.value, states.S.value], width)
    low, high, why = _bounds(energy, entropy, eps)
    drawn = _resampled(states, eps, width, resamples, np.random.default_rng(seed))
    value = _middle(low, high, why)
    return Temperatures(
        states.rates, value, low, high, scatter(drawn), tuple(REASONS[k] for k in why), Resampled(drawn, states.seeds)
    )


def smooths(rates: Floats, width: float) -> bool:
    """Whether the kernel of `temperature` gives a neighbour a tenth of a rate's own weight, or more."""
    return bool(np.diff(np.log(rates)).min() < 0.9 * width)


def smooth(states: States, width: float = 0.3) -> States:
    """Return the states with U and S of each seed smoothed by the kernel of `temperature`."""
    columns = [states.energy.T, states.entropy.T]
    energy, entropy = _smoothed(states.rates, columns, width)
    return States(states.rates, energy.T, entropy.T, states.dimension)


def rising(values: Floats) -> bool:
    """Whether the finite values rise from each to the next; False of fewer than two."""
    finite = values[np.isfinite(values)]
    return len(finite) > 1 and bool(np.all(np.diff(finite) > 0))


def scatter(drawn: Floats) -> Floats:
    """Return the standard deviation (n,) of what resamples (resamples, n) tell.

    Nan where fewer than half tell anything, or all the same but for rounding, as those of a single seed do.
    """
    known = np.isfinite(drawn)
    count = known.sum(axis=0)
    enough = (count > 1) & (2 * count >= len(drawn))
    kept = np.where(known, drawn, 0.0)
    mean = kept.sum(axis=0) / np.maximum(count, 1)
    square = np.where(known, np.square(drawn - mean), 0.0).sum(axis=0) / np.maximum(count - 1, 1)
    enough &= np.sqrt(square) > _ROUNDING * np.abs(mean)
    return np.where(enough, np.sqrt(square), np.nan)


def _resampled(states: States, eps: float, width: float, resamples: int, rng: np.random.Generator) -> Floats:
    """T of resampled seeds (resamples, n); none of one seed."""
    if states.seeds < 2:
        return np.empty((0, len(states.rates)))
    drawn = rng.integers(states.seeds, size=(resamples, states.seeds - 1))
    tables = [table[:, drawn].mean(axis=-1).T for table in (states.energy, states.entropy)]
    energy, entropy = _smoothed(states.rates, tables, width)
    return _middle(*_bounds(energy, entropy, eps))


def _smoothed(rates: Floats, tables: list[Floats], width: float) -> list[Floats]:
    """Tables (..., n), each smoothed over the rates at which all of them are finite; nan at the others."""
    distance = np.abs(np.subtract.outer(np.log(rates), np.log(rates)))
    kernel = np.maximum(0, 1 - distance / width)
    finite = np.logical_and.reduce([np.isfinite(table) for table in tables])
    weight = finite.astype(np.float64) @ kernel
    smoothed = [(np.where(finite, table, 0.0) @ kernel) / np.where(finite, weight, 1.0) for table in tables]
    return [np.where(finite, table, np.nan) for table in smoothed]


def _bounds(energy: Floats, entropy: Floats, eps: float) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """T_min, T_max (..., n) and the number of the reason why they give no temperature."""
    du = energy[..., None, :] - energy[..., :, None]  # (..., i, j): U_j - U_i
    ds = entropy[..., None, :] - entropy[..., :, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (du + eps) / ds
    high = np.where(ds > 0, slope, np.inf).min(axis=-1)
    low = np.maximum(np.where(ds < 0, slope, -np.inf).max(axis=-1), 0.0)
    finite = np.isfinite(energy)
    before = np.cumsum(finite, axis=-1) - finite  # how many smaller rates are finite
    after = finite.sum(axis=-1, keepdims=True) - before - finite
    why = np.select([~finite, before == 0, after == 0, _not_rising(entropy), low > high], [1, 2, 3, 4, 5], default=0)
    missing = why == 1
    return np.where(missing, np.nan, low), np.where(missing, np.nan, high), why


def _not_rising(entropy: Floats) -> NDArray[np.bool_]:
    """Where S (..., n) does not exceed that of the next smaller finite rate, or is not exceeded by the next larger."""
    below = np.full_like(entropy, np.nan)
    above = np.full_like(entropy, np.nan)
    last, next_ = below[..., 0].copy(), above[..., 0].copy()
    for k in range(entropy.shape[-1]):
        below[..., k], above[..., -1 - k] = last, next_
        last = np.where(np.isfinite(entropy[..., k]), entropy[..., k], last)
        next_ = np.where(np.isfinite(entropy[..., -1 - k]), entropy[..., -1 - k], next_)
    return np.asarray((entropy <= below) | (above <= entropy))


def _middle(low: Floats, high: Floats, why: NDArray[np.intp]) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.where(why == 0, np.sqrt(low * high), np.nan)
