"""Step-size adaptation that ends before production: a step as long as a wanted accuracy allows, then frozen."""

from __future__ import annotations

from collections.abc import Mapping
from math import log, sqrt
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from integrators import Integrator, Phase, Splitting, kinetic_energy
from mdnet.system import ParticleSystem

_GAIN, _DECAY = 1.0, 0.6  # of the n-th correction, _GAIN n^-_DECAY
_NEVER = 2**62


@runtime_checkable
class Metropolised(Protocol):
    """An integrator that accepts or rejects proposals."""

    def energy_error(self, phase: Phase) -> Tensor:
        """Return the energy error dH of the last proposal (replicas,), accepted or not."""


class AdaptStep:
    """Changes dt during the first `steps` steps until it meets a target, then freezes it: an Action.

    For integrators that accept and reject the target is their mean `acceptance` probability, seen at the last of
    `every` proposals: take every=1 there. For all others it is `error`, the root mean square change of
    U + K - heat over `every` steps, in units of T sqrt(N_f/2), the canonical width of K. Each correction is

        ln dt <- ln dt + n^-0.6 (ln error - ln seen)/order   or   + n^-0.6 (seen - acceptance)/(1 - acceptance),

    and the step frozen is e^(mean of ln dt) over the second half of the corrections. Where dt differs by replica
    each adapts by itself, else all share one. It writes "step_size". What was sampled before step `steps` is not
    canonical: leave it out of averages.

    Raises ValueError for values out of range, and for an integrator without set temperature.

    References: Robbins, Monro, Ann. Math. Stat. 22, 400 (1951); Polyak, Juditsky, SIAM J. Control Optim. 30, 838
    (1992); Hoffman, Gelman, JMLR 15, 1593 (2014) for the acceptance of 0.8.
    """

    sets = ("dt",)

    def __init__(self, steps: int, *, every: int = 10, error: float = 0.02, acceptance: float = 0.8) -> None:
        if steps < 4 * every or every < 1:
            raise ValueError(f"steps = {steps} and every = {every}: an adaptation needs four corrections or more")
        if not error > 0:
            raise ValueError(f"error = {error} must be positive; 0.02 is usual")
        if not 0 < acceptance < 1:
            raise ValueError(f"acceptance = {acceptance} must lie between 0 and 1; 0.8 is usual")
        self.steps, self.cadence, self.error, self.acceptance = steps, every, error, acceptance
        self._frozen = False

    @property
    def every(self) -> int:
        """Steps between corrections; never again once the step is frozen."""
        return _NEVER if self._frozen else self.cadence

    def start(self, system: ParticleSystem, integrator: Integrator, phase: Phase) -> None:
        """Remember the integrator, whose dt is changed in place."""
        if integrator.temperature is None:
            raise ValueError(
                f"{type(integrator).__name__} has no temperature, so there is no scale for its energy error; "
                "give it a thermostat, or choose dt by hand"
            )
        self.integrator = integrator
        self._before = self._measure(phase)
        zero = torch.zeros_like(integrator.dt)
        self._count, self._log_sum = torch.zeros((), dtype=torch.float64), zero

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Correct dt, or freeze it after the last correction."""
        self._count += 1
        now = self._measure(phase)
        dt = self.integrator.dt
        correction = self._correction(now, phase) * _GAIN * self._count.to(dt.device) ** -_DECAY
        dt.mul_(torch.exp(correction.clamp(-log(2.0), log(2.0))))
        self._before = now
        last = self.steps // self.cadence
        if self._count > last // 2:
            self._log_sum += torch.log(dt)
        if self._count >= last:
            dt.copy_(torch.exp(self._log_sum / (last - last // 2)))
            self._frozen = True
        return {"step_size": dt.flatten().expand(len(phase.u)).clone()}

    def state(self) -> dict[str, Tensor]:
        """Return dt and the counts."""
        return {
            "dt": self.integrator.dt, "before": self._before, "count": self._count, "log_sum": self._log_sum,
            "frozen": torch.tensor(self._frozen),
        }  # fmt: skip

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put back dt and the counts."""
        self.integrator.dt.copy_(state["dt"])
        self._before.copy_(state["before"])
        self._count.copy_(state["count"])
        self._log_sum.copy_(state["log_sum"])
        self._frozen = bool(state["frozen"])

    def _correction(self, now: Tensor, phase: Phase) -> Tensor:
        """By how much ln dt is off, like dt; errors are averaged over the replicas that share a dt."""
        temperature = self.integrator.temperature
        assert temperature is not None
        warmth = temperature.flatten().to(now.device)
        if isinstance(self.integrator, Metropolised):
            chance = torch.exp(-(now / warmth).clamp_min(0.0)).nan_to_num(0.0)
            return (self._shared(chance) - self.acceptance) / (1 - self.acceptance)
        width = warmth * sqrt(phase.q.shape[-1] / 2)
        squared = self._shared(((now - self._before) / width).square().nan_to_num(torch.inf))
        order = self.integrator.scheme.order if isinstance(self.integrator, Splitting) else 2
        return (log(self.error) - 0.5 * torch.log(squared.clamp_min(1e-30))) / order

    def _measure(self, phase: Phase) -> Tensor:
        """The energy error of the last proposal, or U + K - heat, whose change is the error: (replicas,)."""
        if isinstance(self.integrator, Metropolised):
            return self.integrator.energy_error(phase).clone()
        kinetic = kinetic_energy(self.integrator.momenta(phase), phase.m) if self.integrator.has_momenta else 0.0
        return phase.u + kinetic - phase.heat

    def _shared(self, values: Tensor) -> Tensor:
        """One value for each dt: (replicas,) -> like dt."""
        return values.mean() if self.integrator.dt.ndim == 0 else values[:, None]

    def __repr__(self) -> str:
        return f"AdaptStep(steps={self.steps}, every={self.cadence}, error={self.error}, acceptance={self.acceptance})"
