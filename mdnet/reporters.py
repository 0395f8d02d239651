"""Reporters: what leaves the device, and when. They look at a phase and never change it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import gcd
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch.func import vjp, vmap

from integrators import Integrator, Phase, kinetic_energy
from mdnet.cadence import At, Cadence, cadence, is_due
from mdnet.selection import Selection
from mdnet.system import ParticleSystem

Metric = Callable[[Tensor, Tensor], Tensor]
Data = tuple[Tensor, Tensor]


class Reporter(Protocol):
    """Returns named tensors (replicas, ...) of a phase; the simulation writes them down every `every` steps.

    Instead of a number, `every` may be steps of one's choice, see mdnet.cadence.

    The names "position", "velocity" and "force" make a frame; a name that begins with "learnt/" is of any shape and
    belongs to all replicas; all others are observables.

    A reporter may also have `settings`, a mapping that the file keeps and that a resume compares, and, where its
    reports depend on more than the phase, `state()` and `load(state)` as actions have, {name: tensor} for a checkpoint.
    """

    @property
    def every(self) -> Cadence:
        """When to report."""

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """Learn what is simulated, once, before the first call."""

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Return what is to be written of the phase at this step."""


class _Periodic(Protocol):
    @property
    def every(self) -> Cadence: ...


Timed = TypeVar("Timed", bound=_Periodic)


class Scalars:
    """Energies and temperatures of every replica, each (replicas,) float64:

        potential_energy U       set_temperature T
        kinetic_energy K = sum p^2/2m             temperature 2K/N_f
        half_step_temperature: the same of p - c dt f, before the closing kick (BAOAB's is exact where its
            temperature on the step reads low by design)
        heat from the bath       conserved U + K - heat

    Dynamics without momenta reports U and T only; HMC also acceptance and energy_error. Under a minibatch force U is
    that of all data, evaluated for the report, and the batch's own is minibatch_energy. `every`: steps between reports.
    """

    def __init__(self, every: Cadence = 10) -> None:
        self.every = cadence(every)

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """Remember the system, and the integrator for its temperature and step."""
        self.system, self.integrator = system, integrator

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Return the energies and temperatures of the phase."""
        replicas, dof = phase.q.shape
        potential = self.system.energy(phase.q) if self.integrator.stochastic else phase.u.clone()
        report = {"potential_energy": potential}
        if self.integrator.stochastic:
            report["minibatch_energy"] = phase.u.clone()
        if self.integrator.temperature is not None:
            report["set_temperature"] = self.integrator.temperature.flatten().expand(replicas).clone()
        report |= {name: value.clone() for name, value in self.integrator.observables(phase).items()}
        if not self.integrator.has_momenta:
            return report
        kinetic = kinetic_energy(self.integrator.momenta(phase), phase.m)
        report |= {"kinetic_energy": kinetic, "temperature": 2 * kinetic / dof}
        half = self.integrator.half_step(phase)
        if half is not None:
            report["half_step_temperature"] = 2 * kinetic_energy(half, phase.m) / dof
        return report | {"heat": phase.heat.clone(), "conserved": potential + kinetic - phase.heat}


class Frames:
    """Positions (replicas, dof), and velocities and forces on request: what the trajectory is made of.

    `every`: steps between positions. `velocity` and `force`: True for the same cadence, or a number of steps of their
    own. `tensors`: names of the parameter tensors to keep, or patterns such as "*.bias"; all by default.
    """

    def __init__(
        self,
        every: Cadence = 100,
        *,
        velocity: bool | Cadence = False,
        force: bool | Cadence = False,
        tensors: Sequence[str] | None = None,
    ) -> None:
        wanted = {"position": True, "velocity": velocity, "force": force}
        self._due = {
            name: cadence(every if steps is True else steps) for name, steps in wanted.items() if steps is not False
        }
        self.every, self.tensors = _together(list(self._due.values())), tensors
        self.apart = frozenset(name for name, steps in self._due.items() if steps != self._due["position"])
        self.kept: Selection | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What the file remembers under /parameters/reporters."""
        due = {name: steps if isinstance(steps, int) else repr(steps) for name, steps in self._due.items()}
        return {"every": due, "tensors": None if self.tensors is None else list(self.tensors)}

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """Remember the integrator, and find the tensors to keep.

        Raises ValueError where velocities are asked of dynamics without momenta, and for unknown tensors.
        """
        if "velocity" in self._due and not integrator.has_momenta:
            asked = self._due["velocity"] if "velocity" in self.apart else True
            raise ValueError(f"velocity={asked}, but {type(integrator).__name__} has no momenta; leave it out")
        self.integrator = integrator
        self.kept = None if self.tensors is None else Selection(system.table, self.tensors)

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Return what is due of the frame."""
        makers = {
            "position": lambda: phase.q,
            "velocity": lambda: self.integrator.momenta(phase) / phase.m,
            "force": lambda: phase.f,
        }
        take = self.kept or torch.clone
        return {name: take(makers[name]()) for name, steps in self._due.items() if is_due(steps, step)}


class Evaluate:
    """Metrics of every replica on named data sets, as observables "train/loss", "test/accuracy", ...

    `data`: {"test": (inputs, targets)}; `metrics`: {"accuracy": md.accuracy}, functions of (output, targets)
    that return a number; "loss" is the system's own loss unless given. `every`: steps between reports.
    `per_replica`: inputs and targets are (replicas, n, ...), each replica's own.
    """

    def __init__(
        self,
        data: Mapping[str, Data],
        metrics: Mapping[str, Metric] | None = None,
        *,
        every: Cadence = 100,
        per_replica: bool = False,
    ) -> None:
        self.every, self.data, self.metrics = cadence(every), dict(data), dict(metrics or {})
        self.per_replica = per_replica

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """Remember the system and put its loss among the metrics."""
        self.system = system
        self.metrics = {"loss": system.loss} | self.metrics

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Return every metric on every data set."""
        evaluate = self.system.evaluate
        return {
            f"{name}/{metric}": evaluate(function, phase.q, inputs, targets, per_replica=self.per_replica)
            for name, (inputs, targets) in self.data.items()
            for metric, function in self.metrics.items()
        }


