"""One run of a bath kept in memory: energies, momenta and predictions at the target temperature, and its cost."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import mdnet as md
from integrators import VERLET, Integrator, Phase, Splitting, Thermostat, kinetic_energy, outer
from mdnet.experiments.problems import Task
from mdnet.experiments.results import Array
from mdnet.experiments.simmering import HEATINGS
from mdnet.simulation import finish

EVERY = 10  # steps between two samples of the energies


@dataclass(frozen=True, eq=False)
class Sampled:
    """What a run showed at its target temperature; `seconds` of the processor for all its steps, heating included.

    `native`: whether its steps were compiled, without which a step costs several times as much.
    """

    potential: Array  # (samples, seeds)
    kinetic: Array  # (samples, seeds), of the momenta as the bath left them
    layers: Array  # (seeds, tensors), <p^2/m>/T of each parameter tensor
    predictions: Array  # (members, seeds, rows, outputs)
    seconds: float
    native: bool


def sample(task: Task, bath: Thermostat, *, start: Tensor) -> Sampled:
    """Raise T from the start (seeds, dof) to the target as simmering does, and sample there, with the restraint."""
    problem = task.problem
    system = task.particles(problem.temperature)
    look = _Look(task, after=problem.heating)
    schedule = HEATINGS["staircase"](problem.temperature, problem.stages, problem.stage_steps)
    simulation = md.Simulation(
        system, Splitting(outer(VERLET), system.force, problem.dt, bath), positions=start,
        schedule={"temperature": schedule}, seed=task.seed, reporters=[look],
    )  # fmt: skip
    began = time.process_time()
    finish(simulation, problem.heating + problem.sample_steps, progress=False)
    return look.sampled(time.process_time() - began, native="native" in repr(simulation.stepper).split(" (")[0])


class _Look:
    """Keeps what is sampled after a step; a reporter that reports nothing."""

    def __init__(self, task: Task, *, after: int) -> None:
        self.task, self.after, self.every = task, after, math.gcd(EVERY, task.problem.sample_every)
        self.energies: list[tuple[Tensor, Tensor, Tensor]] = []
        self.predictions: list[Array] = []

    def start(self, system: md.ParticleSystem, integrator: Integrator) -> None:
        self.system, self.integrator = system, integrator

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        if step > self.after and step % EVERY == 0:
            p = self.integrator.momenta(phase)
            doubled = (p.double().square() / phase.m).split(list(self.system.sizes), -1)  # type: ignore[no-untyped-call]
            layers = torch.stack([layer.mean(-1) for layer in doubled], -1) / self.task.problem.temperature
            self.energies.append((phase.u.clone(), kinetic_energy(p, phase.m), layers))
        if step > self.after and step % self.task.problem.sample_every == 0:
            self.predictions.append(self.task.predict(self.system, phase.q)[0])
        return {}

    def sampled(self, seconds: float, *, native: bool) -> Sampled:
        potential, kinetic, layers = (torch.stack(x).numpy() for x in zip(*self.energies, strict=True))
        return Sampled(potential, kinetic, layers.mean(0), np.stack(self.predictions), seconds, native)
