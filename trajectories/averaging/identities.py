"""What averages over data sets say by tables alone: the gap as a covariance, and the best temperature as one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from trajectories.sgd.table import Floats
from trajectories.statistics import Estimate

_BLOCKS = 20


def crossed_gap(means: ArrayLike) -> Estimate:
    """Return the gap from means[i, j] = <U_j> over the weights trained on data set i, (data sets, data sets),

        gap = <U_j>_i (i != j) - <U_i>_i = -int Cov_data(rho, U_train) d theta,

    exactly, for independent data sets of one size; with the effective potential v in place of U it is not negative for
    weights of density exp(-beta v). The error is the jackknife's over data sets.

    Raises ValueError for a table that is not square, or of fewer than two data sets.

    Reference: Gomez-Uribe, arXiv:2206.13669 (2022).
    """
    table = np.asarray(means, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or len(table) < 2:
        raise ValueError(f"means {table.shape} must be (data sets, data sets), of two data sets or more")
    if len(table) < 3:
        return Estimate(_crossed(table), np.nan)
    left = [np.delete(np.delete(table, s, axis=0), s, axis=1) for s in range(len(table))]
    return _jackknife(_crossed, table, left)


def optimal_temperature(energy: ArrayLike, potential: ArrayLike, correction: ArrayLike | None = None) -> Estimate:
    """Return the temperature at which the mean test loss does not change with T,

        T_opt = 2 Cov(U, sigma_v^2)/Cov(U, v - sigma_va),

    for weights of density exp(-2 v/T - a) on each data set, to second order in how v and a differ between data sets.
    `energy` U, `potential` v and `correction` a (0 unless given) of each sampled weight on each data set, (samples,
    data sets), weights being sampled near that temperature from the density averaged over data sets. U and v are
    averaged over data sets, sigma_v^2 and sigma_va are variance and covariance there, Cov is that over the samples. v
    has the unit of T, and a has none.

    The error is the jackknife's over 20 blocks of consecutive samples: those of the data sets are not in it, and U and
    v that share their data sets are biased by about 1/(data sets). It is nan where the denominator is zero.

    Raises ValueError for shapes that do not fit, and fewer than three samples or two data sets.

    Reference: Gomez-Uribe, arXiv:2206.13669 (2022).
    """
    u, v = np.asarray(energy, dtype=np.float64), np.asarray(potential, dtype=np.float64)
    a = np.zeros_like(v) if correction is None else np.asarray(correction, dtype=np.float64)
    if u.ndim != 2 or not u.shape == v.shape == a.shape or len(u) < 3 or u.shape[1] < 2:
        raise ValueError(
            f"energy {u.shape}, potential {v.shape} and correction {a.shape} must all be (samples, data sets), of "
            "three samples and two data sets or more"
        )
    off_v, off_a = v - v.mean(axis=1, keepdims=True), a - a.mean(axis=1, keepdims=True)
    free = u.shape[1] - 1
    square, crossed = (off_v * off_v).sum(axis=1) / free, (off_v * off_a).sum(axis=1) / free
    columns = np.stack([u.mean(axis=1), square, v.mean(axis=1) - crossed])  # (3, samples)
    blocks = np.array_split(np.arange(len(u)), min(_BLOCKS, len(u)))
    return _jackknife(_ratio, columns, [np.delete(columns, block, axis=1) for block in blocks])


def _crossed(table: Floats) -> float:
    own, n = float(np.trace(table)), len(table)
    return float((table.sum() - own) / (n * (n - 1)) - own / n)


def _ratio(columns: Floats) -> float:
    covariance = np.cov(columns)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 2 * covariance[0, 1] / covariance[0, 2]
    return float(ratio) if np.isfinite(ratio) else np.nan


def _jackknife(statistic: Callable[[Floats], float], whole: Floats, left: list[Floats]) -> Estimate:
    each = np.array([statistic(one) for one in left])
    return Estimate(statistic(whole), float(np.sqrt((len(each) - 1) * np.square(each - each.mean()).mean())))
