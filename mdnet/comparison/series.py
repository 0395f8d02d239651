"""One run of a contestant: what is recorded of it, at a fixed number of force evaluations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from integrators import Integrator, Isokinetic, Phase, Splitting, kinetic_energy
from mdnet.comparison.contest import Contestant
from mdnet.progress import Bar
from mdnet.validation.pairs import Witness
from mdnet.validation.subjects import Subject
from thermostats.parameters import maxwell

FRAMES = 400  # of each replica
_SPARSE = 8  # frames between two looks at the curvature, which costs more than the rest
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Series:
    """What was seen after the first fifth of a run; arrays are (frames, replicas) float64 unless said.

    `kinetic`: of the momenta as the bath left them last, where Maxwell's law holds in every scheme; None where a
    method has no momenta, or none with a law. `every`: force evaluations between two frames; `time`: simulated
    time between them.
    """

    potential: Floats
    kinetic: Floats | None
    layers: Floats | None  # (replicas, layers) mean p^2/m
    conserved: Floats
    squared: Floats  # (frames / 8, replicas) |grad U|^2
    laplacian: Floats | None  # (frames / 8, replicas)
    every: int
    time: float

    @property
    def finite(self) -> bool:
        """Whether nothing diverged."""
        return bool(np.isfinite(self.potential).all() and np.isfinite(self.squared).all())


def begin(
    contestant: Contestant, subject: Subject, *, temperature: float, dt: float, replicas: int, compile: bool = False
) -> tuple[Integrator, Phase, Witness | None]:
    """Return the integrator at its start, and where there is a bath the witness of the momenta it leaves."""
    engine = contestant.make(subject, temperature, dt, compile)
    q = subject.start(subject.rows(replicas), temperature).to(subject.dtype)
    m = subject.masses.to(q)
    p = maxwell(q, m, torch.tensor(temperature, dtype=torch.float64, device=q.device))
    witness = None
    if isinstance(engine, Splitting) and not isinstance(engine, Isokinetic) and engine.thermostat is not None:
        engine.thermostat = witness = Witness(engine.thermostat, q.device)
    return engine, engine.start(q.clone(), p, m), witness


def record(
    contestant: Contestant, subject: Subject, *, temperature: float, dt: float, replicas: int, forces: int,
    show: bool = False,
) -> Series:  # fmt: skip
    """Run a contestant for so many force evaluations of each replica, and record the last four fifths."""
    engine, phase, witness = begin(contestant, subject, temperature=temperature, dt=dt, replicas=replicas)
    cost = contestant.forces(subject, dt)
    steps = max(1, forces // cost)
    burn = steps // 5
    every = max(1, (steps - burn) // FRAMES)
    look = _Look(engine, subject, witness)
    with Bar(steps, show=show, title=f"{contestant.name} on {subject.name}") as bar:
        for step in range(1, steps + 1):
            engine(phase)
            if step > burn and (step - burn) % every == 0:
                look(phase)
            if step % every == 0:
                bar.update(step, {})
    return look.series(every * cost, every * float(engine.dt.flatten()[0]))


class _Look:
    """Collects frames on the device, and hands them over at the end."""

    def __init__(self, engine: Integrator, subject: Subject, witness: Witness | None) -> None:
        self.engine, self.subject, self.witness = engine, subject, witness
        self.rows: list[tuple[Tensor, ...]] = []
        self.curved: list[tuple[Tensor, ...]] = []
        self.layers: Tensor | None = None

    def __call__(self, phase: Phase) -> None:
        self.engine.sync(phase)
        momenta = self._momenta(phase)
        kinetic = kinetic_energy(self.engine.momenta(phase), phase.m) if self.engine.has_momenta else 0.0
        seen = torch.zeros_like(phase.u) if momenta is None else kinetic_energy(momenta, phase.m)
        self.rows.append((phase.u.clone(), seen, phase.u + kinetic - phase.heat))
        if momenta is not None:
            doubled = (momenta.double().square() / phase.m).split(list(self.subject.sizes), -1)  # type: ignore[no-untyped-call]
            layers = torch.stack([layer.mean(-1) for layer in doubled], -1)
            self.layers = layers if self.layers is None else self.layers + layers
        if len(self.rows) % _SPARSE == 1:
            squared = phase.f.double().square().sum(-1)
            curvature = self.subject.laplacian(phase.q).double() if self.subject.laplacian else squared
            self.curved.append((squared, curvature))

    def _momenta(self, phase: Phase) -> Tensor | None:
        if self.witness is not None:
            return self.witness.p
        lawful = self.engine.has_momenta and not isinstance(self.engine, Isokinetic)
        return self.engine.momenta(phase) if lawful else None

    def series(self, every: int, time: float) -> Series:
        potential, kinetic, conserved = (torch.stack(x).cpu().numpy() for x in zip(*self.rows, strict=True))
        squared, laplacian = (torch.stack(x).cpu().numpy() for x in zip(*self.curved, strict=True))
        layers = None if self.layers is None else (self.layers / len(self.rows)).cpu().numpy()
        return Series(
            potential, None if layers is None else kinetic, layers, conserved, squared,
            laplacian if self.subject.laplacian else None, every, time,
        )  # fmt: skip
