"""All states of a network with discrete weights, counted: the exact density of states that sampling is tested on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mdnet.landscape.variables import Variable
from mdnet.system import ParticleSystem
from trajectories.landscape.axes import Axis, check_axes
from trajectories.landscape.landscape import Landscape

_MOST = 2**30  # states that are enumerated
_CHUNK = 2**16


def states(system: ParticleSystem, values: Sequence[float] = (-1.0, 1.0), chunk: int = _CHUNK) -> Iterator[Tensor]:
    """Yield all positions q (up to chunk, dof) whose parameters take these values, the first parameter slowest.

    Raises ValueError for repeated values, fewer than two, or a chunk below one, and for more than 2^30 states.
    """
    base, dof = len(values), system.dof
    if base < 2 or len(set(values)) < base or chunk < 1:
        raise ValueError(
            f"values = {tuple(values)}, chunk = {chunk}: two or more different values, in chunks of one up"
        )
    if base**dof > _MOST:
        raise ValueError(
            f"{base}^{dof} states of {dof} parameters with {base} values are too many to enumerate; allowed are 2^30. "
            "Take a smaller network, freeze tensors by requires_grad_(False), or sample them by MonteCarlo"
        )
    return _states(system, values, chunk)


def enumerate_density(
    system: ParticleSystem,
    variables: Sequence[Variable],
    axes: Sequence[Axis],
    values: Sequence[float] = (-1.0, 1.0),
    *,
    chunk: int = _CHUNK,
) -> NDArray[np.int64]:
    """Return how many of all states have x in each bin (*bins); those beyond the axes are in none.

    Raises ValueError as `states`, for bad axes, and where there is not one axis for each variable.
    """
    check_axes(tuple(axes))
    if len(variables) != len(axes):
        raise ValueError(f"there are {len(variables)} variables and {len(axes)} axes; give one axis for each variable")
    shape = tuple(axis.bins for axis in axes)
    counts = np.zeros(int(np.prod(shape)), dtype=np.int64)
    for q in states(system, values, chunk):
        inside, cell = np.ones(len(q), dtype=bool), np.zeros(len(q), dtype=np.int64)
        for axis, variable in zip(axes, variables, strict=True):
            at = np.floor((variable.value(q).cpu().numpy() - axis.low) / axis.width)
            inside &= (at >= 0) & (at < axis.bins)
            cell = cell * axis.bins + np.where(inside, at, 0).astype(np.int64)
        counts += np.bincount(cell[inside], minlength=len(counts))
    return counts.reshape(shape)


def exact(axes: Sequence[Axis], counts: NDArray[np.int64]) -> Landscape:
    """Return counts (*bins) of states as a landscape of one copy, S = ln of the share of the counted states."""
    with np.errstate(divide="ignore"):
        entropy = np.log(counts[None] / counts.sum())
    return Landscape(tuple(axes), entropy, method="exact")


class Teacher(NamedTuple):
    """Rows of a network's own making: inputs (n, ...) and targets (n, outputs), +1 or -1, for training and test."""

    inputs: Tensor
    targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor


class Sign(nn.Module):
    """The sign of each number, +1 at zero."""

    def forward(self, x: Tensor) -> Tensor:
        """Return -1 or 1, of the shape of x."""
        return torch.where(x < 0, -1.0, 1.0).to(x.dtype)


def binary_network(sizes: Sequence[int] = (5, 3, 1), activation: Literal["sign", "tanh"] = "sign") -> nn.Sequential:
    """Return a dense network of these layer sizes without biases, its weights all +1; (5, 3, 1) has 18 of them.

    Raises ValueError for fewer than two sizes, sizes below one and another activation.
    """
    if activation not in ("sign", "tanh") or len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(
            f"sizes = {tuple(sizes)}, activation = {activation!r}: give two sizes or more, "
            "all positive, and 'sign' or 'tanh'"
        )
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after, bias=False), Sign() if activation == "sign" else nn.Tanh()]
    for layer in layers[::2]:
        nn.init.ones_(layer.weight)  # type: ignore[arg-type]
    return nn.Sequential(*layers[:-1])


def teach(network: nn.Module, inputs: int, seed: int = 0) -> Teacher:
    """Return what a network like this with random weights of +1 and -1 says on all 2^inputs corners of a cube.

    Half of the corners {-1, 1}^inputs, drawn at random, are for training, the others for test; targets are signs.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {
        name: 2.0 * torch.randint(2, parameter.shape, generator=generator) - 1
        for name, parameter in network.named_parameters()
    }
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * inputs).view(-1, inputs)
    targets = Sign()(torch.func.functional_call(network, weights, (corners,)).detach())
    order = torch.randperm(len(corners), generator=generator)
    train, test = order[: len(order) // 2], order[len(order) // 2 :]
    return Teacher(corners[train], targets[train], corners[test], targets[test])


def accuracy_of_signs(output: Tensor, targets: Tensor) -> Tensor:
    """Return the share of outputs whose sign is that of the target, zero being positive, (n, 1), (n, 1) -> ()."""
    return ((output < 0) == (targets < 0)).to(output.dtype).mean()


def of_counts(name: str, rows: int) -> Axis:
    """Return the axis of an accuracy on so many rows: 0, 1/rows, ..., 1 lie in the middle of its bins."""
    return Axis(name, -0.5 / rows, 1 + 0.5 / rows, rows + 1)


def _states(system: ParticleSystem, values: Sequence[float], chunk: int) -> Iterator[Tensor]:
    base, dof, device = len(values), system.dof, system.device
    digit = base ** torch.arange(dof - 1, -1, -1, device=device)
    table = torch.tensor(values, dtype=system.dtype, device=device)
    for begin in range(0, base**dof, chunk):
        number = torch.arange(begin, min(begin + chunk, base**dof), device=device)
        yield table[number[:, None] // digit % base]
