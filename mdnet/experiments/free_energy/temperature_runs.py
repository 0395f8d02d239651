"""The runs that are compared: SGD on the unit sphere, the same with isotropic noise, and true Langevin dynamics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

import mdnet as md
import trajectories
from integrators import BAOAB, SGD, Integrator, Splitting
from mdnet.experiments.columns import per_replica
from mdnet.experiments.free_energy.temperature_problems import Floats, Problem, Span
from mdnet.simulation import finish
from mdnet.tangent_noise import TangentNoise
from thermostats import Langevin


@dataclass(frozen=True, eq=False)
class Sampled:
    """What a run showed: directions q (frames, groups, seeds, dof) and their energies (frames, groups, seeds).

    A group is a learning rate or a temperature. `entropy` (groups, seeds) where it was asked for.
    """

    q: Tensor
    energy: Floats
    entropy: Floats | None = None


@dataclass(frozen=True)
class Where:
    """Where runs are written, with what seed, to which each adds its name, and whether they replace others."""

    folder: Path
    seed: int
    overwrite: bool
    progress: bool


def descend(problem: Problem, seeds: int, where: Where) -> Sampled:
    """Run SGD on the unit sphere, all rates and seeds in one batch."""
    model = problem.model
    system = model.system(len(model.rates) * seeds)
    entropy = md.GraphEntropy(
        [problem.descent.steps], samples=model.samples, stride=model.stride, k=model.k, dimension=system.dof - 1
    )
    rates = per_replica(model.rates, seeds)
    method = SGD(system.minibatch(model.batch), rates, radius=1.0)
    sweep = {"rate": rates.flatten().tolist(), "seed": list(range(seeds)) * len(model.rates), "protocol": "sphere"}
    start = model.starts(system, seeds, where.seed)
    return _run(system, method, start, problem.descent, [entropy], {"sweep": sweep}, "sgd", seeds, where)


def descend_isotropic(
    problem: Problem, start: Tensor, rates: Sequence[float], temperature: Floats, where: Where
) -> Sampled:
    """Run SGD on all data from q (rates, seeds, dof), with isotropic tangent noise of sigma^2 = 2 T/rate, T (rates,).

    That is the trace of the noise, T = rate Tr Sigma/(2 (D - 1)), without its directions.
    """
    seeds = start.shape[1]
    system = problem.model.system(len(rates) * seeds)
    sigma = per_replica(np.sqrt(2 * temperature / np.asarray(rates)), seeds)
    method = SGD(TangentNoise(system.force, sigma), per_replica(rates, seeds), radius=1.0)
    return _run(system, method, start.flatten(0, 1), problem.isotropic, [], {}, "isotropic", seeds, where)


def langevin(problem: Problem, start: Tensor, temperature: Floats, name: str, where: Where) -> Sampled:
    """Run BAOAB on all data from unit vectors (groups, seeds, dof) at T (groups,).

    In flat space with the prior of stiffness T D: U does not change along q nor the prior across it, so that the
    directions sample e^{-U/T} on the sphere, exactly as dt goes to zero.
    """
    seeds = start.shape[1]
    t = per_replica(temperature, seeds)
    system = problem.heated(t.flatten().numpy())
    method = Splitting(BAOAB, system.force, problem.dt, Langevin(t, friction=1.0))
    return _run(system, method, start.flatten(0, 1), problem.langevin, [], {}, name, seeds, where)


def _run(
    system: md.ParticleSystem, method: Integrator, start: Tensor, span: Span, reporters: list[md.GraphEntropy],
    parameters: dict[str, Any], name: str, seeds: int, where: Where,
) -> Sampled:  # fmt: skip
    simulation = md.Simulation(
        system, method, positions=start.to(system.dtype), seed=where.seed + crc32(name.encode()),
        output=where.folder / name, overwrite=where.overwrite, parameters=parameters,
        reporters=[md.Frames(span.looks), *reporters],
    )  # fmt: skip
    finish(simulation, span.steps, progress=where.progress)
    with trajectories.open(where.folder / name) as file:
        q = torch.as_tensor(np.asarray(file.positions[:]))
        entropy = np.asarray(file.observables["graph_entropy"].values)[-1].reshape(-1, seeds) if reporters else None
    q /= q.norm(dim=-1, keepdim=True)
    energy = np.stack([system.force.mean_loss(w).numpy() for w in q.to(system.dtype)])
    return Sampled(q.reshape(len(q), -1, seeds, q.shape[-1]), energy.reshape(len(q), -1, seeds), entropy)
