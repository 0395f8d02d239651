"""The Andersen thermostat: now and then momenta collide with the bath and are drawn anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from thermostats import noise, parameters


@dataclass(frozen=True, repr=False)
class Andersen(parameters.Readable):
    """Momenta are redrawn from the Maxwell-Boltzmann law at random times: with probability 1 - e^{-rate dt}.

    `group`: each momentum by itself ("single", Andersen's own), or all momenta of a replica together ("all").
    What GROMACS calls andersen-massive is "all", at regular times instead of random ones; randomised
    Hamiltonian Monte Carlo is "all" as well. Neither is the "massive" of a Nose-Hoover chain, which has a bath
    for each parameter.
    `temperature` T >= 0 (k_B = 1) and `rate` >= 0 of collisions, of a momentum or of a replica (1/time):
    numbers, or (replicas, 1) tensors. Canonical. Raises ValueError outside these ranges.

    References: Andersen, J. Chem. Phys. 72, 2384 (1980); Bou-Rabee, Sanz-Serna, Ann. Appl. Probab. 27, 2159 (2017).
    """

    temperature: Tensor
    rate: Tensor
    group: str
    canonical: ClassVar[bool] = True

    def __init__(
        self, temperature: parameters.Value, rate: parameters.Value, group: Literal["single", "all"] = "single"
    ) -> None:
        if group not in ("single", "all"):
            raise ValueError(
                f"group = {group!r} is unknown; allowed are 'single', where each momentum collides by itself, and "
                "'all', where those of a replica collide together"
            )
        object.__setattr__(self, "temperature", parameters.temperature(temperature))
        object.__setattr__(self, "rate", parameters.rate("rate", rate))
        object.__setattr__(self, "group", group)

    def bath(self, p: Tensor) -> tuple[Tensor, ...]:
        """Return the source of its random numbers."""
        return (noise.source(p),)

    def __call__(self, p: Tensor, m: Tensor, bath: tuple[Tensor, ...], dt: Tensor) -> None:
        """Let the bath act on p (replicas, dof) with masses m (dof,) for the time dt, in place."""
        dice = noise.uniform(p if self.group == "single" else p[..., :1], bath[0])
        collides = dice < -torch.expm1(-self.rate * dt)
        p.copy_(torch.where(collides, parameters.maxwell(p, m, self.temperature, bath[0]), p))
