"""Figures of the run itself: energy and loss, temperature, the law of the kinetic energy, what is conserved."""

from typing import TYPE_CHECKING, Any

import numpy as np

from trajectories import statistics, thermodynamics
from trajectories.report import reading
from trajectories.report.drawing import (
    BLUE,
    GREEN,
    INK,
    VERMILLION,
    Array,
    Missing,
    Picture,
    band,
    legend,
    logarithmic,
    render,
)
from trajectories.report.reading import Series, series
from trajectories.storage.reader import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOSSES = {"train/loss": VERMILLION, "test/loss": GREEN}


def loss(run: Trajectory) -> Picture:
    """Draw potential energy, and training and test loss where recorded, along the run."""
    groups = [["potential_energy"], list(_LOSSES)]
    groups = [[name for name in names if name in run.observables] for names in groups]
    groups = [names for names in groups if names]
    if not groups:
        raise Missing("the run recorded none of “potential_energy”, “train/loss”, “test/loss”")

    def draw(*panels: "Axes") -> None:
        for axes, names in zip(panels, groups, strict=True):
            for name in names:
                found = series(run, name)
                band(axes, found.steps, found.values, _LOSSES.get(name, BLUE), name.replace("_", " "))
            axes.set_ylabel("loss" if names[0] in _LOSSES else "potential energy U")
            if all(logarithmic(series(run, name).values) for name in names):
                axes.set_yscale("log")
            legend(axes, replicas=run.replicas)
        panels[-1].set_xlabel("step")

    svg = render(draw, f"loss of {run.path}", panels=len(groups), share_x=True)
    finals = [f"{name} {_last_half(run, name)}" for names in groups for name in names]
    return Picture(svg, f"Mean over the last half: {'; '.join(finals)}. Reduced units, k_B = 1.")


def _last_half(run: Trajectory, name: str) -> str:
    return _half(series(run, name).values)


