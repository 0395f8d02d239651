"""The temperature of an ensemble, chosen by rows that its networks have not seen."""

from __future__ import annotations

import torch
from torch import Tensor

from mdnet.estimators.ensemble import Recipe, Rows, minimum, outputs, sample

SPLITS = 3  # of the rows; each part is held out once
LADDER = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # of T n
FEWEST = 12  # rows, below which there is no choice and T n = 1


def chosen_temperature(rows: Rows, recipe: Recipe, seed: int) -> float:
    """Return the T, of LADDER/n, whose ensembles say held-out rows best; 1/n for fewer rows than FEWEST.

    All temperatures of all splits are the replicas of one batched run, and the splits' Adam runs are shared. The
    score is the mean loss of the ensemble's mean: squared error of the mean output, or -log of the mean softmax.
    """
    n = len(rows.inputs)
    if n < FEWEST:
        return 1 / n
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    held = order[: SPLITS * (n // SPLITS)].reshape(SPLITS, -1)  # the remainder is always learnt
    kept = torch.stack([order[~torch.isin(order, part)] for part in held])
    ladder = torch.tensor(LADDER, dtype=torch.float64) / n
    q = minimum(rows, recipe, SPLITS, seed, index=kept)
    steps = len(LADDER)
    frames = sample(
        rows, recipe, q.repeat_interleave(steps, 0), ladder.repeat(SPLITS)[:, None], seed,
        index=kept.repeat_interleave(steps, 0),
    )  # fmt: skip
    losses = torch.stack([_held_out(rows, q, held[k // steps]) for k, q in enumerate(frames.unbind(1))])
    return float(ladder[losses.reshape(SPLITS, steps).mean(0).argmin()])


def _held_out(rows: Rows, q: Tensor, held: Tensor) -> Tensor:
    """The loss () of the mean over networks q (samples, dof) on the rows that `held` names."""
    said = outputs(rows.network, q, rows.inputs[held])
    mean = said.mean(0) if rows.targets.is_floating_point() else said.softmax(-1).mean(0).log()
    return rows.loss(mean, rows.targets[held])
