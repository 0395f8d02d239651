"""Whether a run is canonical: its own data against the laws that hold at the temperature that was set."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trajectories import statistics
from trajectories.errors import NotRecorded, TrajectoryError
from trajectories.statistics import Estimate
from trajectories.storage.reader import Trajectory
from trajectories.thermodynamics import frames, thermometers
from trajectories.thermodynamics.ladder import energies_by_temperature
from trajectories.thermodynamics.laws import drift, kinetic_law
from trajectories.thermodynamics.setting import Setting, setting
from trajectories.thermodynamics.two_temperatures import distribution_slope

Floats = NDArray[np.float64]
GATE = 5.0  # standard errors


class Check(NamedTuple):
    """One law, and what a run says of it."""

    name: str
    value: float  # nan where nothing was measured
    error: float  # standard error, nan where there is none
    expectation: float
    z: float  # deviation in standard errors
    verdict: str  # "passed", "failed", or "open" where the data do not tell
    note: str = ""

    def __str__(self) -> str:
        """One line: name, verdict, what was measured and what is exact."""
        if self.verdict == "open":
            return f"{self.name}: open, {self.note}"
        error = f" ± {self.error:.2g}" if math.isfinite(self.error) else ""
        exact = f", exact {self.expectation:g}" if math.isfinite(self.expectation) else ""
        return f"{self.name}: {self.verdict}, {self.value:.5g}{error}{exact}, z = {self.z:+.1f}"


def canonical_checks(run: Trajectory, *, start: int | None = None, tolerance: float = 0.0) -> list[Check]:
    """Return what the laws of the canonical ensemble say of a run; all values are relative, so that 1 (or 0) is exact.

        K ~ Gamma(N_f/2, T)            mean, width and Kolmogorov-Smirnov test, of momenta at the half step if recorded
        U + K - heat                   its change over the run in units of the fluctuation sqrt(N_f/2) T of K; fails
                                       beyond one of these; not judged where replicas exchange temperatures
        <|grad U|^2>/<laplacian U>     over T, where recorded
        ln P'(E)/P(E)                  its slope between neighbouring temperatures, of a run at several; the worst
        <m v^2> by parameter tensor    over T, of velocities; the worst

    A check fails beyond 5 standard errors; a law whose data were not recorded is "open", its note says why.

    Args:
        run: an open trajectory; frames are read in blocks.
        start: the first step that counts, by default after equilibration.
        tolerance: deviations from 1 below this pass whatever their z: that of a time step one can live with. The
            distribution of K is then tested at the temperature nearest to its mean.

    Raises:
        NotRecorded: there is no "set_temperature"; TrajectoryError: there is no thermal distribution.
    """
    given = setting(run, start)
    laws: dict[str, Callable[[Trajectory, Setting], Iterator[Check]]] = {
        "kinetic energy": partial(_kinetic, tolerance=tolerance),
        "conserved quantity": _conserved,
        "configurational temperature": _configurational,
        "two temperatures": _two_temperatures,
        "equipartition": _equipartition,
    }
    found = []
    for name, law in laws.items():
        try:
            found += list(law(run, given))
        except (TrajectoryError, ValueError) as reason:
            found.append(_open(name, str(reason)))
    return [_forgiven(one, tolerance) for one in found]


def _forgiven(check: Check, tolerance: float) -> Check:
    small = check.expectation == 1 and abs(check.value - 1) < tolerance
    return check._replace(verdict="passed") if check.verdict == "failed" and small else check


def _open(name: str, note: str) -> Check:
    return Check(name, math.nan, math.nan, math.nan, math.nan, "open", note)


def _judge(name: str, value: Estimate, expectation: float, note: str = "") -> Check:
    z = value.z(expectation)
    return Check(name, value.value, value.error, expectation, z, "passed" if abs(z) <= GATE else "failed", note)


def _reduced(run: Trajectory, name: str, given: Setting) -> tuple[NDArray[np.bool_], Floats]:
    """Which samples of an observable count, and these over the set temperature (samples, replicas)."""
    found = run.observables[name]
    counts, levels = given.at(found.steps)
    return counts, np.asarray(found.values[counts] / levels, dtype=np.float64)


def _kinetic(run: Trajectory, given: Setting, *, tolerance: float) -> Iterator[Check]:
    from scipy import stats

    half = "half_step_temperature" in run.observables
    name = "half_step_temperature" if half else "temperature"
    reduced = _reduced(run, name, given)[1] * run.degrees_of_freedom / 2
    law = kinetic_law(reduced, dof=run.degrees_of_freedom, temperature=1.0)
    note = "momenta at the half step" if half else "momenta on the step"
    for label, value, z in (("mean", law.mean, law.mean_z), ("width", law.width, law.width_z)):
        error = abs((value - 1) / z) if z else math.nan
        verdict = "passed" if abs(z) <= GATE else "failed"
        yield Check(f"kinetic energy, {label}", value, error, 1.0, z, verdict, note)
    off = float(np.clip(law.mean, 1 - tolerance, 1 + tolerance))  # the law at the temperature that is forgiven
    p_value = kinetic_law(reduced, dof=run.degrees_of_freedom, temperature=off).p_value if off != 1 else law.p_value
    z = float(stats.norm.isf(p_value / 2))
    told = f"p-value of {law.samples} samples; its z is that of a normal number as rare"
    verdict = "passed" if z <= GATE else "failed"
    yield Check("kinetic energy, distribution", p_value, math.nan, math.nan, z, verdict, told)


def _conserved(run: Trajectory, given: Setting) -> Iterator[Check]:
    found = run.observables["conserved"]
    counts = found.steps >= given.start
    times = found.times[counts]
    unit = given.values.mean(axis=0) * math.sqrt(run.degrees_of_freedom / 2)
    slope = drift(np.asarray(found.values[counts], dtype=np.float64) / unit, times).overall
    span = float(np.ptp(times))
    check = _judge("conserved quantity, change", Estimate(slope.value * span, slope.error * span), 0.0)
    if check.verdict == "failed" and "tempering/rung" in run.observables:
        note = "not judged: a large step drifts at each exchange, which turns the momenta"
        check = check._replace(verdict="open", note=note)
    if check.verdict == "failed" and abs(check.value) < 1:
        check = check._replace(verdict="passed", note="it drifts, by less than K fluctuates")
    yield check


def _configurational(run: Trajectory, given: Setting) -> Iterator[Check]:
    counts, squared = _reduced(run, "gradient_squared", given)
    laplacian = run.observables["laplacian"].values[counts]
    yield _judge("configurational temperature", thermometers.configurational_temperature(squared, laplacian), 1.0)


def _two_temperatures(run: Trajectory, given: Setting) -> Iterator[Check]:
    if given.single is not None:
        raise NotRecorded("the run has one temperature only; replicas at several, or replica exchange, would tell")
    ladder = energies_by_temperature(run, start=given.start)
    pairs = []
    for k in range(ladder.rungs - 1):
        low, high = (float(t) for t in ladder.temperatures[k : k + 2])
        slope = distribution_slope(ladder.energies[k], ladder.energies[k + 1], low, high)
        pairs.append((slope, f"worst of {ladder.rungs - 1} pairs, T = {low:.4g} and {high:.4g}"))
    slope, note = max(pairs, key=lambda pair: abs(pair[0].z(1.0)))
    yield _judge("two temperatures, slope", slope, 1.0, note)


class Layer(NamedTuple):
    """The kinetic temperature of one parameter tensor, over the set temperature."""

    name: str
    size: int
    temperature: Estimate


def equipartition(run: Trajectory, *, given: Setting | None = None) -> list[Layer]:
    """<m v^2>/T of every parameter tensor, 1 in each, from velocities of the frames, read in blocks.

    Where the scheme's step ends with a kick its velocities on the step read low (those of BAOAB do): half that kick
    is taken back if forces were recorded.

    Args:
        run: an open trajectory with velocities in its frames.
        given: what it was set to, by default `setting(run)`.

    Raises:
        NotRecorded: there are no velocities; TrajectoryError: no frame counts, or the kick cannot be taken back.
    """
    given = given or setting(run)
    run.velocities  # noqa: B018  (raises where there are none)
    keep, levels = given.at(run.steps)
    if not keep.any():
        raise TrajectoryError(f"{run.path} holds no frame from step {given.start} on")
    squares = frames.layer_temperatures(run, keep, _kick(run, keep)) / levels[..., None]  # (frames, replicas, tensors)
    table = [tensor for tensor in run.table if tensor.size]
    return [Layer(one.name, one.size, statistics.mean(squares[..., k])) for k, one in enumerate(table)]


def _kick(run: Trajectory, keep: NDArray[np.bool_]) -> float:
    """The time of a step's closing kick: 0 where there is none, else dt/2, confirmed by the half-step temperature."""
    if "half_step_temperature" not in run.observables:
        return 0.0
    half = run.observables["half_step_temperature"]
    shared = np.flatnonzero(keep & np.isin(run.steps, half.steps))
    try:
        forces = run.forces
    except NotRecorded as reason:
        raise TrajectoryError(
            "velocities on the step read low where it ends with a kick: record forces too, md.Frames(force=True)"
        ) from reason
    if len(shared) and len(run.steps) > 1:
        frame = int(shared[-1])
        kick = float((run.times[-1] - run.times[0]) / (run.steps[-1] - run.steps[0])) / 2
        masses = np.asarray(run.masses, dtype=np.float64)
        velocity = np.asarray(run.velocities[frame], dtype=np.float64) - kick * np.asarray(forces[frame]) / masses
        told = half.values[np.searchsorted(half.steps, run.steps[frame])]
        if np.allclose((masses * velocity**2).mean(axis=-1), told, rtol=1e-3):
            return kick
    raise TrajectoryError("velocities on the step read low where it ends with a kick, and this one is not of dt/2")


def _equipartition(run: Trajectory, given: Setting) -> Iterator[Check]:
    layers = equipartition(run, given=given)
    worst = max(layers, key=lambda layer: abs(layer.temperature.z(1.0)))
    yield _judge("equipartition", worst.temperature, 1.0, f"worst of {len(layers)} tensors, {worst.name}")
