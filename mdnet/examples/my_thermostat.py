"""A thermostat of one's own; its test: mdnet validate --thermostat mdnet/examples/my_thermostat.py:Collisions."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from thermostats import parameters


@dataclass(frozen=True, repr=False)
class Collisions(parameters.Readable):
    """At Poisson times all momenta of a replica are renewed in part: p <- c p + sqrt((1 - c^2) m T) N(0, 1).

    `rate`: collisions a time; `kept`: c, 0 as in Andersen's collisions, near 1 as in Langevin's friction. Canonical.
    """

    temperature: Tensor
    rate: Tensor
    kept: float
    canonical: ClassVar[bool] = True

    def __init__(self, temperature: parameters.Value, rate: parameters.Value, kept: float = 0.5) -> None:
        values = {"temperature": parameters.temperature(temperature), "rate": parameters.rate("rate", rate)}
        for name, value in {**values, "kept": kept}.items():
            object.__setattr__(self, name, value)

    def bath(self, p: Tensor) -> tuple[Tensor, ...]:
        """Return no variables."""
        return ()

    def __call__(self, p: Tensor, m: Tensor, bath: tuple[Tensor, ...], dt: Tensor) -> None:
        """Let all collisions of the time dt act, in place: n of them are one with c^n."""
        left = self.kept ** torch.poisson((self.rate * dt).expand(len(p), 1))  # (replicas, 1)
        p.mul_(left.to(p.dtype)).add_(parameters.maxwell(p, m, (1 - left**2) * self.temperature))
