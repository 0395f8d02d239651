"""Runs whose replicas walk in temperature: acceptance, round trips, and averages by rung, offline."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.errors import NotRecorded
from trajectories.statistics import Estimate
from trajectories.storage.reader import Trajectory

Array = NDArray[Any]
Floats = NDArray[np.float64]
_UNITS = 4  # from here on independent ladders give the error bar
_BLOCKS = 20  # blocks of time of each ladder, where there are fewer


class Walk(NamedTuple):
    """Where every replica was in the ladder at each attempt."""

    ladder: Floats  # (rungs,) temperatures, rising
    steps: Array  # (attempts,)
    rung: Array  # (attempts, replicas) after the attempt
    pair: Array  # (attempts, replicas) lower rung of the pair that was tried, -1 for none
    accepted: Array  # (attempts, replicas) 1, 0, or -1 where none was tried
    energy: Floats  # (attempts, replicas) the energy that is tempered, at the attempt

    @property
    def rungs(self) -> int:
        """The number of temperatures."""
        return len(self.ladder)

    @property
    def units(self) -> Array:
        """Which independent sample each replica belongs to, (replicas,): its ladder, or itself if it walks alone."""
        attempts, replicas = self.rung.shape
        if replicas % self.rungs == 0 and attempts:
            blocks = np.sort(self.rung.reshape(attempts, -1, self.rungs), axis=-1)
            if (blocks == np.arange(self.rungs)).all():
                return np.arange(replicas) // self.rungs
        return np.arange(replicas)


def parameters(run: Trajectory) -> Mapping[str, Any]:
    """Return /parameters/tempering of a run, the method, its ladder and the rest; empty where there is none."""
    found = run.parameters.get("tempering", {})
    return found if isinstance(found, Mapping) else {}


def walk(run: Trajectory, *, start: int | None = None, ladder: ArrayLike | None = None) -> Walk:
    """Read the walk of a run of replica exchange or simulated tempering.

    Args:
        run: an open trajectory with the observables "tempering/rung", "pair", "accepted" and "energy".
        start: the step after which samples count; by default that at which the weights of simulated tempering
            were learnt, and 0 for replica exchange: give the end of equilibration.
        ladder: the temperatures, by default those in /parameters/tempering/ladder.

    Raises:
        NotRecorded: the run holds no such observables, or no ladder; ValueError: no attempt is left after ``start``.
    """
    settings = parameters(run)
    if ladder is None and "ladder" not in settings:
        raise NotRecorded(f"{run.path} holds no /parameters/tempering/ladder; give ladder=[temperatures]")
    levels = np.asarray(settings["ladder"] if ladder is None else ladder, dtype=np.float64)
    first = int(settings.get("learn", 0)) if start is None else start
    series = [run.observables[f"tempering/{name}"] for name in ("rung", "pair", "accepted", "energy")]
    kept = series[0].steps > first
    if not kept.any():
        raise ValueError(
            f"{run.path} holds {len(kept)} attempts, none of them after step {first}; take an earlier start"
        )
    rung, pair, accepted, energy = (one.values[kept] for one in series)
    return Walk(levels, series[0].steps[kept], rung, pair, accepted, energy)


class Acceptance(NamedTuple):
    """How often neighbours exchanged."""

    rate: Floats  # (rungs - 1,), nan where a pair was never tried
    error: Floats  # (rungs - 1,) standard error
    tries: Array  # (rungs - 1,) attempts, of each ladder or replica


def acceptance(found: Walk) -> Acceptance:
    """Return the share of accepted attempts for each pair of neighbouring rungs, with standard errors.

    Errors come from independent ladders (or replicas that walk alone), and from 20 blocks of time where there are
    fewer than 4.
    """
    rate, error, tries = _by_place(found, found.accepted == 1, found.pair, found.rungs - 1)
    sides = 1 if found.units[-1] == len(found.units) - 1 else 2  # an exchange is told by both its replicas
    return Acceptance(rate, error, tries // sides)


def occupation(found: Walk) -> Floats:
    """Return the share of the attempts after which each replica was on each rung, (replicas, rungs)."""
    return np.stack([(found.rung == k).mean(axis=0) for k in range(found.rungs)], axis=1)


def energies(found: Walk) -> list[Floats]:
    """Return the samples of the tempered energy regrouped by rung: one array (samples,) for each."""
    return [found.energy[found.rung == k] for k in range(found.rungs)]


def mean_energies(found: Walk) -> list[Estimate]:
    """Return <E> of every rung with its standard error, which comes from where that of `acceptance` comes."""
    values, errors, _ = _by_place(found, found.energy, found.rung, found.rungs)
    return [Estimate(float(value), float(error)) for value, error in zip(values, errors, strict=True)]


class RoundTrips(NamedTuple):
    """How replicas travel between the ends of the ladder."""

    trips: Array  # (replicas,) completed trips from the lowest rung to the highest and back
    time: Estimate  # mean steps a round trip took; nan when there was none
    upward: Floats  # (rungs,) the share of visitors that came from the lowest rung last, 1 at the bottom, 0 at the top


def round_trips(found: Walk) -> RoundTrips:
    """Return the number and mean time of round trips, and the fraction f(T) of replicas on their way up.

    A straight line of f over the rungs means an even flow; a step in it is a bottleneck.

    Reference: Katzgraber, Trebst, Huse, Troyer, J. Stat. Mech. (2006) P03018.
    """
    ends = np.where(found.rung == 0, 1, np.where(found.rung == found.rungs - 1, -1, 0))  # (attempts, replicas)
    latest = np.maximum.accumulate(np.where(ends != 0, np.arange(len(ends))[:, None], 0), axis=0)
    way = np.take_along_axis(ends, latest, axis=0)  # 1 upward from the bottom, -1 downward, 0 not known yet
    before = np.concatenate([np.zeros_like(way[:1]), way[:-1]])
    arrivals = [found.steps[(now == 1) & (old != 1)] for now, old in zip(way.T, before.T, strict=True)]
    spans = np.concatenate([np.diff(steps) for steps in arrivals])
    error = spans.std(ddof=1) / math.sqrt(len(spans)) if len(spans) > 1 else math.inf
    time = Estimate(float(spans.mean()), float(error)) if len(spans) else Estimate(math.nan, math.nan)
    up, known = (np.bincount(found.rung[which], minlength=found.rungs) for which in (way == 1, way != 0))
    upward = _divide(up, known)
    return RoundTrips(np.array([max(0, len(steps) - 1) for steps in arrivals]), time, upward)


_SERIES = ("steps", "rung", "pair", "accepted", "energy")


def reduced_energies(found: Walk) -> Floats:
    """Return (E - <E>_k)/sd_k (attempts, replicas), k being the rung of each: one series whatever the rung."""
    reduced = np.zeros_like(found.energy)
    for k in range(found.rungs):
        here = found.rung == k
        values = found.energy[here]
        if len(values) > 1 and values.std() > 0:
            reduced[here] = (values - values.mean()) / values.std()
    return reduced


def picked(found: Walk, rows: slice) -> Walk:
    """Return the walk at some of its attempts."""
    return found._replace(**{name: getattr(found, name)[rows] for name in _SERIES})


def _by_place(found: Walk, values: Array, place: Array, places: int) -> tuple[Floats, Floats, Array]:
    """Return mean, standard error and number (places,) of the values (attempts, replicas) at each place.

    The error is that of the ratio of two sums over independent units: ladders, or blocks of time of each.
    """
    attempts, units = len(found.steps), found.units
    blocks = 1 if units[-1] + 1 >= _UNITS else min(_BLOCKS, attempts)
    unit = (np.arange(attempts) * blocks // attempts)[:, None] * (units[-1] + 1) + units  # (attempts, replicas)
    n, there = blocks * (int(units[-1]) + 1), place >= 0
    key = (unit * places + place)[there]
    top = np.bincount(key, values[there].astype(np.float64), n * places).reshape(n, places)
    bottom = np.bincount(key, minlength=n * places).reshape(n, places)
    mean, number = _divide(top.sum(0), bottom.sum(0)), bottom.sum(0)
    if n < 2:
        return mean, np.full_like(mean, math.inf), number
    squares = np.square(top - np.where(bottom > 0, mean * bottom, 0.0)).sum(0)
    return mean, _divide(np.sqrt(squares * n / (n - 1)), number), number


def _divide(part: Array, whole: Array) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(part / whole, dtype=np.float64)
