"""Ladders of temperatures: geometric, by counting degrees of freedom, or from a pilot run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log, log1p, sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import optimize, special
from torch import Tensor

from integrators import Integrator, Phase
from mdnet.simulation import Simulation, finish
from mdnet.system import ParticleSystem
from mdnet.tempering.tempered import Tempering, TemperingError, What

Floats = NDArray[np.float64]
_POINTS = 12  # most temperatures of a pilot run: more replicas share them
_FEWEST = 4


def geometric(low: float, high: float, rungs: int) -> Tensor:
    """Return T_k = low (high/low)^(k/(rungs - 1)), (rungs,) float64: even acceptance for a constant heat capacity.

    Raises TemperingError unless 0 < low < high and rungs is two or more.
    """
    _check_range(low, high)
    if rungs < 2:
        raise TemperingError(f"rungs = {rungs}: a ladder needs two or more")
    ladder = torch.exp(torch.linspace(log(low), log(high), rungs, dtype=torch.float64))
    ladder[0], ladder[-1] = low, high
    return ladder


def rungs_needed(low: float, high: float, dof: int) -> int:
    """Return the rungs from low to high of `dof` harmonic degrees of freedom N, at steps of dT/T = 2 sqrt(2/N).

    The mean energy N T/2 then rises by two of its standard deviations T sqrt(N/2) a rung, and about one attempt
    in six succeeds. N is what the tempered energy counts: all moving parameters, or the modes that the data hold
    with tempered="loss". Raises TemperingError for a bad range or dof.

    Reference: Shirts, J. Chem. Theory Comput. 9, 909 (2013).
    """
    _check_range(low, high)
    if dof < 1:
        raise TemperingError(f"dof = {dof} must be one or more")
    return 1 + max(1, ceil(log(high / low) / log1p(2 * sqrt(2 / dof))))


def harmonic_acceptance(ladder: Sequence[float] | Tensor, dof: int) -> Floats:
    """Return the mean acceptance of exchange between the rungs (K,) of `dof` harmonic degrees of freedom N, (K - 1,):

        2 P(E_i > E_j) = 2 I_x(N/2, N/2),    x = T_i/(T_i + T_j),    T_i < T_j

    exactly, with the regularised incomplete beta function I.

    Reference: Kofke, J. Chem. Phys. 117, 6911 (2002).
    """
    levels = np.asarray([float(t) for t in ladder])
    share = levels[:-1] / (levels[:-1] + levels[1:])
    return np.asarray(2 * special.betainc(dof / 2, dof / 2, share))


@dataclass(frozen=True, eq=False)
class Placement:
    """A ladder from a pilot run, with what was measured and what is predicted.

    `ladder` (K,): the temperatures. `acceptance` (K - 1,): predicted for neighbours. `weights` (K,): -ln Z up to
    a constant, for SimulatedTempering. `pilot`, `energies`, `deviations` (points,): the temperatures of the
    pilot run, and mean and standard deviation of the tempered energy there.
    """

    ladder: Tensor
    acceptance: Floats
    weights: Floats
    pilot: Floats
    energies: Floats
    deviations: Floats

    def __str__(self) -> str:
        return (
            f"{len(self.ladder)} rungs from T = {self.ladder[0].item():.4g} to {self.ladder[-1].item():.4g}, predicted "
            f"acceptance {self.acceptance.min():.2f} to {self.acceptance.max():.2f}; the tempered energy rises from "
            f"{self.energies[0]:.4g} to {self.energies[-1]:.4g}"
        )


def from_pilot(
    system: ParticleSystem,
    integrator: Callable[[Tensor], Integrator],
    low: float,
    high: float,
    *,
    acceptance: float = 0.3,
    steps: int = 2000,
    positions: Tensor | None = None,
    tempered: What = "all",
    at_most: int = 64,
    seed: int = 0,
) -> Placement:
    """Place the rungs from low to high so that neighbours exchange with the wanted mean acceptance.

    A pilot run, without exchange, has its replicas on up to 12 temperatures in geometric order, and measures
    mean and standard deviation s of the tempered energy E in the second half of its steps. For normal energies

        acceptance = 2 P(E_i > E_j) = erfc((<E_j> - <E_i>)/sqrt(2 (s_i^2 + s_j^2))),     T_i < T_j

    and every pair gets the same one, `acceptance` or more. Energies of few degrees of freedom are not normal:
    with N = 8 the prediction was off by up to 0.05. `integrator`: temperatures (replicas, 1) -> an integrator of the
    system, lambda T: Splitting(BAOAB, system.force, dt, Langevin(T, friction)). `positions`: where it starts.

    Raises TemperingError for a system of fewer than 4 replicas, and where more than `at_most` rungs are needed.

    References: Kofke, J. Chem. Phys. 117, 6911 (2002); Rathore, Chopra, de Pablo, J. Chem. Phys. 122, 024111 (2005).
    """
    _check_range(low, high)
    if not 0 < acceptance < 1:
        raise TemperingError(f"acceptance = {acceptance} must lie between 0 and 1; 0.2 to 0.4 are usual")
    if system.replicas < _FEWEST:
        raise TemperingError(f"a pilot run needs {_FEWEST} replicas or more to span its temperatures; this system has "
                             f"{system.replicas}")  # fmt: skip
    pilot = _Pilot(geometric(low, high, min(system.replicas, _POINTS)), max(1, steps // 400), tempered)
    before = system.stiffness
    engine = integrator(pilot.temperatures(system.replicas))
    run = Simulation(system, engine, positions=positions, seed=seed, actions=[pilot])
    finish(run, steps, progress=False)
    system.stiffness = before
    return _place(pilot, acceptance, at_most, system.dof)


class _Pilot(Tempering):
    """Collects the tempered energy, and changes no temperature."""

    def temperatures(self, replicas: int) -> Tensor:
        levels = torch.tensor(self.ladder, dtype=torch.float64)
        return levels[torch.arange(replicas) % len(levels)][:, None]

    def start(self, system: ParticleSystem, integrator: Integrator, phase: Phase) -> None:
        self._begin(system, integrator, phase, group=1)
        self.kept: list[Tensor] = []

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        self.kept.append(self._energy(phase).clone())
        return {}

    def state(self) -> dict[str, Tensor]:
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        pass

    def measured(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the energy at each temperature, of the second half of the run."""
        series = torch.stack(self.kept[len(self.kept) // 2 :]).cpu().numpy()  # (samples, replicas)
        points = range(len(self.ladder))
        rows = [series[:, k :: len(self.ladder)].ravel() for k in points]
        return np.array([row.mean() for row in rows]), np.array([row.std(ddof=1) for row in rows])


def _place(pilot: _Pilot, acceptance: float, at_most: int, dof: int) -> Placement:
    levels = np.array(pilot.ladder)
    energies, deviations = pilot.measured()
    law = _Law(np.log(levels), np.maximum.accumulate(energies), deviations / levels)
    rungs = 1 + ceil(law.rungs(acceptance, 8 * at_most) - 1e-9)
    if rungs > at_most:
        count = f"more than {8 * at_most}" if rungs > 8 * at_most else str(rungs)
        raise TemperingError(
            f"{dof} moving parameters need {count} rungs from T = {levels[0]:g} to {levels[-1]:g} for a mean "
            f"acceptance of {acceptance:g}, and at_most = {at_most}; temper the loss alone (tempered='loss'), move "
            "fewer layers (requires_grad_(False) on the others before the system is built), narrow the range, or "
            "raise at_most"
        )
    ladder = law.ladder(rungs, acceptance)
    inside = law.energy(np.log(ladder))
    slopes = np.diff(1 / ladder) * (inside[1:] + inside[:-1]) / 2  # ln Z falls by <E> as 1/T rises
    weights = np.concatenate([[0.0], np.cumsum(slopes)])
    return Placement(torch.from_numpy(ladder), law.acceptance(ladder), weights, levels, energies, deviations)


class _Law:
    """<E> and s/T as functions of ln T, along straight lines between the points of a pilot run."""

    def __init__(self, x: Floats, energies: Floats, reduced: Floats) -> None:
        self.x, self.energies, self.reduced = x, energies, reduced

    def energy(self, x: Floats | float) -> Floats:
        return np.asarray(np.interp(x, self.x, self.energies))

    def acceptance(self, ladder: Floats) -> Floats:
        x = np.log(ladder)
        variance = np.square(np.interp(x, self.x, self.reduced) * ladder)
        return np.asarray(special.erfc(np.diff(self.energy(x)) / np.sqrt(2 * (variance[1:] + variance[:-1]))))

    def above(self, x: float, acceptance: float) -> float:
        """The ln T above x that exchanges with it as wanted; beyond the top, as far as it is of the way there."""
        top = float(self.x[-1])

        def excess(y: float) -> float:
            return float(self.acceptance(np.exp(np.array([x, y])))[0]) - acceptance

        if excess(top) >= 0:
            distance, wanted = special.erfcinv(excess(top) + acceptance), special.erfcinv(acceptance)
            return top + float(1 - distance / wanted)
        return float(optimize.brentq(excess, x, top))

    def rungs(self, acceptance: float, at_most: int) -> float:
        """The steps from bottom to top at this acceptance, the last one counted by the part of it that is needed."""
        x, count = float(self.x[0]), 0
        while (above := self.above(x, acceptance)) < self.x[-1] and count <= at_most:
            x, count = above, count + 1
        return count + 1 - (above - float(self.x[-1]))

    def ladder(self, rungs: int, acceptance: float) -> Floats:
        """The ladder of so many rungs whose pairs all have one acceptance, not below the one given."""
        steps = rungs - 1
        even = optimize.brentq(lambda a: self.rungs(a, 2 * rungs) - steps, acceptance - 1e-9, 1 - 1e-9)
        x = [float(self.x[0])]
        for _ in range(steps - 1):
            x.append(self.above(x[-1], even))
        return np.asarray(np.exp(np.array([*x, self.x[-1]])))


def _check_range(low: float, high: float) -> None:
    if not 0 < low < high < float("inf"):
        raise TemperingError(f"a ladder from low = {low} to high = {high} needs 0 < low < high, both finite")
