"""One table of the tables of overlapping windows: the constants between them, and their weighted mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trajectories.landscape.axes import Floats
from trajectories.landscape.landscape import log_sum


def join(tables: Floats, firsts: Sequence[int], bins: int, visits: Floats | None = None, recorded: int = 0) -> Floats:
    """Return S (bins, ...) of tables S_w (windows, window's bins, ...), each with a constant of its own.

    The constants c_w are those of least squares, with the visits v_w as weights, over all bins b that windows share:

        minimise sum_b sum_w v_wb (S_wb + c_w - S_b)^2,    then    e^{S_b} = sum_w v_wb e^{S_wb + c_w} / sum_w v_wb

    so that every bin of an overlap has its say, and the edges of windows, where counts are few, little. `firsts`
    (windows,): the bin of the whole at which each window begins. `visits`: as the tables, or one wherever S is finite.
    `recorded`: how many of the last axes were counted beside the table's own; the constants come of their sums.

    Raises ValueError for shapes that do not fit, and for windows that share no bin that both have counted.
    """
    if len(tables) != len(firsts) or (visits is not None and visits.shape != tables.shape):
        raise ValueError(
            f"{len(firsts)} windows, S {tables.shape}, visits {None if visits is None else visits.shape}: S and visits "
            "are (windows, bins, ...)"
        )
    inner = tuple(range(tables.ndim - recorded, tables.ndim))
    flat = log_sum(tables, inner)
    weights = np.isfinite(flat).astype(np.float64) if visits is None else visits.sum(axis=inner)
    wide = np.stack([_placed(s, first, bins, -np.inf) for s, first in zip(flat, firsts, strict=True)])
    weights = np.stack([_placed(v, first, bins, 0.0) for v, first in zip(weights, firsts, strict=True)])
    weights = np.where(np.isfinite(wide), weights, 0.0)
    constants = _constants(wide.reshape(len(wide), -1), weights.reshape(len(wide), -1))
    total = weights.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.log(np.where(total > 0, weights / total, 0.0))
    shares = shares.reshape(*shares.shape, *[1] * recorded)
    whole = np.stack([_placed(s, first, bins, -np.inf) for s, first in zip(tables, firsts, strict=True)])
    return log_sum(whole + constants.reshape(-1, *[1] * (whole.ndim - 1)) + shares, 0)


def _placed(part: Floats, first: int, bins: int, empty: float) -> Floats:
    """A window's values among all bins (bins, ...)."""
    if first < 0 or first + len(part) > bins:
        raise ValueError(f"a window of {len(part)} bins from bin {first} on does not lie in {bins} bins")
    whole = np.full((bins, *part.shape[1:]), empty)
    whole[first : first + len(part)] = part
    return whole


def _constants(tables: Floats, weights: Floats) -> Floats:
    """Constants (windows,) of least squares, their sum zero, of tables and weights (windows, bins)."""
    from scipy.sparse.csgraph import connected_components

    shared = (weights > 0).astype(np.float64)
    groups, group = connected_components(shared @ shared.T > 0, directed=False)
    if groups > 1:
        apart = [np.flatnonzero(group == k).tolist() for k in range(groups)]
        raise ValueError(
            f"windows {apart} share no bin that both have counted, so that their constants are not known: count "
            "longer, or let windows overlap more"
        )
    known = np.where(weights > 0, tables, 0.0)
    total = np.maximum(weights.sum(axis=0), np.finfo(float).tiny)
    residual = np.where(weights > 0, known - (weights * known).sum(axis=0) / total, 0.0)
    matrix = np.diag(weights.sum(axis=1)) - (weights / total) @ weights.T
    return np.asarray(np.linalg.lstsq(matrix, -(weights * residual).sum(axis=1), rcond=1e-12)[0])
