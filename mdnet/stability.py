"""Whether a step size is stable: the largest frequency of a system, and a watch over the first steps of a run."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import vjp

from integrators import Integrator, Phase, kinetic_energy
from mdnet.system import ParticleSystem

_WATCHED = (1, 2, 3, 5, 10, 20, 50, 100)
_GROWTH = 4.0  # of the energy error, over the energy that there is


class DivergenceError(RuntimeError):
    """The energy of a replica is no longer a finite number, or about to be: the time step is too long."""


def largest_frequency(system: ParticleSystem, q: Tensor, *, iterations: int = 50) -> Tensor:
    """Return the largest frequency (replicas,) float64 of small oscillations at q (replicas, dof).

        w^2 = max |eigenvalue| of M^-1/2 H M^-1/2,   H = d^2U/dq^2,

    by power iteration with exact Hessian-vector products, so it is approached from below.
    """
    product = vjp(system.force.gradient, q)[1]  # v -> H v, H being symmetric
    root = torch.sqrt(system.masses)
    generator = torch.Generator(device=q.device).manual_seed(0)  # of its own: looking does not change a run
    v = torch.randn(q.shape, generator=generator, device=q.device, dtype=q.dtype)
    size = v.norm(dim=-1, keepdim=True)
    for _ in range(iterations):
        v = product(v / size / root)[0] / root
        size = v.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(q.dtype).tiny)
    frequency: Tensor = size[:, 0].double().sqrt()
    return frequency


def advice(system: ParticleSystem, integrator: Integrator, q: Tensor) -> str | None:
    """Say that dt is too long for the largest frequency at q (replicas, dof), and what would do; None if it is not."""
    frequency = largest_frequency(system, q)
    strain = torch.nan_to_num(integrator.strain(frequency))
    worst = int(strain.argmax())
    if not strain[worst] > 1:
        return None
    w, dt = float(frequency[worst]), float(integrator.dt.expand(len(q), 1)[worst])
    return (
        f"dt = {dt:.4g} is unstable: the largest frequency at the start is about w = {w:.4g} (replica {worst}, "
        f"w dt = {w * dt:.3g}), for which this method allows dt < {dt / float(strain[worst]):.3g}. "
        "Take half of that or less; heavier masses lower w"
    )


def refuse_infinite(step: int, phase: Phase, integrator: Integrator, *, first: int = 0) -> None:
    """Raise DivergenceError where the energy of a replica is not finite; the phase begins with replica `first`."""
    lost = (~torch.isfinite(phase.u)).nonzero().flatten().tolist()
    if lost:
        raise DivergenceError(
            f"the energy of replica {first + lost[0]} ({len(lost)} of {len(phase.u)} replicas) was not finite at step "
            f"{step}; take a smaller dt (now {torch.unique(integrator.dt).tolist()}), a lower temperature, "
            "heavier masses, a slower bath (a Nose-Hoover chain wants tau >= 10 dt, or order=5), or a prior that keeps "
            "the weights bounded. What was written stays."
        )


class Watch:
    """Looks at the first steps of a run for an energy that grows as only an unstable step lets it.

    Raises DivergenceError naming w dt once U + K - heat is off by several times the energy that there is, and the
    curvature at the start confirms it.
    """

    def __init__(self, system: ParticleSystem, integrator: Integrator, phase: Phase) -> None:
        self.system, self.integrator = system, integrator
        self.q, self.u = phase.q.clone(), phase.u.clone()
        self.energy = self._energy(phase)
        warmth = 0.0 if integrator.temperature is None else integrator.temperature.flatten().to(self.u.device)
        self.scale = kinetic_energy(phase.p, phase.m) + 0.5 * phase.q.shape[-1] * warmth

    def __call__(self, step: int, phase: Phase) -> bool:
        """Look, if it is time to; return whether there will be another look."""
        if step in _WATCHED and not self.integrator.stochastic:
            self.integrator.sync(phase)
            error = self._energy(phase) - self.energy
            allowed = self.scale + (self.u - phase.u).clamp_min(0.0)
            if not (error < _GROWTH * allowed + 1e-6 * self.u.abs()).all():
                self.confirm(step)
        return step < _WATCHED[-1]

    def next(self, step: int) -> int:
        """Return the step of the next look after `step`."""
        return next((each for each in _WATCHED if each > step), _WATCHED[-1])

    def confirm(self, step: int) -> None:
        """Raise DivergenceError where the curvature at the start says that dt is too long."""
        if told := advice(self.system, self.integrator, self.q):
            raise DivergenceError(f"step {step}: {told}. What was written stays.")

    def _energy(self, phase: Phase) -> Tensor:
        if not self.integrator.has_momenta:
            return phase.u.clone()
        return phase.u + kinetic_energy(self.integrator.momenta(phase), phase.m) - phase.heat
