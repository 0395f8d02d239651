"""Spectra of symmetric matrices that are known by products or factors, and what they say of sloppiness."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]
"""A symmetric matrix of each replica, by its products: v (replicas, dof) or (vectors, replicas, dof) -> the same."""


def spectrum(factor: Tensor) -> Tensor:
    """Return all eigenvalues of A^T A (dof,) float64, the largest first, from a factor A (numbers, dof).

    Where the numbers are fewer than dof, the eigenvalues of A A^T and zeros: the rank of G is at most n outputs. The
    mean of several G has the factor cat(A_1, ..., A_m)/sqrt(m).
    """
    numbers, dof = factor.shape
    small = factor @ factor.T if numbers < dof else factor.T @ factor
    values = torch.linalg.eigvalsh(small).clamp(min=0).flip(0)
    return torch.cat([values, values.new_zeros(dof - len(values))])


class Ritz(NamedTuple):
    """What Lanczos finds of a symmetric matrix, each (replicas, steps) float64, the largest value first."""

    values: Tensor  # approximate eigenvalues
    weights: Tensor  # the share of the starting vector along each, summing to one
    residuals: Tensor  # |G x - value x| of its unit vector x: an eigenvalue lies as near as this


def lanczos(product: Product, start: Tensor, steps: int) -> Ritz:
    """Return the Ritz values after `steps` of Lanczos from start (replicas, dof), every vector orthogonalised to all.

    The ends of the spectrum converge first; in as many steps as there are different eigenvalues all are exact. Where
    the vectors found span an invariant space, a random one goes on. Raises ValueError for steps outside 1 to dof.
    """
    replicas, dof = start.shape
    if not 1 <= steps <= dof:
        raise ValueError(f"steps = {steps} must be from 1 to the number of parameters, {dof}")
    generator = torch.Generator().manual_seed(0)
    basis = start.new_zeros(steps + 1, replicas, dof, dtype=torch.float64)
    small = start.new_zeros(replicas, steps, steps, dtype=torch.float64)
    basis[0] = start / start.double().norm(dim=-1, keepdim=True)
    for k in range(steps):
        image = product(basis[k].to(start.dtype)).double()
        small[:, k, k] = (image * basis[k]).sum(-1)
        rest = _orthogonal(image, basis[: k + 1])
        left = rest.norm(dim=-1)
        ended = left <= torch.finfo(start.dtype).eps * dof**0.5 * small.abs().amax((1, 2))
        if k + 1 < steps:
            small[:, k, k + 1] = small[:, k + 1, k] = torch.where(ended, 0.0, left)
            fresh = torch.randn(replicas, dof, generator=generator, dtype=torch.float64).to(start.device)
            rest = torch.where(ended[:, None], _orthogonal(fresh, basis[: k + 1]), rest)
            basis[k + 1] = rest / rest.norm(dim=-1, keepdim=True)
    values, vectors = torch.linalg.eigh(small)
    residuals = left[:, None] * vectors[:, -1].abs()
    return Ritz(values.flip(-1), vectors[:, 0].square().flip(-1), residuals.flip(-1))


@dataclass(frozen=True, eq=False)
class SpectralDensity:
    """The density of eigenvalues by stochastic Lanczos quadrature: sum_k w_k delta(x - x_k), mean over probes.

    `values`, `weights` (probes, replicas, steps) float64; the weights of a probe sum to one.

    Reference: Ubaru, Chen, Saad, SIAM Journal on Matrix Analysis and Applications 38 (2017) 1075.
    """

    values: Tensor
    weights: Tensor

    def mean(self, function: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Return tr f(G)/dof (replicas,) and its standard error over the probes; f acts on each number by itself."""
        return _mean((self.weights * function(self.values)).sum(-1))

    def at(self, x: Tensor, width: float) -> Tensor:
        """Return the density (replicas, points) at x (points,), every eigenvalue a normal law of that width."""
        kernel = torch.exp(-(((x - self.values[..., None]) / width) ** 2) / 2) / (width * sqrt(2 * torch.pi))
        return (self.weights[..., None] * kernel).sum(-2).mean(0)


def spectral_density(
    product: Product, q: Tensor, *, steps: int = 40, probes: int = 10, seed: int = 0
) -> SpectralDensity:
    """Return the spectral density of a matrix from `probes` Lanczos runs of random signs, shaped as q (replicas, dof).

    Moments up to 2 steps - 1 of each probe are exact. Raises ValueError for fewer than two probes, or wrong steps.
    """
    runs = [lanczos(product, probe, steps) for probe in _signs(q, probes, seed)]
    return SpectralDensity(torch.stack([run.values for run in runs]), torch.stack([run.weights for run in runs]))


def trace(product: Product, q: Tensor, *, probes: int = 30, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return the trace (replicas,) float64 of a matrix and its standard error, by Hutchinson's mean of z^T G z.

    z: random signs, shaped as q (replicas, dof). Raises ValueError for fewer than two probes.
    """
    return _mean(torch.stack([(z.double() * product(z).double()).sum(-1) for z in _signs(q, probes, seed)]))


def effective_parameters(eigenvalues: Tensor, stiffness: float | Tensor) -> Tensor:
    """Return how many parameters the data determine, sum_i lambda_i/(lambda_i + k), from eigenvalues (..., dof) of G.

    `stiffness`: k = T/s^2 of the prior, a number or (..., 1); where it differs by coordinate, give the eigenvalues of
    K^(-1/2) G K^(-1/2), and 1. Raises ValueError for a stiffness that is not positive.

    Reference: MacKay, Neural Computation 4 (1992) 415.
    """
    return (eigenvalues / (eigenvalues + _positive("stiffness", stiffness))).sum(-1)


def sloppy_share(eigenvalues: Tensor, *, stiffness: float | Tensor | None = None, below: float | None = None) -> Tensor:
    """Return the share of sloppy modes (...) among eigenvalues (..., dof) of G.

    With a prior of `stiffness` k = T/s^2 a mode is sloppy where lambda < k: what bounds its thermal motion, of variance
    T/(lambda + k), is rather the prior than the loss. Without a prior, where lambda is less than `below` times the
    largest: a convention, so name it with the number. Raises ValueError unless one of the two is given, and positive.
    """
    if (stiffness is None) == (below is None):
        raise ValueError(f"stiffness = {stiffness}, below = {below}: give one of them, which defines what is sloppy")
    if stiffness is not None:
        bound = _positive("stiffness", stiffness)
    else:
        bound = _positive("below", below or 0.0) * eigenvalues.amax(-1, keepdim=True)
    return (eigenvalues < bound).double().mean(-1)


def _orthogonal(v: Tensor, basis: Tensor) -> Tensor:
    """The part of v (replicas, dof) orthogonal to the basis (vectors, replicas, dof); twice is enough."""
    for _ in range(2):
        v = v - ((basis * v).sum(-1, keepdim=True) * basis).sum(0)
    return v


def _signs(q: Tensor, probes: int, seed: int) -> Iterator[Tensor]:
    """Random signs shaped as q."""
    if probes < 2:
        raise ValueError(f"probes = {probes} must be two or more, for there to be an error")
    generator = torch.Generator().manual_seed(seed)
    for _ in range(probes):
        yield (2.0 * torch.randint(2, q.shape, generator=generator) - 1).to(q)


def _mean(samples: Tensor) -> tuple[Tensor, Tensor]:
    return samples.mean(0), samples.std(0) / sqrt(len(samples))


def _positive(name: str, value: float | Tensor) -> float | Tensor:
    if not (torch.as_tensor(value) > 0).all():
        raise ValueError(f"{name} = {value} must be positive")
    return value
