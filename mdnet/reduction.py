"""One network from an ensemble: barriers between its members, the average of those connected, and distillation."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mdnet.system import ParticleSystem
from mdnet.training import minimise
from trajectories.statistics import aligned_rmsd
from trajectories.storage.layout import Tensor as Entry


def barrier(system: ParticleSystem, a: Tensor, b: Tensor, *, points: int = 9) -> Tensor:
    """Return how far the straight path from a to b (replicas, dof) rises above its larger end, (replicas,) float64:

        max over 0 < s < 1 of U(a + s (b - a)) - max(U(a), U(b)),   zero where it stays below

    `points`: places of the path that are looked at, evenly between the ends. U is the system's energy, without a prior
    its loss. Raises ValueError for fewer than one point.

    Reference: Frankle, Dziugaite, Roy, Carbin, ICML 2020, arXiv:1912.05671.
    """
    if points < 1:
        raise ValueError(f"points = {points} between the ends must be one or more")
    path = [system.energy(torch.lerp(a, b, s / (points + 1))) for s in range(1, points + 1)]
    highest = torch.stack(path).amax(0)
    return (highest - torch.maximum(system.energy(a), system.energy(b))).clamp(min=0)


def aligned(system: ParticleSystem, q: Tensor, reference: Tensor, *, odd: bool = False) -> Tensor:
    """Return q (replicas, dof) with the hidden units of each network in the order that is nearest to the reference's.

    The functions stay the same. `odd`: signs may turn, too, where the activation is odd (tanh). For multilayer
    perceptrons; see trajectories.statistics.aligned_rmsd, also for what is raised.
    """
    table = [Entry(*entry) for entry in system.table.entries]
    pairs = zip(q.double().cpu().numpy(), reference.double().cpu().numpy(), strict=True)
    found = [aligned_rmsd(one, other, table, odd=odd).weights for one, other in pairs]
    return torch.as_tensor(np.stack(found)).to(q)


class Average(NamedTuple):
    """The mean network of those members of an ensemble that are connected to each other, by replica."""

    weights: Tensor  # (replicas, dof)
    connected: Tensor  # (members, replicas) bool: who is in the mean
    barriers: Tensor  # (members, members, replicas) float64, between each two


def average(system: ParticleSystem, q: Tensor, *, tolerance: float | Tensor = 0.0, points: int = 9) -> Average:
    """Return the mean of the weights q (members, replicas, dof) over members connected to each other, two by two.

    Two are connected where their barrier is at most the `tolerance`, an energy, a number or (replicas,). The group
    grows from the member with the most connections, by those connected to all in it, the most connected first; so
    there is always one. Members of different origin are better `aligned` before. Raises what `barrier` raises.

    Reference: Wortsman et al., "Model soups", ICML 2022, arXiv:2203.05482.
    """
    members, replicas = q.shape[:2]
    barriers = torch.zeros(members, members, replicas, dtype=torch.float64, device=q.device)
    for i, j in combinations(range(members), 2):
        barriers[i, j] = barriers[j, i] = barrier(system, q[i], q[j], points=points)
    linked = barriers <= torch.as_tensor(tolerance)
    connected = torch.zeros(members, replicas, dtype=torch.bool, device=q.device)
    for r in range(replicas):
        for member in linked[..., r].sum(0).argsort(descending=True, stable=True):
            connected[member, r] = linked[member, connected[:, r], r].all()
    share = connected.to(q.dtype) / connected.sum(0)
    return Average((share[..., None] * q).sum(0), connected, barriers)


def distil(
    system: ParticleSystem,
    inputs: Tensor,
    teacher: Tensor,
    steps: int,
    rate: float,
    start: Tensor,
    *,
    per_replica: bool = False,
    progress: bool = False,
) -> Tensor:
    """Return networks (replicas, dof) that say what a teacher says, after `steps` of Adam of the given rate from start.

    They are those of the system, and so are loss and prior; its data are not used. `inputs` (n, ...) and `teacher`
    (n, ...), what the ensemble says there: its mean output, or its mean softmax for cross-entropy. With per_replica
    each has a teacher of its own, (replicas, n, ...). Raises what `ParticleSystem` and `minimise` raise.

    Reference: Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network" (2015), arXiv:1503.02531.
    """
    index = None
    if per_replica:
        index = torch.arange(inputs.shape[0] * inputs.shape[1]).reshape(inputs.shape[:2])
        inputs, teacher = inputs.flatten(0, 1), teacher.flatten(0, 1)
    student = ParticleSystem(
        system.network, system.loss, inputs, teacher, replicas=len(start), prior=system.prior, scale=system.scale,
        dtype=system.dtype, device=system.device, index=index,
    )  # fmt: skip
    return minimise(student, start, steps, rate, progress=progress)


def interpolated(inputs: Tensor, copies: int, *, seed: int) -> Tensor:
    """Return the rows (..., n, features), and `copies` times as many on straight lines between two random rows.

        x = x_i + a (x_j - x_i),   a uniform in 0 to 1

    Where a student can be asked besides, without rows of any other set: (..., n (1 + copies), features). Raises
    ValueError for copies < 0.
    """
    if copies < 0:
        raise ValueError(f"copies = {copies} must not be negative")
    generator, rows = torch.Generator().manual_seed(seed), inputs.shape[-2]
    found = [inputs]
    for _ in range(copies):
        other = inputs[..., torch.randperm(rows, generator=generator).to(inputs.device), :]
        share = torch.rand(*inputs.shape[:-1], 1, generator=generator).to(inputs)
        found.append(torch.lerp(inputs, other, share))
    return torch.cat(found, -2)
