"""Scores of predictions (..., points, outputs); the leading axes stay, so members and ensembles are scored alike."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def accuracy(chances: ArrayLike, labels: ArrayLike) -> Floats:
    """Share of points whose most probable class is the label; chances (..., points, classes), labels (points,)."""
    array, truth = against_labels(chances, labels)
    return np.asarray((array.argmax(axis=-1) == truth).mean(axis=-1))


def nll(chances: ArrayLike, labels: ArrayLike) -> Floats:
    """Mean negative log-likelihood of the labels in nats; infinite where a label has probability zero."""
    array, truth = against_labels(chances, labels)
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(array[..., np.arange(len(truth)), truth]).mean(axis=-1))


def brier(chances: ArrayLike, labels: ArrayLike) -> Floats:
    """Brier's score, the mean over points of sum_c (p_c - [c is the label])^2: 0 is perfect, 2 the worst.

    Reference: Brier, Mon. Weather Rev. 78, 1 (1950).
    """
    array, truth = against_labels(chances, labels)
    return np.asarray(np.square(array - np.eye(array.shape[-1])[truth]).sum(axis=-1).mean(axis=-1))


def against_labels(chances: ArrayLike, labels: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    """Return probabilities as float64 and labels as integers; ValueError where they do not fit each other."""
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
    array, truth = against_targets(predictions, targets)
    return np.asarray(np.square(array - truth).mean(axis=(-2, -1)))


def r2(predictions: ArrayLike, targets: ArrayLike) -> Floats:
    """Coefficient of determination 1 - SSE / SST, averaged over outputs; nan for an output that does not vary."""
    array, truth = against_targets(predictions, targets)
    return determination(np.square(array - truth), truth)


def determination(squares: Floats, targets: Floats) -> Floats:
    """1 - SSE / SST averaged over outputs, from squared errors (..., points, outputs) and targets (points, outputs)."""
    total = np.square(targets - targets.mean(axis=0)).sum(axis=0)  # (outputs,)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(total > 0, 1 - squares.sum(axis=-2) / total, np.nan).mean(axis=-1))


def gaussian_nll(predictions: ArrayLike, targets: ArrayLike, noise: ArrayLike) -> Floats:
    """Mean of ln(2 pi s^2)/2 + (y - f)^2/(2 s^2) over points and outputs, in nats: targets are f plus Gaussian noise.

    For members ``noise`` s is the sd of the data's noise; for the mean of an ensemble take the sd of its prediction,
    sqrt(noise^2 + spread^2), which is one Gaussian in place of the mixture of the members.

    Args:
        predictions: f, (..., points, outputs).
        targets: y, (points, outputs).
        noise: s > 0, one number or anything that broadcasts to predictions.

    Raises:
        ValueError: shapes do not fit, or noise is not positive.

    Reference: Lakshminarayanan, Pritzel, Blundell, NeurIPS 2017.
    """
    array, truth = against_targets(predictions, targets)
    variance = np.square(_positive(noise))
    terms = 0.5 * np.log(2 * math.pi * variance) + np.square(array - truth) / (2 * variance)
    return np.asarray(terms.mean(axis=(-2, -1)))


def _positive(noise: ArrayLike) -> Floats:
    array = np.asarray(noise, dtype=np.float64)
    if not (array > 0).all():
        raise ValueError(f"noise is {array if array.ndim == 0 else array.min()}: a standard deviation must be positive")
    return array


def against_targets(predictions: ArrayLike, targets: ArrayLike) -> tuple[Floats, Floats]:
    """Return predictions and targets as float64, targets (points, outputs); ValueError where they do not fit."""
    array, truth = np.asarray(predictions, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if truth.ndim == 1:
        truth = truth[:, None]
    if array.ndim < 2 or array.shape[-2:] != truth.shape:
        raise ValueError(f"predictions {array.shape} do not end in the shape of the targets {truth.shape}")
    return array, truth
