"""Methods that propose and test by Metropolis, exact at any step size: their books, and hybrid Monte Carlo."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from integrators.catalogue import VERLET
from integrators.dynamics import Dynamics
from integrators.parameters import checked
from integrators.phase import Force, Phase, kinetic_energy
from integrators.schemes import Scheme
from integrators.splitting import Splitting


class Proposing(Dynamics):
    """The base of the methods that accept a proposal with min(1, e^{-dE/T}), which samples exp(-U/T) at any step.

    A method adds __call__(phase), which books by `decide`. phase.bath holds, (replicas,), the numbers of accepted and
    of made proposals, the sum of their acceptance probabilities and the last dE.

    Parameters: `force`, `dt` as in Dynamics; `temperature`: () or (replicas, 1) float64, not negative.

    Reference: Metropolis et al., J. Chem. Phys. 21, 1087 (1953).
    """

    def __init__(self, force: Force, dt: float | Tensor, temperature: Tensor) -> None:
        super().__init__(force, dt)
        self._temperature = temperature

    @property
    def temperature(self) -> Tensor:
        """The set temperature."""
        return self._temperature

    @property
    def canonical(self) -> bool:
        """True, at any step."""
        return True

    def start(self, q: Tensor, p: Tensor, m: Tensor) -> Phase:
        """Return the phase at q and p (replicas, dof) with masses m (dof,); q and p become its buffers."""
        phase = super().start(q, p, m)
        self._temperature = self._temperature.to(q.device)
        count, total = torch.zeros_like(phase.u, dtype=torch.int64), torch.zeros_like(phase.heat)
        phase.bath = (count, count.clone(), total, total.clone())
        return phase

    def acceptance(self, phase: Phase) -> Tensor:
        """Return the mean acceptance probability (replicas,) float64 since the start; nan before the first step."""
        return phase.bath[2] / phase.bath[1]

    def accepted(self, phase: Phase) -> Tensor:
        """Return the number of accepted proposals (replicas,) int64 since the start."""
        return phase.bath[0]

    def energy_error(self, phase: Phase) -> Tensor:
        """Return dE of the last proposal (replicas,) float64, accepted or not."""
        return phase.bath[3]

    def observables(self, phase: Phase) -> dict[str, Tensor]:
        """Return the mean acceptance probability so far."""
        return {"acceptance": self.acceptance(phase)}

    def decide(self, error: Tensor, phase: Phase) -> Tensor:
        """Book proposals with the errors dE (replicas,), and return which are accepted; never those not finite."""
        accepted, proposed, total, last = phase.bath[:4]
        warmth = self.temperature.flatten()
        finite = torch.isfinite(error)
        accept = finite & (error <= -warmth * torch.log(torch.rand_like(error)))
        chance = torch.exp(-error.clamp_min(0.0) / warmth.clamp_min(torch.finfo(error.dtype).tiny))
        accepted.add_(accept)
        proposed.add_(1)
        total.add_(torch.where(finite, chance, 0.0))
        last.copy_(error)
        return accept


class HMC(Proposing):
    """Generalised hybrid Monte Carlo; one call is one proposal of every replica:

        p <- sqrt(1 - r) p + sqrt(r m T) N(0, 1);   `steps` steps of a scheme lead from (q, p) to (q', p');
        accept with probability min(1, e^{-dH/T}), dH = (U + K)' - (U + K);   where rejected q stays and p <- -p

    It samples exp(-U/T) at any dt, which sets the acceptance alone. `refresh` r in (0, 1] is the share of the
    kinetic energy that is drawn anew: with 1, the default, it is hybrid Monte Carlo, with less (and few steps) its
    generalised form, where a rejection turns the motion round. Each proposal of each replica has a dt of its own,
    uniform in dt (1 -+ `jitter`), so that no mode returns to its start for ever: 0.1 by default, 0 for none.

    phase.heat takes up what the refreshment brings and a rejected proposal changes neither U nor K, so U + K - heat
    changes by the dH of accepted proposals only. Proposals whose energy is not finite are rejected. phase.bath holds
    the books of `Proposing`, dE being dH.

    Parameters: `force`, exact; `dt` of one step, `temperature` >= 0, `refresh` and `jitter` in [0, 1): numbers, or
    (replicas, 1) tensors; `steps` >= 1; `scheme`: a reversible one without bath; `compile` as in Splitting.

    Raises ValueError outside these ranges, for a minibatch force, and for a scheme with a bath or no palindrome.

    References: Duane, Kennedy, Pendleton, Roweth, Phys. Lett. B 195, 216 (1987); Horowitz, Phys. Lett. B 268, 247
    (1991); on jitter Neal, Handbook of Markov Chain Monte Carlo (2011), chapter 5.
    """

    looks_ahead: ClassVar[bool] = True

    def __init__(
        self,
        force: Force,
        dt: float | Tensor,
        *,
        temperature: float | Tensor,
        steps: int,
        scheme: Scheme = VERLET,
        refresh: float | Tensor = 1.0,
        jitter: float | Tensor = 0.1,
        compile: bool = False,
    ) -> None:
        warmth = checked("temperature", temperature, lambda x: x >= 0, "not negative")
        super().__init__(force, dt, warmth)
        _check(scheme, steps, stochastic=self.stochastic)
        self.refresh = checked("refresh", refresh, lambda x: (x > 0) & (x <= 1), "above 0 and at most 1")
        self.jitter = checked("jitter", jitter, lambda x: (x >= 0) & (x < 1), "not negative and below 1")
        self.substeps, self.inner = steps, Splitting(scheme, force, dt, compile=compile)

    def start(self, q: Tensor, p: Tensor, m: Tensor) -> Phase:
        """Return the phase at q and p (replicas, dof) with masses m (dof,); q and p become its buffers."""
        phase = super().start(q, p, m)
        self.refresh, self.jitter = self.refresh.to(q.device), self.jitter.to(q.device)
        self.inner.dt = self.dt.expand(len(q), 1).clone()
        return phase

    def __call__(self, phase: Phase) -> None:
        """Make one proposal and accept or reject it, in place."""
        self._refresh(phase)
        before = [x.clone() for x in (phase.q, phase.p, phase.f, phase.u)]
        energy = phase.u + kinetic_energy(phase.p, phase.m)
        self._propose(phase)
        error = phase.u + kinetic_energy(phase.p, phase.m) - energy
        accept = self.decide(error, phase)
        q, p, f, u = before
        phase.q.copy_(torch.where(accept[:, None], phase.q, q))
        phase.p.copy_(torch.where(accept[:, None], phase.p, -p))
        phase.f.copy_(torch.where(accept[:, None], phase.f, f))
        phase.u.copy_(torch.where(accept, phase.u, u))

    def observables(self, phase: Phase) -> dict[str, Tensor]:
        """Return the mean acceptance probability so far, and dH of the last proposal."""
        return super().observables(phase) | {"energy_error": self.energy_error(phase)}

    def strain(self, frequency: Tensor) -> Tensor:
        """Return w dt over the scheme's limit, with the longest dt that jitter gives."""
        longest = (self.dt * (1 + self.jitter)).flatten().to(frequency.device)
        return frequency * longest / self.inner.scheme.stability

    def _refresh(self, phase: Phase) -> None:
        before, dtype = kinetic_energy(phase.p, phase.m), phase.p.dtype
        phase.p.mul_(torch.sqrt(1 - self.refresh).to(dtype))
        phase.p.addcmul_(torch.randn_like(phase.p), torch.sqrt(self.refresh * self.temperature * phase.m).to(dtype))
        phase.heat.add_(kinetic_energy(phase.p, phase.m) - before)

    def _propose(self, phase: Phase) -> None:
        spread = 2 * torch.rand_like(self.inner.dt) - 1
        self.inner.dt.copy_(self.dt * (1 + self.jitter * spread))
        for _ in range(self.substeps):
            self.inner(phase)
        self.inner.sync(phase)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.inner.scheme.name}, dt={self.dt.tolist()}, steps={self.substeps}, "
            f"temperature={self.temperature.tolist()}, refresh={self.refresh.tolist()}, jitter={self.jitter.tolist()})"
        )


