"""Lattices of anharmonic oscillators, whose densities and partition functions transfer matrices give exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

_EDGE, _POINTS = 9.0, 1201  # of the grid on which densities are integrated


@dataclass(frozen=True, eq=False)
class Lattice:
    """U = sum_i k_i x_i^2/2 + c_i x_i^4/4 + sum_i b (x_{i+1} - x_i)^2/2 + g x_i^2 x_{i+1}^2/2, masses m_i.

    A force: q (replicas, dof) -> u (replicas,), f (replicas, dof). Without b and g the modes are uncoupled;
    k < 0 < c is a double well. The exact answers hold where |x| stays below 9.
    """

    k: Tensor  # (dof,)
    c: Tensor  # (dof,)
    m: Tensor  # (dof,)
    b: float = 0.0
    g: float = 0.0

    def __call__(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return u (replicas,) float64 and f (replicas, dof) at q (replicas, dof)."""
        k, c, x2 = self.k.to(q.dtype), self.c.to(q.dtype), q * q
        bond, left, right = q[:, 1:] - q[:, :-1], x2[:, :-1], x2[:, 1:]
        u = (x2 * (k / 2 + c / 4 * x2)).sum(-1, dtype=torch.float64)
        u += (self.b / 2 * bond**2 + self.g / 2 * left * right).sum(-1, dtype=torch.float64)
        f = -q * (k + c * x2)
        f[:, 1:] -= self.b * bond + self.g * q[:, 1:] * left
        f[:, :-1] += self.b * bond - self.g * q[:, :-1] * right
        return u, f

    def laplacian(self, q: Tensor) -> Tensor:
        """Return sum_i d^2U/dx_i^2 at q (..., dof): (...,)."""
        x2 = q * q
        bonds = 2 * self.b * (len(self.m) - 1) + self.g * (x2[..., 1:] + x2[..., :-1]).sum(-1)
        return (self.k + 3 * self.c * x2).sum(-1) + bonds

    @cache  # noqa: B019
    def density(self, temperature: float) -> tuple[Tensor, Tensor]:
        """Return a grid (n,) and the exact density of each x_i on it (dof, n)."""
        x, site, bond = self._weights(temperature)
        left, right = [torch.ones_like(x)], [torch.ones_like(x)]
        for i in range(len(self.m) - 1):
            left.append(_unit(bond @ (left[-1] * site[i])))
            right.insert(0, _unit(bond @ (right[0] * site[-1 - i])))
        density = site * torch.stack(left) * torch.stack(right)
        return x, density / (density.sum(-1, keepdim=True) * (x[1] - x[0]))

    def moment(self, power: int, temperature: float) -> Tensor:
        """Return <x_i^power>, (dof,)."""
        x, density = self.density(temperature)
        return (x**power * density).sum(-1) * (x[1] - x[0])

    def log_z(self, temperature: float) -> float:
        """Return the logarithm of the integral of exp(-U/T) over the positions."""
        x, site, bond = self._weights(temperature)
        row, log = site[0], 0.0
        for following in site[1:]:
            row = (bond @ row) * following
            log += float(torch.log(row.max()))
            row = _unit(row)
        return log + float(torch.log(row.sum())) + len(self.m) * float(torch.log(x[1] - x[0]))

    @cache  # noqa: B019
    def energy(self, temperature: float) -> tuple[float, float]:
        """Return <U> = -d ln Z/d beta and var U = d^2 ln Z/d beta^2 = T^2 C."""
        beta, h = 1 / temperature, 1e-3 / temperature
        below, here, above = (self.log_z(1 / (beta + shift)) for shift in (-h, 0.0, h))
        return (below - above) / (2 * h), (below - 2 * here + above) / h**2

    def _weights(self, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
        """The grid (n,), the Boltzmann factors of the sites (dof, n) and of a bond (n, n)."""
        x = torch.linspace(-_EDGE, _EDGE, _POINTS, dtype=torch.float64)
        site = torch.exp(-(x**2 * (self.k[:, None] / 2 + self.c[:, None] / 4 * x**2)) / temperature)
        y = x[:, None]
        return x, site, torch.exp(-(self.b / 2 * (x - y) ** 2 + self.g / 2 * x**2 * y**2) / temperature)


def _unit(v: Tensor) -> Tensor:
    return v / v.max()
