"""Multiple time steps: a cheap, stiff force inside with short steps, an expensive, soft one outside with long steps."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor

from integrators.dynamics import Dynamics
from integrators.phase import Force, Phase
from integrators.splitting import Splitting

_OWN = 4  # bath variables before the inner thermostat's: fast f and u, slow f and u


class MultipleTimeSteps(Dynamics):
    """The reversible reference system propagator (r-RESPA) for U = U_fast + U_slow:

        p <- p + (dt/2) f_slow(q);   `repeats` steps of the inner integrator;   p <- p + (dt/2) f_slow(q)

    with dt = repeats x the inner dt: one slow force a step, and `repeats` times the inner scheme's fast ones. The
    kicks are the inner integrator's own, and so are heat, temperature and thermostat. Averages are of second order in
    dt, and so is the error of U + K - heat; with a noisy bath inside, which acts between the slow kicks, the error of
    one replica is of first order, its mean of second. phase.u and phase.f are those of U at the end of a step; the two
    parts are kept in phase.bath before the thermostat's variables. A schedule sets dt of the whole, and the inner dt
    follows.

    Keep dt below pi over the largest frequency of the fast motion, where resonance sets in however small the inner
    dt is: the gain is bounded by that.

    Parameters: `inner`: a Splitting with the fast force, and with the thermostat if there is one; `slow`: the force of
    the rest, q (replicas, dof) -> u (replicas,), f (replicas, dof); `repeats` >= 1. Raises ValueError for fewer.

    References: Tuckerman, Berne, Martyna, J. Chem. Phys. 97, 1990 (1992); on resonance Ma, Izaguirre, Skeel, SIAM J.
    Sci. Comput. 24, 1951 (2003).
    """

    def __init__(self, inner: Splitting, slow: Force, repeats: int) -> None:
        if repeats < 1:
            raise ValueError(f"repeats = {repeats}: there is one inner step or more in every outer one")
        if inner.scheme.lead:
            raise ValueError(
                f"{inner.scheme.name} has momenta ahead of its positions; take VERLET inside, which does not"
            )
        super().__init__(self._total, repeats * inner.dt)
        self.inner, self.slow, self.repeats = inner, slow, repeats

    @property
    def temperature(self) -> Tensor | None:
        """The inner integrator's set temperature, None where there is none."""
        return self.inner.temperature

    @property
    def canonical(self) -> bool:
        """Whether the inner dynamics is; a minibatch slow force heats the run unless the thermostat compensates."""
        exact = not getattr(self.slow, "stochastic", False)
        return self.inner.canonical and (exact or getattr(self.inner.thermostat, "compensates", False))

    @property
    def stochastic(self) -> bool:
        """Whether one of the forces is an estimate from a minibatch."""
        return self.inner.stochastic or bool(getattr(self.slow, "stochastic", False))

    def start(self, q: Tensor, p: Tensor, m: Tensor) -> Phase:
        """Return the phase at q and p (replicas, dof) with masses m (dof,); q and p become its buffers."""
        self.dt = self.dt.to(q.device)
        fast = self.inner.start(q, p, m)
        u, f = (x.clone() for x in self.slow(q))
        bath = (fast.f, fast.u, f, u, *fast.bath)
        return Phase(q, p, fast.f + f, fast.u + u, m, fast.heat, bath)

    def __call__(self, phase: Phase) -> None:
        """Advance phase by one step, in place."""
        torch.div(self.dt, self.repeats, out=self.inner.dt)
        fast, slow = _fast(phase), _slow(phase)
        self.inner.kick(slow, self.dt / 2)
        for _ in range(self.repeats):
            self.inner(fast)
        u, f = self.slow(phase.q)
        slow.u.copy_(u)
        slow.f.copy_(f)
        self.inner.kick(slow, self.dt / 2)
        _add(phase)

    def sync(self, phase: Phase) -> None:
        """Bring phase.u and phase.f to phase.q, for inner schemes whose step ends with a drift."""
        self.inner.sync(_fast(phase))
        _add(phase)

    def strain(self, frequency: Tensor) -> Tensor:
        """Return what the inner steps make of it, or w dt/pi where the outer ones resonate before (replicas,)."""
        resonance = frequency * self.dt.flatten().to(frequency.device) / pi
        return torch.maximum(self.inner.strain(frequency), resonance)

    def momenta(self, phase: Phase) -> Tensor:
        """Return the momenta (replicas, dof) at the time of the positions."""
        return self.inner.momenta(_fast(phase))

    def half_step(self, phase: Phase) -> Tensor | None:
        """Return the momenta (replicas, dof) before the closing kicks of both forces; None where inner has none."""
        half = self.inner.half_step(_fast(phase))
        return None if half is None else half - (self.dt / 2).to(half.dtype) * _slow(phase).f

    def mirror(self, phase: Phase, sign: Tensor) -> None:
        """Turn momenta, all forces, and what the thermostat has that is odd in a coordinate."""
        self.inner.mirror(_fast(phase), sign)
        _slow(phase).f.mul_(sign)
        phase.f.mul_(sign)

    def rescale(self, phase: Phase, factor: Tensor) -> None:
        """Multiply the momenta by factor (replicas, 1), and the thermostat's own."""
        self.inner.rescale(_fast(phase), factor)

    def select(self, phase: Phase, rows: Tensor) -> None:
        """Put replica r where replica rows[r] is, rows (replicas,), with both forces and the thermostat's variables."""
        self.inner.select(_fast(phase), rows)
        slow = _slow(phase)
        for tensor in (phase.f, phase.u, slow.f, slow.u):
            tensor.copy_(tensor[rows])

    def _total(self, q: Tensor) -> tuple[Tensor, Tensor]:
        (fast_u, fast_f), (slow_u, slow_f) = self.inner.force(q), self.slow(q)
        return fast_u + slow_u, fast_f + slow_f

    def __repr__(self) -> str:
        forces = f"fast={_name(self.inner.force)}, slow={_name(self.slow)}"
        return f"MultipleTimeSteps({self.inner}, repeats={self.repeats}, {forces})"


def _fast(phase: Phase) -> Phase:
    """The phase as the inner integrator sees it: the same buffers with the fast force."""
    f, u = phase.bath[:2]
    return Phase(phase.q, phase.p, f, u, phase.m, phase.heat, phase.bath[_OWN:])


def _slow(phase: Phase) -> Phase:
    """The phase with the slow force."""
    f, u = phase.bath[2:_OWN]
    return Phase(phase.q, phase.p, f, u, phase.m, phase.heat)


def _add(phase: Phase) -> None:
    fast_f, fast_u, slow_f, slow_u = phase.bath[:_OWN]
    torch.add(fast_f, slow_f, out=phase.f)
    torch.add(fast_u, slow_u, out=phase.u)


def _name(force: Force) -> str:
    """What a force says of itself, without the address that functions and plain objects show."""
    if "__repr__" in vars(type(force)):
        return getattr(force, "__name__", repr(force))
    return type(force).__name__
