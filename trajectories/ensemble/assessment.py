"""Every score of an ensemble at once, beside those of its members, all with error bars."""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.ensemble import predictions as combine
from trajectories.ensemble import scores
from trajectories.ensemble.blocks import Predictions, Stored
from trajectories.ensemble.predictions import probabilities, votes
from trajectories.ensemble.reliability import below, calibration, inside
from trajectories.ensemble.reweighting import Weights
from trajectories.ensemble.units import Feature, Features, Score, Sets, Statistic, Units, gather, judged

Floats = NDArray[np.float64]
Kind = Literal["classification", "regression"]
Combination = Literal["mean", "mean_softmax", "vote"]
_COMBINED: dict[str, Feature] = {
    "mean": np.asarray,
    "mean_softmax": probabilities,
    "vote": lambda z: votes(probabilities(z)),
}


class Assessment(NamedTuple):
    """The scores of an ensemble and of its members."""

    kind: Kind
    members: int  # samples times replicas
    points: int  # test points
    source: str  # what the sampling errors come from: "16 replicas", "48 blocks of time"
    scores: dict[str, dict[str, Score]]  # by who is scored ("member", "mean softmax", ...), then by score

    def __str__(self) -> str:
        """Lines of text: who, which score, its value and errors."""
        lines = [f"{self.kind} by {self.members} members at {self.points} test points; errors from {self.source}"]
        for who, found in self.scores.items():
            lines += [f"  {who:12}  {name:12}  {score}" for name, score in found.items()]
        return "\n".join(lines)


def assess(
    predictions: Predictions,
    targets: ArrayLike,
    *,
    kind: Kind | None = None,
    noise: float = 0.0,
    level: float = 0.9,
    weights: ArrayLike | Weights | None = None,
    together: ArrayLike | None = None,
) -> Assessment:
    """Score an ensemble of all samples of all replicas, and its members on average, in one pass over the file.

    Classification: accuracy, negative log-likelihood (nll) and Brier's score of a single member and of the mean
    softmax, whose expected calibration error (ece) is given as well, and accuracy, brier and ece of the vote.
    Regression: mse and r2 of a member and of the mean, the members' spread (root mean square over points), and the
    share of targets in the central interval that claims ``level`` (coverage); with noise > 0 also nll (see
    `gaussian_nll`). Both errors are bootstrapped: sampling errors by drawing independent units of members again, with
    the errors of the weights where these are `Weights`; data errors by drawing test points again.

    Args:
        predictions: outputs, logits for classification, (samples, replicas, points, outputs); an Observable is read
            in blocks.
        targets: labels (points,), or values (points, outputs).
        kind: "classification" or "regression"; by default integer labels (points,) mean classification.
        noise: sd of the noise of the targets that the members do not hold.
        level: share of targets that the interval of the coverage claims.
        weights: (samples, replicas), or the `Weights` of another temperature.
        together: (replicas,) which replicas are not independent of each other; not with `Weights`, which know it.

    Raises:
        ValueError: shapes do not fit, or kind is unknown.
    """
    found, truth = Stored(predictions), np.asarray(targets)
    kind = kind or ("classification" if truth.dtype.kind in "iub" and truth.ndim == 1 else "regression")
    if kind not in _TASKS:
        raise ValueError(f"kind is {kind!r}; allowed are {' and '.join(map(repr, _TASKS))}")
    sets = as_sets(found.shape, weights, together)
    truth, features, wanted = _TASKS[kind](found.shape, truth, noise, level)
    flat = {f"{who}/{name}": one for who, several in wanted.items() for name, one in several.items()}
    every = iter(judged(gather(found, features, sets), truth, flat, sets.units))
    results = {who: {name: next(every) for name in several} for who, several in wanted.items()}
    return Assessment(kind, found.shape[0] * found.shape[1], found.shape[2], sets.source, results)


def scored(
    score: Callable[[Floats, NDArray[np.generic]], ArrayLike],
    predictions: Predictions,
    truth: ArrayLike,
    *,
    combination: Combination = "mean_softmax",
    weights: ArrayLike | Weights | None = None,
    together: ArrayLike | None = None,
) -> Score:
    """Score the ensemble with a function score(combined, truth) of your own, or of this package, with both errors.

    ``combined`` is what `mean`, `mean_softmax` or `vote` gives of the members, (points, ...); the other arguments are
    those of `assess`. Example: scored(ensemble.nll, run.observables["test/prediction"], labels).
    """
    if combination not in _COMBINED:
        raise ValueError(f"combination is {combination!r}; allowed are {', '.join(_COMBINED)}")
    found = Stored(predictions)
    sets = as_sets(found.shape, weights, together)
    gathered = gather(found, lambda f: {"combined": _COMBINED[combination](f)}, sets)
    statistics: dict[str, Statistic] = {"score": lambda one, labels: float(np.asarray(score(one["combined"], labels)))}
    return judged(gathered, np.asarray(truth), statistics, sets.units)[0]