class Predictions:
    """The networks' outputs (replicas, n, outputs) on inputs (n, ...), as the observable "NAME/prediction".

    `per_replica`: the inputs are (replicas, n, ...), each replica's own.
    """

    feeds_ensemble = True

    def __init__(self, inputs: Tensor, *, name: str = "test", every: Cadence = 100, per_replica: bool = False) -> None:
        self.every, self.inputs, self.name, self.per_replica = cadence(every), inputs, name, per_replica

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """Remember the system."""
        self.system = system

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Return the outputs."""
        return {f"{self.name}/prediction": self.system.output(phase.q, self.inputs, per_replica=self.per_replica)}


class ConfigurationalTemperature:
    """T_c = <|grad U|^2>/<laplacian U>, its two parts per replica: "gradient_squared" and "laplacian", float64.

    The Laplacian is Hutchinson's estimate with `probes` random signs z: mean of z.H z, unbiased. The probes
    come from a generator of their own, seeded by the step, so that looking does not change the run. A ratio
    of means is the temperature; the mean of ratios is not, so the parts are kept apart.

    Reference: Rugh, Phys. Rev. Lett. 78, 772 (1997); Butler, Ayton, Jepps, Evans, J. Chem. Phys. 109, 6519 (1998).
    """

    def __init__(self, every: Cadence = 100, *, probes: int = 4, seed: int = 0) -> None:
        self.every, self.probes, self.seed = cadence(every), probes, seed

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """Remember the system, and whether the phase's force is that of all data."""
        self.system, self.stochastic = system, integrator.stochastic

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Return |grad U|^2 and the estimate of the Laplacian."""
        generator = torch.Generator(device=phase.q.device).manual_seed(self.seed + 1_000_003 * step)
        shape = (self.probes, *phase.q.shape)
        signs = torch.randint(0, 2, shape, generator=generator, device=phase.q.device).to(phase.q.dtype) * 2 - 1

        product = vjp(self.system.force.gradient, phase.q)[1]  # z -> H z, H being symmetric
        (bends,) = vmap(product)(signs)
        laplacian = (signs * bends).sum(-1, dtype=torch.float64).mean(0)
        force = self.system.force(phase.q)[1] if self.stochastic else phase.f
        squared = force.square().sum(-1, dtype=torch.float64)
        return {"gradient_squared": squared, "laplacian": laplacian}


def accuracy(output: Tensor, targets: Tensor) -> Tensor:
    """The share of the rows whose largest output is their class: (n, classes), (n,) -> ()."""
    return (output.argmax(-1) == targets).to(output.dtype).mean()


def r2(output: Tensor, targets: Tensor) -> Tensor:
    """R^2 = 1 - sum (y - f)^2/sum (y - mean y)^2: (n, 1), (n, 1) -> ()."""
    return 1 - (output - targets).square().sum() / (targets - targets.mean(0)).square().sum()


METRICS: dict[str, Metric] = {"accuracy": accuracy, "r2": r2}


def _together(cadences: Sequence[Cadence]) -> Cadence:
    """The cadence at which any of these is due; raises ValueError where given steps stand beside a number."""
    given = [each for each in cadences if isinstance(each, At)]
    if not given:
        return gcd(*(each for each in cadences if isinstance(each, int)))
    if len(given) < len(cadences):
        raise ValueError(f"{cadences}: where one is given as steps, the others must be, too, or True for the same")
    return At(step for each in given for step in each.steps)


def settings(reporters: Sequence[Reporter]) -> dict[str, Any]:
    """Return the settings of the reporters that have some, by the names of their classes; wrapped ones by their own."""
    plain = [getattr(each, "inner", each) for each in reporters]
    return {type(each).__name__: each.settings for each in plain if hasattr(each, "settings")}


def remembered(reporter: Reporter) -> dict[str, Tensor]:
    """Return what a checkpoint must hold of a reporter; nothing for most."""
    return dict(reporter.state()) if hasattr(reporter, "state") else {}


def due(several: Sequence[Timed], step: int) -> list[Timed]:
    """Return the reporters, or actions, whose turn it is."""
    return [each for each in several if is_due(each.every, step)]
