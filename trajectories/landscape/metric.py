"""The test metric at a training loss: its equilibrium value, its ridge, two modes at once, and the advantage."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.landscape.axes import Floats
from trajectories.landscape.curve import Curve
from trajectories.landscape.landscape import Landscape

_TOP = 1.0  # k_B below its highest bin: what belongs to the top of a mode
_NEAR = 5.0  # k_B between modes that count as two
_CLEAR = 5.0  # standard errors by which a barrier is deeper than noise
_DEEP = 0.5  # k_B, what a barrier is at least
_ENOUGH = 10  # visits of a bin whose scatter tells of noise


def equilibrium(landscape: Landscape) -> Curve:
    """Return <y>(x) = sum_y y e^{S(x, y)} / sum_y e^{S(x, y)} over the whole range of y, nan where no state is known.

    Reference: Yang, Zhang, Shang, Zhang, arXiv:2503.13145 (2025), Eq. 1.
    """
    x, y = _two(landscape)
    top = landscape.entropy.max(axis=2, keepdims=True)
    share = np.exp(landscape.entropy - np.where(np.isfinite(top), top, 0.0))
    with np.errstate(invalid="ignore"):
        return Curve(x, (share * y).sum(axis=2) / share.sum(axis=2))


def ridge(landscape: Landscape) -> Curve:
    """Return argmax_y S(x, y) for each x, nan where no state is known.

    It is where a cubic is highest that is fitted by least squares, with visits as weights where they are known, to the
    bins around the highest that are within one k_B of it; the highest bin itself where that has no top, or fewer than
    five bins.
    """
    x, y = _two(landscape)
    visits = np.ones_like(landscape.entropy) if landscape.visits is None else landscape.visits
    each = [
        [_summit(y, s, v) for s, v in zip(table, weights, strict=True)]
        for table, weights in zip(landscape.entropy, visits, strict=True)
    ]
    return Curve(x, np.array(each))


class Bimodality(NamedTuple):
    """Where S(x, y) has two modes in y within 5 k_B of each other, with a barrier that is deeper than noise."""

    x: Floats  # (bins,)
    found: NDArray[np.bool_]  # (bins,)
    modes: Floats  # (bins, 2) y of the two highest, the first the highest; nan where there is one
    gap: Floats  # (bins,) S of the first less S of the second
    barrier: Floats  # (bins,) S of the second less S at the bottom between them


def bimodality(landscape: Landscape) -> Bimodality:
    """Tell for each x whether y has a second mode within 5 k_B of the first, of all copies together.

    A barrier counts if it is at least .5 k_B deep, and e^S at its bottom less than at the lower mode by 5 standard
    errors: those of visits by Poisson's law, times what the copies scatter more than it says; of tables without visits,
    the copies' own.
    Bins that were never counted are as high as half a visit would make them.
    """
    x, y = _two(landscape)
    mean, noise = landscape.mean(), _noise(landscape)
    found = np.zeros(len(x), dtype=bool)
    modes, gap, barrier = np.full((len(x), 2), np.nan), np.full(len(x), np.nan), np.full(len(x), np.nan)
    for k in range(len(x)):
        known = np.isfinite(mean[k])
        if not known.any():
            continue
        s = mean[k]
        if landscape.visits is not None:
            s = np.where(known, s, s[known].min() - np.log(2))
        pair = _two_modes(s, noise[k])
        if pair is not None:
            first, second, bottom = pair
            found[k], modes[k], gap[k] = True, y[[first, second]], s[first] - s[second]
            barrier[k] = s[second] - bottom
    return Bimodality(x, found, modes, gap, barrier)


class Advantage(NamedTuple):
    """How much better the equilibrium metric is than a baseline's at the same x; positive is better."""

    levels: Floats  # (levels,) x
    equilibrium: Floats
    equilibrium_error: Floats | None  # None of one copy
    baseline: Floats  # mean over the seeds that came there
    baseline_error: Floats  # nan of fewer than two seeds
    seeds: NDArray[np.int64]  # how many came there
    gain: Floats
    error: Floats | None  # of both together
    z: Floats | None


