"""Whether an ensemble means what it says: calibration of probabilities, coverage of intervals."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.ensemble.blocks import Predictions, Stored
from trajectories.ensemble.predictions import Over, average
from trajectories.ensemble.scores import against_labels, against_targets

Floats = NDArray[np.float64]


class Calibration(NamedTuple):
    """Reliability curve: what the ensemble says against how often it is right, by bin of confidence."""

    ece: float  # expected calibration error, sum_b n_b / n |accuracy_b - confidence_b|
    confidence: Floats  # (bins,) mean confidence in the bin; nan when empty
    accuracy: Floats  # (bins,) share of right answers in the bin; nan when empty
    counts: NDArray[np.int64]  # (bins,)
    error: Floats  # (bins,) standard error of the accuracy; nan when empty


def calibration(chances: ArrayLike, labels: ArrayLike, *, bins: int = 10) -> Calibration:
    """Expected calibration error and reliability curve of chances (points, classes) with equal bins of confidence.

    The error of a bin with k right of n is the sd of Jeffreys' posterior Beta(k + 1/2, n - k + 1/2): the binomial
    one, but not zero where all or none are right. The ECE of a perfect ensemble is not zero either: each bin adds
    its own noise, so compare it with its error (see `assess`).

    Reference: Guo, Pleiss, Sun & Weinberger, ICML 2017.
    """
    array, truth = against_labels(chances, labels)
    if array.ndim != 2:
        raise ValueError(f"calibration takes one ensemble, (points, classes); got shape {array.shape}")
    confidence = array.max(axis=-1)
    right = (array.argmax(axis=-1) == truth).astype(np.float64)
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)  # bins are (low, high]
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        said = np.bincount(place, confidence, bins) / counts
        was = np.bincount(place, right, bins) / counts
    chance = (was * counts + 0.5) / (counts + 1)
    error = np.sqrt(chance * (1 - chance) / (counts + 2))
    ece = float(np.nansum(counts * np.abs(was - said)) / len(truth))
    return Calibration(ece, said, was, counts, error)


def pit(
    predictions: Predictions,
    targets: ArrayLike,
    *,
    noise: float = 0.0,
    over: Over = "everything",
    weights: ArrayLike | None = None,
) -> Floats:
    """Probability integral transform: the share F(y) of the prediction below each target, shaped as `mean`.

    F(y) = <Phi((y - f)/noise)> over the members f, and <[f < y] + [f = y]/2> without noise. It is uniform where
    targets are drawn from the prediction; U-shaped where the prediction is too narrow.

    Args:
        predictions: (samples, replicas, points, outputs).
        targets: y, (points, outputs).
        noise: sd of the noise in the targets that the members do not hold.

    Reference: Gneiting, Balabdaoui, Raftery, J. R. Stat. Soc. B 69, 243 (2007).
    """
    found = Stored(predictions)
    truth = against_targets(np.empty(found.shape[2:]), targets)[1]
    return average(found, lambda block: below(block, truth, noise), over, weights)


def below(members: Floats, truth: Floats, noise: float) -> Floats:
    """The chance of each member f, plus noise, to lie below the target, of the shape of the members."""
    if noise < 0 or not math.isfinite(noise):
        raise ValueError(f"noise is {noise}: a standard deviation is not negative")
    if noise > 0:
        from scipy.special import ndtr

        return np.asarray(ndtr((truth - members) / noise))
    return np.asarray((members < truth) + 0.5 * (members == truth))


def coverage(
    predictions: Predictions,
    targets: ArrayLike,
    level: float,
    *,
    noise: float = 0.0,
    over: Over = "everything",
    weights: ArrayLike | None = None,
) -> Floats:
    """Share of targets within the central interval of the prediction that claims ``level`` of them.

    A target is inside where |F(y) - 1/2| <= level/2, with F of `pit`. M exchangeable members without noise hold
    a share that is a multiple of 1/(M + 1), and exactly ``level`` where (1 - level) (M + 1)/2 is a whole number.

    Args:
        predictions: (samples, replicas, points, outputs).
        targets: (points, outputs).
        level: claimed share, between 0 and 1.
        noise: sd of the noise in the targets that the members do not hold.

    Returns:
        one number, or (replicas,) over="samples".
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: an interval claims a share of the targets between 0 and 1, such as 0.9")
    found = pit(predictions, targets, noise=noise, over=over, weights=weights)
    return np.asarray(inside(found, level).mean(axis=(-2, -1)))


def inside(transform: Floats, level: float) -> NDArray[np.bool_]:
    """Whether each target lies within the central interval of its prediction."""
    return np.abs(transform - 0.5) <= level / 2
