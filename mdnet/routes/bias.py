"""The bias that forces of fewer digits bring, in temperature, energy and heat, measured beside float32."""

from __future__ import annotations

import copy
from collections.abc import Callable
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from integrators import Force, Integrator, Phase, kinetic_energy
from mdnet.force import BatchForce
from mdnet.routes.choice import Route
from mdnet.routes.precision import Precision, check
from thermostats.parameters import maxwell

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem


class Reduced(BatchForce):
    """The force of a system as it would be with another `precision`, see ParticleSystem.

    What is lost in f is then no gradient of any U: energy is not conserved, and `precision_bias` says by how much that
    heats. `per_replica` as in BatchForce, by default the system's; `route`: "compiled", or plain torch for any other,
    by default the system's. Raises ValueError as precision.check.
    """

    def __init__(
        self,
        system: ParticleSystem,
        precision: Precision,
        *,
        per_replica: bool | None = None,
        route: Route | None = None,
    ) -> None:
        check(precision, system.device, system.dtype)
        other, graph = copy.copy(system), route or system.route
        other.precision = self.precision = precision
        other.route = "compiled" if graph == "compiled" else "eager"  # the others know float32 only
        super().__init__(other, per_replica=not system.shares_data if per_replica is None else per_replica)

    def __repr__(self) -> str:
        return f"Reduced({self.precision!r})"


class Bias(NamedTuple):
    """A mean over time with the full and the reduced force; errors are standard errors from independent replicas."""

    quantity: str
    full: float
    reduced: float
    difference: float
    error: float

    @property
    def z(self) -> float:
        """The difference in standard errors."""
        return self.difference / self.error if self.error else 0.0


def precision_bias(
    system: ParticleSystem,
    build: Callable[[Force], Integrator],
    precision: Precision,
    *,
    steps: int,
    burn: int,
    every: int = 10,
    seed: int = 0,
) -> list[Bias]:
    """Run with the full and the reduced force from the same starts, and return what the latter changes.

    The kinetic temperature 2K/N_f; <U>, of the full force at the positions of either run; and the heat that errors of
    the force bring, the drift of U + K - heat for each degree of freedom and unit of time; then the error of the
    force itself, |f_reduced - f|/|f| at the last positions.
    `build`: force -> integrator with a temperature. `steps` after `burn`, looked at `every` so many. The replicas of
    the system should be many. Raises ValueError for `steps` that are no multiple of `every`, and
    where a run diverges.
    """
    if steps < every or steps % every:
        raise ValueError(f"steps = {steps} must be a multiple of every = {every}")
    reduced = Reduced(system, precision)
    full = Reduced(system, "float32")
    means = [_means(system, build(force), full, steps, burn, every, seed) for force in (full, reduced)]
    names = ("kinetic temperature", "potential energy", "heating of a degree of freedom")
    table = [_bias(name, one, other) for name, one, other in zip(names, *(m[:3] for m in means), strict=True)]
    last = means[1][3]
    f = full(last)[1]
    wrong = (reduced(last)[1] - f).norm(dim=-1).double() / f.norm(dim=-1)
    return [*table, _bias("relative error of the force", torch.zeros_like(wrong), wrong)]


def _bias(name: str, full: Tensor, reduced: Tensor) -> Bias:
    """Compare values (replicas,) of the same replicas."""
    change = reduced - full
    error = (change.std() / sqrt(len(change))).item() if len(change) > 1 else float("nan")
    return Bias(name, full.mean().item(), reduced.mean().item(), change.mean().item(), error)


def _means(
    system: ParticleSystem, integrator: Integrator, full: Force, steps: int, burn: int, every: int, seed: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """2K/N_f, U and heating, each (replicas,) float64, and the last positions."""
    with torch.random.fork_rng(devices=[system.device] if system.device.type == "cuda" else []):
        torch.manual_seed(seed)
        q = system.positions(seed)
        warmth = integrator.temperature
        p = torch.zeros_like(q) if warmth is None else maxwell(torch.zeros_like(q), system.masses, warmth.to(q.device))
        phase = integrator.start(q, p, system.masses)
        for _ in range(burn):
            integrator(phase)
        before = _energy(phase, integrator, full)
        kinetic, potential = torch.zeros_like(before), torch.zeros_like(before)
        for step in range(1, steps + 1):
            integrator(phase)
            if step % every == 0:
                kinetic += kinetic_energy(integrator.momenta(phase), phase.m)
                potential += full(phase.q)[0]
        drift = _energy(phase, integrator, full) - before
    if not torch.isfinite(potential).all():
        raise ValueError(f"the run diverged with dt = {torch.unique(integrator.dt).tolist()}; take a smaller one")
    looks, time = steps // every, steps * integrator.substeps * integrator.dt.flatten()
    return 2 * kinetic / looks / system.dof, potential / looks, drift / time / system.dof, phase.q


def _energy(phase: Phase, integrator: Integrator, full: Force) -> Tensor:
    """U + K - heat, with the U of the full force: (replicas,) float64."""
    integrator.sync(phase)
    return full(phase.q)[0] + kinetic_energy(integrator.momenta(phase), phase.m) - phase.heat
