"""The one engine that runs every splitting scheme with every thermostat."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from integrators.compiling import Compiled
from integrators.dynamics import Dynamics, Part
from integrators.phase import Force, Phase, Thermostat, place
from integrators.schemes import Scheme, Steps

Act = Callable[[Steps, Phase, tuple[Tensor, Tensor] | None], None]


class Splitting(Dynamics):
    """One step of dt: the scheme's operators from left to right.

        A: q <- q + c dt p/m        B: p <- p + c dt f(q)        O: the thermostat acts for c dt

    The force is evaluated once after each move of q that a kick follows. The engine books the kinetic energy
    that O adds in phase.heat, so U + K - heat is the conserved quantity of every scheme with every thermostat.

    Parameters: `scheme`; `force`, q (replicas, dof) -> u (replicas,), f (replicas, dof); `dt`, a number or a
    (replicas, 1) tensor; `thermostat`, needed by schemes with an O; `compile`: what happens between two
    forces is one compiled graph, with random numbers of its own (see thermostats.noise).

    Raises ValueError for a step that is not positive, an O without a thermostat, and a thermostat with a
    temperature in a scheme without an O.
    """

    def __init__(
        self,
        scheme: Scheme,
        force: Force,
        dt: float | Tensor,
        thermostat: Thermostat | None = None,
        *,
        compile: bool = False,
    ) -> None:
        super().__init__(force, dt)
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
        self.scheme, self.thermostat = scheme, thermostat
        self._segments = [(steps, self._segment(compile)) for steps in scheme.between_forces]

    @property
    def temperature(self) -> Tensor | None:
        """The thermostat's set temperature, None where there is none."""
        return getattr(self.thermostat, "temperature", None)

    @property
    def canonical(self) -> bool:
        """Whether the thermostat is; a minibatch force heats the run unless the thermostat compensates for it."""
        compensated = not self.stochastic or getattr(self.thermostat, "compensates", False)
        return compensated and getattr(self.thermostat, "canonical", False)

    def start(self, q: Tensor, p: Tensor, m: Tensor) -> Phase:
        """Return the phase at q and p (replicas, dof) with masses m (dof,); q and p become its buffers."""
        phase = super().start(q, p, m)
        if self.thermostat is not None:
            self.thermostat = place(self.thermostat, q.device)
            phase.bath = self.thermostat.bath(p)
        if self.scheme.lead:
            phase.p.addcmul_(phase.f, (self.scheme.lead * self.dt).to(p.dtype))
        return phase

    def __call__(self, phase: Phase) -> None:
        """Advance phase by one step, in place."""
        for index, (steps, act) in enumerate(self._segments):
            act(steps, phase, self.force(phase.q) if index else None)

    @property
    def parts(self) -> tuple[Part, ...]:
        """What a step does before, between and after its evaluations of the force."""
        return tuple(partial(self._act, steps) for steps in self.scheme.between_forces)

    def sync(self, phase: Phase) -> None:
        """Bring phase.u and phase.f to phase.q, for schemes whose step ends with a drift."""
        if not self.scheme.ends_with_kick:
            self._evaluate(phase)

    def strain(self, frequency: Tensor) -> Tensor:
        """Return w dt over the scheme's limit."""
        return frequency * self.dt.flatten().to(frequency.device) / self.scheme.stability

    def momenta(self, phase: Phase) -> Tensor:
        """Return the momenta (replicas, dof) at the time of the positions."""
        return self._back(phase, self.scheme.lead) if self.scheme.lead else phase.p

    def half_step(self, phase: Phase) -> Tensor | None:
        """Return p - c dt f (replicas, dof), the momenta before the closing kick; None after a closing drift."""
        if self.scheme.lead:
            return phase.p
        return self._back(phase, self.scheme.closing_kick) if self.scheme.ends_with_kick else None

    def mirror(self, phase: Phase, sign: Tensor) -> None:
        """Turn momenta and forces, and what the thermostat has that is odd in a coordinate."""
        super().mirror(phase, sign)
        if turn := getattr(self.thermostat, "mirror", None):
            turn(phase.bath, sign)

    def rescale(self, phase: Phase, factor: Tensor) -> None:
        """Multiply the momenta by factor (replicas, 1), and the thermostat's own."""
        super().rescale(phase, factor)
        if scale := getattr(self.thermostat, "rescale", None):
            scale(phase.bath, factor)

    def select(self, phase: Phase, rows: Tensor) -> None:
        """Put replica r where replica rows[r] is, rows (replicas,), with the thermostat's variables."""
        super().select(phase, rows)
        if pick := getattr(self.thermostat, "select", None):
            pick(phase.bath, rows)
            return
        for variable in phase.bath:
            if variable.is_floating_point() and variable.ndim > 1 and len(variable) == len(rows):
                variable.copy_(variable[rows])

    def _segment(self, compile: bool) -> Act:
        if not compile:
            return self._act
        return Compiled(self._act, f"the steps of {self.scheme.name}", fullgraph=False)

    def _act(self, steps: Steps, phase: Phase, evaluated: tuple[Tensor, Tensor] | None) -> None:
        if evaluated is not None:
            phase.u.copy_(evaluated[0])
            phase.f.copy_(evaluated[1])
        for letter, fraction in steps:
            dt = fraction * self.dt
            if letter == "A":
                phase.q.addcmul_(phase.p, (dt / phase.m).to(phase.q.dtype))
            elif letter == "B":
                self.kick(phase, dt)
            else:
                self._exchange_heat(phase, dt)

    def kick(self, phase: Phase, dt: Tensor) -> None:
        """Let the force act on the momenta for the time dt, in place."""
        phase.p.addcmul_(phase.f, dt.to(phase.p.dtype))

    def _exchange_heat(self, phase: Phase, dt: Tensor) -> None:
        assert self.thermostat is not None
        before = phase.p.clone()
        self.thermostat(phase.p, phase.m, phase.bath, dt)
        gained = (phase.p - before) * (phase.p + before) / phase.m  # of 2K: no difference of large sums
        phase.heat.add_(0.5 * gained.sum(-1, dtype=torch.float64))

    def _back(self, phase: Phase, fraction: float) -> Tensor:
        return phase.p - (fraction * self.dt).to(phase.p.dtype) * phase.f

    def __repr__(self) -> str:
        return f"Splitting({self.scheme.name}, dt={self.dt.tolist()}, thermostat={self.thermostat})"
