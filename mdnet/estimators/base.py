"""What the estimators share: the parameters, the ensemble, and what it says on new rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from numbers import Real
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from mdnet.estimators.choosing import chosen_temperature
from mdnet.estimators.ensemble import Recipe, Rows, minimum, outputs, sample
from mdnet.networks import Activation, mlp
from mdnet.system import Loss

Array = npt.NDArray[Any]
_NUMBERS = 2**22  # of a layer's outputs that a prediction holds at once


class Simmering(BaseEstimator):  # type: ignore[misc]
    """What classifier and regressor share: the parameters, the ensemble, and what it says on new rows."""

    def __init__(
        self,
        hidden: tuple[int, ...] = (32, 32),
        activation: Activation = "tanh",
        *,
        temperature: float | Literal["auto"] = "auto",
        restraint: bool = True,
        mode: Literal["ab-initio", "retrofit"] = "ab-initio",
        adam_steps: int = 1000,
        heat_steps: int = 500,
        sample_steps: int = 1500,
        replicas: int = 4,
        thermostat: Literal["andersen", "langevin", "nose-hoover-chain"] = "langevin",
        dt: float = 0.05,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        """Take the parameters; fit looks at them.

        `hidden`, `activation`: of the network, see mdnet.networks.mlp. `temperature`: of the ensemble, in units of the
        mean loss, or "auto" for one chosen by held-out training rows (see mdnet.estimators.choosing); 0 leaves the
        minimum of Adam, in either mode. T = 1/n makes the ensemble of a classifier on n rows the Bayesian posterior;
        that of a regression is it where the noise has the variance n k T/2 in units of the k targets' own.
        `restraint`: whether weights have a Gaussian prior of variance 1 at T. `mode`: "ab-initio" starts from random
        weights and moves them by `heat_steps` steps of length `dt` at T; "retrofit" first minimises by `adam_steps`
        steps of Adam, until the network overfits, and raises T in five stages over the `heat_steps`; at low T it is
        slow to forget that start. Then `sample_steps` more give up to 50 networks of each of `replicas` independent
        copies. `thermostat`: "langevin", "andersen" or "nose-hoover-chain" (the published one). `random_state`: makes
        the fit, bit for bit. `verbose`: show progress bars.
        """
        self.hidden = hidden
        self.activation = activation
        self.temperature = temperature
        self.restraint = restraint
        self.mode = mode
        self.adam_steps = adam_steps
        self.heat_steps = heat_steps
        self.sample_steps = sample_steps
        self.replicas = replicas
        self.thermostat = thermostat
        self.dt = dt
        self.random_state = random_state
        self.verbose = verbose

    def _simmer(self, x: Array, targets: Tensor, size: int, loss: Loss) -> None:
        """Learn rows (n, features) and their targets by networks of `size` outputs; set what is fitted."""
        recipe = self._recipe()
        seed = int(check_random_state(self.random_state).randint(2**31 - 2))
        self.scaler_ = StandardScaler().fit(x)
        inputs = torch.as_tensor(self.scaler_.transform(x), dtype=torch.float32)
        with torch.random.fork_rng(devices=[]):  # a new layer draws weights that nobody uses
            self.network_ = mlp(inputs.shape[1], size, tuple(self.hidden), self.activation)
        rows = Rows(self.network_, loss, inputs, targets)
        if isinstance(self.temperature, str):
            self.temperature_ = chosen_temperature(rows, recipe, seed)
        else:
            self.temperature_ = float(self.temperature)
        q = minimum(rows, recipe, self.replicas, seed)
        if self.temperature_ > 0:
            warmth = torch.full((self.replicas, 1), self.temperature_, dtype=torch.float64)
            q = sample(rows, recipe, q, warmth, seed + 1).flatten(0, 1)
        nn.utils.vector_to_parameters(q[-1], self.network_.parameters())
        self.positions_ = q.numpy()

    def _recipe(self) -> Recipe:
        """The parameters as they were asked for; raises ValueError where one is out of range."""
        asked: Any = self.temperature
        if not (asked == "auto" if isinstance(asked, str) else isinstance(asked, Real) and 0 <= float(asked) < inf):
            raise ValueError(f"temperature = {asked!r} must be 'auto', or a number that is zero (Adam alone) or more")
        if self.replicas < 1:
            raise ValueError(f"replicas = {self.replicas} must be one or more")
        recipe = Recipe(
            self.restraint, self.mode, self.adam_steps, self.heat_steps, self.sample_steps, self.thermostat, self.dt,
            self.verbose,
        )  # fmt: skip
        return replace(recipe, mode="retrofit") if self.temperature == 0 else recipe  # nothing but a minimum is left

    def _ensemble(self, X: Any, reduce: Callable[[Array], Array]) -> Array:
        """Reduce the outputs (samples, rows, outputs) of all networks on X (n, features) to (n, ...)."""
        check_is_fitted(self)
        x = self.scaler_.transform(validate_data(self, X, dtype=np.float64, reset=False))
        q = torch.as_tensor(self.positions_, dtype=torch.float64)
        step = max(1, _NUMBERS // (len(q) * max(self.hidden, default=1)))
        parts = [x[first : first + step] for first in range(0, len(x), step)]
        return np.concatenate([reduce(outputs(self.network_, q, torch.as_tensor(part)).numpy()) for part in parts])
