"""The one engine that runs every splitting scheme with every thermostat."""

from __future__ import annotations

import torch
from torch import Tensor

from integrators.phase import Force, Phase, Thermostat, kinetic_energy, place, time_step
from integrators.schemes import Scheme


class Splitting:
    """One step of dt: the scheme's operators from left to right.

        A: q <- q + c dt p/m        B: p <- p + c dt f(q)        O: the thermostat acts for c dt

    The force is evaluated once after each move of q that a kick follows. The engine books the kinetic energy
    that O adds in phase.heat, so U + K - heat is the conserved quantity of every scheme with every thermostat.

    Parameters: `scheme`; `force`, q (replicas, dof) -> u (replicas,), f (replicas, dof); `dt`, a number or a
    (replicas, 1) tensor; `thermostat`, needed by schemes with an O.

    Raises ValueError for a step that is not positive, an O without a thermostat, and a thermostat with a
    temperature in a scheme without an O.
    """

    has_momenta = True

    def __init__(self, scheme: Scheme, force: Force, dt: float | Tensor, thermostat: Thermostat | None = None) -> None:
        heated = getattr(thermostat, "temperature", None) is not None
        if scheme.has_bath and thermostat is None:
            raise ValueError(
                f"scheme {scheme.name} has an O but no thermostat; pass thermostat=..., or NoBath() for none"
            )
        if heated and not scheme.has_bath:
            raise ValueError(
                f"scheme {scheme.name} has no O, so {type(thermostat).__name__} would never act; "
                f"use outer({scheme.name}) or, for Verlet, BAOAB"
            )
        self.scheme, self.force, self.thermostat = scheme, force, thermostat
        self.dt = time_step(dt)

    @property
    def temperature(self) -> Tensor | None:
        """The thermostat's set temperature, None where there is none."""
        return getattr(self.thermostat, "temperature", None)

    def start(self, q: Tensor, p: Tensor, m: Tensor) -> Phase:
        """Return the phase at q and p (replicas, dof) with masses m (dof,); q and p become its buffers."""
        self.dt = self.dt.to(q.device)
        u, f = self.force(q)
        heat = torch.zeros(len(q), dtype=torch.float64, device=q.device)
        if self.thermostat is None:
            return Phase(q, p, f, u, m, heat)
        self.thermostat = place(self.thermostat, q.device)
        return Phase(q, p, f, u, m, heat, self.thermostat.bath(p))

    def __call__(self, phase: Phase) -> None:
        """Advance phase by one step, in place."""
        moved = False
        for letter, fraction in self.scheme.steps:
            dt = fraction * self.dt
            if letter == "A":
                phase.q.addcmul_(phase.p, (dt / phase.m).to(phase.q.dtype))
                moved = True
            elif letter == "B":
                if moved:
                    self._evaluate(phase)
                    moved = False
                phase.p.addcmul_(phase.f, dt.to(phase.p.dtype))
            else:
                self._exchange_heat(phase, dt)

    def sync(self, phase: Phase) -> None:
        """Bring phase.u and phase.f to phase.q, for schemes whose step ends with a drift."""
        if not self.scheme.ends_with_kick:
            self._evaluate(phase)

    def _evaluate(self, phase: Phase) -> None:
        u, f = self.force(phase.q)
        phase.u.copy_(u)
        phase.f.copy_(f)

    def _exchange_heat(self, phase: Phase, dt: Tensor) -> None:
        assert self.thermostat is not None
        before = kinetic_energy(phase.p, phase.m)
        self.thermostat(phase.p, phase.m, phase.bath, dt)
        phase.heat += kinetic_energy(phase.p, phase.m) - before

    def __repr__(self) -> str:
        return f"Splitting({self.scheme.name}, dt={self.dt.tolist()}, thermostat={self.thermostat})"
