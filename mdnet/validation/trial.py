"""One pair on one system: what all its laws share, each part made when a law first asks for it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import torch
from torch import Tensor

from integrators import Phase, Scheme, Splitting, Thermostat
from integrators.phase import place
from mdnet.randomness import Stream
from mdnet.validation.pairs import Pair, is_deterministic, start, without_bath
from mdnet.validation.sampling import Sample, sample
from mdnet.validation.subjects import Subject


@dataclass(eq=False)
class Trial:
    """A pair on a system at a temperature and a step; `tests` is the number of distributions tested in all."""

    pair: Pair
    subject: Subject
    temperature: float
    dt: float
    replicas: int
    seed: int = 0
    tests: int = 1
    show: bool = False

    @property
    def dof(self) -> int:
        """The number of degrees of freedom."""
        return self.subject.dof

    @cached_property
    def thermostat(self) -> Thermostat | None:
        """The thermostat at the temperature of the trial, None where there is none."""
        made = self.pair.thermostat(self.temperature, self.subject)
        return None if made is None else place(made, self.device)

    @property
    def heated(self) -> bool:
        """Whether there is a thermostat with a temperature, so that an equilibrium can be asked for."""
        return getattr(self.thermostat, "temperature", None) is not None

    @property
    def canonical(self) -> bool:
        """Whether the thermostat says so; one that says nothing is taken to be."""
        return bool(getattr(self.thermostat, "canonical", True))

    @cached_property
    def deterministic(self) -> bool:
        """Whether the pair uses no random numbers."""
        if self.thermostat is None:
            return True
        with self.seeded("deterministic"):
            return is_deterministic(self.thermostat, self.subject.masses, self.temperature, self.dt)

    @cached_property
    def mechanics(self) -> tuple[Scheme, Thermostat | None]:
        """The part that conserves an energy: the pair where it is deterministic, else its scheme alone."""
        if self.deterministic:
            return self.pair.scheme, self.thermostat
        return without_bath(self.pair.scheme), None

    @cached_property
    def sample(self) -> Sample:
        """The run in equilibrium."""
        return self._sample(self.temperature, "sample")

    @cached_property
    def warmer(self) -> Sample:
        """The same at the temperature where energies overlap best for a test, T (1 + 2 sqrt(2/N))."""
        return self._sample(self.warm, "warmer")

    @property
    def warm(self) -> float:
        """The temperature of `warmer`: Shirts, J. Chem. Theory Comput. 9, 909 (2013)."""
        return self.temperature * (1 + 2 * sqrt(2 / self.dof))

    def _sample(self, temperature: float, name: str) -> Sample:
        with self.seeded(name):
            return sample(
                self.pair, self.subject, temperature=temperature, dt=self.dt, replicas=self.replicas, show=self.show
            )

    def begin(
        self, scheme: Scheme, thermostat: Thermostat | None, dt: float, *, rows: int, name: str, settled: bool = False
    ) -> tuple[Splitting, Phase]:
        """Return an engine in float64 and its phase: the same positions and momenta at every call with this name.

        `settled`: from where the run in equilibrium ended, if there is one.
        """
        rows = self.subject.rows(rows)
        settled = settled and self.heated and self.sample.finite and len(self.sample.q) >= rows
        with self.seeded(name):
            q = self.sample.q[:rows] if settled else self.subject.start(rows, self.temperature).double()
            return start(scheme, thermostat, self.subject, q, self.temperature, dt)

    @contextmanager
    def seeded(self, name: str) -> Iterator[None]:
        """Draw random numbers that depend on the seed, the pair, the system and the name alone."""
        word = f"{self.pair.name}|{self.subject.name}|{name}"
        with Stream(self.seed + zlib.crc32(word.encode()), self.device).active():
            yield

    @property
    def device(self) -> torch.device:
        """Where the system lives."""
        return self.subject.masses.device

    def momenta(self, rows: int, temperature: float) -> tuple[Tensor, Tensor]:
        """Return Maxwell's momenta (rows, dof) and the masses (dof,), float64."""
        m = self.subject.masses
        return torch.randn(rows, self.dof, dtype=m.dtype, device=m.device) * torch.sqrt(temperature * m), m
