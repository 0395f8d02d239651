"""Distances to the nearest neighbours among samples: by a tree in few dimensions, by products of matrices in many."""

import numpy as np
from numpy.typing import NDArray

from trajectories.entropy.samples import Floats, pooled

_TREE = 10  # dimensions up to which a tree is the faster
_ENTRIES = 1 << 24  # squared distances held at a time
_CANCELLED = 1e-6  # a square this small against the norms it is the difference of is computed anew


def nearest(array: Floats, k: int, *, window: int = 0) -> tuple[Floats, NDArray[np.intp]]:
    """Distances of each sample to its k nearest others, ascending, and among how many others these were looked for.

    Samples of the same replica up to ``window`` places before or after are not counted as others: they are near
    because little time has passed (Theiler, Phys. Rev. A 34, 2427 (1986)).

    Args:
        array: (samples, replicas, d).

    Returns:
        Distances (samples * replicas, k) and numbers of candidates (samples * replicas,).
    """
    count, replicas, _ = array.shape
    points = pooled(array)
    window = min(window, count - 1)
    time, replica = np.divmod(np.arange(len(points)), replicas)
    candidates = len(points) - 1 - np.minimum(time, window) - np.minimum(count - 1 - time, window)
    if not 1 <= k <= candidates.min():
        raise ValueError(
            f"k = {k} neighbours are looked for among {candidates.min()} others that are not too near in time: k is "
            "from 1 to that number; sample longer, or take a smaller k"
        )
    distances, index = closest(points, min(k + 2 * window + 1, len(points)))
    same = (replica[index] == replica[:, None]) & (np.abs(time[index] - time[:, None]) <= window)
    distances[same] = np.inf
    return np.sort(distances, axis=1)[:, :k], candidates


def closest(points: Floats, wanted: int) -> tuple[Floats, NDArray[np.intp]]:
    """Distances (n, wanted) from each of the points (n, d) to the closest, itself included, and their indices."""
    return (_by_tree if points.shape[1] <= _TREE else _by_products)(points, wanted)


def _by_tree(points: Floats, wanted: int) -> tuple[Floats, NDArray[np.intp]]:
    from scipy.spatial import cKDTree

    distances, index = cKDTree(points).query(points, wanted)
    return distances.reshape(len(points), wanted), index.reshape(len(points), wanted)


def _by_products(points: Floats, wanted: int) -> tuple[Floats, NDArray[np.intp]]:
    """|x - y|^2 = |x|^2 + |y|^2 - 2 x.y about the mean; where that cancels, from the difference itself."""
    centred = points - points.mean(axis=0)
    norms = np.einsum("ij,ij->i", centred, centred)
    distances, index = np.empty((len(points), wanted)), np.empty((len(points), wanted), dtype=np.intp)
    rows = max(1, _ENTRIES // len(points))
    for start in range(0, len(points), rows):
        stop = min(start + rows, len(points))
        squares = centred[start:stop] @ centred.T
        squares *= -2.0
        squares += norms
        squares += norms[start:stop, None]
        squares[np.arange(stop - start), np.arange(start, stop)] = 0.0
        chosen = np.argpartition(squares, wanted - 1, axis=1)[:, :wanted]
        found = np.take_along_axis(squares, chosen, axis=1)
        cancelled = found < _CANCELLED * (norms[start:stop, None] + norms[chosen])
        for row in np.flatnonzero(cancelled.sum(axis=1) > 1):  # the sample itself always is
            away = points[chosen[row]] - points[start + row]
            found[row] = np.einsum("ij,ij->i", away, away)
        distances[start:stop], index[start:stop] = np.sqrt(found.clip(min=0.0)), chosen
    return distances, index
