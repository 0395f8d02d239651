"""The temperature of a run, SGD included, by every relation between moments that equilibrium fixes."""

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories import statistics
from trajectories.errors import NotRecorded, TrajectoryError
from trajectories.statistics import Estimate
from trajectories.storage.reader import Trajectory
from trajectories.thermodynamics import frames
from trajectories.thermodynamics.setting import Setting, equilibrated_step, setting

Floats = NDArray[np.float64]
_PLAIN_SGD = re.compile(
    r"SGD\(dt=([\d.e+-]+), momentum=0\.0, nesterov=False, weight_decay=([\d.e+-]+), radius=None(, effective=False)?\)"
)


def ratio(top: ArrayLike, bottom: ArrayLike) -> Estimate:
    """<a>/<b> of two series (samples,) or (samples, replicas), with the error of <a - r b>/<b> (`statistics.mean`)."""
    above, below = statistics.as_series(top), statistics.as_series(bottom)
    value = float(above.mean() / below.mean())
    return Estimate(value, abs(statistics.mean(above - value * below).error / float(below.mean())))


def kinetic_temperature(kinetic_energy: ArrayLike, *, dof: int) -> Estimate:
    """T = 2 <K>/N_f, from (samples,) or (samples, replicas).

    Raises:
        ValueError: dof is not positive.
    """
    if dof < 1:
        raise ValueError(f"dof is {dof}: it must be positive")
    return statistics.mean(2 * statistics.as_series(kinetic_energy) / dof)


def configurational_temperature(gradient_squared: ArrayLike, laplacian: ArrayLike) -> Estimate:
    """T = <|grad U|^2>/<laplacian U>, from two series (samples,) or (samples, replicas).

    The ratio of the means is the temperature, the mean of ratios is not.

    Reference: Rugh, Phys. Rev. Lett. 78, 772 (1997).
    """
    return ratio(gradient_squared, laplacian)


def virial_temperature(positions: Any, gradients: Any, *, about: ArrayLike = 0.0) -> Estimate:
    """T = <(q - c) . grad U>/N_f for any constant c, where the density vanishes at infinity.

    A gradient with noise that knows nothing of q (a minibatch drawn afresh) gives the same.

    Args:
        positions: q (frames, replicas, dof) or (frames, dof), arrays or lazy ones, read in blocks.
        gradients: grad U, the force with the other sign, of the same shape.
        about: c, a number or (dof,).
    """
    return statistics.mean(frames.dot(positions, gradients, about=np.asarray(about)) / positions.shape[-1])


class FluctuationDissipation(NamedTuple):
    """Two temperatures of stochastic gradient descent, equal where it is stationary."""

    dissipation: Estimate  # <q . g>/N_f
    fluctuation: Estimate  # learning rate <|g|^2/m>/(2 N_f)
    z: float  # their difference in its own standard error


def fluctuation_dissipation_temperature(
    positions: Any, gradients: Any, *, learning_rate: float, weight_decay: float = 0.0, masses: ArrayLike = 1.0
) -> FluctuationDissipation:
    """2 <q . g> = lr <|g|^2/m> with g = grad u + weight_decay q: exact for stationary SGD at any learning rate.

    It follows from <|q|^2> being the same before and after q <- q - (lr/m) g, masses weighing the squares. Either
    side over 2 N_f is the temperature; on U = h q^2/2 with noise of standard deviation s in the gradient both are
    lr s^2/(2 - lr h). Without momentum.

    Args:
        positions: q (frames, replicas, dof) or (frames, dof), arrays or lazy ones, read in blocks.
        gradients: grad u at q as the step from q takes it, noise and all, without the weight decay.
        learning_rate: lr > 0. weight_decay: of the step.
        masses: m, a number or (dof,).

    Raises:
        ValueError: the learning rate is not positive.

    Reference: Yaida, arXiv 1810.00004 (2018).
    """
    if not learning_rate > 0:
        raise ValueError(f"learning_rate is {learning_rate}: it must be positive")
    dof, inverse = positions.shape[-1], 1 / np.asarray(masses, dtype=np.float64)
    force = frames.dot(positions, gradients)  # (frames, ...)
    work = force + weight_decay * frames.dot(positions, positions) if weight_decay else force
    squared = frames.dot(gradients, gradients, inverse)
    if weight_decay:
        squared += 2 * weight_decay * frames.dot(positions, gradients, inverse)
        squared += weight_decay**2 * frames.dot(positions, positions, inverse)
    one, other = work / dof, learning_rate * squared / (2 * dof)
    return FluctuationDissipation(statistics.mean(one), statistics.mean(other), statistics.mean(one - other).z(0.0))


