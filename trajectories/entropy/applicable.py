"""The estimators of a comparison, as they apply to weights in space or on a sphere."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from trajectories.entropy import covariance, directions, graph, histograms, nearest
from trajectories.entropy.bounds import cross_entropy
from trajectories.entropy.samples import Floats, inefficiency_of_squares, pooled
from trajectories.statistics import Estimate

_ROUND = 1e-3  # relative spread of |w| below which weights lie on a sphere
_SHRUNK = 1500  # most coordinates of a shrunk covariance


class Estimator(NamedTuple):
    """An estimator with its samples, to be called."""

    name: str
    kind: str  # as in `Row`
    call: Callable[[], Estimate]


def estimators(samples: Floats, oscillators: tuple[Floats, float] | None) -> list[Estimator]:
    """Those that make sense for samples (samples, replicas, d); ``oscillators`` are masses and temperature, if known.

    Where all samples have one norm they have no density in space, so entropies on the sphere take its place.
    """
    d = samples.shape[2]
    norms = np.linalg.norm(samples, axis=2)
    on_sphere = d > 1 and float(np.ptp(norms)) < _ROUND * float(norms.mean())
    relative = Estimator("knn_graph", "relative", lambda: _graph(samples, d - on_sphere))
    if on_sphere:
        return [
            Estimator("sphere", "absolute", lambda: directions.sphere(samples)),
            Estimator("von_mises_fisher", "upper bound", lambda: directions.von_mises_fisher(samples)),
            relative,
        ]
    few = len(pooled(samples)) / inefficiency_of_squares(samples) < d + 2
    return [
        Estimator("gaussian", "upper bound", lambda: covariance.gaussian(samples)),
        *([Estimator("gaussian, shrunk", "upper bound", lambda: _shrunk(samples))] if few else []),
        Estimator("cross_entropy, mixture", "upper bound", lambda: _halves(samples)),
        Estimator("kozachenko_leonenko", "absolute", lambda: nearest.kozachenko_leonenko(samples)),
        Estimator("histogram", "absolute", lambda: histograms.histogram(samples)),
        Estimator("mutual_information_expansion", "absolute", lambda: _pairs(samples)),
        relative,
        Estimator("quasiharmonic", "phase space", lambda: _quasiharmonic(samples, oscillators)),
    ]


def _graph(samples: Floats, dimension: int) -> Estimate:
    k = max(1, min(50, len(pooled(samples)) // 4))
    return graph.knn_graph(samples, k, dimension=dimension, power=1.0 if dimension > 1 else 0.5)


def _shrunk(samples: Floats) -> Estimate:
    d = samples.shape[2]
    if d > _SHRUNK:
        raise ValueError(f"a covariance of {d} coordinates is too large: take up to {_SHRUNK}, or a projection")
    return covariance.gaussian(samples, shrinkage="ledoit-wolf")


def _halves(samples: Floats) -> Estimate:
    """Cross-entropy of one half of the samples with the density fitted to the other: replicas, else time."""
    replicas = samples.shape[1]
    if replicas > 1:
        return cross_entropy(samples[:, : replicas // 2], samples[:, replicas // 2 :], density="mixture")
    half = len(samples) // 2
    return cross_entropy(samples[:half], samples[half:], density="mixture")


def _pairs(samples: Floats) -> Estimate:
    d, independent = samples.shape[2], len(pooled(samples)) / inefficiency_of_squares(samples)
    if d * (d - 1) / 2 > independent:
        raise ValueError(
            f"{independent:.0f} independent samples are too few for {d * (d - 1) // 2} pairs of coordinates, of which "
            "each adds its own error: take fewer coordinates (a projection)"
        )
    return histograms.mutual_information_expansion(samples)


def _quasiharmonic(samples: Floats, oscillators: tuple[Floats, float] | None) -> Estimate:
    if oscillators is None:
        raise ValueError("it needs masses and a temperature, of coordinates that are not projected")
    return covariance.quasiharmonic(samples, *oscillators)


def caution(name: str, d: int, found: Estimate) -> str:
    """What to know about an estimate beside its error."""
    notes = {
        "knn_graph": "only differences mean anything",
        "quasiharmonic": "positions and momenta, hbar = 1",
        "gaussian, shrunk": "biased where samples are few",
    }
    if name in ("kozachenko_leonenko", "sphere") and d > 10:
        notes[name] = f"biased by its balls at d = {d}"
    if not math.isfinite(found.error):
        return ", ".join(filter(None, [notes.get(name, ""), "too few independent parts for an error"]))
    return notes.get(name, "")
