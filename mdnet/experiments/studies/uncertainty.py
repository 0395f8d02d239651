"""Whether an ensemble knows what it does not know: its spread, its bands and its probabilities against what is true."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mdnet.experiments.problems import Task
from mdnet.experiments.results import Array, Check, Plot, Study, mean_of
from mdnet.experiments.studies import members, uncertainty_figures
from mdnet.experiments.studies.finished import Finished
from trajectories import ensemble
from trajectories.ensemble.novelty import auroc

LEVEL = 0.9  # that bands claim to hold


def uncertainty(finished: Finished) -> Study:
    """Judge the uncertainty of every method: by class probabilities, or by spread and bands."""
    return of_classes(finished) if finished.task.classes else of_numbers(finished)


def of_numbers(finished: Finished) -> Study:
    """Judge spread and bands of a regression."""
    task, method = finished.task, members.restrained(finished)
    noise = members.noise(finished, method)
    found = {name: bands(task, said, noise) for name, said in finished.predictions.items()}
    checks, known = [], task.problem.metric == "mse"  # the truth, at any input
    plots = [uncertainty_figures.error_by_spread(finished)]
    if task.data.train[0].shape[-1] == 1:
        for run in finished.runs:
            found[run] |= beyond(finished, run, known=known)
        checks.append(outside_check(method, found[method]["outside"]))
        plots.insert(0, uncertainty_figures.one_seed(finished, noise, LEVEL))
    if known or not checks:  # on one input without a truth outside there is little spread to go by
        checks.append(rank_check(method, found[method]["wide" if known else "rank"]))
    heads = {
        "nll": "Gaussian NLL", "coverage": f"targets in {LEVEL:.0%} bands", "spread": "rms spread",
        "rank": "rank correlation of |error| and spread", "outside": "spread outside/inside",
        "wide": "rank correlation, outside too",
    }  # fmt: skip
    return study(found, heads, told_of_numbers(noise), checks, plots)


def of_classes(finished: Finished) -> Study:
    """Judge the class probabilities, those of the mean softmax."""
    task, method = finished.task, members.restrained(finished)
    found = {name: chances(task, said) for name, said in finished.predictions.items()}
    heads = {
        "nll": "NLL", "brier": "Brier's score", "ece": "calibration error (ECE)", "right": "entropy where right",
        "wrong": "entropy where wrong", "auroc": "P(entropy wrong > right)",
    }  # fmt: skip
    checks = [entropy_check(method, found[method]["auroc"])]
    return study(found, heads, TOLD_OF_CLASSES, checks, [uncertainty_figures.reliability(finished)])


def study(
    found: dict[str, dict[str, Array]], heads: dict[str, str], caption: str, checks: list[Check], plots: list[Plot]
) -> Study:
    """Put the numbers of the methods into one table; what a method does not have is a dash."""
    shown = {key: head for key, head in heads.items() if any(key in one for one in found.values())}
    rows = [[name, *(mean_of(one.get(key)) for key in shown)] for name, one in found.items()]
    kept = {name: {key: values.tolist() for key, values in one.items()} for name, one in found.items()}
    return Study("uncertainty", "Uncertainty", ("method", *shown.values()), rows, caption, checks, plots, kept)


def bands(task: Task, said: Array, noise: Array) -> dict[str, Array]:
    """Return by seed what bands of predictions (members, seeds, rows, 1) with the data's noise (seeds,) are worth.

    nll; coverage, the share of observed targets in bands of the LEVEL; and of ensembles the rms spread, and Spearman's
    rank correlation of |mean - test target| and spread over the test rows.
    """
    held = [
        float(ensemble.coverage(said[:, [s]], y, LEVEL, noise=noise[s])) for s, y in enumerate(members.observed(task))
    ]
    found = {"nll": members.likelihood(task, said, noise), "coverage": np.array(held)}
    if len(said) == 1:
        return found
    mean, spread = ensemble.mean(said, over="samples"), ensemble.spread(said, over="samples")
    ranks = by_seed(rank_correlation, np.abs(mean - task.truth), spread)
    return found | {"spread": np.sqrt(np.square(spread).mean((1, 2))), "rank": ranks}


def rank_correlation(error: Array, spread: Array) -> float:
    """Return Spearman's rank correlation of two arrays."""
    from scipy import stats

    return float(stats.spearmanr(error.ravel(), spread.ravel()).statistic)


