"""Many networks as one: their joint prediction, its spread, how good it is, and at other temperatures."""

from trajectories.ensemble.assessment import Assessment, assess, scored
from trajectories.ensemble.ladder import Prediction, at_temperature, on_ladder
from trajectories.ensemble.novelty import Novelty, mutual_information, ood_spread, predictive_entropy
from trajectories.ensemble.predictions import mean, mean_softmax, probabilities, quantiles, spread, vote
from trajectories.ensemble.reliability import Calibration, calibration, coverage, pit
from trajectories.ensemble.reweighting import Weights, weights
from trajectories.ensemble.scores import accuracy, brier, gaussian_nll, mse, nll, r2
from trajectories.ensemble.units import Score

__all__ = [
    "Assessment",
    "Calibration",
    "Novelty",
    "Prediction",
    "Score",
    "Weights",
    "accuracy",
    "assess",
    "at_temperature",
    "brier",
    "calibration",
    "coverage",
    "gaussian_nll",
    "mean",
    "mean_softmax",
    "mse",
    "mutual_information",
    "nll",
    "on_ladder",
    "ood_spread",
    "pit",
    "predictive_entropy",
    "probabilities",
    "quantiles",
    "r2",
    "scored",
    "spread",
    "vote",
    "weights",
]
