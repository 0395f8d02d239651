"""Time steps that follow the walker: long where the potential is smooth, short where it is stiff, and still exact."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from integrators import Integrator


@dataclass(frozen=True)
class StepsByPlace:
    """dt(x) = dt e^{power (x - high)} of the first variable x, `high` being the upper end of its axis.

    A gradient of ln L grows as L^-1/2 where L goes to zero, and the stiffness of the bias with it. A step that depends
    on the place would not be reversible. So x is cut into bands, `band` wide, at places drawn anew for every walker
    before every visit: within a band the step is constant, and what would leave the band is rejected.

    `power` >= 0; `band` > 0, several times as wide as what x moves between two visits. Raises ValueError elsewhere.
    """

    power: float = 0.5
    band: float = 0.7

    def __post_init__(self) -> None:
        if not (self.power >= 0 and 0 < self.band < float("inf")):
            raise ValueError(f"{self}: power must not be negative, and band be positive")


class PlacedSteps:
    """Sets the integrator's dt (replicas, 1) for the next visit, and knows who left his band."""

    def __init__(self, rule: StepsByPlace, integrator: Integrator, high: float, x: Tensor) -> None:
        self.rule, self.integrator, self.high = rule, integrator, high
        if integrator.dt.shape != (len(x), 1):
            raise ValueError(
                f"dt has the shape {tuple(integrator.dt.shape)}, but differs by walker here: build the integrator with "
                f"dt=torch.full(({len(x)}, 1), dt)"
            )
        self.longest = integrator.dt.clone()
        self.low = torch.zeros(len(x), dtype=torch.float64, device=x.device)  # of the band of each walker

    def stays(self, x: Tensor) -> Tensor:
        """Whether x (replicas, variables) is in the band of each walker (replicas,)."""
        return (x[:, 0] >= self.low) & (x[:, 0] < self.low + self.rule.band)

    def choose(self, x: Tensor) -> None:
        """Draw bands around x (replicas, variables), and set the step for them."""
        band = self.rule.band
        self.low.copy_(x[:, 0] - band * torch.rand_like(self.low))
        above = (self.low + 0.5 * band - self.high)[:, None]
        self.integrator.dt.copy_(self.longest * torch.exp(self.rule.power * above))
