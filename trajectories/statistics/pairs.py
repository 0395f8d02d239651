"""Histograms over pairs of replicas, with errors that know that pairs share replicas."""

import numpy as np
from numpy.typing import NDArray

from trajectories.statistics.averages import mean

Floats = NDArray[np.float64]
_ENOUGH_REPLICAS = 4


class PairHistogram:
    """How often a number that belongs to a pair of replicas falls into each bin."""

    def __init__(self, replicas: int, edges: Floats) -> None:
        self.edges = edges
        self._upper = np.triu_indices(replicas, 1)
        self._each = np.zeros((replicas, len(edges) - 1))  # counts of the pairs that a replica takes part in
        self._frames: list[NDArray[np.intp]] = []  # counts of each frame, where replicas are too few for errors
        self._total = 0

    def add(self, values: Floats) -> None:
        """Count the values of some frames, (frames, pairs), in the order of numpy.triu_indices(replicas, 1)."""
        bins = len(self.edges) - 1
        place = np.searchsorted(self.edges, values, side="right") - 1
        place[values == self.edges[-1]] = bins - 1
        inside = (place >= 0) & (place < bins)
        for one in self._upper:
            flat = (one * bins + place)[inside]
            self._each += np.bincount(flat, minlength=self._each.size).reshape(self._each.shape)
        if len(self._each) < _ENOUGH_REPLICAS:
            self._frames += [np.bincount(row[kept], minlength=bins) for row, kept in zip(place, inside, strict=True)]
        self._total += values.size

    @property
    def density(self) -> Floats:
        """Probability density over all values, also those outside the bins, (bins,)."""
        return np.asarray(self._each.sum(axis=0) / 2 / self._total / np.diff(self.edges))

    @property
    def without(self) -> Floats:
        """The density without the pairs of each replica in turn, (replicas, bins)."""
        replicas = len(self._each)
        share = self._total * (replicas - 2) / replicas
        return np.asarray((self._each.sum(axis=0) / 2 - self._each) / share / np.diff(self.edges))

    @property
    def error(self) -> Floats:
        """Standard error of the density: jackknife over 4 replicas or more, else from the correlation in time.

        An empty bin has that of a single count.
        """
        single = 1 / self._total / np.diff(self.edges)
        if len(self._each) >= _ENOUGH_REPLICAS:
            errors = jackknife(self.without)
        else:
            series = np.array(self._frames, dtype=np.float64)
            errors = np.array([mean(column).error for column in series.T]) * len(series) * single
        return np.where(self._each.any(axis=0), errors, single)

    def ratio_error(self, other: "PairHistogram") -> Floats:
        """Standard error of density / other.density."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if len(self._each) >= _ENOUGH_REPLICAS:
                return jackknife(self.without / other.without)
            ratio, parts = self.density / other.density, (self.error / self.density, other.error / other.density)
            return np.asarray(ratio * np.hypot(*parts))


def jackknife(left_out: Floats) -> Floats:
    """Standard error of what was computed without each replica in turn, (replicas, ...).

    For a mean over pairs of independent replicas it errs on the large side, at most by sqrt(2).
    """
    return np.asarray(np.sqrt((len(left_out) - 1) * left_out.var(axis=0)))
