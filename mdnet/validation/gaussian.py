"""Systems with a quadratic energy, whose canonical law is Gaussian: harmonic modes, and the linear network."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from mdnet.priors import GaussianPrior
from mdnet.system import ParticleSystem

_ODD = {1: 0.0, 2: 1.0, 3: 0.0, 4: 3.0}  # moments of a normal law of variance one


@dataclass(frozen=True, eq=False)
class Gaussian:
    """U(q) = u0 + (q - mean) stiffness (q - mean)/2, with masses m: positions are normal with covariance T/stiffness.

    A force: q (replicas, dof) -> u (replicas,), f (replicas, dof). All answers are in normal coordinates y,
    which are independent of each other with variance T/w^2.
    """

    mean: Tensor  # (dof,)
    stiffness: Tensor  # (dof, dof)
    m: Tensor  # (dof,)
    u0: float = 0.0

    def __call__(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return u (replicas,) float64 and f (replicas, dof) at q (replicas, dof)."""
        rest = q - self.mean.to(q.dtype)
        f = -rest @ self.stiffness.to(q.dtype)
        return self.u0 - 0.5 * (rest * f).sum(-1, dtype=torch.float64), f

    def laplacian(self, q: Tensor) -> Tensor:
        """Return the sum of the second derivatives at q (..., dof): (...,)."""
        return self.stiffness.diagonal().sum().expand(q.shape[:-1])

    @property
    def frequencies(self) -> Tensor:
        """The frequencies w (dof,), rising."""
        return self._modes()[0]

    def coordinates(self, q: Tensor) -> Tensor:
        """Return the normal coordinates (..., dof) of q (..., dof)."""
        return (q - self.mean) @ (torch.sqrt(self.m)[:, None] * self._modes()[1])

    def moment(self, power: int, temperature: float) -> Tensor:
        """Return <y^power> of each normal coordinate (dof,), for powers 1 to 4."""
        return _ODD[power] * (sqrt(temperature) / self.frequencies) ** power

    def energy(self, temperature: float) -> tuple[float, float]:
        """Return mean and variance of U: U - u0 ~ Gamma(dof/2, T)."""
        dof = len(self.m)
        return self.u0 + dof * temperature / 2, dof * temperature**2 / 2

    def sample(self, replicas: int, temperature: float) -> Tensor:
        """Return independent positions (replicas, dof) of the canonical law."""
        w, modes = self._modes()
        y = torch.randn(replicas, len(w), dtype=torch.float64) * (sqrt(temperature) / w)
        return self.mean + y @ modes.T / torch.sqrt(self.m)

    def _modes(self) -> tuple[Tensor, Tensor]:
        root = torch.sqrt(self.m)
        squares, modes = torch.linalg.eigh(self.stiffness / root / root[:, None])
        return torch.sqrt(squares), modes


def linear_network(
    replicas: int, *, n: int = 24, dtype: torch.dtype = torch.float64
) -> tuple[ParticleSystem, Gaussian]:
    """Return least squares with a Gaussian prior as a particle system, and its exact posterior.

    The posterior is solved from the normal equations, the force comes by backpropagation.
    """
    numbers = torch.Generator().manual_seed(5)
    x, y = (torch.randn(n, width, generator=numbers, dtype=torch.float64) for width in (3, 2))
    x[:, 1] += 0.6 * x[:, 0]  # so that the parameters are correlated
    variance, masses = {"weight": 0.5, "bias": 2.0}, {"weight": 1.0, "bias": 2.0}
    system = ParticleSystem(
        torch.nn.Linear(3, 2), torch.nn.functional.mse_loss, x, y, replicas=replicas, scale=float(n),
        prior=GaussianPrior(variance), masses=masses, dtype=dtype,
    )  # fmt: skip
    design = torch.zeros(n, 2, 8, dtype=torch.float64)
    for output in range(2):
        design[:, output, 3 * output : 3 * output + 3] = x
        design[:, output, 6 + output] = 1.0
    design, targets = design.flatten(0, 1), y.flatten()
    spread = torch.tensor([variance["weight"]] * 6 + [variance["bias"]] * 2, dtype=torch.float64)
    stiffness = design.T @ design + torch.diag(1 / spread)  # the mean of the squares over 2 n numbers, times n
    mean = torch.linalg.solve(stiffness, design.T @ targets)
    u0 = 0.5 * float(targets @ targets - mean @ stiffness @ mean)
    return system, Gaussian(mean, stiffness, system.masses.double(), u0)
