"""Gradient-boosted trees: the reference for small tables of data, which spends no gradients of a network."""

from __future__ import annotations

import numpy as np

from mdnet.experiments.controls.control import Control, broadcast
from mdnet.experiments.problems import Task
from mdnet.experiments.results import Array
from mdnet.experiments.selection import Values

TREES = (10, 20, 50, 100)
RATE, DEPTH, SHARE = 0.1, 3, 0.5  # shrinkage; of a tree; of the rows that a tree sees


def boosting(task: Task, values: Values) -> Array:
    """Return the test outputs (values, 1, seeds, rows, outputs) by the number of trees; of classes log-probabilities.

    A class that is not among a seed's training labels gets the probability 1/(rows + 1) before all are scaled to one.

    References: Friedman, Annals of Statistics 29, 1189 (2001); Computational Statistics & Data Analysis 38, 367 (2002).
    """
    (inputs, targets), (tests, _), trees = task.data.train, task.data.test, broadcast(task, values)
    outputs = task.network(inputs[0]).shape[-1]
    by_seed = []
    for s in range(task.seeds):
        x, y, new = inputs[s].numpy(), targets[s].numpy().ravel(), tests[s].numpy()
        numbers = trees[:, s].round().astype(int)
        said = staged(x, y, new, classes=outputs if task.classes else None, most=numbers.max(), seed=task.seed + s)
        by_seed.append(said[numbers - 1])
    return np.stack(by_seed, 1)[:, None]


def staged(x: Array, y: Array, new: Array, *, classes: int | None, most: int, seed: int) -> Array:
    """Return what 1 to `most` trees say of new rows, (most, rows, 1), or (most, rows, classes) log-probabilities."""
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

    kind = GradientBoostingRegressor if classes is None else GradientBoostingClassifier
    model = kind(
        n_estimators=most, learning_rate=RATE, max_depth=DEPTH, subsample=SHARE, max_features="sqrt", random_state=seed
    ).fit(x, y)
    if classes is None:
        return np.stack(list(model.staged_predict(new)))[..., None]
    known = np.stack(list(model.staged_predict_proba(new)))
    chances = np.full((*known.shape[:2], classes), 1 / (len(y) + 1))
    chances[..., model.classes_] = known
    return np.asarray(np.log(chances / chances.sum(-1, keepdims=True)))


BOOSTING = Control(
    "boosted trees",
    boosting,
    f"a reference that spends no gradients of the network (depth {DEPTH}, shrinkage {RATE}, each tree on "
    f"{SHARE:.0%} of the rows and the root of the number of features).",
    "Number of trees",
    TREES,
)
