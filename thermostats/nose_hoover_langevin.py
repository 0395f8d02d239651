"""The Nose-Hoover-Langevin thermostat: a Nose-Hoover variable that a Langevin bath keeps moving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from thermostats import groups, noise, parameters


@dataclass(frozen=True, repr=False)
class NoseHooverLangevin(groups.Grouped):
    """One friction xi rubs against the particles, and has a friction gamma and noise of its own:

        dp = -xi p dt
        dxi = (2K - N_f T)/Q dt - gamma xi dt + sqrt(2 gamma T/Q) dW,   Q = N_f T tau^2

    with Q at the temperature given here, as in NoseHooverChain. The noise in one variable makes the motion
    ergodic where a chain's is not, and disturbs it less than noise on every particle; in equilibrium xi is
    normal with variance T/Q. Solved by half a push of xi, half of the friction on p, the Ornstein-Uhlenbeck
    process of xi, and the first two in reverse, each exactly: of second order in dt/tau.
    `group`: one variable a replica ("global"), one a parameter tensor ("layer", with its `sizes`, as in
    system.sizes), or one a parameter ("massive"). It is kept in float64 and starts at zero. Canonical.

    `temperature` > 0 (k_B = 1), `tau` > 0 and `friction` gamma >= 0 of xi (1/time): numbers, or (replicas, 1)
    tensors. Raises ValueError for values outside their ranges.

    References: Samoletov, Dettmann, Chaplain, J. Stat. Phys. 128, 1321 (2007); Leimkuhler, Noorizadeh, Theil,
    J. Stat. Phys. 135, 261 (2009).
    """

    temperature: Tensor
    tau: Tensor
    friction: Tensor
    group: str
    sizes: tuple[int, ...]
    inertia: Tensor  # T tau^2 at the temperature given, () or (replicas, 1): Q = N_f inertia
    canonical: ClassVar[bool] = True

    def __init__(
        self,
        temperature: parameters.Value,
        tau: parameters.Value,
        friction: parameters.Value,
        group: groups.Group = "global",
        sizes: Sequence[int] = (),
    ) -> None:
        groups.check(group, sizes)
        target, period, inertia = groups.inertia("bath", temperature, tau)
        tensors = {"temperature": target, "tau": period, "friction": parameters.rate("friction", friction)}
        for name, value in (tensors | {"group": group, "sizes": tuple(sizes), "inertia": inertia}).items():
            object.__setattr__(self, name, value)

    def bath(self, p: Tensor) -> tuple[Tensor, ...]:
        """Return xi (replicas, groups), the group sizes N_f (groups,), float64, and the source of random numbers.

        Raises ValueError where `sizes` do not add up to the number of parameters.
        """
        counts = self.counts(p)
        return p.new_zeros((len(p), len(counts)), dtype=torch.float64), counts, noise.source(p)

    def __call__(self, p: Tensor, m: Tensor, bath: tuple[Tensor, ...], dt: Tensor) -> None:
        """Let the bath act on p (replicas, dof) with masses m (dof,) for the time dt, in place."""
        xi, counts, source = bath
        doubled = self.twice_kinetic(p, m)  # (replicas, groups)
        thermal, light = counts * self.temperature, 1 / (counts * self.inertia)  # N_f T, 1/Q
        xi.add_((doubled - thermal) * (light * dt / 2))
        first = torch.exp(-xi * dt / 2)
        xi.mul_(torch.exp(-self.friction * dt))
        spread = -torch.expm1(-2 * self.friction * dt) * self.temperature * light
        xi.add_(noise.normal(xi, source) * torch.sqrt(spread))
        factor = first * torch.exp(-xi * dt / 2)
        xi.add_((doubled * factor.square() - thermal) * (light * dt / 2))
        p.mul_(self.spread(factor.to(p.dtype)))

    def rescale(self, bath: tuple[Tensor, ...], factor: Tensor) -> None:
        """Multiply xi by factor (replicas, 1): its law follows the temperature."""
        bath[0].mul_(factor)
