"""The laws of mechanics: force, order, reversal, the conserved quantity, and what the bath books."""

from __future__ import annotations

from collections.abc import Iterator
from math import log2

import torch
from torch import Tensor

from integrators import Scheme, Splitting, Thermostat, kinetic_energy
from mdnet.validation.law import Law, average, decide, deviations, limit, skipped
from mdnet.validation.pairs import turn_round
from mdnet.validation.trial import Trial

_ROWS, _STEPS = 64, 64  # replicas, and steps at the longest dt, of the deterministic laws
_FORCE, _REVERSAL, _EXACT = 1e-6, 1e-10, 1e-9
_CONVERGES = f"< {_EXACT:g} or 3 x less per dt/2"
_KINKS = "the force of a network with kinks, such as ReLU's, has no derivative"
_NUMBERS = 120_000  # momenta in the test of a bath alone


def force(trial: Trial) -> Iterator[Law]:
    """The force is -dU/dq: central differences along random directions, float64."""
    subject = trial.subject
    if not subject.smooth:
        yield skipped("force", _KINKS)
        return
    rows = subject.rows(_ROWS)
    with trial.seeded("force"):
        q = subject.start(rows, trial.temperature).double()
        direction = torch.randn_like(q)
    evaluate, h = subject.force(torch.float64), 1e-4
    ahead, behind = evaluate(q + h * direction)[0], evaluate(q - h * direction)[0]
    further, back = evaluate(q + 2 * h * direction)[0], evaluate(q - 2 * h * direction)[0]
    slope = (8 * (ahead - behind) - (further - back)) / (12 * h)
    along = -(evaluate(q)[1] * direction).sum(-1)
    error = float(((slope - along).square().mean() / along.square().mean()).sqrt())
    yield decide("force", error < _FORCE, error, 0.0, f"< {_FORCE:g}")


def order(trial: Trial) -> Iterator[Law]:
    """U + K - heat errs by dt^order: the slope over a halving of dt, from the same starts."""
    if not trial.subject.smooth:
        yield skipped("order", _KINKS)
        return
    scheme, thermostat = trial.mechanics
    longer, shorter = (_error(trial, scheme, thermostat, trial.dt / k, _ROWS) for k in (2, 4))
    slope = log2(longer / shorter) if min(longer, shorter) > 0 else float("nan")
    holds = slope >= scheme.order - 0.25
    law = decide("order", holds, slope, scheme.order, f">= {scheme.order - 0.25:g}")
    law = law.noted("dt may be too long for the order to show, or the bath's own integration too coarse")
    yield law.noted("of the scheme alone" if not trial.deterministic else "", failure=False)


def conserved(trial: Trial) -> Iterator[Law]:
    """U + K - heat: with noise its error falls 2^order times per halving; without, its mean does not drift."""
    if not trial.subject.smooth:
        yield skipped("conserved", _KINKS)
        return
    if trial.deterministic:
        yield _drift(trial)
        return
    scheme = trial.pair.scheme
    longest, shortest = (_error(trial, scheme, trial.thermostat, trial.dt / k, 8 * _ROWS) for k in (1, 4))
    fall = (longest / shortest) ** 0.5 if shortest > 0 else float("nan")
    least = 0.75 * 2**scheme.order
    yield decide("conserved", fall >= least, fall, 2.0**scheme.order, f">= {least:g} per dt/2")


def reversal(trial: Trial) -> Iterator[Law]:
    """Some steps, all momenta turned round (the bath's too), as many steps: back at the start."""
    scheme, thermostat = trial.mechanics
    engine, phase = trial.begin(scheme, thermostat, trial.dt / 4, rows=8, name="reversal")
    q, p = phase.q.clone(), phase.p.clone()
    _advance(engine, phase, 2 * _STEPS)
    if not turn_round(thermostat, phase):
        yield skipped("reversal", "the bath has variables but no method reverse(bath) that turns its momenta round")
        return
    _advance(engine, phase, 2 * _STEPS)
    error = max(
        float((phase.q - q).abs().max() / q.abs().max().clamp_min(1e-300)),
        float((phase.p + p).abs().max() / p.abs().max()),
    )
    law = decide("reversal", error < _REVERSAL, error, 0.0, f"< {_REVERSAL:g}")
    yield law.noted("of the scheme alone" if not trial.deterministic else "", failure=False)


def bath_energy(trial: Trial) -> Iterator[Law]:
    """energy(bath) is the heat it took, -heat: exactly, or better and better with shorter steps."""
    energy = getattr(trial.thermostat, "energy", None)
    if energy is None or trial.thermostat is None:
        yield skipped("bath energy", "the thermostat has no method energy(bath)")
        return
    longer, shorter = (_mismatch(trial, trial.thermostat, trial.dt / k) for k in (1, 2))
    holds = shorter < _EXACT or longer / shorter >= 3
    law = decide("bath energy", holds, shorter, 0.0, _CONVERGES)
    yield law.noted("energy(bath) differs from the heat that the bath took")