def advantage(
    landscape: Landscape, levels: ArrayLike, metric: ArrayLike, better: Literal["lower", "higher"] = "lower"
) -> Advantage:
    """Return the baseline's mean metric less the equilibrium metric at levels of x ("lower" is better), or the reverse.

    `levels` (levels,): x; `metric` (seeds, levels): that of each trained network when it passed the level, nan where
    it never did. Raises ValueError for shapes that do not fit, another `better`, and levels beyond the axis.
    """
    found = np.asarray(metric, dtype=np.float64)
    here = equilibrium(landscape).at(levels)
    if better not in ("lower", "higher") or found.ndim != 2 or found.shape[1] != len(here.x):
        raise ValueError(
            f"better = {better!r}, metric {found.shape} at {len(here.x)} levels: better is 'lower' or 'higher', and "
            "the metric (seeds, levels)"
        )
    seeds = np.isfinite(found).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(found, axis=0) / seeds
        spread = np.nansum(np.square(found - mean), axis=0) / (seeds - 1)
        baseline_error = np.where(seeds > 1, np.sqrt(spread / seeds), np.nan)
    gain = mean - here.mean if better == "lower" else here.mean - mean
    error = None if here.error is None else np.hypot(here.error, baseline_error)
    z = None if error is None else gain / error
    return Advantage(here.x, here.mean, here.error, mean, baseline_error, seeds, gain, error, z)


def _two(landscape: Landscape) -> tuple[Floats, Floats]:
    if len(landscape.axes) != 2:
        names = [axis.name for axis in landscape.axes]
        raise ValueError(f"the landscape is of {names}: a metric needs x and y; count y beside x with record=")
    return landscape.axes[0].centres, landscape.axes[1].centres


def _summit(y: Floats, s: Floats, visits: Floats) -> float:
    """Where S(y) is highest, between bins."""
    highest = int(np.argmax(s))
    if not np.isfinite(s[highest]):
        return float("nan")
    low = high = highest
    while low > 0 and s[low - 1] > s[highest] - _TOP:
        low -= 1
    while high < len(s) - 1 and s[high + 1] > s[highest] - _TOP:
        high += 1
    if high - low < 4:
        return float(y[highest])
    near, half = slice(low, high + 1), (y[high] - y[low]) / 2
    place = (y[near] - y[low]) / half - 1
    _, a, b, c = np.polynomial.polynomial.polyfit(place, s[near] - s[highest], 3, w=np.sqrt(visits[near]))
    root = b * b - 3 * a * c
    top = a / (np.sqrt(root) - b) if root > 0 and b < 0 else np.inf  # where a + 2 b t + 3 c t^2 = 0 and it is highest
    return float(y[low] + half * (1 + top)) if abs(top) <= 1 else float(y[highest])


def _noise(landscape: Landscape) -> Floats:
    """The standard error of S (*bins) of all copies together, zero of one copy that was not counted."""
    if landscape.visits is None:
        error = landscape.error()
        return np.zeros(landscape.entropy.shape[1:]) if error is None else np.nan_to_num(error, nan=np.inf)
    excess = 1.0
    enough = (landscape.visits >= _ENOUGH).all(axis=0)
    if landscape.copies > 1 and enough.any():
        variance = landscape.aligned()[:, enough].var(axis=0, ddof=1)
        excess = max(1.0, float((variance * landscape.visits[:, enough].mean(axis=0)).mean()))
    return np.asarray(np.sqrt(excess / np.maximum(landscape.visits.sum(axis=0), 0.5)))


def _two_modes(s: Floats, noise: Floats) -> tuple[int, int, float] | None:
    """The bins of the two highest modes within 5 k_B, and S at the bottom between them; None where there is one."""
    from scipy.signal import find_peaks

    floor = s[np.isfinite(s)].min() - 2 * _NEAR  # a peak at an end is one, too
    peaks = find_peaks(np.concatenate([[floor], np.maximum(s, floor), [floor]]))[0] - 1
    first = int(peaks[np.argmax(s[peaks])])
    for second in sorted((int(k) for k in peaks if k != first), key=lambda k: -s[k]):
        between = slice(min(first, second), max(first, second) + 1)
        bottom = min(first, second) + int(np.argmin(s[between]))
        if s[first] - s[second] > _NEAR:
            return None
        share = np.exp(s[bottom] - s[second])
        if share <= np.exp(-_DEEP) and 1 - share >= _CLEAR * np.hypot(noise[second], share * noise[bottom]):
            return first, second, float(s[bottom])
    return None
