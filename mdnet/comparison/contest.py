"""Who is compared: a scheme with a thermostat, or a method that brings its own bath, at equal time per force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

from integrators import HMC, MALA, OMELYAN, Brownian, EulerMaruyama, Integrator, Isokinetic, Splitting, outer
from mdnet.spelling import unknown
from mdnet.validation.pairs import Pair
from mdnet.validation.subjects import Subject
from thermostats import Decoherence

Make = Callable[[Subject, float, float, bool], Integrator]
"""Subject, temperature, dt of one force evaluation, whether to compile."""


@dataclass(frozen=True, eq=False)
class Contestant:
    """A method under its two names, with the force evaluations that a step of it costs."""

    scheme: str
    bath: str
    forces: Callable[[Subject, float], int]  # subject, dt of one force evaluation -> evaluations a step
    make: Make

    @property
    def name(self) -> str:
        """Scheme and bath, such as "BAOAB + langevin"."""
        return f"{self.scheme} + {self.bath}"


def of_pair(pair: Pair) -> Contestant:
    """Return a pair as a contestant: a scheme of n forces takes steps n times as long."""

    def make(subject: Subject, temperature: float, dt: float, compile: bool) -> Integrator:
        bath = pair.thermostat(temperature, subject)
        force = subject.force(subject.dtype)
        return Splitting(pair.scheme, force, pair.scheme.forces * dt, bath, compile=compile)

    return Contestant(pair.scheme.name, pair.bath, lambda subject, dt: pair.scheme.forces, make)


def of_method(word: str) -> Contestant:
    """Return a method with a bath of its own by its word, one of METHODS; raises ValueError for another."""
    if word not in METHODS:
        raise ValueError(unknown("method", word, METHODS))
    return METHODS[word]


def _length(subject: Subject, dt: float) -> int:
    """Steps of a trajectory of hybrid Monte Carlo: as long as a typical time."""
    return max(1, round(subject.time / dt))


def _hmc(subject: Subject, temperature: float, dt: float, compile: bool) -> Integrator:
    steps = _length(subject, dt)
    return HMC(subject.force(subject.dtype), dt, temperature=temperature, steps=steps, compile=compile)


def _mala(subject: Subject, temperature: float, dt: float, compile: bool) -> Integrator:
    return MALA(subject.force(subject.dtype), dt, temperature=temperature, compile=compile)


def _mclmc(subject: Subject, temperature: float, dt: float, compile: bool) -> Integrator:
    length = sqrt(subject.dof * temperature) * subject.time  # in the unit of p/sqrt(m): the way in a typical time
    force, bath = subject.force(subject.dtype), Decoherence(length)
    return Isokinetic(outer(OMELYAN), force, 2 * dt, temperature=temperature, thermostat=bath, compile=compile)


def _brownian(subject: Subject, temperature: float, dt: float, compile: bool) -> Integrator:
    return Brownian(subject.force(subject.dtype), dt**2 / 2, temperature=temperature)


def _euler(subject: Subject, temperature: float, dt: float, compile: bool) -> Integrator:
    return EulerMaruyama(subject.force(subject.dtype), dt**2 / 2, temperature=temperature)


METHODS = {
    "hmc": Contestant("HMC", "own", _length, _hmc),
    "mala": Contestant("MALA", "own", lambda subject, dt: 1, _mala),
    "mclmc": Contestant("MCLMC", "own", lambda subject, dt: 2, _mclmc),
    "brownian": Contestant("Brownian", "own", lambda subject, dt: 1, _brownian),
    "euler-maruyama": Contestant("Euler-Maruyama", "own", lambda subject, dt: 1, _euler),
}
"""Methods with a bath of their own. Overdamped ones take dt^2/2, which is BAOAB's limit of strong friction."""
