"""The temperature of SGD by every route, and what Langevin dynamics samples at each of these temperatures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mdnet.experiments.free_energy.temperature_measures import Along, Moments, along, distance, moments, principal
from mdnet.experiments.free_energy.temperature_problems import Floats, Problem
from mdnet.experiments.free_energy.temperature_runs import Sampled, Where, descend, descend_isotropic, langevin
from trajectories.sgd import States, Values, jackknife, over_seeds, temperature

ENTROPY, DISSIPATION, CONFIGURATION = "dU/dS", "fluctuation-dissipation", "configurational"
MATCHING, WEIGHTED, SAME = "Langevin matching", "matching along curvature", "same mean energy"
_SEARCH = ("langevin-search", "langevin-same")  # runs that approach SGD's mean energy
_APART = 0.05  # of sqrt T, between two runs from which a slope is taken
_AT = (ENTROPY, DISSIPATION, CONFIGURATION, MATCHING)
_EPS = 2.0  # standard errors of the U known best that T by dU/dS allows for


@dataclass(frozen=True, eq=False)
class Modes:
    """Equipartition along eigenvectors of H at one rate, each (directions,): T of SGD and of Langevin, (v.g)^2/bend."""

    rate: float
    set: float  # the temperature of Langevin dynamics
    ranks: tuple[int, ...]
    curvature: Values  # <v.H v> under SGD
    descent: Values
    noise: Values  # (rate/2) <(v.xi)^2>, what the noise along v alone would give
    langevin: Values


@dataclass(frozen=True, eq=False)
class Comparison:
    """All that was found, by rate; energies are (frames, rates, seeds).

    `routes`: T by name; `order`: (rate/2) bend/descent, 1 where the second order suffices; `canonical`: the energies
    of Langevin dynamics at each route's T, nan where it has none, `again` those of one more run at T by matching, from
    the same starts with other random numbers. `thermometer`: Langevin's configurational
    temperature over that set, of Langevin matching. `isotropic`: energies with isotropic noise, at each rate and last
    at the smallest over `problem.slow`; `isotropic_temperature`: at which Langevin has the same mean, over that set.
    `shares`: of the first layer in |w|^2, in SGD and in Langevin dynamics at T by matching; U does not tell it where
    every layer is scale invariant of its own, so that canonically it is `share`, that of the layer's weights.
    """

    problem: Problem
    rates: Floats
    states: States
    energy: Floats
    routes: Mapping[str, Values]
    order: Values
    canonical: Mapping[str, Floats]
    again: Floats
    thermometer: Values
    isotropic: Floats
    isotropic_temperature: Values
    modes: Modes
    shares: Mapping[str, Values]
    share: float


def compare(problem: Problem, seeds: int, where: Where) -> Comparison:
    """Run SGD, measure its temperatures, run Langevin dynamics at each, and SGD with isotropic noise."""
    rates = np.asarray(problem.model.rates)
    sgd = descend(problem, seeds, where)
    found, last = _measured(problem, sgd.q), sgd.q[-1]
    states = States(rates, sgd.energy.mean(0), _known(sgd.entropy), last.shape[-1] - 1)
    routes = _routes(states, found)
    runs = _langevin(problem, last, {name: routes[name].value for name in _AT}, "langevin", where)
    set_to = {name: routes[name].value for name in _AT}
    for name in _SEARCH:
        set_to[name] = same_energy(sgd.energy, runs, set_to).value
        runs |= _langevin(problem, last, {name: set_to[name]}, name, where)
    routes[SAME] = same_energy(sgd.energy, runs, set_to)
    runs[SAME] = runs.pop(_SEARCH[-1])
    again = _langevin(problem, last, {MATCHING: set_to[MATCHING]}, "langevin-again", where)[MATCHING]
    exact, matched, first = runs[MATCHING], set_to[MATCHING], problem.model.system(1).sizes[0]
    thermometer = _measured(problem, exact.q)
    slow = [*rates, rates[0] / problem.slow]
    at = np.append(matched, matched[0])
    isotropic = descend_isotropic(problem, exact.q[-1][[*range(len(rates)), 0]], slow, at, where).energy
    beside = {MATCHING: Sampled(exact.q, exact.energy[:, [*range(len(rates)), 0]])}
    isotropic_temperature = same_energy(isotropic, beside, {MATCHING: at})
    return Comparison(
        problem, rates, states, sgd.energy, routes, _order(rates, found),
        {name: run.energy for name, run in runs.items()}, again.energy,
        jackknife(lambda top, bottom: top / bottom / matched, thermometer.slope, thermometer.laplacian),
        isotropic, Values(isotropic_temperature.value / at, isotropic_temperature.error / at),
        _modes(problem, sgd.q, exact.q, float(matched[problem.middle])),
        {"SGD": _share(sgd.q, first), "Langevin": _share(exact.q, first)}, first / last.shape[-1],
    )  # fmt: skip


def _routes(states: States, found: Moments) -> dict[str, Values]:
    """T of each rate from entropies, and from gradients and curvature."""
    rates, d = states.rates, states.dimension
    by_entropy = temperature(states, eps=_EPS * float(np.nanmin(states.U.error)))
    noise = over_seeds(found.noise)
    return {
        ENTROPY: Values(by_entropy.value, by_entropy.error),
        DISSIPATION: jackknife(lambda top, bottom: rates / 2 * top / bottom, found.bend, found.laplacian),
        CONFIGURATION: jackknife(np.divide, found.slope, found.laplacian),
        WEIGHTED: jackknife(lambda top, bottom: rates / 2 * top / bottom, found.noise_bend, found.laplacian),
        MATCHING: Values(rates * noise.value / (2 * d), rates * noise.error / (2 * d)),
    }


def _order(rates: Floats, found: Moments) -> Values:
    return jackknife(lambda second, first: rates / 2 * second / first, found.bend, found.descent)


def twins(found: Comparison) -> list[tuple[float, float]]:
    """Return distance and p-value of two Langevin runs at T by matching from the same starts: the control, by rate."""
    one, other = found.canonical[MATCHING], found.again
    return [distance(one[:, k], other[:, k]) for k in range(len(found.rates))]


def _measured(problem: Problem, q: Tensor) -> Moments:
    """Averages, each (rates, seeds), over frames of q (frames, rates, seeds, dof) evenly chosen."""
    q = _chosen(q, problem.frames).flatten(1, 2)
    seeds = q.shape[1] // len(problem.model.rates)
    system = replace(problem.model, dtype=torch.float64).system(q.shape[1])
    found = moments(system.minibatch(problem.model.batch), q, draws=problem.draws, step=problem.step)
    return Moments(**{name: values.reshape(-1, seeds) for name, values in vars(found).items()})


def _langevin(
    problem: Problem, last: Tensor, temperatures: Mapping[str, Floats], name: str, where: Where
) -> dict[str, Sampled]:
    """One run at all temperatures (rates,) that are numbers, each from where SGD of that rate has ended."""
    groups = [(route, k) for route, t in temperatures.items() for k in np.flatnonzero(t > 0)]
    start = last[[k for _, k in groups]]
    run = langevin(problem, start, np.array([temperatures[route][k] for route, k in groups]), name, where)
    found = {}
    for route in temperatures:
        energy = np.full((len(run.energy), *last.shape[:2]), np.nan)
        q = torch.full((len(run.q), *last.shape), torch.nan, dtype=torch.float64)
        for group, (of, k) in enumerate(groups):
            if of == route:
                energy[:, k], q[:, k] = run.energy[:, group], run.q[:, group].double()
        found[route] = Sampled(q, energy)
    return found


def same_energy(energy: Floats, runs: Mapping[str, Sampled], set_to: Mapping[str, Floats]) -> Values:
    """The temperature at which Langevin dynamics has the mean of energy (frames, rates, seeds), from runs at others.

    A straight line in x = sqrt T from the run of the nearest mean, through the next nearest whose T is another; where
    there is none, its slope is d<U>/dx = 2 x Var U/T^2.
    """
    wanted = over_seeds(energy.mean(0))
    value, error = np.empty(len(wanted.value)), np.empty(len(wanted.value))
    for k, (mean, mean_error) in enumerate(zip(*wanted, strict=True)):
        at = [(float(set_to[name][k]) ** 0.5, over_seeds(run.energy[:, k].mean(0)), run) for name, run in runs.items()]
        at = sorted((each for each in at if each[0] > 0), key=lambda each: abs(each[1].value - mean))
        x, near, run = at[0]
        slope = 2 * float(run.energy[:, k].var(0, ddof=1).mean()) / x**3
        for other, away, _ in at[1:]:
            if abs(other / x - 1) > _APART and (away.value - near.value) * (other - x) > 0:
                slope = float((away.value - near.value) / (other - x))
                break
        root = x + np.clip((mean - near.value) / slope, -x / 2, x)
        value[k], error[k] = root**2, 2 * root * np.hypot(mean_error, near.error) / slope
    return Values(value, error)


def _modes(problem: Problem, descent: Tensor, canonical: Tensor, set_to: float) -> Modes:
    """Equipartition by direction under SGD and under Langevin dynamics, along eigenvectors of SGD's mean Hessian."""
    place = problem.middle
    rate = float(problem.model.rates[place])
    one = replace(problem.model, dtype=torch.float64).system(descent.shape[2])
    q, other = (_chosen(each[:, place], problem.frames) for each in (descent, canonical))
    v = principal(one, _chosen(q, 2), problem.ranks, problem.step)
    force = one.minibatch(problem.model.batch)
    here, there = (along(force, each, v, draws=problem.draws, step=problem.step) for each in (q, other))
    noise = over_seeds(here.noise)
    return Modes(
        rate, set_to, problem.ranks, over_seeds(here.bend), _by_direction(here),
        Values(rate / 2 * noise.value, rate / 2 * noise.error), _by_direction(there),
    )  # fmt: skip


def _share(q: Tensor, first: int) -> Values:
    """How much of |q|^2 = 1 is in the first coordinates, (rates,)."""
    return over_seeds(q[..., :first].double().square().sum(-1).mean(0).numpy())


def _by_direction(found: Along) -> Values:
    return jackknife(np.divide, found.slope, found.bend)


def _chosen(q: Tensor, frames: int) -> Tensor:
    """At most so many frames, evenly from all, in float64."""
    return q[np.linspace(0, len(q) - 1, min(frames, len(q))).round().astype(int)].double()


def _known(entropy: Floats | None) -> Floats:
    assert entropy is not None
    return entropy
