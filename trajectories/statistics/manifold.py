"""Diffusion maps: slow, curved coordinates of samples, from how a random walk among them diffuses."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
_NEIGHBOUR = 8  # whose distance sets the default width
_FULL = 3000  # samples
_CUT = 25.0  # kernels below exp(-_CUT) are left out


class DiffusionMap(NamedTuple):
    """Diffusion coordinates of the samples, the slowest first."""

    coordinates: Floats  # (samples, count) eigenfunctions psi_1 ... psi_count, of mean square 1 in the walk's law
    eigenvalues: Floats  # (count,) of the walk, 1 > mu_1 >= mu_2 ...; the trivial mu_0 = 1 is left out
    rates: Floats  # (count,) -4 ln(mu) / epsilon, eigenvalues of minus the Laplacian (at alpha = 1)
    epsilon: float  # squared distance


def diffusion_map(
    samples: ArrayLike, count: int = 2, *, epsilon: float | None = None, alpha: float = 1.0
) -> DiffusionMap:
    """Eigenfunctions of the random walk among samples with the kernel k(x, y) = exp(-|x - y|^2 / epsilon).

    k is divided by (q(x) q(y))^alpha, q(x) = sum_y k(x, y), and its rows then by their sums. For small epsilon and
    many samples alpha = 1 gives the Laplacian of the manifold whatever the density of samples; alpha = 1/2 the
    overdamped dynamics in the samples' own free energy; alpha = 0 the graph Laplacian.

    Args:
        samples: (samples, d), decorrelated; some thousands at most, as every pair within reach is held. Weights of
            d in the thousands are better projected first (`principal_components`).
        count: number of coordinates.
        epsilon: width of the kernel; twice the median squared distance to the 8th neighbour unless given.
        alpha: from 0 to 1.

    Raises:
        ValueError: a wrong shape, count, epsilon or alpha, or samples that fall apart into separate clouds.

    Reference: Coifman & Lafon, Appl. Comput. Harmon. Anal. 21, 5 (2006).
    """
    from scipy.sparse import csgraph

    points = np.asarray(samples, dtype=np.float64)
    if points.ndim != 2 or not np.isfinite(points).all() or not 1 <= count <= len(points) - 2:
        raise ValueError(f"samples are {points.shape} and count is {count}: give finite (samples, d) > count + 1")
    if not 0 <= alpha <= 1 or (epsilon is not None and not epsilon > 0):
        raise ValueError(f"alpha is {alpha} and epsilon {epsilon}: alpha is from 0 to 1, epsilon positive")
    width = _width(points) if epsilon is None else epsilon
    kernel = _scaled(_kernel(points, width), alpha)
    if csgraph.connected_components(kernel, directed=False, return_labels=False) > 1:
        raise ValueError(f"at epsilon = {width:g} the samples fall apart into clouds: give a larger epsilon")
    degrees = np.asarray(kernel.sum(axis=1)).ravel()  # (samples,)
    values, vectors = _largest(_scaled(kernel, 0.5), count + 1)
    values, vectors = values[::-1][1:], vectors[:, ::-1][:, 1:]
    coordinates = vectors * np.sqrt(degrees.sum() / degrees)[:, None]
    coordinates *= np.sign(np.take_along_axis(coordinates, np.abs(coordinates).argmax(axis=0)[None], axis=0))
    rates = -4 * np.log(np.clip(values, np.finfo(float).tiny, None)) / width
    return DiffusionMap(coordinates, values, rates, float(width))


def _largest(matrix: Any, count: int) -> tuple[Floats, Floats]:
    """The largest eigenvalues of a symmetric sparse matrix, rising, and their vectors.

    Up to 3000 samples as a full matrix: iterations may never tell eigenvalues apart that are all but 1.
    """
    from scipy import linalg
    from scipy.sparse.linalg import ArpackNoConvergence, eigsh

    n = matrix.shape[0]
    if n <= _FULL:
        values, vectors = linalg.eigh(matrix.toarray(), subset_by_index=(n - count, n - 1), overwrite_a=True)
        return np.asarray(values), np.asarray(vectors)
    try:
        values, vectors = eigsh(matrix, k=count, which="LA", v0=np.random.default_rng(0).normal(size=n))
    except ArpackNoConvergence as error:
        raise ValueError(f"{error}: the samples all but fall apart into clouds; give a larger epsilon") from error
    return values, vectors


def _width(points: Floats) -> float:
    from sklearn.neighbors import NearestNeighbors

    rank = min(_NEIGHBOUR, len(points) - 1)
    distances, _ = NearestNeighbors(n_neighbors=rank).fit(points).kneighbors()
    width = 2 * float(np.median(distances[:, -1])) ** 2
    if not width > 0:
        raise ValueError("half of the samples coincide: leave out repeated ones, or give epsilon")
    return width


def _kernel(points: Floats, epsilon: float) -> Any:
    """exp(-|x - y|^2 / epsilon) as a sparse matrix (samples, samples)."""
    from scipy import sparse
    from sklearn.neighbors import radius_neighbors_graph

    graph = radius_neighbors_graph(points, np.sqrt(_CUT * epsilon), mode="distance", include_self=True)
    graph = sparse.csr_array(graph)
    graph.data = np.exp(-np.square(graph.data) / epsilon)
    return graph


def _scaled(kernel: Any, power: float) -> Any:
    """k(x, y) / (q(x) q(y))^power with q the row sums."""
    from scipy import sparse

    factors = sparse.diags_array(np.asarray(kernel.sum(axis=1)).ravel() ** -power)
    return factors @ kernel @ factors
