"""How sure an ensemble is: entropies of its prediction, and whether its spread tells new inputs from known ones."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.ensemble.blocks import Predictions, Stored
from trajectories.ensemble.predictions import Over, average, mean_softmax, probabilities
from trajectories.ensemble.units import Score, Units, gather, scatter

Floats = NDArray[np.float64]


def entropy(chances: Floats) -> Floats:
    """-sum_c p_c ln p_c over the last axis, in nats."""
    from scipy.special import entr

    return np.asarray(entr(chances).sum(axis=-1))


def predictive_entropy(logits: Predictions, *, over: Over = "everything", weights: ArrayLike | None = None) -> Floats:
    """Entropy H(<p>) of the mean softmax in nats, (points,) or (replicas, points): all that is unsure."""
    return entropy(mean_softmax(logits, over=over, weights=weights))


def mutual_information(logits: Predictions, *, over: Over = "everything", weights: ArrayLike | None = None) -> Floats:
    """I = H(<p>) - <H(p)> >= 0 in nats, (points,) or (replicas, points): what the members disagree about.

    The rest of the predictive entropy, <H(p)>, is what they agree to be unsure about (the data's own noise).

    Reference: Houlsby, Huszar, Ghahramani, Lengyel, arXiv:1112.5745 (2011).
    """
    own = average(logits, lambda block: entropy(probabilities(block))[..., None], over, weights)[..., 0]
    return np.maximum(predictive_entropy(logits, over=over, weights=weights) - own, 0.0)


class Novelty(NamedTuple):
    """The members' disagreement on known and on new inputs, and how well it tells them apart."""

    inside: Floats  # (points,) disagreement on inputs like the training data
    outside: Floats  # (points,) disagreement on others
    auroc: Score  # chance that a new input has the larger one: 1/2 is no use, 1 is perfect


def ood_spread(
    inside: Predictions,
    outside: Predictions,
    *,
    kind: Literal["classification", "regression"],
    together: ArrayLike | None = None,
) -> Novelty:
    """Tell new inputs from known ones by what the members disagree about, with AUROC = P(outside > inside).

    Disagreement is the mutual information in nats, or for regression the spread (root mean square over outputs). The
    AUROC's data error is DeLong's, its sampling error as in `assess`.

    Args:
        inside: (samples, replicas, points, outputs) on inputs like the training data.
        outside: the same networks on other inputs: samples and replicas must be the same.
        kind: "classification" (outputs are logits) or "regression".
        together: (replicas,) which replicas are not independent of each other.

    Raises:
        ValueError: samples or replicas differ, or kind is unknown.

    Reference: DeLong, DeLong, Clarke-Pearson, Biometrics 44, 837 (1988).
    """
    if kind not in ("classification", "regression"):
        raise ValueError(f"kind is {kind!r}; allowed are 'classification' and 'regression'")
    known, new = Stored(inside), Stored(outside)
    if known.shape[:2] != new.shape[:2]:
        raise ValueError(
            f"predictions inside {known.shape} and outside {new.shape} must be of the same samples and replicas"
        )
    units = Units(known.shape, together=together)
    ours, theirs = (_disagreement(one, kind, units) for one in (known, new))  # (1 + draws, points)
    by_draw = [auroc(a, b)[0] for a, b in zip(ours, theirs, strict=True)]
    value, error = auroc(ours[0], theirs[0])
    return Novelty(ours[0], theirs[0], Score(value, float(scatter(by_draw, units.units)), error))


def _disagreement(found: Stored, kind: str, units: Units) -> Floats:
    """Disagreement at each point, (1 + draws, points)."""
    if kind == "classification":
        means = gather(found, lambda z: {"chances": (p := probabilities(z)), "own": entropy(p)}, units)
        return np.maximum(entropy(means["chances"]) - means["own"], 0.0)
    centre = next(found.blocks())[1].mean(axis=(0, 1))
    means = gather(found, lambda f: {"shift": f - centre, "square": np.square(f - centre)}, units)
    variance = np.maximum(means["square"] - np.square(means["shift"]), 0.0)
    return np.asarray(np.sqrt(variance.mean(axis=-1)))


def auroc(low: Floats, high: Floats) -> tuple[float, float]:
    """P(high > low) + P(high = low)/2 of two samples, and DeLong's standard error."""
    from scipy.stats import rankdata

    m, n = len(low), len(high)
    ranks = rankdata(np.concatenate([low, high]))
    above = (ranks[m:] - rankdata(high)) / m  # (n,) share of the low ones below each high one
    under = 1 - (ranks[:m] - rankdata(low)) / n  # (m,) share of the high ones above each low one
    variance = sum(float(part.var(ddof=1)) / len(part) for part in (above, under) if len(part) > 1)
    return float(above.mean()), variance**0.5
