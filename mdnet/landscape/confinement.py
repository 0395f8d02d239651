"""The Metropolis test that keeps walkers in their window, and makes the sampled law exact at any time step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from integrators import Integrator, Phase, Splitting, kinetic_energy
from mdnet.landscape.bias import BiasedForce
from mdnet.routes.native.walkers import settle, usable

_DRAWN = 0.02  # share of the kinetic energy that is drawn anew after a test
_SAVED = ("q", "p", "heat", "energy")


@dataclass(frozen=True)
class Snapshot:
    """Where the walkers were after the last test, in buffers of its own."""

    q: Tensor
    p: Tensor
    heat: Tensor
    x: Tensor
    gradients: Tensor
    kinetic: Tensor  # (replicas,)
    energy: Tensor  # (replicas,): U + K - heat
    bath: tuple[Tensor, ...]


class Confinement:
    """Accepts what happened since the last test with the probability

        min(1, e^{-dE/T}),   dE = (U + K - heat)' - (U + K - heat),   and never outside of the window

    else puts the walker back and turns its momenta round. For splitting schemes, which are reversible, with baths that
    keep Maxwell's law or book what they do, this makes e^{-b(x)} the exact law: the error of the time step turns into
    rejections. Before they go on, all momenta are partly drawn anew,

        p <- sqrt(1 - r) p + sqrt(r m T) N(0, 1),   r = .02,

    or walkers whose bath is deterministic, or slow, would run to and fro on one orbit between two rejections. Methods
    with a test of their own, and those without momenta, are only kept in the window. A method says by `looks_ahead`
    that its last evaluation of the force may be of a proposal that it refused, as that of HMC: there it is done anew.

    References: Horowitz, Phys. Lett. B 268, 247 (1991); Sivak, Chodera, Crooks, Phys. Rev. X 3, 011007 (2013).
    """

    def __init__(self, integrator: Integrator, force: BiasedForce, phase: Phase) -> None:
        self.integrator, self.force = integrator, force
        self.tests = isinstance(integrator, Splitting)
        self.stale = bool(getattr(integrator, "looks_ahead", False))  # whether the force's x may not be the walkers'
        q, p, heat, x, gradients = (each.clone() for each in (phase.q, phase.p, phase.heat, force.x, force.gradients))
        bath = tuple(variable.clone() for variable in phase.bath)
        kinetic = self._kinetic(phase.p, phase)
        self.last = Snapshot(q, p, heat, x, gradients, kinetic, phase.u + kinetic - heat, bath)
        self._width = torch.sqrt(_DRAWN * force.temperature * phase.m)
        self._own = _own(bath, len(phase.q))
        self._settle = settle if usable(force.system) else _settle

    def __call__(self, phase: Phase, inside: Tensor) -> Tensor:
        """Test, put back the rejected, and return who was accepted (replicas,); `inside` (replicas,): of the window.

        Where they are now is remembered; `keep` adds momenta and energy.
        """
        last, force = self.last, self.force
        accept = inside
        if self.tests:
            kinetic = self._kinetic(phase.p, phase)
            error = phase.u + kinetic - phase.heat - last.energy
            accept = inside & (error <= -force.temperature * torch.log(torch.rand_like(error)))
            torch.where(accept, kinetic, last.kinetic, out=last.kinetic)
        now = phase.q, phase.p, phase.heat, force.x, force.gradients
        before = last.q, last.p, last.heat, last.x, last.gradients
        self._settle(accept, now, before)
        self._settle_bath(phase, accept)
        return accept

    def look(self, phase: Phase) -> None:
        """Bring the force's x and gradients to where the walkers are, before a test."""
        if self.stale:
            self.force.slope(phase.q)

    def keep(self, phase: Phase) -> None:
        """Draw a part of the momenta anew, and remember heat and energy, once phase.u fits the bias."""
        if self.tests:
            self._draw(phase)
        self.last.heat.copy_(phase.heat)
        torch.add(phase.u, self.last.kinetic, out=self.last.energy).sub_(phase.heat)

    def state(self, gather: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """Return where the walkers of all ranks were at the last test; x follows from q."""
        last = self.last
        state = {name: gather(getattr(last, name)) for name in _SAVED}
        return state | {f"bath{k}": gather(last.bath[k]) for k in self._own}

    def load(self, state: Mapping[str, Tensor], mine: Callable[[Tensor], Tensor], phase: Phase) -> None:
        """Put back what `state` returned, and evaluate x and its gradients there and where the phase is."""
        last = self.last
        for name in _SAVED:
            getattr(last, name).copy_(mine(state[name]))
        for k in self._own:
            last.bath[k].copy_(mine(state[f"bath{k}"]))
        last.kinetic.copy_(self._kinetic(last.p, phase))
        self.force.slope(last.q)
        last.x.copy_(self.force.x)
        last.gradients.copy_(self.force.gradients)
        self.force.slope(phase.q)

    def _kinetic(self, p: Tensor, phase: Phase) -> Tensor:
        return kinetic_energy(p, phase.m) if self.tests else torch.zeros_like(phase.u)

    def _draw(self, phase: Phase) -> None:
        """Draw a part of all momenta anew, and book what that brings as heat."""
        last = self.last
        phase.p.mul_(sqrt(1 - _DRAWN)).addcmul_(torch.randn_like(phase.p), self._width)
        last.p.copy_(phase.p)
        kinetic = self._kinetic(phase.p, phase)
        phase.heat.add_(kinetic - last.kinetic)
        last.kinetic.copy_(kinetic)

    def _settle_bath(self, phase: Phase, accept: Tensor) -> None:
        """The same for the bath's variables of each replica; counters of random numbers go on."""
        last = self.last.bath
        reverse = getattr(getattr(self.integrator, "thermostat", None), "reverse", None)
        if self._own and reverse is not None:
            turned = tuple(variable.clone() for variable in last)
            reverse(turned)
        else:
            turned = last
        for k in self._own:
            row = accept.view(-1, *[1] * (last[k].ndim - 1))
            torch.where(row, phase.bath[k], turned[k], out=phase.bath[k])
            last[k].copy_(phase.bath[k])


def _settle(accept: Tensor, now: Sequence[Tensor], last: Sequence[Tensor]) -> None:
    """What the native `settle` does: its definition."""
    row = accept[:, None]
    last[1].mul_(torch.where(row, 1.0, -1.0).to(last[1].dtype))
    for here, there in zip(now, last, strict=True):
        torch.where(accept if here.ndim == 1 else row, here, there, out=here)
        there.copy_(here)


def _own(bath: tuple[Tensor, ...], replicas: int) -> list[int]:
    """The bath's variables that belong to single replicas; the others count random numbers."""
    return [k for k, variable in enumerate(bath) if variable.is_floating_point() and len(variable) == replicas]
