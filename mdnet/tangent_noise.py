"""Isotropic noise on the tangent plane of the sphere through q: a stand-in for the noise of minibatches."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from integrators import Force
from integrators.parameters import checked
from mdnet.force import BatchForce, Evaluation

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem


class TangentNoise:
    """A force with noise of the same size in all directions that keep |q|, from torch's default generator:

        f'(q) = f(q) + (sigma/|q|) P xi,      P = 1 - q q^T/|q|^2,      xi ~ N(0, 1)

    so that E|f' - f|^2 = sigma^2 (D - 1)/|q|^2, which scales with |q| as the noise of a scale-invariant network does.
    The energy is left as it is. A gradient f and this noise are what the ideal-gas theory of SGD assumes.

    `force`: q (replicas, dof) -> u (replicas,), f (replicas, dof). `sigma`: a number or (replicas, 1), not negative, in
    the units of dU/dq times those of q. Raises ValueError for another sigma.

    Reference: "Can training dynamics of scale-invariant neural networks be explained by the thermodynamics of an ideal
    gas?", arXiv:2511.07308.
    """

    stochastic: ClassVar[bool] = True

    def __init__(self, force: Force, sigma: float | Tensor) -> None:
        self.force, self.sigma = force, checked("sigma", sigma, lambda x: x >= 0, "not negative")

    def __call__(self, q: Tensor) -> Evaluation:
        """Return u (replicas,) as the inner force gives it, and f' (replicas, dof), at q (replicas, dof) but zero.

        Raises ValueError where sigma has values of another number of replicas.
        """
        if self.sigma.ndim and len(self.sigma) != len(q):
            raise ValueError(f"sigma has {len(self.sigma)} values and there are {len(q)} replicas; give one for each")
        u, f = self.force(q)
        xi = torch.randn_like(q)
        square = q.square().sum(-1, keepdim=True, dtype=torch.float64)  # (replicas, 1)
        along = (q * xi).sum(-1, keepdim=True, dtype=torch.float64) / square
        size = self.sigma.to(q.device) / square.sqrt()
        return u, f + size.to(q.dtype) * (xi - along.to(q.dtype) * q)

    def mean(self, q: Tensor) -> Evaluation:
        """Return u and f without the noise, of a minibatch force those of all data."""
        inner: Force = getattr(self.force, "mean", self.force)
        return inner(q)

    def part(self, own: ParticleSystem, rows: slice) -> TangentNoise:
        """Return the force on these replicas, whose system is `own`; raises ValueError where it cannot be divided."""
        divide = getattr(self.force, "part", None)
        if divide is None and not isinstance(self.force, BatchForce):
            raise ValueError(f"{self} cannot be divided over ranks: give it system.force or system.minibatch(...)")
        inner = own.force if divide is None else divide(own, rows)
        return TangentNoise(inner, self.sigma[rows] if self.sigma.ndim else self.sigma)

    def __repr__(self) -> str:
        inner = "the force on all data" if isinstance(self.force, BatchForce) else self.force
        return f"TangentNoise({inner}, sigma={self.sigma.tolist()})"