def _half(values: Array) -> str:
    half = values[len(values) // 2 :]
    return str(statistics.mean(half)) if np.isfinite(half).all() else "not finite"


def temperature(run: Trajectory) -> Picture:
    """Draw the kinetic temperature against the set temperature, or over it where tempering keeps changing that."""
    found = series(run, "temperature")
    if _tempered(run, found):
        return _relative_temperature(run, found)

    def draw(axes: "Axes") -> None:
        band(axes, found.steps, found.values, BLUE, "kinetic temperature")
        if "set_temperature" in run.observables:
            wanted = series(run, "set_temperature")
            lines = np.unique(wanted.values, axis=1)[:, :8]  # replicas on one schedule share a line; a ladder has many
            axes.plot(wanted.steps, lines, color=INK, linewidth=1, linestyle=(0, (4, 2)))
            axes.lines[-1].set_label("set temperature")
        axes.set_xlabel("step")
        axes.set_ylabel("temperature T")
        if logarithmic(found.values):
            axes.set_yscale("log")
        legend(axes, replicas=run.replicas)

    told = f"Mean over the last half: {_last_half(run, 'temperature')}"
    if reading.group(run).note:  # a mean over several temperatures says nothing
        told = (
            f"Mean over the last half: {_half(found.values / series(run, 'set_temperature').values[-1])} of the set one"
        )
    return Picture(render(draw, f"temperature of {run.path}"), f"{told}. Reduced units, k_B = 1.")


def _tempered(run: Trajectory, found: Series) -> bool:
    """Whether each sample has a set temperature of its own."""
    if not run.parameters.get("tempering") or "set_temperature" not in run.observables:
        return False
    return np.array_equal(series(run, "set_temperature").steps, found.steps)


def _relative_temperature(run: Trajectory, found: Series) -> Picture:
    ratio = found.values / series(run, "set_temperature").values

    def draw(axes: "Axes") -> None:
        band(axes, found.steps, ratio, BLUE, "kinetic over set temperature")
        axes.axhline(1.0, color=INK, linewidth=1, linestyle=(0, (4, 2)))
        axes.set_xlabel("step")
        axes.set_ylabel("temperature / set temperature")
        legend(axes, replicas=run.replicas)

    caption = f"Mean over the last half: {_half(ratio)} of the set one."
    return Picture(render(draw, f"temperature of {run.path}"), caption)


def _final_temperature(run: Trajectory) -> tuple[Array, int]:
    """Find the last set temperature (replicas,) and the step from which on it was set."""
    wanted = series(run, "set_temperature")
    final = wanted.values[-1]
    if not (np.isfinite(final).all() and (final > 0).all()):
        raise Missing(f"the last set temperature is {final.min():g}: there is no thermal distribution to compare with")
    changed = np.flatnonzero((wanted.values != final).any(axis=1))
    return final, int(wanted.steps[changed[-1] + 1]) if len(changed) else int(wanted.steps[0])


def _temperatures(run: Trajectory, found: Series) -> tuple[Array, int]:
    """The set temperatures that samples belong to, and the first step of these; those of tempering keep changing."""
    if _tempered(run, found):
        return series(run, "set_temperature").values, int(found.steps[0])
    return _final_temperature(run)


def kinetic(run: Trajectory) -> Picture:
    """Draw the kinetic energies at the final temperature against their law, Gamma(N_f / 2, T)."""
    from scipy import stats

    found = series(run, "kinetic_energy")
    final, start = _temperatures(run, found)
    reduced = found.values[found.steps >= start] / final  # (samples, replicas)
    if len(reduced) < 20 or not np.isfinite(reduced).all():
        raise Missing(f"{len(reduced)} finite samples of the kinetic energy at the final temperature; 20 are needed")
    reduced = reduced[statistics.equilibrated(reduced) :]
    law = thermodynamics.kinetic_law(reduced, dof=run.degrees_of_freedom, temperature=1.0)
    gamma = stats.gamma(run.degrees_of_freedom / 2)

    def draw(axes: "Axes") -> None:
        bins = int(np.clip(np.sqrt(law.samples), 12, 60))
        axes.hist(reduced.ravel(), bins=bins, density=True, color=BLUE, alpha=0.5, label="samples")
        low, high = min(gamma.ppf(1e-4), reduced.min()), max(gamma.ppf(1 - 1e-4), reduced.max())
        grid = np.linspace(low, high, 200)
        axes.plot(grid, gamma.pdf(grid), color=VERMILLION, label=f"Gamma(N_f/2, T),  N_f = {run.degrees_of_freedom}")
        axes.set_xlabel("kinetic energy  K / T")
        axes.set_ylabel("probability density")
        legend(axes)

    span = f"T = {final.min():.4g}" if np.ptp(final) == 0 else f"T = {final.min():.4g} to {final.max():.4g}"
    caption = (
        f"Kolmogorov-Smirnov p = {law.p_value:.2g} on {law.samples} independent samples; mean {law.mean:.4f} of the "
        f"exact one (z = {law.mean_z:+.1f}), width {law.width:.3f} (z = {law.width_z:+.1f}). {span}, from step "
        f"{start} on, equilibrated part."
    )
    return Picture(render(draw, f"kinetic energy of {run.path}"), caption)


def conserved(run: Trajectory) -> Picture:
    """Draw the quantity that should stay constant, and its drift replica by replica, in units of T."""
    found = series(run, "conserved")
    if len(found) < 3 or not np.isfinite(found.values).all():
        raise Missing(f"“conserved” holds {len(found)} samples, not all of them finite or enough for a slope")
    try:
        unit: Any = _final_temperature(run)[0]
        label = "T"
    except Missing:
        unit, label = 1.0, "units of energy"
    change = (found.values - found.values[0]) / unit  # (samples, replicas)
    drift = thermodynamics.drift(change, found.times)

    def draw(upper: "Axes", lower: "Axes") -> None:
        band(upper, found.steps, change, BLUE, "U + K - heat")
        upper.set_xlabel("step")
        upper.set_ylabel(f"change since the start  [{label}]")
        legend(upper, replicas=run.replicas)
        count = np.arange(len(drift.replicas))
        lower.axhline(0, color=INK, linewidth=0.8)
        lower.errorbar(
            count, drift.replicas, drift.errors, fmt="o", ms=3, lw=1, color=VERMILLION, label="replica ± 1 se"
        )
        lower.set_xlabel("replica")
        lower.set_ylabel(f"drift  [{label} per unit time]")
        legend(lower)

    worst = int(np.argmax(np.abs(drift.replicas)))
    caption = (
        f"Drift {drift.overall} {label} per unit time (z = {drift.overall.z(0):+.1f}), "
        f"{drift.overall.value * np.ptp(found.times):.3g} {label} over the run; "
        f"largest in replica {worst}: {drift.replicas[worst]:.3g}."
    )
    return Picture(render(draw, f"conserved quantity of {run.path}", panels=2), caption)
