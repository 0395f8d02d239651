"""The Nose-Hoover chain: a deterministic, time-reversible bath with a conserved quantity in closed form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from thermostats import groups, parameters

_x3 = 1 / (2 - 2 ** (1 / 3))
_x5 = 1 / (4 - 4 ** (1 / 3))
_x7 = (0.784513610477560, 0.235573213359357, -1.17767998417887)
SUZUKI_YOSHIDA: dict[int, tuple[float, ...]] = {
    1: (1.0,),
    3: (_x3, 1 - 2 * _x3, _x3),
    5: (_x5, _x5, 1 - 4 * _x5, _x5, _x5),
    7: (*_x7, 1 - 2 * sum(_x7), *reversed(_x7)),
}
"""Weights of the factorisation by its number of factors: Yoshida, Phys. Lett. A 150, 262 (1990); Suzuki (1990)."""


@dataclass(frozen=True, repr=False)
class NoseHooverChain(groups.Grouped):
    """A chain of heat-bath variables xi_k with momenta p_k rubs against the particles:

        dp = -(p_1/Q_1) p dt        dxi_k = (p_k/Q_k) dt
        dp_1 = (2K - N_f T - (p_2/Q_2) p_1) dt
        dp_k = (p_{k-1}^2/Q_{k-1} - T - (p_{k+1}/Q_{k+1}) p_k) dt,   the last link without friction

    with Q_1 = N_f T tau^2, Q_k = T tau^2 at the temperature given here, which a schedule that starts from
    zero does not touch. Solved by `substeps` x Suzuki-Yoshida of `order` factors (1, 3, 5 or 7).
    `group`: one chain a replica ("global"), one a parameter tensor ("layer", with its `sizes`, as in
    system.sizes), or one a parameter ("massive"). Uncoupled modes need "massive" chains; one link is not
    ergodic. Canonical where the motion is ergodic. The chain is kept in float64 and starts at rest.
    Keep dt below about tau/10: order 3, whose middle weight is large and negative, was seen to diverge at
    dt = tau/5. Order 5 was some 70 times as accurate at 1.5 times its cost.

    `temperature` > 0 (k_B = 1), `tau` > 0: numbers, or (replicas, 1) tensors. Raises ValueError for values
    outside their ranges.

    References: Martyna, Klein, Tuckerman, J. Chem. Phys. 97, 2635 (1992); Martyna, Tuckerman, Tobias, Klein,
    Mol. Phys. 87, 1117 (1996), Eqs. (29) to (31).
    """

    temperature: Tensor
    tau: Tensor
    links: int
    substeps: int
    order: int
    group: str
    sizes: tuple[int, ...]
    inertia: Tensor  # T tau^2 at the temperature given, () or (replicas, 1): Q_k, and Q_1 = N_f inertia
    canonical: ClassVar[bool] = True

    def __init__(
        self,
        temperature: parameters.Value,
        tau: parameters.Value,
        links: int = 3,
        substeps: int = 1,
        order: int = 3,
        group: groups.Group = "global",
        sizes: Sequence[int] = (),
    ) -> None:
        _check(links, substeps, order)
        groups.check(group, sizes)
        target, period, inertia = groups.inertia("chain", temperature, tau)
        values = {"links": links, "substeps": substeps, "order": order, "group": group, "sizes": tuple(sizes)}
        tensors = {"temperature": target, "tau": period}
        for name, value in (tensors | values | {"inertia": inertia}).items():
            object.__setattr__(self, name, value)

    def bath(self, p: Tensor) -> tuple[Tensor, ...]:
        """Return p_k, xi_k (replicas, groups, links) and the group sizes N_f (groups,), float64.

        Raises ValueError where `sizes` do not add up to the number of parameters.
        """
        counts = self.counts(p)
        momenta = p.new_zeros((len(p), len(counts), self.links), dtype=torch.float64)
        return momenta, torch.zeros_like(momenta), counts

    def __call__(self, p: Tensor, m: Tensor, bath: tuple[Tensor, ...], dt: Tensor) -> None:
        """Let the chain act on p (replicas, dof) with masses m (dof,) for the time dt, in place."""
        momenta, positions, counts = bath
        doubled = self.twice_kinetic(p, m)  # (replicas, groups)
        links, angles = momenta.unbind(-1), positions.unbind(-1)  # views, each (replicas, groups)
        lightness = [1 / (counts * self.inertia), *[1 / self.inertia] * (self.links - 1)]  # 1/Q_k
        thermal = [counts * self.temperature, *[self.temperature] * (self.links - 1)]  # N_f T, T, ...
        start = angles[0].clone()
        for weight in SUZUKI_YOSHIDA[self.order] * self.substeps:
            span = weight / self.substeps * dt
            self._kick(reversed(range(self.links)), links, doubled, lightness, thermal, span)
            for angle, link, light in zip(angles, links, lightness, strict=True):
                angle.addcmul_(link, light * span)
            doubled.mul_(torch.exp(links[0] * (-2 * lightness[0] * span)))
            self._kick(range(self.links), links, doubled, lightness, thermal, span)
        p.mul_(self.spread(torch.exp(start - angles[0]).to(p.dtype)))

    def _kick(
        self,
        order: Iterable[int],
        links: Sequence[Tensor],
        doubled: Tensor,
        lightness: Sequence[Tensor],
        thermal: Sequence[Tensor],
        span: Tensor,
    ) -> None:
        """Push every link for span/2 by what it feels of the one before, rubbed by the one after for span/4 twice."""
        half = span / 2
        for k in order:
            felt = doubled if k == 0 else links[k - 1].square() * lightness[k - 1]
            push = (felt - thermal[k]) * half
            if k == self.links - 1:
                links[k].add_(push)
            else:
                rub = torch.exp(links[k + 1] * (lightness[k + 1] * span / -4))
                links[k].mul_(rub).add_(push).mul_(rub)

    def reverse(self, bath: tuple[Tensor, ...]) -> None:
        """Turn the chain's momenta round: with those of the particles turned too, it runs back in time."""
        bath[0].neg_()

    def rescale(self, bath: tuple[Tensor, ...], factor: Tensor) -> None:
        """Multiply the chain's momenta by factor (replicas, 1): their law follows the temperature."""
        bath[0].mul_(factor[..., None])

    def energy(self, bath: tuple[Tensor, ...]) -> Tensor:
        """Return sum_k p_k^2/2Q_k + N_f T xi_1 + T sum_{k>1} xi_k of every replica, (replicas,) float64.

        At constant temperature it is the energy the bath took up since its start: -heat.
        """
        momenta, positions, counts = bath
        masses = self.inertia[..., None] * torch.ones_like(momenta)
        masses[..., 0] *= counts
        thermal = positions.clone()
        thermal[..., 0] *= counts
        return (momenta.square() / (2 * masses) + self.temperature[..., None] * thermal).sum((-1, -2))


def _check(links: int, substeps: int, order: int) -> None:
    if links < 1:
        raise ValueError(f"links = {links}: a Nose-Hoover chain has one link or more; 3 to 5 are usual")
    if substeps < 1:
        raise ValueError(f"substeps = {substeps} must be one or more")
    if order not in SUZUKI_YOSHIDA:
        raise ValueError(f"order = {order} is no Suzuki-Yoshida factorisation; allowed are {list(SUZUKI_YOSHIDA)}")
