"""The ensemble behind the estimators: minimise, heat in stages, sample, and keep the weights in memory."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from integrators import BAOAB, VERLET, Integrator, Phase, Splitting, outer
from mdnet.cautions import UnboundedWarning
from mdnet.flatten import ParameterTable
from mdnet.priors import GaussianPrior
from mdnet.routes.choice import Route
from mdnet.schedules import Staircase
from mdnet.simulation import Simulation
from mdnet.spelling import unknown
from mdnet.system import Loss, ParticleSystem
from mdnet.training import minimise
from thermostats import Andersen, Langevin, NoseHooverChain

MODES = ("retrofit", "ab-initio")
THERMOSTATS = ("andersen", "langevin", "nose-hoover-chain")
ADAM_RATE = 5e-3
FRICTION = 1.0  # of the Langevin bath, and the collision rate of Andersen's
TAU, LINKS = 0.5, 4  # of the chain
STAGES = 5  # of the heating
FRAMES = 50  # networks that each replica gives to the ensemble
_FEW, _ROWS = 2000, 100  # steps, on up to so many rows, that are done before code for a new shape is compiled


@dataclass(frozen=True)
class Recipe:
    """How an ensemble is made; the estimators' documentation says what each entry is.

    Raises ValueError for values out of range and for unknown names.
    """

    restraint: bool
    mode: str
    adam_steps: int
    heat_steps: int
    sample_steps: int
    thermostat: str
    dt: float
    verbose: bool

    def __post_init__(self) -> None:
        for what, name, known in (("mode", self.mode, MODES), ("thermostat", self.thermostat, THERMOSTATS)):
            if name not in known:
                raise ValueError(unknown(what, name, known))
        for name, least in (("adam_steps", 0), ("heat_steps", 0), ("sample_steps", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)} must be {least} or more")

    def route(self, rows: int) -> Route:
        """Plain torch for runs that are over before code for them is compiled, else what the program chooses."""
        steps = self.adam_steps + self.heat_steps + self.sample_steps
        return "eager" if steps * max(rows, _ROWS) < _FEW * _ROWS else "auto"


@dataclass(frozen=True, eq=False)
class Rows:
    """What is learnt: inputs (n, features), targets (n, outputs) or (n,), and the loss; all in the network's units."""

    network: nn.Module
    loss: Loss
    inputs: Tensor
    targets: Tensor

    def system(
        self, recipe: Recipe, replicas: int, *, index: Tensor | None = None, temperature: Tensor | None = None
    ) -> ParticleSystem:
        """Return the particles, free or with the restraint of a temperature (replicas, 1)."""
        prior = None if temperature is None or not recipe.restraint else GaussianPrior(1.0, temperature)
        return ParticleSystem(
            self.network, self.loss, self.inputs, self.targets,
            replicas=replicas, index=index, prior=prior, route=recipe.route(len(self.inputs)),
        )  # fmt: skip


class Collect:
    """A reporter that keeps positions after the step `after` in memory and writes nothing."""

    def __init__(self, every: int, after: int) -> None:
        self.every, self.after = every, after
        self.kept: list[Tensor] = []

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """Need nothing of what is simulated."""

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Keep the positions (replicas, dof)."""
        if step > self.after:
            self.kept.append(phase.q.clone())
        return {}


def minimum(rows: Rows, recipe: Recipe, replicas: int, seed: int, index: Tensor | None = None) -> Tensor:
    """Return where the dynamics starts (replicas, dof): minima by Adam, or in ab-initio mode random weights."""
    system = rows.system(recipe, replicas, index=index)
    start = system.positions(seed=seed)
    if recipe.mode == "ab-initio":
        return start
    return minimise(system, start, recipe.adam_steps, ADAM_RATE, progress=recipe.verbose)


def sample(
    rows: Rows, recipe: Recipe, start: Tensor, temperature: Tensor, seed: int, index: Tensor | None = None
) -> Tensor:
    """Heat from `start` (replicas, dof) to a temperature (replicas, 1); return positions (frames, replicas, dof).

    Raises DivergenceError where dt is too long, KeyboardInterrupt on Ctrl-C.
    """
    system = rows.system(recipe, len(start), index=index, temperature=temperature)
    schedule = {}
    if recipe.mode == "retrofit" and recipe.heat_steps >= STAGES:
        every = recipe.heat_steps // STAGES
        schedule["temperature"] = Staircase(temperature / STAGES, temperature, stages=STAGES - 1, every=every)
    collect = Collect(max(1, recipe.sample_steps // FRAMES), recipe.heat_steps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnboundedWarning)  # what is free here is free on purpose
        simulation = Simulation(
            system, _integrator(system, recipe, temperature), positions=start, schedule=schedule, seed=seed,
            reporters=[collect],
        )  # fmt: skip
    if simulation.run(recipe.heat_steps + recipe.sample_steps, progress=recipe.verbose) == "interrupted":
        raise KeyboardInterrupt
    return torch.stack(collect.kept)


def _integrator(system: ParticleSystem, recipe: Recipe, temperature: Tensor) -> Splitting:
    if recipe.thermostat == "nose-hoover-chain":  # as published: half a chain on each side of velocity Verlet
        return Splitting(outer(VERLET), system.force, recipe.dt, NoseHooverChain(temperature, TAU, links=LINKS))
    bath = Langevin if recipe.thermostat == "langevin" else Andersen
    return Splitting(BAOAB, system.force, recipe.dt, bath(temperature, FRICTION))


def outputs(network: nn.Module, q: Tensor, inputs: Tensor) -> Tensor:
    """Return the outputs (samples, n, outputs) of the networks at q (samples, dof) on inputs (n, features)."""
    table = ParameterTable(network)

    def one(weights: Tensor) -> Tensor:
        found: Tensor = functional_call(network, table.unflatten(weights), (inputs,))
        return found

    with torch.no_grad():
        return vmap(one)(q)
