"""Whether replicas have converged to one distribution, and how many independent samples they hold."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from trajectories.statistics.estimate import as_series

_TAIL = (0.05, 0.95)  # quantiles that the tail is judged by


class Convergence(NamedTuple):
    """What to look at before any mean is believed."""

    rhat: float  # 1 where the replicas agree; below 1.01 is the usual demand
    ess_bulk: float  # independent samples of the middle of the distribution; 100 a replica are the usual demand
    ess_tail: float  # of its 5 % and 95 % quantiles, the smaller of both
    mcse_mean: float  # Monte Carlo standard error of the mean
    mcse_sd: float  # of the standard deviation, from that of (x - mean)^2


def convergence(values: ArrayLike) -> Convergence:
    """Rank-normalised split R-hat, effective sample sizes and Monte Carlo errors of one observable.

    R-hat^2 = (variance over all half-runs) / (variance within half-runs), of ranks and of folded ranks, whichever is
    larger. Effective sample sizes compare replicas as well: replicas that disagree are worth few samples.

    Args:
        values: equilibrated samples, (samples,) or (samples, replicas); 8 samples or more.

    Raises:
        ValueError: not a series, or fewer than 8 samples.

    Reference: Vehtari, Gelman, Simpson, Carpenter & Burkner, Bayesian Anal. 16, 667 (2021).
    """
    chains, judge = _chains(values), _judge()
    squares = np.square(chains - chains.mean())
    return Convergence(
        rhat=rhat(values),
        ess_bulk=float(judge.ess(chains, method="bulk")),
        ess_tail=float(judge.ess(chains, method="tail", prob=_TAIL)),
        mcse_mean=float(judge.mcse(chains, method="mean")),
        mcse_sd=float(judge.mcse(squares, method="mean") / np.sqrt(4 * squares.mean())) if squares.any() else 0.0,
    )


def rhat(values: ArrayLike) -> float:
    """Rank-normalised split R-hat alone; arguments, errors and reference are those of `convergence`.

    A single replica is compared with itself, quarter by quarter.
    """
    chains = _chains(values)
    if len(chains) == 1:
        half = chains.shape[1] // 2
        chains = chains[:, : 2 * half].reshape(2, half)
    return float(_judge().rhat(chains))


def _judge() -> Any:
    from arviz_stats.base.array import array_stats

    return array_stats


def _chains(values: ArrayLike) -> Any:
    series = as_series(values)
    if len(series) < 8:
        raise ValueError(f"{len(series)} samples a replica do not show convergence: at least 8 are needed")
    return series.T  # (replicas, samples)
