"""The covariance of rows' gradients at given positions: whole for small systems, by its products for large ones."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.func import functional_call, grad, vjp, vmap

from mdnet.curvature.spectra import Product
from mdnet.force import mirrored
from mdnet.routes.chunks import coupled

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem


def gradient_covariance(system: ParticleSystem, q: Tensor) -> Tensor:
    """Return the covariance of rows' gradients (replicas, dof, dof) float64 at q (replicas, dof):

        D = (1/n) sum_i (g_i - G) (g_i - G)^T,      g_i = scale dloss_i/dq,      G = (1/n) sum_i g_i

    A minibatch of B rows has a force of the covariance D/B, drawn without replacement D/B (n - B)/(n - 1). The prior is
    the same for all rows and is not in it. Raises ValueError where the loss is not a mean over rows.
    """
    return torch.stack([a.T @ a for a in covariance_factors(system, q)])


def covariance_factors(system: ParticleSystem, q: Tensor) -> Iterator[Tensor]:
    """Yield for each replica of q (replicas, dof) in turn the factor A (n, dof) float64 of D = A^T A.

        A_i = (g_i - G)/n^(1/2)     of row i

    curvature.spectrum(A) has all eigenvalues of D, the sum of squares of A is its trace. Raises ValueError where the
    loss is not a mean over rows.
    """
    _refuse_coupled(system)
    image, sign = mirrored(system, q)
    gradients = vmap(grad(system.mean_loss), in_dims=(None, 0, 0))
    for r in range(len(q)):
        x, y = _rows(system, r)
        with torch.no_grad():
            of_rows = system.scale * gradients(image[r], x[:, None], y[:, None]).double()
        factor = (of_rows - of_rows.mean(0)) / sqrt(len(x))
        yield factor if sign is None else factor * sign[r]


def covariance_product(system: ParticleSystem, q: Tensor) -> Product:
    """Return v -> D v, the covariance of rows' gradients at q (replicas, dof), from two passes over the rows:

        D v = (scale^2/n) d/dq sum_i (s_i - s) loss_i,      s_i = v . dloss_i/dq,      s = (1/n) sum_i s_i

    No gradient of a row is kept, one replica after the other is computed. curvature.trace takes it to Hutchinson's
    estimate of Tr D, curvature.lanczos to the leading eigenvalues. Raises ValueError where the loss is not a mean over
    rows.
    """
    _refuse_coupled(system)
    image, sign = mirrored(system, q)

    def one(r: int, v: Tensor) -> Tensor:
        x, y = _rows(system, r)

        def losses(weights: Tensor) -> Tensor:
            said = functional_call(system.network, system.table.unflatten(weights), (x,))
            each: Tensor = vmap(lambda output, target: system.loss(output[None], target[None]))(said, y)
            return each

        of_rows, back = vjp(losses, image[r])  # type: ignore[misc]
        slopes = vjp(lambda u: back(u)[0], torch.zeros_like(of_rows))[1](v)[0]  # J v, by going back through u -> J^T u
        product: Tensor = back((slopes - slopes.mean()) / len(x))[0]
        return system.scale**2 * product

    def product(v: Tensor) -> Tensor:
        turned = v if sign is None else v * sign
        with torch.no_grad():
            some = [torch.stack([one(r, each[r]) for r in range(len(q))]) for each in turned.reshape(-1, *q.shape)]
        found = torch.stack(some).reshape(v.shape)
        return found if sign is None else found * sign

    return product


def _rows(system: ParticleSystem, replica: int) -> tuple[Tensor, Tensor]:
    """The data (n, ...) that a replica sees."""
    if system.shares_data:
        return system.inputs, system.targets
    return system.inputs[replica], system.targets[replica]


def _refuse_coupled(system: ParticleSystem) -> None:
    if (why := coupled(system)) is not None:
        raise ValueError(f"there is no gradient of one row: {why}; leave that layer out, or take a mean loss")