class MALA(HMC):
    """The Metropolis-adjusted Langevin algorithm, hybrid Monte Carlo of a single step:

        q' = q + (dt^2/2) f(q)/m + dt sqrt(T/m) N(0, 1),   accepted with min(1, pi(q') k(q', q)/(pi(q) k(q, q')))

    with pi = exp(-U/T) and k the density of the proposal: its step size is epsilon = dt at T = m = 1. Parameters,
    books and errors are those of HMC.

    Reference: Roberts, Tweedie, Bernoulli 2, 341 (1996).
    """

    def __init__(self, force: Force, dt: float | Tensor, *, temperature: float | Tensor, compile: bool = False) -> None:
        super().__init__(force, dt, temperature=temperature, steps=1, jitter=0.0, compile=compile)


def _check(scheme: Scheme, steps: int, *, stochastic: bool) -> None:
    if steps < 1:
        raise ValueError(f"steps = {steps}: a proposal takes one step or more")
    if scheme.has_bath:
        raise ValueError(f"scheme {scheme.name} has a bath (O), but HMC draws momenta itself; take one without")
    pairs = zip(scheme.steps, reversed(scheme.steps), strict=True)
    if any(one != other or abs(c - d) > 1e-12 for (one, c), (other, d) in pairs):
        raise ValueError(f"scheme {scheme.name} is no palindrome, so its proposals are not reversible; take VERLET")
    if stochastic:
        raise ValueError(
            "the Metropolis test needs the energy, and a minibatch force only estimates it; take the exact force, or "
            "Langevin dynamics for minibatches"
        )
