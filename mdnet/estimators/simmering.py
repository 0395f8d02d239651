"""SimmeringClassifier and SimmeringRegressor, which go wherever scikit-learn's own estimators go."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data
from torch.nn import functional

from mdnet.estimators.base import Array, Simmering


class SimmeringClassifier(ClassifierMixin, Simmering):  # type: ignore[misc]
    """Classes by an ensemble of warm networks: P(class | x) = <softmax f(x; q)>, the mean over weights q at T.

    The weights are particles in the potential of the mean loss, and the states they take at the temperature T predict
    together. Each force takes all rows, so the time of a fit is proportional to their number.

    After fit: `classes_`, `temperature_` T, `positions_` (samples, dof) the weights of all networks, `network_` the
    torch module with the last of them, `scaler_` of the inputs, `n_features_in_`, `feature_names_in_`.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SimmeringClassifier(random_state=0).fit(X[::2], y[::2])
    >>> print(model.score(X[1::2], y[1::2]) > 0.9)
    True
    """

    def fit(self, X: Any, y: Any) -> SimmeringClassifier:
        """Learn the rows X (n, features) of the classes y (n,), which may be of any type."""
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes in the data, but the data contains only "
                f"one class: {self.classes_[0]!r}"
            )
        self._simmer(X, torch.as_tensor(labels), len(self.classes_), functional.cross_entropy)
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return the probabilities (n, classes) of X (n, features), in the order of classes_."""
        return self._ensemble(X, lambda each: softmax(each, axis=-1).mean(0))

    def predict(self, X: Any) -> Array:
        """Return the most probable class (n,) of each row of X (n, features)."""
        probabilities = self.predict_proba(X)
        found: Array = self.classes_[probabilities.argmax(1)]
        return found


class SimmeringRegressor(RegressorMixin, Simmering):  # type: ignore[misc]
    """Numbers by an ensemble of warm networks: their mean <f(x; q)> over weights q at T, and their spread.

    The weights are particles in the potential of the mean loss, and the states they take at the temperature T predict
    together. Each force takes all rows, so the time of a fit is proportional to their number.

    The spread is what the rows leave open about the mean of y at x. The scatter of single observations about that mean
    is not in it: to cover new observations add its variance, estimated from rows that were not learnt.

    After fit: `temperature_` T, `positions_` (samples, dof) the weights of all networks, `network_` the torch module
    with the last of them, `scaler_` of the inputs and `target_scaler_`, `n_features_in_`, `feature_names_in_`.

    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = SimmeringRegressor(random_state=0).fit(X[::2], y[::2])
    >>> mean, std = model.predict(X[1::2], return_std=True)
    """

    def fit(self, X: Any, y: Any) -> SimmeringRegressor:
        """Learn the rows X (n, features) and their numbers y, (n,) or (n, outputs)."""
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2, multi_output=True, y_numeric=True)
        self._flat = y.ndim == 1
        y = y.reshape(len(y), -1).astype(np.float64)
        self.target_scaler_ = StandardScaler().fit(y)
        targets = torch.as_tensor(self.target_scaler_.transform(y), dtype=torch.float32)
        self._simmer(X, targets, y.shape[1], functional.mse_loss)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Array | tuple[Array, Array]:
        """Return the ensemble's mean on X (n, features), like y; with return_std also its standard deviation."""
        mean, std = self._moments(X)
        return (mean, std) if return_std else mean

    def predict_std(self, X: Any) -> Array:
        """Return the standard deviation over the ensemble on X (n, features), like y; without the noise of y."""
        return self._moments(X)[1]

    def _moments(self, X: Any) -> tuple[Array, Array]:
        found = self._ensemble(X, lambda each: np.stack((each.mean(0), each.std(0)), -1))
        mean = self.target_scaler_.inverse_transform(found[..., 0])
        return self._shaped(mean), self._shaped(found[..., 1] * self.target_scaler_.scale_)

    def _shaped(self, values: Array) -> Array:
        return values[:, 0] if self._flat else values

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
