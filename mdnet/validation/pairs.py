"""A scheme with a thermostat: the pair that is tested, at any temperature and on any system."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor

from integrators import Phase, Scheme, Splitting, Thermostat
from integrators.phase import place
from mdnet.config.specs import Spec
from mdnet.validation.subjects import Subject
from thermostats.parameters import maxwell

Make = Callable[[float, Subject], Thermostat]
_TRIES = 20  # calls of a bath in which chance is looked for


@dataclass(frozen=True, eq=False)
class Pair:
    """A scheme with a bath; `make(temperature, subject)` returns the thermostat, None where there is none."""

    scheme: Scheme
    make: Make | None = None
    bath: str = "none"

    @property
    def name(self) -> str:
        """Scheme and bath, such as "BAOAB + langevin"."""
        return f"{self.scheme.name} + {self.bath}"

    @classmethod
    def of(cls, scheme: Scheme, spec: Spec) -> Pair:
        """Return a scheme with the thermostat of a spec, its times those of the system."""

        def make(temperature: float, subject: Subject) -> Thermostat:
            return spec.make(temperature, sizes=subject.sizes, time=subject.time)

        return cls(scheme, make, spec.text)

    def thermostat(self, temperature: float, subject: Subject) -> Thermostat | None:
        """Return the thermostat at a temperature; None where there is none, or where the scheme has no place for it."""
        return self.make(temperature, subject) if self.make is not None and self.scheme.has_bath else None


def without_bath(scheme: Scheme) -> Scheme:
    """Return the scheme with its O left out and equal neighbours merged."""
    steps = [step for step in scheme.steps if step[0] != "O"]
    merged = tuple((k, sum(c for _, c in same)) for k, same in groupby(steps, key=lambda step: step[0]))
    return replace(scheme, steps=merged) if scheme.has_bath else scheme


def is_deterministic(thermostat: Thermostat, m: Tensor, temperature: float, dt: float) -> bool:
    """Whether the thermostat does the same whatever the random numbers: seen by calling it twice."""
    start = maxwell(m.new_zeros(64, len(m)), m, torch.tensor(2 * temperature, dtype=torch.float64))
    span = torch.tensor(dt, dtype=torch.float64, device=m.device)
    ends = []
    for _ in range(2):
        p = start.clone()
        bath = thermostat.bath(p)
        for _ in range(_TRIES):
            thermostat(p, m, bath, span)
        ends.append(p)
    return torch.equal(*ends)


def turn_round(thermostat: Thermostat | None, phase: Phase) -> bool:
    """Turn the momenta of particles and bath round, in place; False where it is not known how the bath's turn.

    A thermostat with variables of its own says so by a method reverse(bath).
    """
    phase.p.neg_()
    if thermostat is None or not phase.bath:
        return True
    reverse = getattr(thermostat, "reverse", None)
    if reverse is not None:
        reverse(phase.bath)
    return reverse is not None


class Witness:
    """A bath that keeps the momenta as it left them last: there their law is Maxwell's in every scheme."""

    p: Tensor

    def __init__(self, thermostat: Thermostat, device: torch.device) -> None:
        self.inner = place(thermostat, device)
        self.bath = self.inner.bath
        self.temperature = getattr(self.inner, "temperature", None)

    def __call__(self, p: Tensor, m: Tensor, bath: tuple[Tensor, ...], dt: Tensor) -> None:
        """Let the bath act, and keep a copy of p."""
        self.inner(p, m, bath, dt)
        self.p = p.clone()


def start(
    scheme: Scheme, thermostat: Thermostat | None, subject: Subject, q: Tensor, temperature: float, dt: float
) -> tuple[Splitting, Phase]:
    """Return an engine and its phase at q (replicas, dof), in q's precision, with momenta of a temperature."""
    m = subject.masses.to(q)
    p = maxwell(q, m, torch.tensor(temperature, dtype=torch.float64, device=q.device))
    engine = Splitting(scheme, subject.force(q.dtype), dt, thermostat)
    return engine, engine.start(q.clone(), p, m)
