"""The curvature matrices of a system at positions of one's choice: Gauss-Newton (true Fisher) and Hessian."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import functional_call, grad, jacrev, vjp, vmap

from mdnet.curvature.spectra import Product
from mdnet.force import mirrored
from mdnet.routes.chunks import coupled

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem


_ROUNDING = 1e-12  # of the second derivatives of a loss in float64


def gauss_newton(system: ParticleSystem, q: Tensor) -> Product:
    """Return v -> G v, the generalised Gauss-Newton matrix of the data's part of U at q (replicas, dof):

        G = scale J^T L'' J,     J = d output/dq,     L'' = d^2 mean_loss/d output^2

    It is the Hessian without the curvature of the network itself, positive where the loss is convex in the output, and
    without the prior. It is also the *true* Fisher matrix F of n rows, whose expectation is over the model's own
    predictions: G = scale F/n for cross-entropy, and G = scale (2 s^2/(n outputs)) F for mean squared error seen as
    normal noise of variance s^2; so G/T = F at the temperature of the posterior. The *empirical* Fisher matrix, the sum
    of g g^T over the gradients g of the rows at their targets, is another one: it vanishes where the rows are
    interpolated, and F does not.

    Reference: Martens, Journal of Machine Learning Research 21 (2020) 146.
    """

    def one(weights: Tensor, v: Tensor, x: Tensor, y: Tensor) -> Tensor:
        def loss(said: Tensor) -> Tensor:
            return system.loss(said, y)

        said, back = vjp(lambda at: _output(system, at, x), weights)  # type: ignore[misc]
        change = vjp(lambda u: back(u)[0], said)[1](v)[0]  # J v, by going back through the linear u -> J^T u
        bent = vjp(grad(loss), said)[1](change)[0]
        product: Tensor = back(bent)[0]
        return system.scale * product

    return _Products(system, q, one)


def hessian(system: ParticleSystem, q: Tensor) -> Product:
    """Return v -> H v, the second derivatives H = d^2 U/dq^2 at q (replicas, dof), those of the prior included."""

    def one(weights: Tensor, v: Tensor, x: Tensor, y: Tensor) -> Tensor:
        slope = grad(lambda at: system.loss(_output(system, at, x), y))
        product: Tensor = vjp(slope, weights)[1](v)[0]
        return system.scale * product

    data, stiffness = _Products(system, q, one), system.stiffness
    return data if stiffness is None else lambda v: data(v) + stiffness * v


@dataclass(frozen=True, eq=False)
class _Products:
    """The products of all replicas from those of one: (weights, v, inputs, targets) -> (dof,)."""

    system: ParticleSystem
    q: Tensor
    one: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

    def __call__(self, v: Tensor) -> Tensor:
        system = self.system
        image, sign = mirrored(system, self.q)
        turned = v if sign is None else v * sign
        with torch.no_grad():
            if system.route == "module":
                product = torch.stack(
                    [torch.stack(self._apart(image, some)) for some in turned.reshape(-1, *image.shape)]
                )
                product = product.reshape(v.shape)
            else:
                data = 0 if not system.shares_data else None
                each: Any = vmap(self.one, in_dims=(0, 0, data, data))
                if v.ndim == image.ndim + 1:
                    each = vmap(each, in_dims=(None, 0, None, None))
                product = each(image, turned, system.inputs, system.targets)
        return product if sign is None else product * sign

    def _apart(self, image: Tensor, v: Tensor) -> list[Tensor]:
        return [self.one(image[r], v[r], *_rows(self.system, r)) for r in range(len(image))]


def factors(system: ParticleSystem, q: Tensor) -> Iterator[Tensor]:
    """Yield for each replica of q (replicas, dof) in turn the factor A (n outputs, dof) float64 of G = A^T A.

        A_i = (scale/n)^(1/2) (L_i'')^(1/2) J_i     of row i

    Raises ValueError where the loss is not a mean over rows, or not convex in the output.
    """
    if (why := coupled(system)) is not None:
        raise ValueError(f"there is no factor of the Gauss-Newton matrix by rows: {why}; take products, gauss_newton()")
    image, sign = mirrored(system, q)
    for r in range(len(q)):
        x, y = _rows(system, r)
        slope, curvature = _by_row(system, image[r], x, y)
        bends, directions = torch.linalg.eigh(curvature)  # (n, outputs), (n, outputs, outputs)
        if (bends < -1e-5 * bends.abs().amax() - _ROUNDING).any():
            raise ValueError("the loss is not convex in the output, so that G has no factor; take products")
        root = bends.clamp(min=0).sqrt()[:, :, None] * directions.mT
        factor = sqrt(system.scale / len(x)) * (root @ slope).flatten(0, 1)
        yield factor if sign is None else factor * sign[r]


def gauss_newton_matrix(system: ParticleSystem, q: Tensor) -> Tensor:
    """Return G whole (replicas, dof, dof) float64 at q (replicas, dof); raises what `factors` raises."""
    return torch.stack([a.T @ a for a in factors(system, q)])


def _output(system: ParticleSystem, q: Tensor, inputs: Tensor) -> Tensor:
    output: Tensor = functional_call(system.network, system.table.unflatten(q), (inputs,))
    return output


def _rows(system: ParticleSystem, replica: int) -> tuple[Tensor, Tensor]:
    """The data (n, ...) that a replica sees."""
    return tuple(x if system.shares_data else x[replica] for x in (system.inputs, system.targets))  # type: ignore[return-value]


def _by_row(system: ParticleSystem, q: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Every row's J (n, outputs, dof) and L'' (n, outputs, outputs), float64, at q (dof,)."""

    def row(one: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        def said(weights: Tensor) -> Tensor:
            return _output(system, weights, one[None])

        def loss(output: Tensor) -> Tensor:
            return system.loss(output, target[None])

        return jacrev(said)(q), jacrev(grad(loss))(said(q).double())

    with torch.no_grad():  # a saturated softmax bends less than float32 can tell
        slope, curvature = vmap(row)(x, y.double() if y.is_floating_point() else y)
    slope = slope.double().reshape(len(x), -1, q.shape[-1])
    return slope, curvature.double().reshape(len(x), slope.shape[1], slope.shape[1])
