"""Standard errors of whatever is computed from a ladder of energies, by the jackknife."""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from trajectories import statistics
from trajectories.thermodynamics.ladder import Ladder

Floats = NDArray[np.float64]
_ENOUGH = 4  # independent replicas, from here on they give the error
_GROUPS = 20  # parts at most
_APART = 5  # statistical inefficiencies in a block of time, at least


def jackknife(ladder: Ladder, statistic: Callable[[Ladder], Floats]) -> tuple[Floats, Floats]:
    """Return statistic(ladder) and its standard error, error^2 = (n - 1)/n sum_i (x_i - mean x)^2.

    x_i leaves out part i of n: of the replicas where every rung has 4 or more, else a block of time of each rung.

    Reference: Efron, Stein, Ann. Stat. 9, 586 (1981).
    """
    return statistic(ladder), spread(np.stack([statistic(part) for part in left_out(ladder)]))


def spread(left: Floats) -> Floats:
    """Return the jackknife's standard error of values (parts, ...) that each leave out one part."""
    return np.asarray(np.sqrt((len(left) - 1) * np.square(left - left.mean(axis=0)).mean(axis=0)))


def left_out(ladder: Ladder) -> Iterator[Ladder]:
    """Yield the ladder without each of its independent parts in turn."""
    replicas = min(one.shape[1] for one in ladder.energies)
    axis = 1 if replicas >= _ENOUGH else 0
    parts = min(_GROUPS, replicas) if axis == 1 else _blocks(ladder)
    groups = [np.array_split(np.arange(one.shape[axis]), parts) for one in ladder.energies]
    for part in range(parts):
        kept = [np.delete(one, of[part], axis=axis) for one, of in zip(ladder.energies, groups, strict=True)]
        yield Ladder(ladder.temperatures, kept, ladder.tempered)


def _blocks(ladder: Ladder) -> int:
    shortest = min(map(len, ladder.energies))
    if shortest < _ENOUGH:
        raise ValueError(f"a rung holds {shortest} samples: an error needs {_ENOUGH}, or as many replicas; run longer")
    independent = min(len(one) / statistics.inefficiency(one) for one in ladder.energies)
    return int(np.clip(math.floor(independent / _APART), _ENOUGH, _GROUPS))
