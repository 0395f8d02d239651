"""What the checks share: weights whose density of states is known, walkers on them, and how tables are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from integrators import OBABO, Splitting
from mdnet.experiments.landscape.task import Walk
from mdnet.experiments.results import Array
from mdnet.landscape import BiasedForce, LogLoss, OneOverT, Recorded, Table, Variable, WangLandau
from mdnet.priors import Box
from mdnet.reporters import Scalars
from mdnet.simulation import Simulation
from mdnet.simulation import finish as finish_run
from mdnet.system import ParticleSystem
from thermostats import Langevin
from trajectories.landscape.axes import Axis

LOW, HIGH = -3.0, 0.5  # of ln U: the sphere of e^HIGH lies in the box
HALFWIDTH = 2.0


@dataclass(frozen=True, eq=False)
class Found:
    """What a run gave: ln Omega and visits (copies, *bins, *recorded bins), -inf and zero where nobody was.

    `learnt` (copies, *bins): S when learning ended; `warmth` (copies, *bins): the mean of 2K/N_f in a bin;
    `acceptance` of the Metropolis tests; `trips`: round trips of a walker.
    """

    axes: tuple[Axis, ...]
    entropy: Array
    visits: Array
    learnt: Array
    warmth: Array
    acceptance: float
    trips: float

    @property
    def flatness(self) -> float:
        """The least min H/mean H of a copy."""
        visits = self.visits.reshape(len(self.visits), -1)
        return float((visits.min(1) / visits.mean(1)).min())


def quadratic(blocks: Sequence[int], replicas: int) -> tuple[ParticleSystem, list[Variable]]:
    """Return a linear network in a box with x_k = ln(|q_k|^2/2) of the blocks of its weights: S = sum_k D_k x_k/2.

    Each block has rows sqrt(D/2) e_i with targets zero as a data set of its own: their mean square is |q_k|^2/2.
    """
    rows = [block * (len(block) / 2) ** 0.5 for block in torch.split(torch.eye(sum(blocks)).double(), list(blocks))]
    sets = [(block, torch.zeros(len(block), 1, dtype=torch.float64)) for block in rows]
    system = ParticleSystem(
        nn.Linear(sum(blocks), 1, bias=False), mse_loss, *sets[0], replicas=replicas, prior=Box(HALFWIDTH),
        dtype=torch.float64,
    )  # fmt: skip
    variables: list[Variable] = [LogLoss(system, "ln U")]
    for k, (inputs, targets) in enumerate(sets[1:]):
        variables.append(LogLoss(system, f"ln U_{k + 2}", inputs=inputs, targets=targets))
    return system, variables


def spread(blocks: Sequence[int], replicas: int, seed: int) -> Tensor:
    """Return positions (replicas, dof) whose x_k are uniform in the window, in directions at random."""
    noise = torch.Generator().manual_seed(seed)
    parts = []
    for dof in blocks:
        way = torch.randn(replicas, dof, generator=noise, dtype=torch.float64)
        x = LOW + (HIGH - LOW) * torch.rand(replicas, 1, generator=noise, dtype=torch.float64)
        parts.append(way / way.norm(dim=1, keepdim=True) * torch.sqrt(2 * torch.exp(x)))
    return torch.cat(parts, 1)


def begin(
    system: ParticleSystem,
    variables: Sequence[Variable],
    table: Table,
    walk: Walk,
    positions: Tensor,
    *,
    seed: int,
    record: Sequence[Recorded] = (),
    drop: int | None = None,
) -> tuple[Simulation, WangLandau]:
    """Return the run of walkers that learn and count, before its first step, and its action.

    `drop`: the step from which on weights fall as 1/t, by default a quarter of the learning; they rise in its 2/5.
    """
    drop = max(1, walk.learn // 4) if drop is None else drop
    weights = OneOverT(walk.peak, max(1, drop * 2 // 5), drop)
    action = WangLandau(weights, walk.learn, every=walk.every, record=record)
    force = BiasedForce(system, variables, table)
    engine = Splitting(OBABO, force, walk.dt, Langevin(1.0, walk.friction))
    quiet = Scalars(max(1, walk.learn + walk.count))
    simulation = Simulation(system, engine, positions=positions, seed=seed, actions=[action], reporters=[quiet])
    return simulation, action


def finish(simulation: Simulation, action: WangLandau, walk: Walk) -> Found:
    """Let the walkers learn, then count, and return what they found."""
    table, counts = action.table, action.counts
    finish_run(simulation, walk.learn + walk.count, progress=False)
    visits, weights, kinetic = (x.numpy() for x in (counts.visits, counts.weights, counts.kinetic))
    tests, accepted, trips = counts.tested.sum(1).tolist()
    learnt, beside = table.entropy.numpy(), tuple(range(visits.ndim - len(counts.axes), visits.ndim))
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = learnt[(..., *[None] * len(beside))] + np.log(weights)
        warmth = kinetic / visits.sum(beside)
    axes = (*table.axes, *counts.axes)
    return Found(axes, entropy, visits, learnt, warmth, accepted / tests, trips / len(table.owner))


def harmonic(
    walk: Walk, dof: int, *, copies: int = 5, bin: float = 0.02, sigma: float = 5.0, seed: int = 0, tests: bool = True
) -> Found:
    """Count the states of |q|^2/2 in D dimensions, of which S = D/2 ln U.

    `walk.walkers` are those of one copy. Without `tests` walkers are only kept in the window.
    """
    replicas = copies * walk.walkers
    system, variables = quadratic([dof], replicas)
    table = Table([window("ln U", bin)], replicas, copies=copies, sigma=sigma)
    simulation, action = begin(system, variables, table, walk, spread([dof], replicas, seed), seed=seed)
    action.confinement.tests = tests
    return finish(simulation, action, walk)


def window(name: str, bin: float) -> Axis:
    """Return the axis of the logarithm of a quadratic energy."""
    return Axis.of_width(name, LOW, HIGH, bin)


def slopes(entropy: Array, x: Array) -> Array:
    """Return the slope of S(x) (copies, bins) of each copy (copies,), by least squares."""
    return np.array([np.polyfit(x, one, 1)[0] for one in entropy])


def off(entropy: Array, exact: Array) -> Array:
    """Return S less the exact one, up to a constant: (copies, *bins), of mean zero in each copy."""
    away = entropy - exact
    centred: Array = away - away.mean(tuple(range(1, away.ndim)), keepdims=True)
    return centred


def rms(entropy: Array, exact: Array) -> Array:
    """Return the root mean square of S less the exact one, up to a constant (copies,)."""
    away = off(entropy, exact)
    root: Array = np.sqrt((away**2).mean(tuple(range(1, away.ndim))))
    return root


def joined(values: Array) -> str:
    """Write the mean of values (copies,) with its standard error."""
    return f"{values.mean():.4g} ± {values.std(ddof=1) / len(values) ** 0.5:.2g}"
