"""Biased forces: the potential T b(x(q)) of a bias b of collective variables x, as a Force for any integrator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from integrators import Integrator, Phase
from mdnet.distributed.forces import Reduced
from mdnet.force import energy_and_force, mirrored
from mdnet.landscape.table import Table
from mdnet.landscape.variables import Variable
from mdnet.system import ParticleSystem


class Bias(Protocol):
    """A function of collective variables, k_B = 1: S(x) makes all x equally likely, n x gives p ~ e^{-n x}."""

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return b (replicas,) and db/dx (replicas, variables), float64, at x (replicas, variables) float64."""

    def part(self, rows: slice) -> Bias:
        """Return the bias of these replicas, where a run is divided."""

    @property
    def settings(self) -> dict[str, Any]:
        """The parameters by name, as the run's file keeps them."""


class Line:
    """b = n x of the first variable, so that p(q) ~ e^{-n x}: with x = ln L, p ~ L^-n. n: a number or (replicas, 1)."""

    def __init__(self, n: float | Tensor) -> None:
        self.n = torch.as_tensor(n, dtype=torch.float64)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return b (replicas,) and db/dx (replicas, variables) at x (replicas, variables)."""
        if self.n.device != x.device:
            self.n = self.n.to(x.device)
        slope = torch.zeros_like(x)
        slope[:, :1] = self.n
        return (slope * x).sum(-1), slope

    def part(self, rows: slice | Tensor) -> Line:
        """Return the line of these replicas."""
        return Line(self.n[rows] if self.n.ndim else self.n)

    @property
    def settings(self) -> dict[str, Any]:
        """N of every replica."""
        return {"kind": "line", "n": self.n.flatten().tolist()}


class Umbrella:
    """b = k |x - c|^2/2 holds x near c, (variables,) or (replicas, variables); k > 0 of such a shape, or a number."""

    def __init__(self, centre: Tensor, stiffness: float | Tensor) -> None:
        self.centre = torch.as_tensor(centre, dtype=torch.float64)
        self.stiffness = torch.as_tensor(stiffness, dtype=torch.float64)
        if not (self.stiffness > 0).all():
            raise ValueError(f"stiffness = {stiffness} of an umbrella must be positive")

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return b (replicas,) and db/dx (replicas, variables) at x (replicas, variables)."""
        if self.centre.device != x.device:
            self.centre, self.stiffness = self.centre.to(x.device), self.stiffness.to(x.device)
        away = x - self.centre
        slope = self.stiffness * away
        return 0.5 * (slope * away).sum(-1), slope

    def part(self, rows: slice | Tensor) -> Umbrella:
        """Return the umbrella of these replicas."""
        return Umbrella(*(v[rows] if v.ndim == 2 else v for v in (self.centre, self.stiffness)))

    @property
    def settings(self) -> dict[str, Any]:
        """Centre and stiffness."""
        return {"kind": "umbrella", "centre": self.centre.tolist(), "stiffness": self.stiffness.tolist()}


