"""All entropies that apply to a run or to samples, side by side, and where they contradict each other."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from trajectories.entropy.applicable import caution, estimators
from trajectories.entropy.disagreements import disagreements
from trajectories.entropy.of_run import select
from trajectories.entropy.samples import Floats, as_samples, inefficiency, pooled
from trajectories.entropy.table import Comparison, Row
from trajectories.storage.reader import Trajectory

_MANY = 20  # coordinates above which principal components are looked at as well
_COMPONENTS = 3


def compare(
    source: Trajectory | ArrayLike,
    *,
    tensors: Sequence[str] = (),
    temperature: float | None = None,
    masses: ArrayLike | None = None,
    projection: int | None = None,
    at_most: int = 2000,
) -> Comparison:
    """Entropies by every estimator that applies, with their errors, and the pairs more than 3 errors apart.

    Of a run the equilibrated positions are taken: after the last change of the set temperature and after its energy
    has settled (else the second half), thinned evenly to ``at_most`` samples or 128 MiB, whichever is less.
    Coordinates that do not move are left out. With more than 20 coordinates the first 3 principal components, an
    orthogonal projection of the samples, are looked at as well.

    Args:
        source: a run, or samples (samples, d) or (samples, replicas, d).
        tensors: parameter tensors of the run by name; by default all.
        temperature: of the replicas of a run to take, where theirs differ; T of given samples.
        masses: of the coordinates of given samples, (d,); a run has its own. With T they make `quasiharmonic` apply.
        projection: look at this many principal components alone.

    Raises:
        NotRecorded, ValueError: the run or the samples hold nothing that can be compared.
    """
    if isinstance(source, Trajectory):
        weights: Floats | None
        samples, weights, temperature, what = select(source, tensors, temperature, at_most)
    else:
        if tensors:
            raise ValueError("tensors are named, but samples have no names: give a run, or the coordinates wanted")
        samples, what = as_samples(source), "the samples"
        weights = None if masses is None else np.broadcast_to(np.asarray(masses, np.float64), samples.shape[2:])
    moving = np.ptp(pooled(samples), axis=0) > 0
    if not moving.any():
        raise ValueError("no coordinate moves: there is no distribution to have an entropy")
    if not moving.all():
        what += f" (without {int((~moving).sum())} coordinates that do not move)"
        samples, weights = samples[..., moving], None if weights is None else weights[moving]
    d = samples.shape[2]
    rows: list[Row] = []
    if projection is None:
        oscillators = None if weights is None or temperature is None else (weights, temperature)
        rows += _rows(samples, f"{d} coordinates", oscillators)
    if projection is not None or d > _MANY:
        count = min(d, _COMPONENTS if projection is None else projection)
        rows += _rows(_principal(samples, count), f"first {count} principal components", None)
    return Comparison(what, tuple(rows), tuple(disagreements(rows)))


def _principal(samples: Floats, count: int) -> Floats:
    """Coordinates (samples, replicas, count) along the first principal components, by the smaller of two matrices."""
    if count < 1:
        raise ValueError(f"projection is {count}: it counts principal components, 1 or more")
    centred = pooled(samples) - pooled(samples).mean(axis=0)
    if len(centred) < centred.shape[1]:
        values, vectors = np.linalg.eigh(centred @ centred.T)
        projected = vectors[:, ::-1][:, :count] * np.sqrt(values[::-1][:count].clip(min=0.0))
    else:
        projected = centred @ np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :count]
    return np.asarray(projected.reshape(*samples.shape[:2], -1))


def _rows(samples: Floats, of: str, oscillators: tuple[Floats, float] | None) -> list[Row]:
    n, d = samples.shape[0] * samples.shape[1], samples.shape[2]
    independent = n / inefficiency(samples)
    rows = []
    for one in estimators(samples, oscillators):
        try:
            found = one.call()
            rows.append(Row(one.name, of, d, n, independent, one.kind, found, caution(one.name, d, found)))
        except ValueError as reason:
            rows.append(Row(one.name, of, d, n, independent, one.kind, None, str(reason)))
    return rows
