"""How long a step may be: the largest that is stable, and how the bias of <U> grows with it."""

from __future__ import annotations

import torch

from integrators import Phase, Splitting, kinetic_energy
from mdnet.comparison.contest import Contestant
from mdnet.comparison.measures import Reference
from mdnet.comparison.series import begin, record
from mdnet.validation.subjects import Subject
from trajectories import statistics
from trajectories.statistics import Estimate

_STEPS, _REPLICAS, _HALVINGS = 300, 16, 7
_LOST = 10.0  # energies N_f T by which U + K - heat may be off


def largest_stable(contestant: Contestant, subject: Subject, *, temperature: float, dt: float) -> float:
    """Return the largest dt of one force evaluation at which 300 steps stay bounded, to 1 %, by bisection.

    A method that rejects what is unstable has none: infinity.
    """
    low, high = 0.0, dt
    while _bounded(contestant, subject, temperature, high):
        low, high = high, 2 * high
        if high > 1e4 * dt:
            return float("inf")
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _bounded(contestant, subject, temperature, middle):
            low = middle
        else:
            high = middle
    return low


def biases(
    contestant: Contestant, subject: Subject, reference: Reference, steps: list[float], *, temperature: float,
    replicas: int, forces: int,
) -> list[Estimate]:  # fmt: skip
    """Return (<U> - exact)/(N_f T/2) at each dt of one force evaluation."""
    found, scale = [], 2 / (subject.dof * temperature)
    for dt in steps:
        series = record(contestant, subject, temperature=temperature, dt=dt, replicas=replicas, forces=forces)
        if not series.finite:
            found.append(Estimate(float("nan"), float("nan")))
            continue
        mean, exact = statistics.mean(series.potential), reference.mean
        found.append(Estimate(scale * (mean.value - exact.value), scale * (mean.error**2 + exact.error**2) ** 0.5))
    return found


def _bounded(contestant: Contestant, subject: Subject, temperature: float, dt: float) -> bool:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        engine, phase, _ = begin(contestant, subject, temperature=temperature, dt=dt, replicas=_REPLICAS)
        start = _energy(engine, phase)
        cost = contestant.forces(subject, dt)
        for _ in range(max(20, _STEPS // cost)):
            engine(phase)
        engine.sync(phase)
        error = (_energy(engine, phase) - start).abs()
    return bool((error < _LOST * subject.dof * temperature).all())


def _energy(engine: object, phase: Phase) -> torch.Tensor:
    if not isinstance(engine, Splitting):
        return phase.u.clone()
    return phase.u + kinetic_energy(engine.momenta(phase), phase.m) - phase.heat
