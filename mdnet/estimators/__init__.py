"""Simmering as scikit-learn estimators: fit, predict, and an uncertainty from an ensemble of warm networks."""

from mdnet.estimators.simmering import SimmeringClassifier, SimmeringRegressor

__all__ = ["SimmeringClassifier", "SimmeringRegressor"]
