"""Ensemble predictions from stored outputs of the network, (samples, replicas, points, outputs).

Two ensembles can be meant, and ``over`` says which:
    "samples"     one ensemble a replica: the average along its run. The result keeps a replica axis; every replica
                  is one seed, so the scatter between replicas is the error bar of what the method achieves.
    "everything"  one single ensemble of all samples of all replicas; no replica axis is left.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Over = Literal["samples", "everything"]
_AXES: dict[str, Any] = {"samples": 0, "everything": (0, 1)}


def _stored(predictions: ArrayLike, over: str) -> tuple[Floats, Any]:
    array = np.asarray(predictions, dtype=np.float64)
    if array.ndim != 4:
        raise ValueError(f"predictions are (samples, replicas, points, outputs); got shape {array.shape}")
    if over not in _AXES:
        raise ValueError(f"over is {over!r}; allowed are 'samples' (one ensemble a replica) and 'everything'")
    return array, _AXES[over]


def mean(predictions: ArrayLike, *, over: Over = "everything") -> Floats:
    """Mean prediction, (points, outputs), or (replicas, points, outputs) over="samples"."""
    array, axes = _stored(predictions, over)
    return np.asarray(array.mean(axis=axes))


def spread(predictions: ArrayLike, *, over: Over = "everything") -> Floats:
    """Standard deviation of the members about their mean; same shape as `mean`."""
    array, axes = _stored(predictions, over)
    return np.asarray(array.std(axis=axes))


def probabilities(logits: ArrayLike) -> Floats:
    """Softmax over the last axis, (..., points, classes); a single output is a logit of class 1 of two classes."""
    array = np.asarray(logits, dtype=np.float64)
    if array.shape[-1] == 1:
        array = np.concatenate([np.zeros_like(array), array], axis=-1)
    exponentials = np.exp(array - array.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def mean_softmax(logits: ArrayLike, *, over: Over = "everything") -> Floats:
    """Mean class probabilities of the members: the ensemble's predictive distribution, shaped as `mean`."""
    array, axes = _stored(logits, over)
    return np.asarray(probabilities(array).mean(axis=axes))


def vote(logits: ArrayLike, *, over: Over = "everything") -> Floats:
    """Share of members whose most probable class is c, (..., points, classes); its argmax is the majority vote."""
    array, axes = _stored(logits, over)
    chances = probabilities(array)
    chosen = np.eye(chances.shape[-1])[chances.argmax(axis=-1)]
    return np.asarray(chosen.mean(axis=axes))