def beyond(finished: Finished, method: str, *, known: bool) -> dict[str, Array]:
    """Return by seed how a run's members (seeds,) behave on a grid twice as wide as the training inputs.

    outside: the rms spread outside their range over that inside; wide, where the truth is known as sin(2 pi x) at any
    input: the rank correlation of |mean - truth| and spread on the whole grid.
    """
    inputs, inside = members.beyond(finished.task)
    said = members.outputs(finished.task, members.weights(finished, method), inputs)
    spread = ensemble.spread(said, over="samples")  # (seeds, points, 1)
    variance = np.square(spread)[..., 0]
    found = {"outside": np.sqrt(variance[:, ~inside].mean(1) / variance[:, inside].mean(1))}
    if not known:
        return found
    error = np.abs(ensemble.mean(said, over="samples") - np.sin(2 * np.pi * inputs.numpy()))
    return found | {"wide": by_seed(rank_correlation, error, spread)}


def chances(task: Task, said: Array) -> dict[str, Array]:
    """Return by seed what the mean softmax of logits (members, seeds, rows, classes) is worth.

    nll, Brier's score, expected calibration error; the predictive entropy in nats, in the mean over rows that are
    classified right and wrong; and the chance that a wrong one has the larger entropy (seeds,).
    """
    together, entropy = ensemble.mean_softmax(said, over="samples"), ensemble.predictive_entropy(said, over="samples")
    wrong = together.argmax(-1) != task.truth
    return {
        "nll": by_seed(lambda p, y: float(ensemble.nll(p, y)), together, task.truth),
        "brier": by_seed(lambda p, y: float(ensemble.brier(p, y)), together, task.truth),
        "ece": by_seed(lambda p, y: ensemble.calibration(p, y).ece, together, task.truth),
        "right": by_seed(lambda h, w: float(h[~w].mean()), entropy, wrong),
        "wrong": by_seed(lambda h, w: float(h[w].mean()), entropy, wrong),
        "auroc": by_seed(lambda h, w: auroc(h[~w], h[w])[0], entropy, wrong),
    }


def by_seed(measure: Callable[[Array, Array], float], one: Array, other: Array) -> Array:
    """Return a number of two arrays (seeds, ...) for each seed (seeds,)."""
    return np.array([measure(a, b) for a, b in zip(one, other, strict=True)])


def rank_check(method: str, ranks: Array) -> Check:
    """The error is larger where the spread is."""
    z = float(ranks.mean() / (ranks.std(ddof=1) / np.sqrt(len(ranks))))
    expected = "rank correlation above 0 by 2 standard errors"
    return Check(f"{method}: |error| and spread", expected, f"{mean_of(ranks)}", z > 2)


def outside_check(method: str, ratios: Array) -> Check:
    """The spread is larger where there were no data."""
    wins = ratios > 1
    measured = f"{wins.sum()}/{len(wins)}, {mean_of(ratios)} times"
    expected = "larger outside the training range in 7/8 of the seeds"
    return Check(f"{method}: spread", expected, measured, bool(wins.mean() >= 7 / 8))


def entropy_check(method: str, areas: Array) -> Check:
    """The entropy is larger where the class is wrong."""
    z = float((areas.mean() - 0.5) / (areas.std(ddof=1) / np.sqrt(len(areas))))
    expected = "larger for wrong classes than for right ones, above chance 1/2 by 2 standard errors"
    return Check(f"{method}: entropy", expected, mean_of(areas), z > 2)


def told_of_numbers(noise: Array) -> str:
    """Tell how bands were made."""
    return (
        "The noise of the data is the rms residual of the restrained ensemble on its training rows, the same for every "
        f"method: {mean_of(noise)}. NLL: of a Gaussian about the mean, its variance that of the members and the noise. "
        f"Bands: the middle {LEVEL:.0%} of the members with the noise added; a single network has the noise alone. "
        "Where test targets are a known truth both are judged on fresh targets, as noisy as the training ones. Rank "
        "correlation: Spearman's over the test rows. Outside: half the width of the training range beyond either end, "
        "on an even grid."
    )


TOLD_OF_CLASSES = (
    "Of the mean softmax, entropies in nats. Test labels are clean where a share of the training labels was replaced: "
    "who fits the noise rightly is too modest on them, and that counts as calibration error here. The error of 10 bins "
    "is not zero for a perfect ensemble either. The last column is the area under the curve (AUROC): 1/2 is no use."
)
