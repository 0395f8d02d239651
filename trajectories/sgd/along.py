"""The temperature along runs that are not stationary, and the scaled time on which several rates fall together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.sgd.table import Floats, jackknife


class Along(NamedTuple):
    """T of n rates at steps (samples,): `value` and `error` over seeds (samples, n), nan where nothing tells."""

    steps: Floats
    value: Floats
    error: Floats


class Collapse(NamedTuple):
    """How far apart the curves of several rates lie, against eta^power t, for each of the powers tried.

    `spread` (powers,): root mean square of ln T - ln T' between rates where they overlap, over that of all ln T about
    their mean times sqrt 2, 0 for one common curve and about 1 for unrelated ones; nan where too little overlaps.
    `power`: that of the least spread; 1 where only eta t counts.
    """

    powers: Floats
    spread: Floats
    power: float


def along(steps: ArrayLike, energy: ArrayLike, entropy: ArrayLike, *, width: float = 0.5) -> Along:
    """Return T(t) = (dU/d ln t)/(dS/d ln t) along runs, energy and entropy (samples, n, seeds) at steps (samples,).

    Both slopes are those of straight lines through the samples with |ln t'/t| < `width`, which weigh less the further
    off they are; they are averaged over seeds before they are divided, so that noise in S does not flatten the slope.
    Errors are the jackknife's over seeds, nan of one. T is nan where fewer than three samples are near, where one is
    not finite, and where the slope of S is within two standard errors of zero. Step 0 is left out.

    Raises ValueError for shapes that do not fit, and a width that is not positive.
    """
    t, u, s = (np.asarray(given, dtype=np.float64) for given in (steps, energy, entropy))
    if u.ndim != 3 or u.shape != s.shape or t.shape != u.shape[:1]:
        raise ValueError(
            f"steps {t.shape}, energy {u.shape} and entropy {s.shape} must be (samples,) and twice (samples, n, seeds)"
        )
    if not width > 0:
        raise ValueError(f"width = {width} must be positive: it is the half-width of the window in ln t")
    u, s, t = u[t > 0], s[t > 0], t[t > 0]
    slope_u, slope_s = _slopes(np.log(t), u, width), _slopes(np.log(t), s, width)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = jackknife(lambda a, b: a / b, slope_u, slope_s)
        moving = jackknife(lambda b: b, slope_s)
        still = np.abs(moving.value) <= 2 * moving.error  # false where there is no error
    value = np.where(still | ~np.isfinite(found.value), np.nan, found.value)
    return Along(t, value, np.where(np.isfinite(value), found.error, np.nan))


def collapse(rates: ArrayLike, found: Along, powers: ArrayLike | None = None) -> Collapse:
    """Return on which eta^power t the temperatures T(t) of the rates (n,) fall together best.

    `powers`: those to try, by default 0 to 2 in steps of .1. Values of T that are not positive are left out; at least
    half of all points must lie where another rate has some, else a power has no spread.

    Raises ValueError for fewer than two rates, or as many as there are not.
    """
    eta = np.asarray(rates, dtype=np.float64)
    if len(eta) < 2 or eta.shape != found.value.shape[1:]:
        raise ValueError(f"rates {eta.shape} and T {found.value.shape}: give two rates or more, (n,) and (samples, n)")
    tried = np.linspace(0, 2, 21) if powers is None else np.asarray(powers, dtype=np.float64)
    known = np.isfinite(found.value) & (found.value > 0)
    spread = np.full(len(tried), np.nan)
    if known.sum() > 2:
        log_t = np.log(np.where(known, found.value, 1.0))
        for k, power in enumerate(tried):
            axis = np.log(found.steps)[:, None] + power * np.log(eta)
            spread[k] = _spread(axis, log_t, known)
    best = float(tried[np.nanargmin(spread)]) if np.isfinite(spread).any() else np.nan
    return Collapse(tried, spread, best)


def _slopes(log: Floats, values: Floats, width: float) -> Floats:
    """Slopes in ln t (samples, n, seeds), of lines through near samples; nan where they do not tell."""
    weight = np.maximum(0, 1 - np.abs(np.subtract.outer(log, log)) / width)
    away = log - (weight @ log / weight.sum(axis=1))[:, None]
    pull = weight * away
    square = (pull * away).sum(axis=1, keepdims=True)
    enough = ((weight > 0).sum(axis=1) >= 3) & (square[:, 0] > 0)
    finite = np.isfinite(values)
    slopes = np.einsum("ij,jns->ins", pull / np.where(enough[:, None], square, 1.0), np.where(finite, values, 0.0))
    touched = np.einsum("ij,jns->ins", weight, (~finite).astype(np.float64)) > 0
    return np.where(touched | ~enough[:, None, None], np.nan, slopes)


def _spread(axis: Floats, log_t: Floats, known: NDArray[np.bool_]) -> float:
    """The relative distance of curves (samples, n) from each other."""
    squares, covered = [], np.zeros(known.shape, dtype=bool)
    for i in range(axis.shape[1]):
        for j in range(axis.shape[1]):
            own, other = known[:, i], known[:, j]
            if i == j or not own.any() or not other.any():
                continue
            inside = own & (axis[:, i] >= axis[other, j].min()) & (axis[:, i] <= axis[other, j].max())
            reference = np.interp(axis[inside, i], axis[other, j], log_t[other, j])
            squares.append(np.square(log_t[inside, i] - reference))
            covered[:, i] |= inside
    scale = float(log_t[known].std())
    if 2 * covered.sum() < known.sum() or scale == 0:
        return np.nan
    return float(np.sqrt(np.concatenate(squares).mean() / 2) / scale)
