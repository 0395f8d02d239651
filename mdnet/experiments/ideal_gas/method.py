"""A grid of states of the gas, reached by SGD in three ways: every state and every seed is a replica of one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from integrators import SGD, Force, Integrator, Phase
from mdnet.cadence import At
from mdnet.experiments.columns import per_replica
from mdnet.noise_level import NoiseLevel
from mdnet.reporters import Reporter, Scalars
from mdnet.simulation import Simulation, finish
from mdnet.system import ParticleSystem

Array = NDArray[Any]
Protocol = Literal["sphere", "elr", "lr"]
PROTOCOLS: dict[Protocol, str] = {
    "sphere": "fixed sphere",
    "elr": "fixed effective rate",
    "lr": "fixed rate",
}


@dataclass(frozen=True, eq=False)
class Grid:
    """States to be reached: the effective rate e, the radius r and Tr Sigma of each, all (states,).

    One step turns the direction w/|w| by e (sigma xi + gradient), which is diffusion at T = e sigma^2/2, with
    Tr Sigma = (D - 1) sigma^2. It lengthens |w|^2 by the factor 1 + e^2 Tr Sigma, for the gradient is orthogonal to
    w, and a decay lambda shortens it by 1 - 2 e r^2 lambda: the radius stands at r where lambda = e Tr Sigma/(2 r^2).
    """

    effective: Array
    radius: Array
    noise: Array

    def rate(self, protocol: Protocol) -> Array:
        """Return the rate that SGD is given (states,): e where it is the effective one, else e r^2."""
        return self.effective if protocol == "elr" else self.effective * self.radius**2

    @property
    def decay(self) -> Array:
        """The decay (states,) that holds the radius, which on a sphere is held by projection instead."""
        held: Array = self.effective * self.noise / (2 * self.radius**2)
        return held


@dataclass(frozen=True, eq=False)
class Gas:
    """What is made a gas of, and how long it is watched.

    `system`: replicas -> the particles; `force`: the noisy force on them. `effective` and `radii`: the grid of states,
    each rate with each radius. `noise`: Tr Sigma where it is known beforehand; otherwise the sphere's run measures it
    at each rate. `seeds`: replicas of a state. A run has `burn` steps, and before them `settle` where it begins in any
    direction; then `looks` looks, `stride` steps apart, for U, noise and radius; `sees`: looks -> what else is written
    for the entropy. `batches`: draws for each measurement of the noise.
    """

    name: str
    title: str
    system: Callable[[int], ParticleSystem]
    force: Callable[[ParticleSystem], Force]
    sees: Callable[[At], Reporter]
    effective: Sequence[float]
    radii: Sequence[float]
    noise: float | None
    seeds: int
    burn: int
    stride: int
    looks: int
    settle: int = 0
    batches: int = 4

    @property
    def steps(self) -> int:
        """The steps of one run."""
        return self.burn + self.looks * self.stride

    @property
    def times(self) -> At:
        """The steps at which it is looked."""
        return At(range(self.burn + self.stride, self.steps + 1, self.stride))

    def grid(self, noise: Array) -> Grid:
        """Return the grid, rates slowest, for Tr Sigma by rate (rates,)."""
        radii = len(self.radii)
        return Grid(
            np.repeat(np.asarray(self.effective, np.float64), radii),
            np.tile(np.asarray(self.radii, np.float64), len(self.effective)),
            np.repeat(np.asarray(noise, np.float64), radii),
        )


class Radial:
    """The radius |q| and the square |f|^2 of the force that the next step takes, each (replicas,) float64.

    Of a scale-invariant network |f|^2 is what lengthens |q|. `every`: steps between reports.
    """

    def __init__(self, every: At) -> None:
        self.every = every

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """There is nothing to learn."""

    def __call__(self, step: int, phase: Phase) -> dict[str, Tensor]:
        """Return both."""
        return {
            "radius": phase.q.square().sum(-1, dtype=torch.float64).sqrt(),
            "force_squared": phase.f.square().sum(-1, dtype=torch.float64),
        }


def run(
    gas: Gas,
    protocol: Protocol,
    grid: Grid,
    folder: Path,
    *,
    seed: int = 0,
    positions: Tensor | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
) -> Tensor:
    """Run all states and seeds as the replicas of one simulation, written to `folder`; return where they end.

    Replica state * seeds + seed begins at the radius that its state predicts, in the direction of `positions`
    (replicas, dof), by default in one that all states of a seed share. `resume`: go on where it was stopped. Raises
    KeyboardInterrupt where a signal has stopped it, and OutputExistsError where a run is in the folder and may not be
    replaced.
    """
    seeds = gas.seeds
    system = gas.system(len(grid.radius) * seeds)
    if positions is None:
        positions = system.positions(seed)[:seeds].repeat(len(grid.radius), 1)
    rate, decay, radius = (per_replica(x, seeds) for x in (grid.rate(protocol), grid.decay, grid.radius))
    start = positions * (radius / positions.double().norm(dim=1, keepdim=True)).to(positions)
    force, looks = gas.force(system), gas.times
    method = {
        "sphere": lambda: SGD(force, rate, radius=radius),
        "elr": lambda: SGD(force, rate, weight_decay=decay, effective=True),
        "lr": lambda: SGD(force, rate, weight_decay=decay),
    }[protocol]()
    draw = len(PROTOCOLS) * seed + list(PROTOCOLS).index(protocol)  # no two protocols see the same noise
    simulation = Simulation(
        system, method, positions=start, seed=draw, output=folder,
        overwrite=overwrite or resume,
        reporters=[Scalars(looks), NoiseLevel(looks, batches=gas.batches), Radial(looks), gas.sees(looks)],
        parameters={"sweep": _told(protocol, grid, seeds)},
    )  # fmt: skip
    finish(simulation, gas.steps, progress=progress, resume=resume)
    return simulation.phase.q


def shortened(gas: Gas, *, seeds: int | None = None, looks: int | None = None) -> Gas:
    """Return the gas with other numbers of seeds and of looks, where they are given.

    Raises ValueError for fewer than two seeds, which tell no error, and fewer than 200 looks, too few for an entropy.
    """
    changed = replace(gas, seeds=gas.seeds if seeds is None else seeds, looks=gas.looks if looks is None else looks)
    if changed.seeds < 2 or changed.looks < 200:
        raise ValueError(
            f"seeds = {changed.seeds} and looks = {changed.looks}: there must be 2 seeds and 200 looks or more"
        )
    return changed


def _told(protocol: Protocol, grid: Grid, seeds: int) -> dict[str, Any]:
    """What the file remembers of every replica."""
    held = {"decay": grid.decay} if protocol != "sphere" else {}
    columns = {"rate": grid.rate(protocol), "effective": grid.effective, "start_radius": grid.radius} | held
    by_replica = {name: np.repeat(column, seeds).tolist() for name, column in columns.items()}
    return {"protocol": protocol, "seed": list(range(seeds)) * len(grid.radius)} | by_replica
