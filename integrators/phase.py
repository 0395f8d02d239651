"""The contracts of the dynamics: what moves (Phase), what pushes (Force), what heats (Thermostat), what steps."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

Force = Callable[[Tensor], tuple[Tensor, Tensor]]
"""q (replicas, dof) -> u (replicas,), f (replicas, dof), with f = -dU/dq."""


@dataclass(slots=True)
class Phase:
    """Everything that moves. It is updated in place, so its buffers keep their addresses."""

    q: Tensor  # (replicas, dof) positions
    p: Tensor  # (replicas, dof) momenta
    f: Tensor  # (replicas, dof) force at q
    u: Tensor  # (replicas,)     potential energy at q
    m: Tensor  # (dof,)          masses
    heat: Tensor  # (replicas,)  float64: energy received from the bath since the start
    bath: tuple[Tensor, ...] = ()  # the thermostat's own variables


class Thermostat(Protocol):
    """The O operator: it changes momenta (and its own variables) in place over a time span, and returns None."""

    def bath(self, p: Tensor) -> tuple[Tensor, ...]:
        """Return the bath's variables for momenta like p; () when it has none."""

    def __call__(self, p: Tensor, m: Tensor, bath: tuple[Tensor, ...], dt: Tensor) -> None:
        """Let the bath act on p (replicas, dof) with masses m (dof,) for the time dt, () or (replicas, 1)."""

    # Where it applies a thermostat also has
    #   temperature: Tensor                 the set temperature, () or (replicas, 1) float64, changed in place
    #   canonical: ClassVar[bool]           whether it samples exp(-(U + K)/T)
    #   compensates: bool                   whether it removes the heat that a noisy force brings
    #   energy(bath) -> Tensor              (replicas,) in closed form: the energy it took, -heat
    #   reverse(bath) -> None               turns its own momenta round, where it is reversible in time
    #   mirror(bath, sign) -> None          turns what is odd in a coordinate by sign (replicas, dof)
    #   select(bath, rows) -> None          puts the variables of replica rows[r] where replica r is, where replicas
    #                                       are not their first dimension
    #   rescale(bath, factor) -> None       brings its own momenta to a temperature factor^2 as high, (replicas, 1)
    #   select(bath, rows) -> None          copies the variables of replica rows[r] to replica r, rows (replicas,);
    #                                       without it, floating ones of shape (replicas, n, ...) are copied


class Integrator(Protocol):
    """What the loop needs of a method; methods without momenta and without a thermostat satisfy it too."""

    dt: Tensor  # () or (replicas, 1) float64, changed in place by schedules
    substeps: int  # steps of dt in one call

    @property
    def temperature(self) -> Tensor | None:
        """The set temperature, () or (replicas, 1) float64, changed in place by schedules; None without one."""

    @property
    def has_momenta(self) -> bool:
        """Whether phase.p is a dynamical variable, so that a kinetic temperature means something."""

    @property
    def canonical(self) -> bool:
        """Whether the positions are sampled from exp(-U/T) as dt goes to zero, if the motion is ergodic."""

    @property
    def stochastic(self) -> bool:
        """Whether the force is an estimate from a minibatch, so that phase.u is not the energy."""

    def start(self, q: Tensor, p: Tensor, m: Tensor) -> Phase:
        """Return the phase at q (replicas, dof), p (replicas, dof) with masses m (dof,), force evaluated."""

    def __call__(self, phase: Phase) -> None:
        """Advance phase by one step, in place."""

    def sync(self, phase: Phase) -> None:
        """Bring phase.u and phase.f to phase.q where a step does not end with its force; else do nothing."""

    def strain(self, frequency: Tensor) -> Tensor:
        """Return dt over the longest stable dt for modes of this frequency (replicas,): above one they blow up."""

    def momenta(self, phase: Phase) -> Tensor:
        """Return the momenta (replicas, dof) at the time of the positions."""

    def half_step(self, phase: Phase) -> Tensor | None:
        """Return the momenta (replicas, dof) half a step away from the positions; None where there are none."""

    def observables(self, phase: Phase) -> dict[str, Tensor]:
        """Return what a method has to report of itself by name, each (replicas,)."""

    def mirror(self, phase: Phase, sign: Tensor) -> None:
        """Turn what is odd in a coordinate by sign (replicas, dof), +1 or -1: a wall has mirrored the position."""

    def rescale(self, phase: Phase, factor: Tensor) -> None:
        """Multiply the momenta by factor (replicas, 1): the temperature has changed by its square."""

    def select(self, phase: Phase, rows: Tensor) -> None:
        """Put replica r where replica rows[r] is, rows (replicas,), with all that moves; phase.heat stays."""


def kinetic_energy(p: Tensor, m: Tensor) -> Tensor:
    """K = sum_i p_i^2 / 2 m_i of every replica: p (replicas, dof), m (dof,) -> (replicas,) float64."""
    return 0.5 * (p.square() / m).sum(-1, dtype=torch.float64)


def time_step(dt: float | Tensor) -> Tensor:
    """Return dt as a float64 tensor, () or (replicas, 1).

    Raises ValueError where it is not finite and positive, or has another shape.
    """
    step = per_replica("dt", dt)
    if not (torch.isfinite(step).all() and (step > 0).all()):
        raise ValueError(f"dt = {dt} is not a positive, finite time step; typical values are 0.001 to 0.1")
    return step


def per_replica(name: str, value: float | Tensor) -> Tensor:
    """Return a value as a new float64 tensor, () or (replicas, 1); raises ValueError for another shape."""
    tensor = torch.as_tensor(value, dtype=torch.float64).clone()
    if tensor.ndim != 0 and (tensor.ndim != 2 or tensor.shape[1] != 1):
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}; give a number or a (replicas, 1) tensor")
    return tensor


T = TypeVar("T")


def place(thermostat: T, device: torch.device, moved: dict[int, Tensor] | None = None) -> T:
    """Return the thermostat with its tensors on `device` (itself where they are there already).

    Baths that it holds in a tuple follow; a tensor that several of them share they share there too, by `moved`.
    """
    moved = {} if moved is None else moved
    fields = vars(thermostat)
    there = {name: _place(value, device, moved) for name, value in fields.items()}
    changed = {name: value for name, value in there.items() if value is not fields[name]}
    if not changed:
        return thermostat
    placed = copy.copy(thermostat)
    for name, value in changed.items():
        object.__setattr__(placed, name, value)
    return placed


def _place(value: Any, device: torch.device, moved: dict[int, Tensor]) -> Any:
    if isinstance(value, Tensor):
        return moved.setdefault(id(value), value if value.device == device else value.to(device))
    if isinstance(value, tuple) and any(hasattr(one, "bath") for one in value):
        placed = tuple(place(one, device, moved) for one in value)
        return value if all(a is b for a, b in zip(placed, value, strict=True)) else placed
    return value
