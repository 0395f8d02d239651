"""What the rungs of a ladder have to agree about: the law of other variables at fixed x, and their own laws."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trajectories.landscape.axes import Axis, Floats
from trajectories.landscape.ladder import Ladder


class Agreement(NamedTuple):
    """What neighbouring rungs k, k + 1 say of one thing, (rungs - 1,): value, error from copies, z."""

    difference: Floats
    error: Floats
    z: Floats


def conditionals(ladder: Ladder, axis: Axis, y: str) -> Agreement:
    """Return how much the mean of a recorded variable at fixed x differs between neighbours, which should be zero.

    The law of y at fixed x is that of the uniform measure under any bias of x alone. The means of both rungs are
    compared in each bin of x, and averaged over bins with weights 1/(1/n + 1/n'), n and n' samples being there; the
    error is that of the jackknife over copies.
    """
    values = ladder.values(y)
    counts, sums = (np.zeros((*ladder.x.shape[:2], axis.bins)) for _ in range(2))
    for place in np.ndindex(ladder.x.shape[:2]):
        counts[place] = np.histogram(ladder.x[place], axis.edges)[0]
        sums[place] = np.histogram(ladder.x[place], axis.edges, weights=values[place])[0]
    whole = _difference(counts.sum(0), sums.sum(0))
    left_out = _difference(counts.sum(0) - counts, sums.sum(0) - sums)  # (copies, rungs - 1)
    copies = _several(len(left_out))
    error = np.sqrt((copies - 1) * left_out.var(0))
    return Agreement(whole, error, _divide(whole, error))


def consistency(ladder: Ladder) -> Agreement:
    """Return alpha - 1 of every pair of neighbours: samples drawn by another law than their bias says show here.

        ln p_{k+1}(x)/p_k(x) = const - alpha (b_{k+1}(x) - b_k(x)),    alpha = 1

    alpha and the constant are those of the largest likelihood, for every copy.

    Reference: Shirts, J. Chem. Theory Comput. 9, 909 (2013).
    """
    pairs = range(ladder.x.shape[1] - 1)
    found = []
    for x in ladder.x:
        biases = ladder.bias(x)  # (rungs, rungs, samples): of rung i at the samples of rung k
        steps = [biases[k + 1, k : k + 2] - biases[k, k : k + 2] for k in pairs]
        found.append([_likeliest(step[0], step[1]) - 1 for step in steps])
    by_copy = np.array(found)
    mean, error = by_copy.mean(0), by_copy.std(0, ddof=1) / np.sqrt(_several(len(by_copy)))
    return Agreement(mean, error, _divide(mean, error))


def _likeliest(lower: Floats, upper: Floats) -> float:
    """Alpha from the biases' differences at samples of both rungs, by Newton's method on the likelihood."""
    step = np.concatenate([lower, upper])
    is_upper = np.repeat([0.0, 1.0], [len(lower), len(upper)])
    design = np.stack([np.ones_like(step), -step - (-step).mean()], -1)
    fit = np.array([0.0, 0.0])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-np.clip(design @ fit, -40, 40)))
        slope = design.T @ (is_upper - chance)
        change = np.linalg.solve(design.T @ (design * (chance * (1 - chance))[:, None]), slope)
        fit = fit + change
        if np.abs(change).max() < 1e-9:
            break
    return float(fit[1])


def _difference(counts: Floats, sums: Floats) -> Floats:
    """The weighted difference of neighbours' means (..., rungs - 1) from what lies in bins (..., rungs, bins)."""
    low, high = counts[..., :-1, :], counts[..., 1:, :]
    weight = low * high / np.maximum(low + high, 1)
    mean = sums / np.maximum(counts, 1)
    return _divide((weight * (mean[..., 1:, :] - mean[..., :-1, :])).sum(-1), weight.sum(-1))


def _several(copies: int) -> int:
    if copies < 2:
        raise ValueError(f"{copies} copy of the ladder gives no error; run two or more, better eight")
    return copies


def _divide(part: Floats, whole: Floats) -> Floats:
    """The ratio, nan where there is nothing."""
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole != 0))
