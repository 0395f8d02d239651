"""Temperature, heat capacity and signs of phase transitions from the entropy of one variable, ln L or an energy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.landscape.axes import Floats
from trajectories.landscape.curve import Curve
from trajectories.landscape.landscape import Landscape
from trajectories.thermodynamics.microcanonical import canonical as averages
from trajectories.thermodynamics.microcanonical import microcanonical_temperature

_CHANCE = 1e-4  # that noise makes a curvature positive, by Student's law: few copies tell little


@dataclass(frozen=True, eq=False)
class Microcanonical:
    """What S says of temperature, k_B = 1, by bins of x that all copies know: x = ln L, or x = L, an energy.

    `slope`: n = dS/dx, and `bend`: dn/dx, by local parabolas. With x = ln L, S in L is S - ln L, so that

        beta(L) = (n - 1)/L,   T = 1/beta,   C = dL/dT = (n - 1)^2/(n - 1 - n'),   L^2 d2S/dL2 = n' - (n - 1)

    and with x = L: beta = n, C = -n^2/n'. Each is a `Curve` over copies at x; means of T and C are those of the mean
    slopes, so that a copy whose slope comes near zero does not spoil them.
    """

    slope: Curve
    bend: Curve
    logarithm: bool

    @property
    def x(self) -> Floats:
        """The bins (points,)."""
        return self.slope.x

    @cached_property
    def level(self) -> Floats:
        """L (points,)."""
        return np.exp(self.x) if self.logarithm else self.x

    @cached_property
    def beta(self) -> Curve:
        """1/T = dS/dL."""
        each = (self.slope.each - 1) / self.level if self.logarithm else self.slope.each
        return Curve(self.x, each)

    @property
    def temperature(self) -> Floats:
        """T (points,), infinite where beta is zero."""
        with np.errstate(divide="ignore"):
            return np.asarray(1 / self.beta.mean)

    @property
    def temperature_error(self) -> Floats | None:
        """Its standard error (points,); None of one copy."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return None if self.beta.error is None else np.asarray(self.beta.error / np.square(self.beta.mean))

    @cached_property
    def convexity(self) -> Curve:
        """L^2 d2S/dL2 (in an energy: d2S/dL2): negative where a phase is stable, positive in a convex intruder."""
        return Curve(self.x, self.bend.each - (self.slope.each - 1) if self.logarithm else self.bend.each)

    @property
    def heat_capacity(self) -> Floats:
        """C (points,) = dL/dT; it diverges, and is negative beyond, where S ceases to be concave."""
        force = self.slope.mean - 1 if self.logarithm else self.slope.mean
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(-np.square(force) / self.convexity.mean)


def microcanonical(landscape: Landscape, *, window: int = 11, logarithm: bool = True) -> Microcanonical:
    """Return slopes, temperature and heat capacity of S(x); of a landscape in two variables, of its marginal.

    `window`: bins of a local parabola. `logarithm`: whether x is ln L, or L itself. Raises ValueError where fewer than
    `window` bins are known to all copies.
    """
    x, tables = _known(landscape)
    if len(x) < window:
        raise ValueError(
            f"a slope is that of {window} bins, and {len(x)} are known to all {len(tables)} copies: count longer"
        )
    slope = np.stack([_slope(x, table, window) for table in tables])
    bend = np.stack([_slope(x, each, window) for each in slope])
    return Microcanonical(Curve(x, slope), Curve(x, bend), logarithm)


class Canonical(NamedTuple):
    """Canonical averages at temperatures T, p(L) ~ e^{S(L) - L/T}, each copy's by itself."""

    energy: Curve  # <L> at T
    heat_capacity: Curve  # var L/T^2
    at_ends: Floats  # (temperatures,) share of the outermost bin at either end: large where the window cuts the law


def canonical(landscape: Landscape, temperatures: ArrayLike, *, logarithm: bool = True) -> Canonical:
    """Return <L> and the heat capacity at temperatures (n,) rising, by reweighting; they are those of the window.

    Raises ValueError for temperatures that are not positive or do not rise.
    """
    levels = np.atleast_1d(np.asarray(temperatures, dtype=np.float64))
    if not (levels > 0).all() or (np.diff(levels) <= 0).any():
        raise ValueError(f"temperatures are {levels.tolist()}: they must be positive and rise")
    x, tables = _known(landscape)
    energy, tables = (np.exp(x), tables - x) if logarithm else (x, tables)
    found = [averages(energy, table, levels) for table in tables]
    exponent = tables.mean(axis=0) + np.log(np.gradient(energy)) - energy / levels[:, None]
    law = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    ends = (law[:, 0] + law[:, -1]) / law.sum(axis=1)
    mean, capacity = (np.stack([getattr(c, name) for c in found]) for name in ("mean_energy", "heat_capacity"))
    return Canonical(Curve(levels, mean), Curve(levels, capacity), ends)


class Transition(NamedTuple):
    """A convex intruder in S(L), the sign of a first-order transition, and the bimodal canonical law beside it."""

    low: float  # the range of x where S(L) is convex
    high: float
    temperature: float  # where both modes of the canonical law are equally high; nan where the window cuts one
    modes: tuple[float, float]  # x of both
    barrier: float  # k_B, from the modes down to the bottom between them


def transitions(landscape: Landscape, *, window: int = 11, logarithm: bool = True) -> list[Transition]:
    """Return the convex intruders of S(L), those ranges where d2S/dL2 > 0 by more than the scatter of the copies.

    It is tested by Student's t at a chance of 1e-4, with a running mean of the error over `window` bins: two copies
    tell next to nothing, five do. One copy has no error: each range of half a `window` or more where d2S/dL2 > 0 is
    given then.

    Reference: Gross, Microcanonical Thermodynamics (World Scientific, 2001).
    """
    from scipy import ndimage, stats

    found = microcanonical(landscape, window=window, logarithm=logarithm)
    convexity, error = found.convexity.mean, found.convexity.error
    positive = convexity > 0
    if error is not None:
        around = np.sqrt(ndimage.uniform_filter1d(np.square(error), window))
        least = stats.t.isf(_CHANCE, landscape.copies - 1) * around
        convex = [part for part in _ranges(positive) if (convexity[part] > least[part]).any()]
    else:
        convex = [part for part in _ranges(positive) if part.stop - part.start >= window / 2]
    x, tables = _known(landscape)
    entropy = tables.mean(axis=0) - (x if logarithm else 0.0)
    return [_transition(x, found.level, entropy, found.beta.mean, part) for part in convex]


def _known(landscape: Landscape) -> tuple[Floats, Floats]:
    """X (points,) and S (copies, points) in the bins that all copies know."""
    one = landscape if len(landscape.axes) == 1 else landscape.marginal()
    return one.axes[0].centres[one.common], one.aligned()[:, one.common]


def _slope(x: Floats, values: Floats, window: int) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):  # its temperature, which is not asked for
        return microcanonical_temperature(x, values, window=window).beta


