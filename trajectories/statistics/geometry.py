"""How far replicas lie from each other in weight space."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.statistics.pairs import PairHistogram
from trajectories.statistics.walking import Samples, Weights

Floats = NDArray[np.float64]
_COPIES = 4  # of a block, that are held at a time


class Radial(NamedTuple):
    """Distribution of the distance between two replicas."""

    edges: Floats  # (bins + 1,) distance
    r: Floats  # (bins,) centres
    density: Floats  # (bins,) probability density of r at the same time
    error: Floats  # (bins,)
    g: Floats  # (bins,) density / density between replicas at far times; 1 where replicas do not interact
    g_error: Floats  # (bins,)


def pair_distances(frame: ArrayLike) -> Floats:
    """Euclidean distances r_ab = |w_a - w_b| of one frame (replicas, dof), (pairs,).

    The order is that of numpy.triu_indices(replicas, 1); scipy.spatial.distance.squareform makes a matrix of it.

    Raises:
        ValueError: not one frame, or fewer than 2 replicas.
    """
    array = np.asarray(frame)
    if array.ndim != 2:
        raise ValueError(f"a frame is (replicas, dof), as run.positions[-1]; got shape {array.shape}")
    _, squares = next(_squares(_samples(array[None]), 0))
    return np.asarray(np.sqrt(squares[0]))


def radial_distribution(positions: Weights, bins: int | ArrayLike = 50) -> Radial:
    """Density of the distance r between two replicas at the same time, and g(r) against uncorrelated replicas.

    g is that density divided by the one between different replicas half a run apart in time: the pair distribution
    function, which is 1 at every r for replicas that do not interact, as the reference has the same one-body density
    without the correlation of pairs. Errors are jackknifed over 4 replicas or more (on the large side, at most by
    sqrt(2), as pairs share replicas), else they come from the correlation in time.

    Args:
        positions: equilibrated (samples, replicas, dof), in memory or on disk, 2 samples and 2 replicas or more.
        bins: number of equal bins from the smallest distance to the largest, which takes one pass more, or edges.

    Raises:
        ValueError: a wrong shape, or too few samples or replicas.

    Reference: Hansen & McDonald, Theory of Simple Liquids (2013), chapter 2.
    """
    samples = _samples(positions)
    if samples.frames < 2:
        raise ValueError("one sample has no later one to compare with: give 2 samples or more")
    far = samples.frames // 2
    edges = np.asarray(bins, dtype=np.float64)
    if edges.ndim == 0:
        edges = _edges(samples, far, int(edges))
    together, apart = PairHistogram(samples.replicas, edges), PairHistogram(samples.replicas, edges)
    for histogram, shift in ((together, 0), (apart, far)):
        for _, squares in _squares(samples, shift):
            for half in np.split(np.sqrt(squares), 2 if shift else 1, axis=1):
                histogram.add(half)
    with np.errstate(divide="ignore", invalid="ignore"):
        g = together.density / apart.density
    centres = (edges[1:] + edges[:-1]) / 2
    return Radial(edges, centres, together.density, together.error, g, together.ratio_error(apart))


def _samples(values: Weights) -> Samples:
    samples = Samples(values)
    if samples.replicas < 2:
        raise ValueError("one replica has no distances: give (samples, replicas, dof) with 2 replicas or more")
    return samples


def _edges(samples: Samples, far: int, bins: int) -> Floats:
    """Equal bins over every distance that occurs."""
    if bins < 1:
        raise ValueError(f"bins is {bins}: give 1 or more, or edges")
    extremes = [(one.min(), one.max()) for shift in (0, far) for _, one in _squares(samples, shift)]
    lowest, highest = np.sqrt(min(low for low, _ in extremes)), np.sqrt(max(high for _, high in extremes))
    return np.histogram_bin_edges([lowest, highest], bins)


def _squares(samples: Samples, shift: int) -> Iterator[tuple[slice, Floats]]:
    """Squared distances of replicas a < b, (frames, pairs), of blocks of frames.

    With a shift, of a now and b that many frames later, followed by b now and a later, (frames, 2 pairs).
    """
    upper = np.triu_indices(samples.replicas, 1)
    total: Floats | float = 0.0
    for frames, columns in samples.by_frame(_COPIES):
        frames = slice(frames.start, min(frames.stop, samples.frames - shift))
        if frames.start >= frames.stop:
            return
        now = samples.read(frames, columns=columns)
        later = now if not shift else samples.read(slice(frames.start + shift, frames.stop + shift), columns=columns)
        total = total + np.array([_between(*pair, upper, shift) for pair in zip(now, later, strict=True)])
        if columns.stop == samples.dof:
            yield frames, np.asarray(total)
            total = 0.0


def _between(now: Floats, later: Floats, upper: tuple[NDArray[np.intp], ...], shift: int) -> Floats:
    """Squared distances of two frames (replicas, columns); differences are taken before they are squared."""
    from scipy.spatial import distance

    if not shift:
        return np.asarray(distance.pdist(now, "sqeuclidean"))
    every = distance.cdist(now, later, "sqeuclidean")
    return np.concatenate([every[upper], every.T[upper]])