class BiasedForce:
    """U(q) = T b(x(q)) + prior(q) and -dU/dq, so that an integrator at temperature T samples p ~ e^{-b(x)}.

    Without bias that is the uniform measure in the system's box (or the normal law of its Gaussian prior). x and dx/dq
    of the last evaluation are kept, so that a bias that changes needs no new gradient: `refresh`.

    `system`: whose parameters move; its own energy is not part of U. `variables`: x, one or more. `temperature`: T,
    which the thermostat has to have; entropy needs no scale, so 1 will do.

    Attributes: `x` (replicas, variables) float64, `gradients` (variables, replicas, dof).
    """

    def __init__(
        self, system: ParticleSystem, variables: Sequence[Variable], bias: Bias, temperature: float = 1.0
    ) -> None:
        if not variables or not 0 < temperature < float("inf"):
            raise ValueError(f"{len(variables)} variables at temperature {temperature}: one or more, and T > 0")
        self.system, self.variables, self.bias = system, tuple(variables), bias
        self.temperature = temperature
        if isinstance(bias, Table):
            if len(variables) != len(bias.axes):
                raise ValueError(f"the force has {len(variables)} variables, its table {len(bias.axes)} axes")
            bias.place(system)
        replicas, many, device = system.replicas, len(self.variables), system.device
        self.x = torch.zeros(replicas, many, dtype=torch.float64, device=device)
        self.gradients = torch.zeros(many, replicas, system.dof, dtype=system.dtype, device=device)

    def __call__(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return u (replicas,) float64 and f (replicas, dof) at q (replicas, dof)."""
        image, sign = mirrored(self.system, q)
        return energy_and_force(self.system, image, sign, *self.slope(image))

    def slope(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return T b (replicas,) and its gradient (replicas, dof) at q inside the box, over the system's scale."""
        for k, variable in enumerate(self.variables):
            x, gradient = variable(q)
            self.x[:, k].copy_(x)
            self.gradients[k].copy_(gradient)
        return self._pull()

    def look(self, q: Tensor) -> Tensor:
        """Return x(q) (replicas, variables) alone; what is kept stays."""
        return torch.stack([variable.value(q) for variable in self.variables], -1)

    def refresh(self, phase: Phase) -> None:
        """Bring phase.u and phase.f to the bias as it is now, at the x and dx/dq that are kept."""
        u, f = energy_and_force(self.system, phase.q, None, *self._pull())
        phase.u.copy_(u)
        phase.f.copy_(f)

    def part(self, own: ParticleSystem, rows: slice) -> BiasedForce:
        """Return the force on these replicas, whose system is `own`; raises ValueError where data are divided."""
        if isinstance(own.force, Reduced):
            raise ValueError(
                "a biased force is not divided over ranks that share the data, as x(q) is no sum over rows; take "
                "--data-ranks 1, and divide the replicas"
            )
        return BiasedForce(own, [each.part(rows) for each in self.variables], self.bias.part(rows), self.temperature)

    @property
    def settings(self) -> dict[str, Any]:
        """Variables, temperature and bias, as the run's file keeps them."""
        names = [each.name for each in self.variables]
        data = [str(getattr(each, "data", "")) for each in self.variables]
        return {"variables": names, "data": data, "temperature": self.temperature, "bias": self.bias.settings}

    def _pull(self) -> tuple[Tensor, Tensor]:
        value, slope = self.bias(self.x)
        warmth = self.temperature / self.system.scale
        pull = (warmth * slope).to(self.gradients.dtype)
        total = pull[:, :1] * self.gradients[0]
        for k in range(1, len(self.variables)):
            total.addcmul_(pull[:, k : k + 1], self.gradients[k])
        return warmth * value, total

    def __repr__(self) -> str:
        return f"BiasedForce({self.settings})"


def force_and_table(integrator: Integrator) -> tuple[BiasedForce, Table]:
    """Return the biased force of an integrator, and the table that is its bias; raises ValueError for any other."""
    force = getattr(integrator, "force", None)
    if not isinstance(force, BiasedForce) or not isinstance(force.bias, Table):
        raise ValueError(
            f"WangLandau needs an integrator with a BiasedForce whose bias is a Table, not {force!r}; build it as "
            "Splitting(OBABO, BiasedForce(system, variables, Table(axes, replicas)), dt, Langevin(1.0, friction))"
        )
    refuse_another_law(force, integrator)
    return force, force.bias


def refuse_another_law(force: BiasedForce, integrator: Integrator) -> None:
    """Raise ValueError for an integrator that does not sample e^{-U/T} at the temperature of the force."""
    temperature = integrator.temperature
    if temperature is None or not bool((temperature == force.temperature).all()):
        raise ValueError(
            f"the bias is at temperature {force.temperature}, the integrator at {temperature}; make both one"
        )
    if not integrator.canonical:
        raise ValueError(
            f"{integrator} does not sample e^(-U/T), so that visits would not be as likely as the bias says; allowed "
            "is what is canonical: take the bath Langevin, Bussi or NoseHooverChain, or HMC, or MonteCarlo"
        )
