"""Scores of predictions (..., points, outputs); the leading axes stay, so members and ensembles are scored alike."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


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
