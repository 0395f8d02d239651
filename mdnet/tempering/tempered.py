"""What all tempering shares: the energy that is tempered, and a replica's move to another temperature."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from integrators import Integrator, Phase, kinetic_energy
from mdnet.distributed.world import ALONE, World
from mdnet.identity import digest
from mdnet.system import ParticleSystem

What = Literal["all", "loss"]


class TemperingError(ValueError):
    """A ladder of temperatures does not fit the run, or would need more rungs than it may have."""


class TemperingWarning(UserWarning):
    """The tempering will run, but hardly do what it is for."""


class Tempering:
    """The base of the tempering actions: at temperature T_k of a ladder the positions have the law

        "all":   exp(-U/T_k)                    of the energy E = U
        "loss":  exp(-L/T_k - P/T_0)            of the energy E = L = U - P, P being the prior's energy

    with T_0 the lowest temperature. For "loss" the prior's stiffness of a replica is T_k/T_0 times its own, so
    that exp(-(L + P T_k/T_0)/T_k) is this law; force and energy follow it without being evaluated anew.
    `ladder` (rungs,): temperatures, all positive. A subclass says how they are ordered and adds __call__(step,
    phase), start, state and load. What a move changes in U + K is booked as heat. The integrator's temperature
    and, for "loss", the system's stiffness change in place: a system serves one such run.

    `world` is set by the simulation. Where ranks share the replicas each rank decides for all of them by the same
    random numbers, and acts on its own: an attempt moves 8 bytes a replica to every rank, population annealing
    (4 dof + 2) numbers a replica and those of its bath.
    """

    sets: ClassVar[tuple[str, ...]] = ("temperature",)
    world: World = ALONE

    def __init__(self, ladder: Sequence[float] | Tensor, every: int, tempered: What) -> None:
        self.ladder = tuple(float(t) for t in ladder)
        self.every, self.tempered = every, tempered
        if every < 1:
            raise TemperingError(f"every = {every}: there must be one step or more between two attempts")
        if tempered not in ("all", "loss"):
            raise TemperingError(f"tempered = {tempered!r} is unknown; allowed are 'all' and 'loss'")

    @property
    def settings(self) -> dict[str, Any]:
        """The parameters by name: what repr shows and what the run's file keeps."""
        return {"ladder": list(self.ladder), "every": self.every, "tempered": self.tempered}

    def temperatures(self, replicas: int) -> Tensor:
        """Return the temperatures at the start (replicas, 1) float64, for the integrator to be built with."""
        raise NotImplementedError

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold."""
        raise NotImplementedError

    def _begin(self, system: ParticleSystem, integrator: Integrator, phase: Phase, group: int) -> None:
        """Check that it all fits, and bring the prior to the temperatures; `group` replicas share one energy."""
        self.system, self.integrator = system, integrator
        name = type(self).__name__
        self.replicas = self.world.everyone(system)
        wanted = self.world.mine(self.temperatures(self.replicas).to(phase.q.device))
        _check_temperature(name, integrator, wanted, self.replicas)
        _check_same_energy(name, system, group, self.world)
        self._levels = torch.tensor(self.ladder, dtype=torch.float64, device=phase.q.device)  # (rungs,)
        self._inverse = 1 / self._levels
        self._own = None if self.tempered == "all" else _prior_stiffness(system)
        if self._own is not None:
            _check_force(name, system, integrator)
            own = self._own.expand(system.replicas, system.dof)
            if system.stiffness is not None and system.stiffness.shape != own.shape:
                system.stiffness = own.clone()
            self._stiffen(wanted, phase)

    def _energy(self, phase: Phase) -> Tensor:
        """The energy that is tempered, (replicas,) float64, of all replicas of the run."""
        return self.world.gather(phase.u if self._own is None else phase.u - self._prior(phase.q))

    def _move(self, phase: Phase, levels: Tensor, rows: Tensor | None = None) -> None:
        """Bring every replica to its temperature in `levels` (replicas,), first to where replica rows[r] is."""
        before = self._total(phase)
        if rows is not None:
            self.world.select(self.integrator, phase, rows)
            if self.integrator.has_momenta:
                with self.world.by_row():
                    _turn(phase)
        now, levels = self._now, self.world.mine(levels)[:, None]
        self.integrator.rescale(phase, torch.sqrt(levels / now))
        self._put(levels, phase)
        if self.integrator.has_momenta:
            phase.heat.add_(self._total(phase) - before)

    def _set(self, levels: Tensor) -> None:
        """Set the temperatures (replicas,) after a resume: the force and the energy of the phase are right."""
        self._put(self.world.mine(levels)[:, None])

    def _put(self, levels: Tensor, phase: Phase | None = None) -> None:
        """Set the temperatures (replicas, 1) of this process."""
        self._now.copy_(levels)
        if self._own is not None:
            self._stiffen(levels, phase)

    @property
    def _now(self) -> Tensor:
        temperature = self.integrator.temperature
        assert temperature is not None
        return temperature

    def _stiffen(self, levels: Tensor, phase: Phase | None) -> None:
        """Scale the prior by T/T_0; f and u change linearly with its stiffness, so no force is evaluated."""
        stiffness, own = self.system.stiffness, self._own
        assert stiffness is not None
        assert own is not None
        fresh = (own * (levels / min(self.ladder))).to(stiffness.dtype)
        if phase is not None:
            phase.u.sub_(self._prior(phase.q))
            phase.f.sub_((fresh - stiffness) * phase.q)
        stiffness.copy_(fresh)
        if phase is not None:
            phase.u.add_(self._prior(phase.q))

    def _prior(self, q: Tensor) -> Tensor:
        """The prior's energy P (replicas,) float64 at the present stiffness, as the force has it."""
        assert self.system.stiffness is not None
        return 0.5 * (self.system.stiffness * q * q).sum(-1, dtype=torch.float64)

    def _total(self, phase: Phase) -> Tensor:
        return phase.u + kinetic_energy(self.integrator.momenta(phase), phase.m)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.settings.items())})"