def _ranges(where: NDArray[np.bool_]) -> list[slice]:
    """Neighbouring places that are true, as slices."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], where, [False]]).astype(int)))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _transition(x: Floats, level: Floats, entropy: Floats, beta: Floats, convex: slice) -> Transition:
    """Beta of equal heights: it lies between the least and the largest beta of the intruder."""
    from scipy.optimize import brentq

    middle = (convex.start + convex.stop) // 2

    def modes(b: float) -> tuple[int, int]:
        law = entropy - b * level
        return int(np.argmax(law[:middle])), middle + int(np.argmax(law[middle:]))

    def uneven(b: float) -> float:
        law, (left, right) = entropy - b * level, modes(b)
        return float(law[left] - law[right])

    ends = float(beta[convex].min()), float(beta[convex].max())
    low, high = float(x[convex.start]), float(x[convex.stop - 1])
    nothing = Transition(low, high, float("nan"), (float("nan"), float("nan")), float("nan"))
    if not 0 < middle < len(x) or uneven(ends[0]) * uneven(ends[1]) > 0:
        return nothing
    b = float(brentq(uneven, *ends))
    left, right = modes(b)
    if left == 0 or right == len(x) - 1 or b == 0:
        return nothing
    law = entropy - b * level
    return Transition(low, high, 1 / b, (float(x[left]), float(x[right])), float(law[left] - law[left:right].min()))