def as_sets(shape: tuple[int, ...], weights: ArrayLike | Weights | None, together: ArrayLike | None) -> Sets:
    """Turn what the user says of weights and independence into ensembles drawn again."""
    if not isinstance(weights, Weights):
        return Units(shape, weights, together)
    if weights.shape != shape[:2]:
        raise ValueError(f"weights {weights.shape} do not fit the samples and replicas of predictions {shape}")
    if together is not None:
        raise ValueError("together is given twice: give it to `weights`, which knows the independent units")
    return weights


Task = tuple[NDArray[np.generic], Features, dict[str, dict[str, Statistic]]]


def _classification(shape: tuple[int, ...], truth: NDArray[np.generic], noise: float, level: float) -> Task:
    """Truth, features of the members, and scores of their means: all are linear in the members but ece."""
    labels = scores.against_labels(combine.probabilities(np.zeros(shape[2:])), truth)[1]

    def features(z: Floats) -> dict[str, Floats]:
        p = probabilities(z)
        right = np.eye(p.shape[-1])[labels]  # (points, classes)
        return {
            "chances": p,
            "votes": votes(p),
            "right": (p.argmax(axis=-1) == labels).astype(np.float64),
            "surprise": _surprise(z, labels),
            "brier": np.square(p - right).sum(axis=-1),
        }

    def means(feature: str) -> Statistic:
        return lambda found, _: float(found[feature].mean())

    def of(score: Callable[[ArrayLike, ArrayLike], ArrayLike], feature: str) -> Statistic:
        return lambda found, drawn: float(np.asarray(score(found[feature], drawn)))

    def ece(feature: str) -> Statistic:
        return lambda found, drawn: calibration(found[feature], drawn).ece

    wanted = {
        "member": {"accuracy": means("right"), "nll": means("surprise"), "brier": means("brier")},
        "mean softmax": {
            "accuracy": of(scores.accuracy, "chances"),
            "nll": of(scores.nll, "chances"),
            "brier": of(scores.brier, "chances"),
            "ece": ece("chances"),
        },
        "vote": {"accuracy": of(scores.accuracy, "votes"), "brier": of(scores.brier, "votes"), "ece": ece("votes")},
    }
    return labels, features, wanted


def _surprise(logits: Floats, labels: NDArray[np.int64]) -> Floats:
    """-ln p(label) of each member, (..., points), from logits without forming p, which may underflow."""
    from scipy.special import logsumexp

    if logits.shape[-1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    return np.asarray(logsumexp(logits, axis=-1) - logits[..., np.arange(len(labels)), labels])


def _regression(shape: tuple[int, ...], truth: NDArray[np.generic], noise: float, level: float) -> Task:
    """Truth, features of the members about it, and the scores of their means."""
    targets = scores.against_targets(np.zeros(shape[2:]), truth)[1]

    def features(f: Floats) -> dict[str, Floats]:
        return {"off": f - targets, "squared": np.square(f - targets), "below": below(f, targets, noise)}

    def variance(found: Mapping[str, Floats]) -> Floats:
        return np.maximum(found["squared"] - np.square(found["off"]), 0.0)

    member: dict[str, Statistic] = {
        "mse": lambda found, _: float(found["squared"].mean()),
        "r2": lambda found, drawn: float(scores.determination(found["squared"], np.asarray(drawn, np.float64))),
    }
    mean: dict[str, Statistic] = {
        "mse": lambda found, _: float(np.square(found["off"]).mean()),
        "r2": lambda found, drawn: float(scores.determination(np.square(found["off"]), np.asarray(drawn, np.float64))),
        "spread": lambda found, _: float(np.sqrt(variance(found).mean())),
        f"coverage {100 * level:g} %": lambda found, _: float(inside(found["below"], level).mean()),
    }
    if noise > 0:
        member["nll"] = lambda found, _: float(np.mean(_gaussian(found["squared"], noise**2)))
        mean["nll"] = lambda found, _: float(np.mean(_gaussian(np.square(found["off"]), noise**2 + variance(found))))
    return targets, features, {"member": member, "mean": mean}


def _gaussian(squares: Floats, variance: Floats | float) -> Floats:
    return np.asarray(0.5 * np.log(2 * np.pi * variance) + squares / (2 * variance))


_TASKS: dict[str, Callable[[tuple[int, ...], NDArray[np.generic], float, float], Task]] = {
    "classification": _classification,
    "regression": _regression,
}
