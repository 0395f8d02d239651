"""Isokinetic dynamics: momenta of constant kinetic energy, the motion of microcanonical Langevin Monte Carlo."""

from __future__ import annotations

import torch
from torch import Tensor

from integrators.parameters import checked
from integrators.phase import Force, Phase, Thermostat, kinetic_energy
from integrators.schemes import Scheme
from integrators.splitting import Splitting

_TINY = 1e-30


class Isokinetic(Splitting):
    """Gaussian isokinetic dynamics, which keeps K = (N_f - 1) T/2 in every replica:

        dq = (p/m) dt        dp = (f - zeta p) dt,   zeta = (f.p/m)/(p.p/m)

    It samples the positions from exp(-U/T) where it is ergodic; the momenta have a direction only, so that a
    kinetic temperature is (1 - 1/N_f) T at any time. In the unit vectors e of p/sqrt(m) and g of f/sqrt(m), with
    v = sqrt((N_f - 1) T), B is exact for a constant force:

        e <- (e + g (sinh d + (e.g) (cosh d - 1)))/s,   s = cosh d + (e.g) sinh d,   d = dt |f/sqrt(m)|/v

    and books what the constraint takes as heat, -(N_f - 1) T ln s, so U + K - heat is conserved.
    Without an O, as in VERLET, it is deterministic and hardly ergodic. With thermostats.Decoherence, which turns
    the direction, it is microcanonical Langevin Monte Carlo (MCLMC): outer(OMELYAN) is the usual scheme there.
    Averages over positions are of second order in dt, YOSHIDA4's of fourth.

    Parameters: `scheme`, `force`, `dt`, `compile` as in Splitting; `temperature` > 0, a number or a (replicas, 1)
    tensor, which K follows; `thermostat`: one that keeps K, needed by schemes with an O, and only there.

    Raises ValueError for a temperature out of range, a thermostat with a temperature of its own, one that would
    never act, and a scheme whose momenta are ahead of its positions; at the start for a single parameter.

    References: Minary, Martyna, Tuckerman, J. Chem. Phys. 118, 2510 (2003); Robnik, De Luca, Silverstein, Seljak,
    J. Mach. Learn. Res. 24, 311 (2023).
    """

    def __init__(
        self,
        scheme: Scheme,
        force: Force,
        dt: float | Tensor,
        *,
        temperature: float | Tensor,
        thermostat: Thermostat | None = None,
        compile: bool = False,
    ) -> None:
        self._temperature = checked("temperature", temperature, lambda x: x > 0, "positive")
        _check(scheme, thermostat)
        super().__init__(scheme, force, dt, thermostat, compile=compile)

    @property
    def temperature(self) -> Tensor:
        """The set temperature, of the positions."""
        return self._temperature

    @property
    def canonical(self) -> bool:
        """True of the positions, unless a minibatch force heats the run."""
        return not self.stochastic

    def start(self, q: Tensor, p: Tensor, m: Tensor) -> Phase:
        """Return the phase at q with p (replicas, dof) brought to K; where p is zero its direction is drawn."""
        dof = q.shape[-1]
        if dof == 1:
            raise ValueError("isokinetic dynamics of a single parameter stands still; it needs two or more")
        self._temperature = self._temperature.to(q.device)
        resting = (p == 0).all(-1, keepdim=True)
        p.copy_(torch.where(resting, torch.randn_like(p) * m.sqrt(), p))
        size = torch.sqrt(2 * kinetic_energy(p, m))[:, None]
        p.mul_((self._speed(dof) / size).to(p.dtype))
        return super().start(q, p, m)

    def half_step(self, phase: Phase) -> Tensor | None:
        """Return None: K is the same at the half step."""
        return None

    def kick(self, phase: Phase, dt: Tensor) -> None:
        """Let force and constraint act on the momenta for the time dt, in place, and book what K does not take."""
        p, f, m = phase.p, phase.f, phase.m
        before = kinetic_energy(p, m)
        size = torch.sqrt(2 * before)[:, None].clamp_min(_TINY)  # |p/sqrt(m)|, (replicas, 1) float64
        push = torch.sqrt(2 * kinetic_energy(f, m))[:, None].clamp_min(_TINY)  # |f/sqrt(m)|
        speed = self._speed(p.shape[-1])
        angle = dt * push / speed.clamp_min(_TINY)  # d
        along = (p * f / m).sum(-1, keepdim=True, dtype=torch.float64) / (size * push)
        along = along.clamp(4 * torch.finfo(p.dtype).eps - 1, 1.0)  # e.g; straight against the motion s would vanish
        less = torch.exp(-angle)  # e^-d: all below is times e^-d, so that no force is too strong
        stretch = (1 + along) / 2 + (1 - along) / 2 * less.square()  # s
        gain = -torch.expm1(-2 * angle) / 2 + along * torch.expm1(-angle).square() / 2  # sinh d + (e.g) (cosh d - 1)
        p.mul_((less * speed / (stretch * size)).to(p.dtype))
        p.addcmul_(f, (gain * speed / (stretch * push)).to(p.dtype))
        work = speed.square() * (angle + torch.log(stretch))  # of the force: v^2 ln s
        phase.heat.add_(kinetic_energy(p, m) - before - work[:, 0])

    def _speed(self, dof: int) -> Tensor:
        return torch.sqrt((dof - 1) * self._temperature)

    def __repr__(self) -> str:
        return (
            f"Isokinetic({self.scheme.name}, dt={self.dt.tolist()}, temperature={self.temperature.tolist()}, "
            f"thermostat={self.thermostat})"
        )


def _check(scheme: Scheme, thermostat: Thermostat | None) -> None:
    if scheme.lead:
        raise ValueError(
            f"scheme {scheme.name} has momenta ahead of its positions, which isokinetic kicks do not undo; take VERLET"
        )
    if getattr(thermostat, "temperature", None) is not None:
        raise ValueError(
            f"{type(thermostat).__name__} changes the kinetic energy that isokinetic dynamics keeps; take a bath that "
            "turns the momenta only: thermostats.Decoherence(length)"
        )
    if thermostat is not None and not scheme.has_bath:
        raise ValueError(
            f"scheme {scheme.name} has no O, so {type(thermostat).__name__} would never act; use outer({scheme.name})"
        )