def _turn(phase: Phase) -> None:
    """Give the momenta of every replica a new direction, uniform in p/sqrt(m), at the same kinetic energy."""
    fresh = torch.randn_like(phase.p) * torch.sqrt(phase.m)
    scale = torch.sqrt(kinetic_energy(phase.p, phase.m) / kinetic_energy(fresh, phase.m))
    phase.p.copy_(fresh * scale[:, None].to(fresh.dtype))


def rising(ladder: tuple[float, ...]) -> None:
    """Raise TemperingError where a ladder does not rise from a positive temperature over two rungs or more."""
    if len(ladder) < 2:
        raise TemperingError(f"ladder = {list(ladder)} has {len(ladder)} rung(s); tempering needs two or more")
    if not all(0 < t < float("inf") for t in ladder) or not all(a < b for a, b in pairwise(ladder)):
        raise TemperingError(
            f"ladder = {list(ladder)} must hold positive, finite temperatures that rise, as geometric(low, high, "
            "rungs) gives them"
        )


def _check_temperature(name: str, integrator: Integrator, wanted: Tensor, replicas: int) -> None:
    method, given = type(integrator).__name__, integrator.temperature
    if given is None:
        raise TemperingError(f"{name} needs a temperature, but {method} has none; give it a thermostat, as BAOAB has")
    remedy = f"build it with temperature=action.temperatures({replicas}), action being this {name}"
    if given.shape != wanted.shape:
        raise TemperingError(
            f"the temperature of {method} has the shape {tuple(given.shape)}, but {name} needs one for every replica, "
            f"({replicas}, 1); {remedy}"
        )
    if not torch.allclose(given, wanted, rtol=1e-9, atol=0.0):
        worst = int((given / wanted - 1).abs().argmax())
        raise TemperingError(
            f"replica {worst} has the temperature {given[worst].item():g}, but {name} starts it at "
            f"{wanted[worst].item():g}; {remedy}, and without a schedule of the temperature"
        )
    if integrator.stochastic:
        raise TemperingError(
            f"{name} compares energies of all data, but the force of {method} is a minibatch's; use system.force"
        )
    if not integrator.canonical:
        warnings.warn(
            f"{name} is exact for canonical dynamics only, and {integrator} is not; use Langevin, for instance",
            TemperingWarning,
            stacklevel=5,
        )


def _check_force(name: str, system: ParticleSystem, integrator: Integrator) -> None:
    if getattr(integrator, "force", None) is not system.force:
        raise TemperingError(
            f"{name} with tempered='loss' scales the prior in system.force, but {type(integrator).__name__} has "
            "another force; build it with system.force, or take tempered='all'"
        )


def _check_same_energy(name: str, system: ParticleSystem, group: int, world: World) -> None:
    """Replicas that compare their energies, or copy positions, must have the same data and the same prior."""
    data = [] if system.shares_data else [system.inputs, system.targets]
    own = _prior_stiffness(system)
    for tensor in (*data, *([] if own is None or own.ndim == 1 else [own])):
        blocks = world.gather(_codes(tensor.expand(system.replicas, *tensor.shape[1:]))).view(-1, group)
        if not (blocks == blocks[:, :1]).all():
            raise TemperingError(
                f"replicas of one ladder have different data or priors, so {name} would mix different energies; give "
                f"each block of {group} replicas the same index, and the prior one temperature (its law is kept at "
                "every temperature by tempered='loss')"
            )


def _codes(rows: Tensor) -> Tensor:
    """A number (rows,) int64 for each row, which tells whether two are equal."""
    return torch.tensor([int(digest(row)[-12:], 16) for row in rows])


def _prior_stiffness(system: ParticleSystem) -> Tensor | None:
    """The prior's own stiffness (dof,) or (replicas, dof) float64, whatever an earlier run made of the system's."""
    if system.stiffness is None or system.prior is None:
        return None
    return system.prior.stiffness(system.table).to(system.device)  # type: ignore[union-attr]
