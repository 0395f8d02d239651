"""Many networks as one: their joint prediction, its spread, and how good it is."""

from trajectories.ensemble.predictions import mean, mean_softmax, probabilities, spread, vote
from trajectories.ensemble.scores import Calibration, accuracy, calibration, mse, nll, r2

__all__ = [
    "Calibration",
    "accuracy",
    "calibration",
    "mean",
    "mean_softmax",
    "mse",
    "nll",
    "probabilities",
    "r2",
    "spread",
    "vote",
]
