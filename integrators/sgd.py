"""Stochastic gradient descent as an equation of motion: the force is the gradient, dt the learning rate."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from integrators.dynamics import Dynamics, Part
from integrators.parameters import checked
from integrators.phase import Force, Phase


class SGD(Dynamics):
    """Gradient descent with momentum, as torch.optim.SGD takes its steps:

        v <- mu v + g,   g = f(q) - lambda q;      q <- q + (dt/m) v,   with nesterov q <- q + (dt/m) (g + mu v)

    dt is the learning rate, dt/m that of one parameter (masses are 1 unless the system has others), mu `momentum`
    and lambda `weight_decay`. v is kept in phase.p: it starts from zero and is no physical momentum, so no kinetic
    temperature is reported. The force is evaluated at the end of each step: phase.u and phase.f belong to phase.q,
    and of a minibatch force the next step uses that draw. There is no temperature to set; the noise of minibatches
    is what heats.

    `radius` keeps each replica on a sphere, q <- R q/|q| at the start and after every step, as scale-invariant
    networks want it: "start" for the norm that it starts with, or R. v is left as it is. R is kept in phase.bath.
    `effective` takes steps of dt |q|^2/m in place of dt/m, |q| at their beginning: dt is then the effective rate, that
    of the direction q/|q| of a scale-invariant network, whose gradient falls as 1/|q|. Without momentum the direction
    then moves alike from any |q|, but for the decay. With gradient noise s^2/|q|^2 in each of D - 1 directions and
    decay lambda the radius settles, to first order in the rate, at

        r^2 = T (D - 1)/lambda,    T = dt s^2/2 with `effective`,    T = sqrt(dt lambda s^2/(2 (D - 1))) without

    Parameters: `force`; `dt`; `momentum` in [0, 1); `weight_decay` >= 0; `radius` None, "start" or R > 0: all
    numbers, or (replicas, 1) tensors. Raises ValueError outside these ranges, for nesterov without momentum, for
    `effective` with `radius`, and at the start where a replica to be kept on a sphere, or to move by the effective
    rate, is at zero.

    References: Sutskever, Martens, Dahl, Hinton, ICML 2013, 1139; on spheres and effective rates Kodryan, Lobacheva,
    Nakhodnov, Vetrov, NeurIPS 2022; on the radius arXiv:2511.07308.
    """

    has_momenta: ClassVar[bool] = False

    def __init__(
        self,
        force: Force,
        dt: float | Tensor,
        *,
        momentum: float | Tensor = 0.0,
        nesterov: bool = False,
        weight_decay: float | Tensor = 0.0,
        radius: float | Tensor | Literal["start"] | None = None,
        effective: bool = False,
    ) -> None:
        super().__init__(force, dt)
        self.momentum = checked("momentum", momentum, lambda x: (x >= 0) & (x < 1), "not negative and below 1")
        self.weight_decay = checked("weight_decay", weight_decay, lambda x: x >= 0, "not negative")
        if nesterov and not (self.momentum > 0).any():
            raise ValueError(f"nesterov=True with momentum = {momentum} changes nothing; give a momentum above 0")
        if effective and radius is not None:
            raise ValueError(
                f"effective=True with radius = {radius}: on a sphere of radius R the effective rate is dt/R^2 already; "
                "give R^2 times that rate as dt and leave out effective, or leave out radius"
            )
        self.nesterov, self.radius, self.effective = nesterov, _radius(radius), effective
        self._square = torch.ones((), dtype=torch.float64)  # |q|^2 at the start, where dt is in its units

    def start(self, q: Tensor, p: Tensor, m: Tensor) -> Phase:
        """Return the phase at q (replicas, dof), brought to its sphere, with masses m (dof,); p is set to zero."""
        self.check_replicas(len(q))
        for name in ("momentum", "weight_decay"):
            setattr(self, name, getattr(self, name).to(q.device))
        p.zero_()
        if self.radius is None and not self.effective:
            return super().start(q, p, m)
        norm = _norm(q)
        if not (norm > 0).all():
            raise ValueError(
                "a replica at q = 0 has no direction to move in or to be kept on a sphere; start elsewhere"
            )
        if self.radius is None:
            self._square = norm.square()
            return super().start(q, p, m)
        if isinstance(self.radius, Tensor):
            self.radius = self.radius.to(q.device)
        sphere = norm if isinstance(self.radius, str) else self.radius.expand(len(q), 1).clone()
        _project(q, sphere)
        phase = super().start(q, p, m)
        phase.bath = (sphere,)
        return phase

    def __call__(self, phase: Phase) -> None:
        """Advance phase by one step, in place."""
        self._move(phase)
        self._take(phase, self.force(phase.q))

    @property
    def parts(self) -> tuple[Part, ...]:
        """What a step does before and after its evaluation of the force."""
        return self._move, self._take

    def _move(self, phase: Phase, evaluated: tuple[Tensor, Tensor] | None = None) -> None:
        """Take the step to the new positions; nothing has been evaluated yet."""
        dtype = phase.q.dtype
        momentum, rate = self.momentum.to(dtype), self._rate(phase).to(dtype)
        push = torch.addcmul(phase.f, phase.q, -self.weight_decay.to(dtype))
        phase.p.mul_(momentum).add_(push)
        phase.q.addcmul_(torch.addcmul(push, phase.p, momentum) if self.nesterov else phase.p, rate)
        if phase.bath:
            _project(phase.q, phase.bath[0])

    def _take(self, phase: Phase, evaluated: tuple[Tensor, Tensor] | None) -> None:
        """Store u and f, which were evaluated at phase.q."""
        assert evaluated is not None
        phase.u.copy_(evaluated[0])
        phase.f.copy_(evaluated[1])

    def _rate(self, phase: Phase) -> Tensor:
        """The rate of every parameter, (dof,) or (replicas, dof) float64 where it differs by replica."""
        rate = self.dt * phase.q.square().sum(-1, keepdim=True, dtype=torch.float64) if self.effective else self.dt
        return rate / phase.m

    def strain(self, frequency: Tensor) -> Tensor:
        """Return w^2 dt over 2 (1 + mu), or over 2 (1 + mu)/(1 + 2 mu) with nesterov, (replicas,).

        With `effective` it is that times |q|^2 at the start.
        """
        limit = 2 * (1 + self.momentum) / (1 + 2 * self.momentum if self.nesterov else 1)
        return frequency.square() * (self.dt * self._square / limit).flatten().to(frequency.device)

    def select(self, phase: Phase, rows: Tensor) -> None:
        """Put replica r where replica rows[r] is, rows (replicas,), with its velocity and the sphere it started on."""
        super().select(phase, rows)
        if isinstance(self.radius, str):
            phase.bath[0].copy_(phase.bath[0][rows])

    def __repr__(self) -> str:
        radius = self.radius.tolist() if isinstance(self.radius, Tensor) else self.radius
        return (
            f"SGD(dt={self.dt.tolist()}, momentum={self.momentum.tolist()}, nesterov={self.nesterov}, "
            f"weight_decay={self.weight_decay.tolist()}, radius={radius!r}, effective={self.effective})"
        )


def _radius(radius: float | Tensor | str | None) -> Tensor | str | None:
    if isinstance(radius, str) and radius != "start":
        raise ValueError(f"radius = {radius!r} is unknown; allowed are None, 'start' and a number")
    if radius is None or isinstance(radius, str):
        return radius
    return checked("radius", radius, lambda x: x > 0, "positive")


def _norm(q: Tensor) -> Tensor:
    """|q| of every replica: (replicas, dof) -> (replicas, 1) float64."""
    return torch.sqrt(q.square().sum(-1, keepdim=True, dtype=torch.float64))


def _project(q: Tensor, radius: Tensor) -> None:
    q.mul_((radius / _norm(q)).to(q.dtype))
