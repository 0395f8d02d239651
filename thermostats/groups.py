"""How a bath shares out the parameters: one bath a replica, one a parameter tensor, or one a parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from thermostats import parameters

Group = Literal["global", "layer", "massive"]


class Grouped(parameters.Readable):
    """The base of baths that act on groups of parameters, each with variables of its own.

    `group`: one bath a replica ("global"), one a parameter tensor ("layer", with its `sizes`, as in
    system.sizes), or one a parameter ("massive").
    """

    group: str
    sizes: tuple[int, ...]

    def counts(self, p: Tensor) -> Tensor:
        """Return the sizes N_f of the groups for momenta like p (replicas, dof): (groups,) float64.

        Raises ValueError where `sizes` do not add up to the number of parameters.
        """
        dof = p.shape[-1]
        sizes = {"global": (dof,), "layer": self.sizes, "massive": (1,) * dof}[self.group]
        if sum(sizes) != dof:
            raise ValueError(f"sizes = {self.sizes} add up to {sum(sizes)}, but there are {dof} parameters")
        return torch.tensor(sizes, dtype=torch.float64, device=p.device)

    def twice_kinetic(self, p: Tensor, m: Tensor) -> Tensor:
        """Return 2K of each group: p (replicas, dof), m (dof,) -> (replicas, groups) float64."""
        if self.group == "global":
            return parameters.twice_kinetic(p, m)
        each = p.double().square() / m
        if self.group == "massive":
            return each
        return torch.stack([layer.sum(-1) for layer in torch.split(each, list(self.sizes), -1)], -1)

    def spread(self, factor: Tensor) -> Tensor:
        """Return the number of its group for each parameter: (replicas, groups) -> what multiplies (replicas, dof)."""
        if self.group != "layer":
            return factor
        return torch.cat([f.expand(-1, n) for f, n in zip(torch.split(factor, 1, -1), self.sizes, strict=True)], -1)


def check(group: str, sizes: Sequence[int]) -> None:
    """Raise ValueError for an unknown group, for layers without sizes and for sizes without layers."""
    if group not in ("global", "layer", "massive"):
        raise ValueError(f"group = {group!r} is unknown; allowed are 'global', 'layer' and 'massive'")
    if (group == "layer") != bool(sizes):
        raise ValueError(
            f"group = {group!r} with sizes = {tuple(sizes)}: give the sizes of the parameter tensors with "
            "group='layer', as in sizes=system.sizes, and only then"
        )


def inertia(name: str, temperature: parameters.Value, tau: parameters.Value) -> tuple[Tensor, Tensor, Tensor]:
    """Return the temperature T > 0, tau > 0 and T tau^2, the inertia of a bath variable for each parameter.

    `name` is what the error calls the bath. Raises ValueError for values outside their ranges.
    """
    target, period = parameters.temperature(temperature), parameters.time("tau", tau)
    if not (target > 0).all():
        raise ValueError(
            f"temperature = {temperature}: the {name}'s masses Q = N_f T tau^2 vanish at T = 0; give the "
            "target temperature, and let a schedule start from zero"
        )
    return target, period, target * period**2
