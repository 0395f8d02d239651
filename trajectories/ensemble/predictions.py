"""Ensemble predictions from stored outputs of the network, (samples, replicas, points, outputs).

Two ensembles can be meant, and ``over`` says which:
    "samples"     one ensemble a replica: the average along its run. The result keeps a replica axis; every replica
                  is one seed, so the scatter between replicas is the error bar of what the method achieves.
    "everything"  one single ensemble of all samples of all replicas; no replica axis is left.
``weights`` (samples, replicas), not negative, makes averages weighted ones (see `weights`, which reweights to another
temperature). Outputs are an array, or an Observable, which is read in blocks.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.ensemble.blocks import Predictions, Stored

Floats = NDArray[np.float64]
Over = Literal["samples", "everything"]
_SUMS = {"samples": "sr,sr...->r...", "everything": "sr,sr...->..."}


def mean(predictions: Predictions, *, over: Over = "everything", weights: ArrayLike | None = None) -> Floats:
    """Mean prediction, (points, outputs), or (replicas, points, outputs) over="samples"."""
    return average(predictions, np.asarray, over, weights)


def spread(predictions: Predictions, *, over: Over = "everything", weights: ArrayLike | None = None) -> Floats:
    """Standard deviation of the members about their mean; same shape as `mean`."""
    found = Stored(predictions)
    centre = next(found.blocks())[1].mean(axis=(0, 1))  # near the mean, so that squares lose no digits
    shift = average(found, lambda block: block - centre, over, weights)
    square = average(found, lambda block: np.square(block - centre), over, weights)
    return np.sqrt(np.maximum(square - np.square(shift), 0.0))


def quantiles(
    predictions: Predictions, q: ArrayLike, *, over: Over = "everything", weights: ArrayLike | None = None
) -> Floats:
    """Quantiles of the members at each point, (*q.shape, ...) before the shape of `mean`.

    The i-th of n sorted members stands at (i - 1/2)/n, or at the middle of its share of the weight; between members
    the quantile is interpolated (Hazen's rule).

    Raises:
        ValueError: q is not between 0 and 1.

    Reference: Hyndman, Fan, Am. Stat. 50, 361 (1996), definition 5.
    """
    wanted, found = np.asarray(q, dtype=np.float64), Stored(predictions)
    if not ((wanted >= 0) & (wanted <= 1)).all():
        raise ValueError(f"q is {wanted}: quantiles are asked for between 0 and 1")
    share = checked(weights, found.shape, over)
    parts = []
    for _, block in found.columns():  # (samples, replicas, some points, outputs)
        if over == "everything":
            parts.append(_quantiles(block.reshape(-1, *block.shape[2:]), share.reshape(-1), wanted.ravel()))
        else:
            each = [_quantiles(block[:, r], share[:, r], wanted.ravel()) for r in range(block.shape[1])]
            parts.append(np.stack(each, axis=1))
    joined = np.concatenate(parts, axis=-2)
    return joined.reshape(*wanted.shape, *joined.shape[1:])


def _quantiles(members: Floats, share: Floats, q: Floats) -> Floats:
    """Quantiles (q, points, outputs) of members (n, points, outputs) with weights (n,)."""
    if (share == share[0]).all():
        return np.asarray(np.quantile(members, q, axis=0, method="hazen"))
    kept = members[share > 0].reshape(int((share > 0).sum()), -1)
    order = np.argsort(kept, axis=0)
    mass = share[share > 0][order]
    place = (np.cumsum(mass, axis=0) - mass / 2) / mass[:, :1].sum()
    values = np.take_along_axis(kept, order, axis=0)
    columns = [np.interp(q, place[:, j], values[:, j]) for j in range(kept.shape[1])]
    return np.stack(columns, axis=1).reshape(len(q), *members.shape[1:])


def probabilities(logits: ArrayLike) -> Floats:
    """Softmax over the last axis, (..., points, classes); a single output is a logit of class 1 of two classes."""
    array = np.asarray(logits, dtype=np.float64)
    if array.shape[-1] == 1:
        array = np.concatenate([np.zeros_like(array), array], axis=-1)
    exponentials = np.exp(array - array.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def mean_softmax(logits: Predictions, *, over: Over = "everything", weights: ArrayLike | None = None) -> Floats:
    """Mean class probabilities of the members: the ensemble's predictive distribution, shaped as `mean`."""
    return average(logits, probabilities, over, weights)


def vote(logits: Predictions, *, over: Over = "everything", weights: ArrayLike | None = None) -> Floats:
    """Share of members whose most probable class is c, (..., points, classes); its argmax is the majority vote."""
    return average(logits, lambda block: votes(probabilities(block)), over, weights)


def votes(chances: Floats) -> Floats:
    """One at the most probable class and zero elsewhere, (..., points, classes)."""
    return np.asarray(np.eye(chances.shape[-1])[chances.argmax(axis=-1)])


def checked(weights: ArrayLike | None, shape: tuple[int, ...], over: str = "everything") -> Floats:
    """Weights as float64 (samples, replicas), ones unless given; ValueError where they do not fit predictions."""
    if over not in _SUMS:
        raise ValueError(f"over is {over!r}; allowed are 'samples' (one ensemble a replica) and 'everything'")
    if weights is None:
        return np.ones(shape[:2])
    array = np.asarray(weights, dtype=np.float64)
    if array.shape != shape[:2] or not np.isfinite(array).all() or (array < 0).any() or not array.sum(axis=0).any():
        raise ValueError(
            f"weights of shape {array.shape} do not fit predictions {shape}: give one finite number, not negative, for "
            f"each sample and replica, {shape[:2]}, not all of them zero"
        )
    return array


def average(
    predictions: Predictions, feature: Callable[[Floats], Floats], over: str, weights: ArrayLike | None
) -> Floats:
    """Weighted mean of feature(outputs) over the members, block by block."""
    found = Stored(predictions)
    share = checked(weights, found.shape, over)
    total: Floats | float = 0.0
    for rows, block in found.blocks():
        total = total + np.einsum(_SUMS[over], share[rows], feature(block))
    mass = share.sum(axis=0)[:, None, None] if over == "samples" else share.sum()
    return np.asarray(total / mass)
