"""Ensemble predictions from stored outputs of the network, (samples, replicas, points, outputs).

Two ensembles can be meant, and ``over`` says which:
    "samples"     one ensemble a replica: the average along its run. The result keeps a replica axis; every replica
                  is one seed, so the scatter between replicas is the error bar of what the method achieves.
    "everything"  one single ensemble of all samples of all replicas; no replica axis is left.
Scores take predictions (..., points, outputs) and keep the leading axes, so members and ensembles are scored alike.
"""

from typing import Any, Literal, NamedTuple

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


def accuracy(chances: ArrayLike, labels: ArrayLike) -> Floats:
    """Share of points whose most probable class is the label; chances (..., points, classes), labels (points,)."""
    array, truth = _scored(chances, labels)
    return np.asarray((array.argmax(axis=-1) == truth).mean(axis=-1))


def nll(chances: ArrayLike, labels: ArrayLike) -> Floats:
    """Mean negative log-likelihood of the labels in nats; infinite where a label has probability zero."""
    array, truth = _scored(chances, labels)
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(array[..., np.arange(len(truth)), truth]).mean(axis=-1))


class Calibration(NamedTuple):
    """Reliability curve: what the ensemble says against how often it is right, by bin of confidence."""

    ece: float  # expected calibration error, sum_b n_b / n |accuracy_b - confidence_b|
    confidence: Floats  # (bins,) mean confidence in the bin; nan when empty
    accuracy: Floats  # (bins,) share of right answers in the bin; nan when empty
    counts: NDArray[np.int64]  # (bins,)


def calibration(chances: ArrayLike, labels: ArrayLike, *, bins: int = 10) -> Calibration:
    """Expected calibration error and reliability curve of chances (points, classes) with equal bins of confidence.

    Reference: Guo, Pleiss, Sun & Weinberger, ICML 2017.
    """
    array, truth = _scored(chances, labels)
    if array.ndim != 2:
        raise ValueError(f"calibration takes one ensemble, (points, classes); got shape {array.shape}")
    confidence = array.max(axis=-1)
    right = (array.argmax(axis=-1) == truth).astype(np.float64)
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)  # bins are (low, high]
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        said = np.bincount(place, confidence, bins) / counts
        was = np.bincount(place, right, bins) / counts
    ece = float(np.nansum(counts * np.abs(was - said)) / len(truth))
    return Calibration(ece, said, was, counts)


def _scored(chances: ArrayLike, labels: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    array, truth = np.asarray(chances, dtype=np.float64), np.asarray(labels)
    if truth.ndim != 1 or truth.dtype.kind not in "iub" or array.ndim < 2 or array.shape[-2] != len(truth):
        raise ValueError(
            f"need probabilities (..., points, classes) and integer labels (points,); got {array.shape} and "
            f"{truth.dtype} {truth.shape}"
        )
    truth = truth.astype(np.int64)
    if truth.min(initial=0) < 0 or truth.max(initial=0) >= array.shape[-1]:
        raise ValueError(f"labels run from {truth.min()} to {truth.max()}; there are {array.shape[-1]} classes from 0")
    return array, truth


def mse(predictions: ArrayLike, targets: ArrayLike) -> Floats:
    """Mean squared error over points and outputs; predictions (..., points, outputs), targets (points, outputs)."""
    array, truth = _compared(predictions, targets)
    return np.asarray(np.square(array - truth).mean(axis=(-2, -1)))


def r2(predictions: ArrayLike, targets: ArrayLike) -> Floats:
    """Coefficient of determination 1 - SSE / SST, averaged over outputs; nan for an output that does not vary."""
    array, truth = _compared(predictions, targets)
    wrong = np.square(array - truth).sum(axis=-2)  # (..., outputs)
    total = np.square(truth - truth.mean(axis=0)).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(total > 0, 1 - wrong / total, np.nan).mean(axis=-1))


def _compared(predictions: ArrayLike, targets: ArrayLike) -> tuple[Floats, Floats]:
    array, truth = np.asarray(predictions, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if truth.ndim == 1:
        truth = truth[:, None]
    if array.ndim < 2 or array.shape[-2:] != truth.shape:
        raise ValueError(f"predictions {array.shape} do not end in the shape of the targets {truth.shape}")
    return array, truth
