"""Principal components of the weights: the directions they move in most, for samples larger than memory."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trajectories.statistics.averages import mean
from trajectories.statistics.estimate import Estimate
from trajectories.statistics.walking import Samples, Weights

Floats = NDArray[np.float64]
_EXACT = 4000  # size of a matrix that is diagonalised in full; beyond it, subspace iteration
_PASSES, _OVERSAMPLING = 8, 10
_MOVING = 1e-7  # of the largest deviation; less is rounding
_COPIES = 4  # of a block, that are held at a time


class Components(NamedTuple):
    """Principal components, the largest first."""

    mean: Floats  # (dof,)
    directions: Floats  # (components, dof) orthonormal; the largest entry of each is positive
    variances: list[Estimate]  # one a component
    explained: Floats  # (components,) share of the total variance
    coordinates: Floats  # (samples, replicas, components) of the samples, (w - mean).direction

    def project(self, positions: Weights) -> Floats:
        """Coordinates (w - mean).direction of other samples (samples, replicas, dof), in blocks.

        ValueError where dof is another one.
        """
        samples = Samples(positions)
        if samples.dof != len(self.mean):
            raise ValueError(f"the weights have {samples.dof} coordinates, the components {len(self.mean)}")
        return _project(samples, self.mean, self.directions)


def principal_components(positions: Weights, count: int = 10) -> Components:
    """Eigenvectors and eigenvalues of the covariance C = <(w - <w>)(w - <w>)^T> over samples and replicas.

    The samples are walked in blocks. C is diagonalised, or the matrix of the scalar products of the samples where
    those (of all replicas) are fewer than the coordinates; if it has more than 4000 rows, 8 passes of subspace
    iteration find the leading components, well where the variances fall off, less so in a flat spectrum. The error
    of a variance is that of the mean squared coordinate (see `statistics.mean`): to first order the jackknife over
    replicas. It leaves out a bias: with n independent samples of d coordinates of equal variance s^2, the largest
    reads s^2 (1 + sqrt(d/n))^2 (Marchenko & Pastur 1967), so components below that say nothing.

    Args:
        positions: equilibrated (samples, replicas, dof) or (samples, dof), in memory or on disk.
        count: number of components.

    Raises:
        ValueError: a wrong shape, fewer than count + 1 samples or count coordinates, or nothing moves.

    References: Amadei, Linssen & Berendsen, Proteins 17, 412 (1993); Halko, Martinsson & Tropp, SIAM Rev. 53, 217
    (2011) for the subspace iteration.
    """
    samples = Samples(positions)
    n = samples.frames * samples.replicas
    if not 1 <= count <= min(n - 1, samples.dof):
        raise ValueError(
            f"count is {count}: {n} samples of {samples.dof} coordinates have from 1 to {min(n - 1, samples.dof)}"
        )
    centre = samples.mean()
    parts = partial(_rows if samples.dof <= n else _columns, samples, centre)
    vectors, total = _leading(parts, min(n, samples.dof), count)
    if not total > 0:
        raise ValueError("no coordinate moves: there are no components")
    directions = vectors.T.copy() if samples.dof <= n else _back(samples, centre, vectors)
    for one in directions:
        one *= np.sign(max(one.max(), one.min(), key=abs))
    coordinates = _project(samples, centre, directions)
    variances = [mean(np.square(coordinates[..., one]) * (n / (n - 1))) for one in range(count)]
    explained = np.array([one.value for one in variances]) * ((n - 1) / total)
    return Components(centre, directions, variances, explained, coordinates)


def _project(samples: Samples, centre: Floats, directions: Floats) -> Floats:
    """Coordinates (samples, replicas, components) along the directions."""
    found = np.zeros((samples.frames, samples.replicas, len(directions)))
    for frames, columns in samples.by_frame(_COPIES):
        found[frames] += (samples.read(frames, columns=columns) - centre[columns]) @ directions[:, columns].T
    return found


def _rows(samples: Samples, centre: Floats) -> Iterator[Floats]:
    """Deviations of some samples, (some, dof)."""
    for frames, replicas in samples.by_row(_COPIES):
        yield (samples.read(frames, replicas) - centre).reshape(-1, samples.dof)


def _columns(samples: Samples, centre: Floats) -> Iterator[Floats]:
    """Deviations of all samples in some coordinates, (some, samples * replicas)."""
    for columns in samples.by_column(_COPIES):
        yield (samples.read(columns=columns) - centre[columns]).reshape(samples.frames * samples.replicas, -1).T


def _leading(parts: Callable[[], Iterator[Floats]], size: int, count: int) -> tuple[Floats, float]:
    """Leading eigenvectors (size, count) and the trace of the matrix sum part^T part."""
    from scipy import linalg

    if size > _EXACT:
        return _iterated(parts, size, count)
    matrix = np.zeros((size, size))
    for part in parts():
        matrix += part.T @ part
    _, vectors = linalg.eigh(matrix, subset_by_index=(size - count, size - 1))
    return np.ascontiguousarray(vectors[:, ::-1]), float(np.trace(matrix))


def _iterated(parts: Callable[[], Iterator[Floats]], size: int, count: int) -> tuple[Floats, float]:
    """The same by subspace iteration, without the matrix: one pass over the parts each time."""
    vectors = np.random.default_rng(0).normal(size=(size, min(count + _OVERSAMPLING, size)))
    for _ in range(_PASSES):
        image, total = np.zeros_like(vectors), 0.0
        for part in parts():
            image += part.T @ (part @ vectors)
            total += float(np.vdot(part, part))
        vectors = np.linalg.svd(image, full_matrices=False)[0]
    return vectors[:, :count], total


def _back(samples: Samples, centre: Floats, vectors: Floats) -> Floats:
    """Orthonormal directions (count, dof) of eigenvectors (samples * replicas, count) in the space of samples."""
    directions = np.empty((vectors.shape[1], samples.dof))
    for columns, part in zip(samples.by_column(_COPIES), _columns(samples, centre), strict=True):
        directions[:, columns] = (part @ vectors).T
    norms = np.linalg.norm(directions, axis=1)
    moving = int((norms > _MOVING * norms.max()).sum()) if norms.max() > 0 else 0
    if moving < len(norms):
        raise ValueError(f"count is {len(norms)}, but the samples move in {moving} directions only: ask for as many")
    directions /= norms[:, None]
    root = np.linalg.inv(np.linalg.cholesky(directions @ directions.T))  # close to 1; the directions are nearly so
    for columns in samples.by_column(_COPIES):
        directions[:, columns] = root @ directions[:, columns]
    return directions
