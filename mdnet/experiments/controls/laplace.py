"""The Laplace approximation of the ensemble that simmering samples: normal about the minimum, network linearised."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vjp, vmap

import mdnet as md
from mdnet import curvature
from mdnet.experiments import simmering
from mdnet.experiments.controls.control import Control, by_replica
from mdnet.experiments.problems import Task
from mdnet.experiments.results import Array
from mdnet.experiments.selection import TEMPERATURES, Values

MEMBERS = 100


def linearised(task: Task, values: Values) -> Array:
    """Return the test outputs (values, members, seeds, rows, outputs) of the linearised network at each temperature T:

        f(q*) + J(q*) (q - q*),   q from N(q*, T (G + T/s^2)^-1)

    q*: Adam's minimum of the loss with the prior of T; G: Gauss-Newton.
    """
    copies, temperature = len(values), by_replica(task, values)
    q = simmering.overfit(task, temperature, copies=copies, progress=False)
    system = task.particles(temperature, copies=copies)
    assert system.stiffness is not None  # the prior's
    generator = torch.Generator().manual_seed(task.seed)
    said = []
    for r, factor in enumerate(curvature.factors(system, q)):
        drawn = normal(factor, system.stiffness[r].double(), MEMBERS, generator)
        away = float(temperature[r]) ** 0.5 * drawn
        said.append(outputs_near(system, q[r], away.to(q.dtype), task.data.test[0][r // copies]))
    by_seed = torch.stack(said).reshape(task.seeds, copies, *said[0].shape)
    return np.asarray(by_seed.permute(1, 2, 0, 3, 4))


def normal(factor: Tensor, stiffness: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw (count, dof) from N(0, (A^T A + K)^-1), with a factor A (numbers, dof) and stiffness K (dof,).

    (A^T A + K)^-1 (A^T e + K^(1/2) e') with normal e and e' has this law. The inverse is taken where it is smaller; of
    dof rows in single precision, for which K must not be less than a millionth of the largest eigenvalue.
    """
    numbers, dof = factor.shape
    first, second = (torch.randn(count, n, generator=generator, dtype=factor.dtype) for n in (numbers, dof))
    pushed = first @ factor + stiffness.sqrt() * second
    if dof <= numbers:
        single = factor.float()
        matrix = single.T @ single + stiffness.float().diag()
        drawn = torch.cholesky_solve(pushed.float().T, torch.linalg.cholesky(matrix)).T
        return drawn.to(factor.dtype)
    softened = factor / stiffness
    inner = torch.eye(numbers, dtype=factor.dtype) + softened @ factor.T
    changed: Tensor = torch.linalg.solve(inner, softened @ pushed.T)
    return pushed / stiffness - changed.T @ softened


def outputs_near(system: md.ParticleSystem, q: Tensor, away: Tensor, inputs: Tensor) -> Tensor:
    """Return the outputs (members, rows, outputs) of the network linearised at q (dof,), at q + away (members, dof)."""

    def output(weights: Tensor) -> Tensor:
        values: Tensor = functional_call(system.network, system.table.unflatten(weights), (inputs,))
        return values

    with torch.no_grad():
        centre, back = vjp(output, q)  # type: ignore[misc]
        forward = vjp(lambda u: back(u)[0], centre)[1]  # J v, by going back through the linear u -> J^T u
        said: Tensor = centre + vmap(lambda v: forward(v)[0])(away)
    return said


LAPLACE = Control(
    "Laplace, linearised",
    linearised,
    f"the Adam steps of the problem, then {MEMBERS} draws of the network linearised at the minimum of the restrained "
    "energy, weights normal with covariance T(G + T/s²)⁻¹.",
    "Temperature",
    TEMPERATURES,
)
