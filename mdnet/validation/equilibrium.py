"""The laws of equilibrium: a pair samples exp(-(U + K)/T), in every number whose law is known."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from math import inf, sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mdnet.validation.law import Law, average, decide, deviations, limit, skipped, worst
from mdnet.validation.sampling import Sample
from mdnet.validation.trial import Trial
from trajectories import statistics
from trajectories.thermodynamics import kinetic_law

_SIGMA = 4.0  # of the test by two temperatures
_MANY = 256  # replicas from which each parameter's own mean has a normal error


def kinetic(trial: Trial) -> Iterator[Law]:
    """K ~ Gamma(N_f/2, T): mean, width, and the distribution of decorrelated samples."""
    seen = trial.sample.kinetic.cpu().numpy()
    law = kinetic_law(seen, dof=trial.dof, temperature=trial.temperature)
    gate = limit(seen.shape[1], 2)
    for name, value, z in (("kinetic mean", law.mean, law.mean_z), ("kinetic width", law.width, law.width_z)):
        yield decide(name, abs(z) <= gate, value, 1.0, f"|z| <= {gate:.1f}", z)
    least = 0.01 / trial.tests
    yield decide("kinetic law", law.p_value > least, law.p_value, float("nan"), f"p > {least:.2g}")


def equipartition(trial: Trial) -> Iterator[Law]:
    """<p_i^2/m_i> = T in every layer, and in small systems for every parameter."""
    sample, layers = trial.sample, trial.subject.layers
    means, labels = sample.layers.mean(0), [f"layer {name}" for name in layers]
    if sample.each is not None and means.shape[0] >= _MANY:
        means = torch.cat([means, sample.each.mean(0)], -1)
        labels += [f"parameter {i}" for i in range(trial.dof)]
    yield worst("equipartition", means / trial.temperature, torch.ones((), device=means.device), labels)


def configurational(trial: Trial) -> Iterator[Law]:
    """<|grad U|^2> = T <laplacian U>."""
    sample, name = trial.sample, "configurational"
    if sample.laplacian is None:
        yield skipped(name, "the energy has kinks or walls, so its Laplacian is not known")
        return
    squared, laplacian = sample.squared.mean(0), sample.laplacian.mean(0)
    z, gate = float(deviations(squared - trial.temperature * laplacian, 0.0)), limit(trial.replicas)
    value = float(squared.mean() / laplacian.mean()) / trial.temperature
    yield decide(name, abs(z) <= gate, value, 1.0, f"|z| <= {gate:.1f}", z)


def positions(trial: Trial) -> Iterator[Law]:
    """The first four moments of the positions against exact answers; the worst is told."""
    exact, seen = trial.subject.exact, trial.sample.coordinates
    if exact is None or seen is None:
        yield skipped("positions", "there is no exact answer for this system")
        return
    powers = range(1, 5)
    moments = torch.cat([(seen**power).mean(0) for power in powers], -1)  # (replicas, 4 n)
    answers = torch.cat([exact.moment(power, trial.temperature) for power in powers])
    labels = [f"<x_{i}^{power}>" for power in powers for i in range(seen.shape[-1])]
    yield worst("positions", moments, answers, labels)


def potential(trial: Trial) -> Iterator[Law]:
    """Mean and width of U, whose variance is T^2 C, against exact answers."""
    exact, seen = trial.subject.exact, trial.sample.potential
    if exact is None:
        yield skipped("potential energy", "there is no exact answer for this system")
        return
    mean, variance = exact.energy(trial.temperature)
    yield average("potential mean", seen.mean(0), mean, 2)
    squares = (seen - mean).square().mean(0)
    law = average("potential width", squares / variance, 1.0, 2)
    yield decide(law.name, law.verdict == "pass", sqrt(law.value), 1.0, law.gate, law.z)


def two_temperatures(trial: Trial) -> Iterator[Law]:
    """Boltzmann: ln P_2(E)/P_1(E) = -(1/T_2 - 1/T_1) E + c, for U and for U + K.

    Reference: Shirts, J. Chem. Theory Comput. 9, 909 (2013), by physical_validation.
    """
    name = "two temperatures"
    try:
        check = _check()
    except ImportError:
        yield skipped(name, "needs physical_validation: pip install mdnet[validate]")
        return
    if not trial.warmer.finite:
        yield decide(name, False, float("nan"), 0.0, "finite").noted(f"diverged at T = {trial.warm:.4g}")
        return
    for energy in ("U", "U + K"):
        below, above = (_uncorrelated(sample, energy) for sample in (trial.sample, trial.warmer))
        off = check((below, above), (trial.temperature, trial.warm), trial.dof)
        yield decide(f"{name}, {energy}", abs(off) <= _SIGMA, off, 0.0, f"<= {_SIGMA:g} sigma", off)


def _uncorrelated(sample: Sample, energy: str) -> Any:
    values: Tensor = sample.potential if energy == "U" else sample.potential + sample.kinetic
    series = values.cpu().numpy()
    return series[statistics.decorrelate(series)].ravel()


def _check() -> Any:
    """The function that compares energies at two temperatures: how many sigma the slope is off."""
    with _quiet():
        import physical_validation as pv
        from physical_validation.util.error import InputError

    def check(energies: Any, temperatures: tuple[float, float], dof: int) -> float:
        units = pv.data.UnitData(1, 1, 1, 1, 1, 1, 1)
        system = pv.data.SystemData(natoms=dof, nconstraints=2 * dof, ndof_reduction_tra=0, ndof_reduction_rot=0)
        data = []
        for energy, temperature in zip(energies, temperatures, strict=True):
            ensemble = pv.data.EnsembleData("NVT", natoms=dof, volume=1.0, temperature=temperature)
            seen = pv.data.ObservableData(kinetic_energy=energy, potential_energy=energy, total_energy=energy)
            data.append(pv.data.SimulationData(units=units, system=system, ensemble=ensemble, observables=seen))
        with _quiet():
            try:
                quantiles = pv.ensemble.check(*data, total_energy=True, data_is_uncorrelated=True, verbosity=0)
            except InputError:  # the energies do not overlap
                return inf
        return float(np.asarray(quantiles)[0])

    return check


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' banners and warnings to themselves."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
