"""Adaptive Langevin dynamics: a friction that finds the heat of noisy forces, and removes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from thermostats import groups, noise, parameters


@dataclass(frozen=True, repr=False)
class AdaptiveLangevin(groups.Grouped):
    """Langevin's bath for noisy forces, such as minibatch gradients, with a further friction xi that adapts:

        dp = -(gamma + xi) p dt + sqrt(2 gamma m T) dW,   dxi = (2K - N_f T)/Q dt,   Q = N_f T tau^2

    with Q at the temperature given here. Noise of variance s^2 in the force, drawn afresh at each kick of
    length h, heats a particle by h s^2/(2m); xi settles about h s^2/(2 m T), where it takes that heat away
    again, without s being known. Solved by half a push of xi on each side of the exact Ornstein-Uhlenbeck
    process at fixed xi, which may be negative.
    `group`: one xi a replica ("global"), one a parameter tensor ("layer", with its `sizes`, as in
    system.sizes), or one a parameter ("massive"). One xi keeps the mean temperature of its group: the noise
    must be alike in s^2/m for all its parameters, else some run hot and others cold. xi is kept in float64 and
    starts at zero; after a jump of temperature it finds its value anew, within some tau. Canonical, with noisy
    forces up to the first order in h.

    `temperature` > 0 (k_B = 1), `friction` gamma >= 0 (1/time), `tau` > 0: numbers, or (replicas, 1) tensors.
    Raises ValueError for values outside their ranges.

    References: Jones, Leimkuhler, J. Chem. Phys. 135, 084125 (2011); Ding, Fang, Babbush, Chen, Skeel, Neven,
    NIPS (2014), the stochastic-gradient Nose-Hoover thermostat; Leimkuhler, Shang, SIAM J. Sci. Comput. 38,
    A712 (2016).
    """

    temperature: Tensor
    friction: Tensor
    tau: Tensor
    group: str
    sizes: tuple[int, ...]
    inertia: Tensor  # T tau^2 at the temperature given, () or (replicas, 1): Q = N_f inertia
    canonical: ClassVar[bool] = True
    compensates: ClassVar[bool] = True  # for the heat of a noisy force

    def __init__(
        self,
        temperature: parameters.Value,
        friction: parameters.Value,
        tau: parameters.Value,
        group: groups.Group = "global",
        sizes: Sequence[int] = (),
    ) -> None:
        groups.check(group, sizes)
        target, period, inertia = groups.inertia("bath", temperature, tau)
        tensors = {"temperature": target, "friction": parameters.rate("friction", friction), "tau": period}
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
        self._push(xi, counts, p, m, dt)
        decay = (self.friction + xi) * dt  # (replicas, groups)
        gained = 2 * self.friction * dt * _relaxed(2 * decay) * self.temperature
        p.mul_(self.spread(torch.exp(-decay).to(p.dtype)))
        p.add_(parameters.maxwell(p, m, self.spread(gained), source))
        self._push(xi, counts, p, m, dt)

    def noise_heat(self, bath: tuple[Tensor, ...]) -> Tensor:
        """Return xi T (replicas, groups), on average the power of the force's noise per degree of freedom.

        It is h s^2/(2m) for noise of variance s^2 drawn afresh at each kick of length h, from which s follows.
        """
        return bath[0] * self.temperature

    def _push(self, xi: Tensor, counts: Tensor, p: Tensor, m: Tensor, dt: Tensor) -> None:
        xi.add_((self.twice_kinetic(p, m) / counts - self.temperature) * (dt / 2 / self.inertia))


def _relaxed(x: Tensor) -> Tensor:
    """(1 - e^{-x})/x for x of any sign, and its limit 1 at zero."""
    still = x == 0
    return torch.where(still, 1.0, -torch.expm1(-x) / torch.where(still, 1.0, x))
