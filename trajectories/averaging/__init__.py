"""Averages over data sets, offline: the generalization gap against the temperature of SGD, and what holds of it."""

from trajectories.averaging.collapse import Collapse, collapse
from trajectories.averaging.curve import Curve
from trajectories.averaging.gap import GapLaw, fit_gap
from trajectories.averaging.identities import crossed_gap, optimal_temperature
from trajectories.averaging.optimum import Optimum, optimum
from trajectories.averaging.predictions import Statement, predictions
from trajectories.averaging.reading import Averaged, averaged, curve
from trajectories.averaging.steady import Stationarity, stationarity, steady
from trajectories.averaging.summary import Summary, columns
from trajectories.averaging.trends import Scatter, Trend, scatter_of_loss, trend

__all__ = [
    "Averaged",
    "Collapse",
    "Curve",
    "GapLaw",
    "Optimum",
    "Scatter",
    "Statement",
    "Stationarity",
    "Summary",
    "Trend",
    "averaged",
    "collapse",
    "columns",
    "crossed_gap",
    "curve",
    "fit_gap",
    "optimal_temperature",
    "optimum",
    "predictions",
    "scatter_of_loss",
    "stationarity",
    "steady",
    "trend",
]