def composition(trial: Trial) -> Iterator[Law]:
    """A bath acts for a time: so many calls of dt do what twice as many of dt/2 do."""
    if trial.thermostat is None:
        yield skipped("composition", "there is no bath")
        return
    once, twice = (_act(trial, trial.thermostat, calls) for calls in (8, 16))
    forgets = "what a bath does must follow the time dt it is given"
    if trial.deterministic:
        finer = _act(trial, trial.thermostat, 32)
        longer, shorter = (float((a - b).square().mean().sqrt()) for a, b in ((once, twice), (twice, finer)))
        holds = shorter < _EXACT or longer / shorter >= 3
        yield decide("composition", holds, shorter, 0.0, _CONVERGES).noted(forgets)
        return
    with trial.seeded("composition"):
        start = trial.momenta(len(once), 2 * trial.temperature)[0]
    seen, expected = (_correlations(p, start, trial) for p in (once, twice))
    z = deviations(seen - expected, 0.0)
    worst, gate_z = int(z.abs().argmax()), limit(len(seen), len(z))
    value, target = float(seen[:, worst].mean()), float(expected[:, worst].mean())
    law = decide("composition", bool(z.abs().max() <= gate_z), value, target, f"|z| <= {gate_z:.1f}", float(z[worst]))
    yield law.noted(forgets)


def _advance(engine: Splitting, phase: object, steps: int) -> None:
    for _ in range(steps):
        engine(phase)  # type: ignore[arg-type]


def _error(trial: Trial, scheme: Scheme, thermostat: Thermostat | None, dt: float, rows: int) -> float:
    """The root mean square of U + K - heat less its start, its geometric mean over the replicas."""
    engine, phase = trial.begin(scheme, thermostat, dt, rows=rows, name="error")
    energies = []
    with trial.seeded(f"noise {dt}"):
        before = phase.u + kinetic_energy(engine.momenta(phase), phase.m)
        for _ in range(round(_STEPS * trial.dt / dt)):
            engine(phase)
            engine.sync(phase)
            energies.append(phase.u + kinetic_energy(engine.momenta(phase), phase.m) - phase.heat - before)
    squares = torch.stack(energies).square().mean(0)
    return float(squares.log().mean().exp().sqrt())


def _drift(trial: Trial) -> Law:
    scheme, thermostat = trial.mechanics
    engine, phase = trial.begin(scheme, thermostat, trial.dt, rows=2 * _ROWS, name="drift", settled=True)
    energies = []
    for _ in range(12 * _STEPS):
        engine(phase)
        engine.sync(phase)
        energies.append(phase.u + kinetic_energy(engine.momenta(phase), phase.m) - phase.heat)
    early, late = torch.stack(energies)[4 * _STEPS :].chunk(2)
    return average("conserved", late.mean(0) - early.mean(0), 0.0).noted(
        "U + K - heat drifts, or the run is not in equilibrium yet"
    )


def _mismatch(trial: Trial, thermostat: Thermostat, dt: float) -> float:
    engine, phase = trial.begin(trial.pair.scheme, thermostat, dt, rows=_ROWS, name="mismatch")
    before = thermostat.energy(phase.bath)  # type: ignore[attr-defined]
    with trial.seeded(f"noise {dt}"):
        _advance(engine, phase, round(_STEPS * trial.dt / dt))
    took: Tensor = thermostat.energy(phase.bath) - before  # type: ignore[attr-defined]
    return float((took + phase.heat).square().mean().sqrt() / (trial.dof * trial.temperature))


def _act(trial: Trial, thermostat: Thermostat, calls: int) -> Tensor:
    """The momenta after eight steps of dt of nothing but the bath, from twice its temperature."""
    with trial.seeded("composition"):
        p, m = trial.momenta(max(_ROWS, _NUMBERS // trial.dof), 2 * trial.temperature)
        bath = thermostat.bath(p)
    span = torch.tensor(8 * trial.dt / calls, dtype=torch.float64, device=p.device)
    with trial.seeded(f"noise {calls}"):
        for _ in range(calls):
            thermostat(p, m, bath, span)
    return p


def _correlations(p: Tensor, start: Tensor, trial: Trial) -> Tensor:
    """Numbers that tell the law of p: <p p0>, 2K/N, its square, <p^2 p0^2>: (rows, 4)."""
    scale = torch.sqrt(trial.subject.masses * trial.temperature)
    x, x0 = p / scale, start / scale
    square = x.square()
    kinetic = square.mean(-1)
    return torch.stack([(x * x0).mean(-1), kinetic, kinetic.square(), (square * x0.square()).mean(-1)], -1)