class Thermometer(NamedTuple):
    """What one relation says of a run."""

    name: str
    value: Estimate  # a temperature; over the set one where that differs between replicas
    expected: float  # the set temperature, 1 where values are relative, nan where none was set
    z: float  # deviation from what is expected; without a set temperature from the first thermometer


def temperatures(run: Trajectory, *, start: int | None = None) -> list[Thermometer]:
    """Every temperature that the data of a run tell: kinetic, configurational, virial, of SGD both sides of its law.

    Where replicas differ in their set temperature each is measured in its own, and all values are relative. Where a
    kinetic temperature at the half step is recorded, the one on the step reads low by the scheme's design.

    Args:
        run: an open trajectory.
        start: the first step that counts, by default after equilibration.

    Raises:
        NotRecorded: the run recorded nothing that tells a temperature.
    """
    try:
        given: Setting | None = setting(run, start)
    except NotRecorded:
        given = None
    first = given.start if given else equilibrated_step(run, 0) if start is None else start
    found = [*_observed(run, given, first), *_of_frames(run, given, first)]
    if not found:
        raise NotRecorded(
            f"{run.path} tells no temperature: record scalars of dynamics with momenta, "
            "ConfigurationalTemperature, or frames with forces"
        )
    single = given.single if given else None
    scale = 1.0 if single is None else single
    expected = math.nan if given is None else scale
    table = []
    for name, one in found:
        value = Estimate(one.value * scale, one.error * scale)
        off = value.value - found[0][1].value
        apart = math.hypot(value.error, found[0][1].error)
        z = value.z(expected) if given else (off / apart if off else 0.0)
        table.append(Thermometer(name, value, expected, z))
    return table


def _relative(run: Trajectory, name: str, given: Setting | None, first: int) -> Floats:
    """Samples of an observable over the set temperature, where there is one."""
    found = run.observables[name]
    counts, levels = given.at(found.steps) if given else (found.steps >= first, np.ones((1, 1)))
    values = np.asarray(found.values, dtype=np.float64)[counts]
    if not len(values):
        raise TrajectoryError(f"{name} of {run.path} holds no sample from step {first} on; take an earlier start")
    return np.asarray(values / levels)


def _observed(run: Trajectory, given: Setting | None, first: int) -> Iterator[tuple[str, Estimate]]:
    for name, label in (("temperature", "kinetic"), ("half_step_temperature", "kinetic, half step")):
        if name in run.observables:
            yield label, statistics.mean(_relative(run, name, given, first))
    if {"gradient_squared", "laplacian"} <= set(run.observables):
        squared = _relative(run, "gradient_squared", given, first)
        laplacian = run.observables["laplacian"]
        counts = given.at(laplacian.steps)[0] if given else laplacian.steps >= first
        yield "configurational", configurational_temperature(squared, laplacian.values[counts])


def _of_frames(run: Trajectory, given: Setting | None, first: int) -> Iterator[tuple[str, Estimate]]:
    try:
        forces = run.forces
    except NotRecorded:
        return
    counts, levels = given.at(run.steps) if given else (run.steps >= first, np.ones((1, 1)))
    if not counts.any():
        return
    kept = np.flatnonzero(counts)
    begin = int(kept[0])
    work = -frames.dot(frames.From(run.positions, begin), frames.From(forces, begin))[
        kept - begin
    ]  # (frames, replicas)
    yield "virial", statistics.mean(work / levels / run.dof)
    plain = _PLAIN_SGD.fullmatch(str(run.parameters.get("dynamics", {}).get("integrator", "")))
    if plain:
        rate, decay = float(plain[1]), float(plain[2])
        law = fluctuation_dissipation_temperature(
            frames.From(run.positions, begin), frames.From(forces, begin, -1), learning_rate=rate, weight_decay=decay,
            masses=run.masses,
        )  # fmt: skip
        yield "SGD, dissipation", law.dissipation
        yield "SGD, fluctuation", law.fluctuation
