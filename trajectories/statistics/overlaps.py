"""Overlaps of weight vectors, between replicas and in time, as for spin glasses."""

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.statistics.averages import mean
from trajectories.statistics.estimate import Estimate
from trajectories.statistics.lagged import lagged, spacing
from trajectories.statistics.pairs import PairHistogram, jackknife
from trajectories.statistics.walking import Samples, Weights

Floats = NDArray[np.float64]
About = Literal["origin", "mean"]
_ENOUGH_REPLICAS = 4
_COPIES = 3  # of a block, that are held at a time


class Overlap(NamedTuple):
    """Overlap q of two replicas at the same time, from -1 (opposite) over 0 (unrelated) to 1 (alike)."""

    mean: Estimate  # over pairs and time
    matrix: Floats  # (replicas, replicas) mean over time, 1 on the diagonal
    q: Floats  # (bins,) centres of bins from -1 to 1
    density: Floats  # (bins,) P(q)
    error: Floats  # (bins,)


class SelfOverlap(NamedTuple):
    """Overlap of a replica with itself some time later; 1 at lag 0."""

    lags: Floats  # (lags,) time
    values: Floats  # (lags,) mean over replicas
    error: Floats  # (lags,)
    replicas: Floats  # (lags, replicas) of each; of each section where the replicas are fewer than 4


def overlap(positions: Weights, about: About | ArrayLike = "origin", bins: int = 50) -> Overlap:
    """Replica overlap q_ab = (w_a - c).(w_b - c) / (|w_a - c| |w_b - c|) and its distribution P(q).

    Independent isotropic directions have P(q) ~ (1 - q^2)^((dof - 3)/2), of mean 0 and variance 1/dof; several
    peaks are several basins. Errors are jackknifed over 4 replicas or more (on the large side, at most by sqrt(2),
    as pairs share replicas), else they come from the correlation in time.

    Args:
        positions: equilibrated (samples, replicas, dof), in memory or on disk, 2 replicas or more.
        about: the point c: "origin", "mean" over samples and replicas, or (dof,) numbers.
        bins: of P(q), from -1 to 1.

    Raises:
        ValueError: a wrong shape, a single replica, an unknown c, or a replica that lies at c.

    Reference: Mezard, Parisi & Virasoro, Spin Glass Theory and Beyond (1987).
    """
    samples = Samples(positions)
    if samples.replicas < 2:
        raise ValueError("one replica has no overlap with another: give 2 replicas or more, or use self_overlap")
    centre, upper = _centre(samples, about), np.triu_indices(samples.replicas, 1)
    histogram = PairHistogram(samples.replicas, np.linspace(-1, 1, bins + 1))
    total, each = np.zeros((samples.replicas, samples.replicas)), []
    gram: Floats | float = 0.0
    for frames, columns in samples.by_frame(_COPIES):
        block = samples.read(frames, columns=columns) - centre[columns]
        gram = gram + block @ block.swapaxes(1, 2)  # (frames, replicas, replicas)
        if columns.stop == samples.dof:
            q = _cosines(np.asarray(gram))
            histogram.add(q[:, *upper])
            total += q.sum(axis=0)
            each.append(q[:, *upper].mean(axis=1))
            gram = 0.0
    matrix = total / samples.frames
    centres = (histogram.edges[1:] + histogram.edges[:-1]) / 2
    return Overlap(_mean(matrix, np.concatenate(each)), matrix, centres, histogram.density, histogram.error)


def self_overlap(
    positions: Weights, times: ArrayLike, about: About | ArrayLike = "origin", *, longest: int | None = None
) -> SelfOverlap:
    """Overlap of each replica with itself a time t later, q(t) = <u(s).u(s + t)>, u = (w - c) / |w - c|.

    Arguments are those of `overlap`; blocks, errors and ``longest`` those of `mean_squared_displacement`.

    Raises:
        ValueError: as `overlap`, or uneven times, or too few samples for the lag.
    """
    samples = Samples(positions)
    dt, centre = spacing(times, samples.frames), _centre(samples, about)
    squares = np.zeros((samples.frames, samples.replicas))
    for frames, columns in samples.by_frame(_COPIES):
        squares[frames] += np.square(samples.read(frames, columns=columns) - centre[columns]).sum(axis=2)
    scale = 1 / np.sqrt(_positive(squares))

    def change(block: Floats, frames: slice, replicas: slice, columns: slice) -> Floats:
        return (block - centre[columns]) * scale[frames, replicas, None]

    sums = lagged(samples, longest, change)
    each = sums.products / sums.pairs
    error = each.std(axis=1, ddof=1) / math.sqrt(each.shape[1])
    return SelfOverlap(np.arange(len(each), dtype=np.float64) * dt, each.mean(axis=1), error, each)


def _centre(samples: Samples, about: About | ArrayLike) -> Floats:
    if isinstance(about, str):
        if about not in ("origin", "mean"):
            raise ValueError(f"about is {about!r}; allowed are 'origin', 'mean' and ({samples.dof},) numbers")
        return samples.mean() if about == "mean" else np.zeros(samples.dof)
    centre = np.asarray(about, dtype=np.float64)
    if centre.shape != (samples.dof,):
        raise ValueError(f"about has shape {centre.shape}; allowed are 'origin', 'mean' and ({samples.dof},) numbers")
    return centre


def _positive(squares: Floats) -> Floats:
    if not (squares > 0).all():
        frame, replica = np.argwhere(squares <= 0)[0]
        raise ValueError(f"sample {frame} of replica {replica} lies at the point overlaps are about: choose another")
    return squares


def _cosines(gram: Floats) -> Floats:
    """Gram matrices (frames, replicas, replicas) -> cosines."""
    norms = np.sqrt(_positive(np.einsum("frr->fr", gram)))
    return np.asarray(np.clip(gram / norms[:, :, None] / norms[:, None, :], -1, 1))


def _mean(matrix: Floats, series: Floats) -> Estimate:
    """Mean over pairs, from the matrix of replicas; its error from the series of means where replicas are few."""
    replicas = len(matrix)
    if replicas < _ENOUGH_REPLICAS:
        return mean(series)
    rows = matrix.sum(axis=0) - matrix.diagonal()  # sum over the pairs of each replica
    left_out = (rows.sum() / 2 - rows) / ((replicas - 1) * (replicas - 2) / 2)
    return Estimate(float(series.mean()), float(jackknife(left_out)))
