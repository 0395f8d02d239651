"""What keeps the weights from wandering off: a Gaussian prior, or a box with reflecting walls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mdnet.flatten import ParameterTable

Spread = float | str | Mapping[str, float]


@dataclass(frozen=True, eq=False)
class GaussianPrior:
    """Adds the energy T_0 sum_i theta_i^2/(2 s_i^2) of a normal law of variance s_i^2 at temperature T_0.

    `variance`: one number, "fan_in" for 1/fan_in by layer, or numbers by parameter tensor or module name.
    `temperature`: a number, or (replicas, 1); give it the run's temperature, and the prior stays the same
    distribution at every temperature. Raises ValueError for values that are not positive.
    """

    variance: Spread = 1.0
    temperature: float | Tensor = 1.0

    def __post_init__(self) -> None:
        if not (torch.as_tensor(self.temperature) >= 0).all():
            raise ValueError(f"temperature = {self.temperature} of the prior must not be negative")

    def stiffness(self, table: ParameterTable) -> Tensor:
        """Return T_0/s_i^2, (dof,) or (replicas, dof) float64: the force is -stiffness theta."""
        variance = _by_parameter("variance", self.variance, table, fan_in=lambda fan: 1 / fan)
        return torch.as_tensor(self.temperature, dtype=torch.float64) / variance


@dataclass(frozen=True, eq=False)
class Box:
    """Keeps every weight in |theta_i| <= halfwidth_i by reflecting walls, with a uniform prior inside.

    `halfwidth`: one number, "fan_in" for 1/sqrt(fan_in) by layer, or numbers by parameter tensor or module
    name. The walls are mirrors: the energy is continued by U(reflected theta), which no integrator needs to
    know of, and positions and momenta are folded back after every step. Raises ValueError for values that
    are not positive.
    """

    halfwidth: Spread = 1.0

    def walls(self, table: ParameterTable) -> Tensor:
        """Return the halfwidth of every parameter (dof,) float64."""
        return _by_parameter("halfwidth", self.halfwidth, table, fan_in=lambda fan: fan**-0.5)


Prior = GaussianPrior | Box


def mirror(q: Tensor, walls: Tensor) -> tuple[Tensor, Tensor]:
    """Reflect q (..., dof) into |q| <= walls (dof,); return it and the sign (+1, -1) of its image."""
    y = torch.remainder(q + walls, 4 * walls)
    reflected = y > 2 * walls
    sign = torch.where(reflected, -1.0, 1.0).to(q.dtype)
    return torch.where(reflected, 3 * walls - y, y - walls), sign


def _by_parameter(name: str, value: Spread, table: ParameterTable, fan_in: object) -> Tensor:
    if isinstance(value, str):
        if value != "fan_in":
            raise ValueError(f"{name} = {value!r} is unknown; allowed are 'fan_in', a number, or numbers by layer")
        return fan_in(table.fan_in())  # type: ignore[operator, no-any-return]
    if isinstance(value, Mapping):
        vector = table.per_parameter(value)
    else:
        vector = torch.full((table.dof,), float(value), dtype=torch.float64)
    if not (torch.isfinite(vector) & (vector > 0)).all():
        raise ValueError(f"{name} = {value} must be finite and positive")
    return vector
