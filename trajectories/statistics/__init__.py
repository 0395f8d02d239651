"""Numbers from correlated samples, with honest error bars."""

from trajectories.statistics.averages import (
    autocorrelation,
    decorrelate,
    effective_samples,
    equilibrated,
    inefficiency,
    mean,
    slope,
)
from trajectories.statistics.estimate import Estimate, as_series

__all__ = [
    "Estimate",
    "as_series",
    "autocorrelation",
    "decorrelate",
    "effective_samples",
    "equilibrated",
    "inefficiency",
    "mean",
    "slope",
]
