"""The noise of minibatch gradients at given positions: how large it is, tensor by tensor, beside the gradient."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.func import grad, vmap

from mdnet.partial import PriorForce
from mdnet.priors import mirror
from mdnet.randomness import Stream
from mdnet.routes.chunks import coupled
from mdnet.routes.memory import default_budget, measure

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem


@dataclass(frozen=True, eq=False)
class GradientNoise:
    """The noise of minibatch gradients at positions of one's choice, in the units of dU/dq (`scale` included):

        s^2 = (1/n) sum_i |g_i - G|^2,   G = (1/n) sum_i g_i,   g_i = scale dloss_i/dq

    The prior has no noise and is in neither. `variance` and `squared` (replicas, tensors) float64: s^2 and |G|^2 of
    each parameter tensor; `error`: the standard error of s^2, zero where all rows were used. `size`, `rows`: of a
    minibatch, and of the data.

    Reference: McCandlish, Kaplan, Amodei, arXiv:1812.06162.
    """

    names: tuple[str, ...]
    variance: Tensor
    error: Tensor
    total_error: Tensor  # (replicas,): of the sum of s^2 over the tensors, which vary together
    squared: Tensor
    size: int
    rows: int

    @property
    def total(self) -> Tensor:
        """The trace of the covariance of a row's gradient, s^2 (replicas,)."""
        return self.variance.sum(-1)

    @property
    def noise_scale(self) -> Tensor:
        """The simple noise scale s^2/|G|^2 (replicas,): the batch size whose noise is as large as the gradient."""
        return self.total / self.squared.sum(-1)

    @property
    def noise_scale_error(self) -> Tensor:
        """The standard error of the simple noise scale (replicas,)."""
        return self.total_error / self.squared.sum(-1)

    def of_batch(self, size: int | None = None, *, replace: bool = True) -> Tensor:
        """Return the mean |g_B - G|^2 of a minibatch of each tensor (replicas, tensors), by default of `size` rows.

            s^2/B with replacement,     s^2/B (n - B)/(n - 1) without

        Raises ValueError for an impossible size.
        """
        size = self.size if size is None else size
        if size < 1 or (size > self.rows and not replace):
            raise ValueError(f"size = {size}: one or more, and without replacement at most all {self.rows} rows")
        left = 1.0 if replace else (self.rows - size) / max(self.rows - 1, 1)
        return self.variance * left / size

    def __str__(self) -> str:
        columns = ("tensor", "|G|^2", "s^2 of a row", "+-", f"of {self.size} replaced", f"of {self.size} distinct")
        distinct = self.of_batch(replace=False) if self.size <= self.rows else torch.full_like(self.variance, torch.nan)
        numbers = [self.squared, self.variance, self.error, self.of_batch(), distinct]
        total = [x.sum(-1, keepdim=True) for x in numbers]
        total[2] = self.total_error[:, None]
        replicas = len(self.variance)
        means = torch.stack([torch.cat(pair, -1).mean(0) for pair in zip(numbers, total, strict=True)], -1)
        means[:, 2] = torch.cat([self.error, self.total_error[:, None]], -1).square().sum(0).sqrt() / replicas
        width = max(map(len, (*self.names, "all")))
        lines = [f"{columns[0]:{width}}" + "".join(f"{name:>18}" for name in columns[1:])]
        for name, values in zip((*self.names, "all"), means.tolist(), strict=True):
            lines.append(f"{name:{width}}" + "".join(f"{value:18.4g}" for value in values))
        scale, error = self.noise_scale.mean().item(), self.noise_scale_error.square().sum().sqrt().item() / replicas
        lines.append(f"noise scale s^2/|G|^2 = {scale:.4g} +- {error:.2g} rows; mean over {replicas} replicas")
        return "\n".join(lines)


def gradient_noise(
    system: ParticleSystem, q: Tensor, *, size: int, batches: int | None = None, seed: int = 0
) -> GradientNoise:
    """Return the noise of minibatch gradients of `size` rows at q (replicas, dof).

    By default the gradient of every row is computed, one replica after the other, and the answer is exact. With
    `batches`, two or more, it is estimated without bias from so many minibatches drawn by `seed`, for data too large.

    Raises ValueError for a size or a number of batches that is too small, and where the loss is not a mean over rows.
    """
    if (why := coupled(system)) is not None:
        raise ValueError(f"there is no gradient of one row: {why}; leave that layer out, or take a mean loss")
    if size < 1 or (batches is not None and batches < 2):
        raise ValueError(f"size = {size} must be one or more, and batches = {batches} two or more")
    with torch.no_grad():
        mean = _of_data(system, q, system.force(q)[1])  # (replicas, dof)
        if batches is None:
            variance = torch.stack([_exact(system, i, q[i], mean[i]) for i in range(len(q))])
            error, total_error = torch.zeros_like(variance), variance.new_zeros(len(q))
        else:
            samples = _sampled(system, q, mean, size, batches, seed)  # (batches, replicas, tensors)
            variance, error = samples.mean(0), samples.std(0) / sqrt(batches)
            total_error = samples.sum(-1).std(0) / sqrt(batches)
    rows = system.inputs.shape[0 if system.shares_data else 1]
    names = tuple(entry.name for entry in system.table.entries)
    return GradientNoise(names, variance, error, total_error, _by_tensor(system, mean.double() ** 2), size, rows)


def _exact(system: ParticleSystem, replica: int, q: Tensor, mean: Tensor) -> Tensor:
    """The variance s^2 (tensors,) of the rows' gradients at q (dof,) about their mean, the force on all data (dof,)."""
    inputs, targets = (x if system.shares_data else x[replica] for x in (system.inputs, system.targets))
    if system.walls is not None:
        q, sign = mirror(q, system.walls)
        mean = mean * sign
    gradient = vmap(grad(system.mean_loss), in_dims=(None, 0, 0))

    def forces(_: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor]:
        return (-system.scale * gradient(q, x[:, None], y[:, None]),)

    budget = default_budget(system.device)
    need = measure(forces, q[None], inputs, targets, per_replica=False, budget=budget)
    few = max(int((budget - need.replica) / (3 * need.row)), 1)  # the deviations and their squares in float64
    total = torch.zeros(len(system.sizes), dtype=torch.float64, device=q.device)
    for x, y in zip(torch.split(inputs, few), torch.split(targets, few), strict=True):
        deviations = forces(q, x, y)[0].double() - mean
        total += _by_tensor(system, deviations.square_().sum(0))
    return total / len(inputs)


def _sampled(system: ParticleSystem, q: Tensor, mean: Tensor, size: int, batches: int, seed: int) -> Tensor:
    """Estimates of s^2 (batches, replicas, tensors): B |g_B - G|^2 of minibatches drawn with replacement."""
    replicas = len(q)
    force = system.minibatch(size)
    with Stream(seed, system.device).active():
        drawn = [_by_tensor(system, (_of_data(system, q, force(q)[1]) - mean).double() ** 2) for _ in range(batches)]
    return size * torch.stack(drawn).reshape(batches, replicas, -1)


def _of_data(system: ParticleSystem, q: Tensor, f: Tensor) -> Tensor:
    """A force without the prior's."""
    return f if system.stiffness is None else f - PriorForce(system)(q)[1]


def _by_tensor(system: ParticleSystem, values: Tensor) -> Tensor:
    """Sums over each parameter tensor: (..., dof) -> (..., tensors)."""
    return torch.stack([part.sum(-1) for part in torch.split(values, list(system.sizes), -1)], -1)
