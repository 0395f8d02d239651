"""Figures of energy, heat capacity, free energy and temperature, by every method that a run's data allow."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from trajectories import thermodynamics
from trajectories.errors import TrajectoryError
from trajectories.report.drawing import BLUE, GREEN, INK, PURPLE, VERMILLION, Missing, Picture, legend, render
from trajectories.storage.reader import Trajectory
from trajectories.thermodynamics import Ladder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, INK)
_MARKS = "osD^v"
_BINS, _WINDOW = 100, 25  # of energies, as many samples in each bin; bins in a fit
_NAMED = 24  # parameter tensors that an axis has room to name


def drawn(run: Trajectory) -> dict[str, Callable[[Trajectory], Picture]]:
    """The figures by title; each raises Missing where the run's data do not allow it."""
    return {
        "Temperatures side by side": temperatures,
        "Equipartition by layer": equipartition,
        "Energy and heat capacity": heat_capacity,
        "Free energy and entropy": free_energies,
        "Microcanonical temperature": microcanonical,
    }


def _ladder(run: Trajectory, rungs: int) -> Ladder:
    try:
        found = thermodynamics.energies_by_temperature(run)
    except (TrajectoryError, ValueError) as reason:
        raise Missing(str(reason)) from reason
    if found.rungs < rungs:
        raise Missing(f"the run holds {found.rungs} set temperature(s), and {rungs} or more are needed")
    return found


def heat_capacity(run: Trajectory) -> Picture:
    """Draw the mean energy by temperature, and the heat capacity from its fluctuations and from its slope."""
    ladder = _ladder(run, 3)
    try:
        mean, found = thermodynamics.mean_energy(ladder), thermodynamics.heat_capacity(ladder)
    except ValueError as reason:
        raise Missing(str(reason)) from reason
    levels, what = ladder.temperatures, "L" if ladder.tempered == "loss" else "U"

    def draw(upper: "Axes", lower: "Axes") -> None:
        upper.errorbar(levels, mean.value, mean.error, fmt="o-", ms=4, capsize=3, color=BLUE, label="mean ± 1 se")
        upper.set_ylabel(f"mean energy <{what}>")
        legend(upper)
        _points(lower, levels, found.fluctuation, found.fluctuation_error, 0, f"var {what} / T²")
        _points(lower, levels, found.derivative, found.derivative_error, 1, f"d<{what}>/dT")
        lower.set_ylabel("heat capacity C")
        _temperature_axes(levels, upper, lower)
        legend(lower)

    worst = int(np.argmax(np.abs(found.z)))
    caption = (
        f"Two ways to one heat capacity; they differ most at T = {levels[worst]:.4g}, z = {found.z[worst]:+.1f}. "
        f"{run.degrees_of_freedom} harmonic coordinates would have C = {run.degrees_of_freedom / 2:g}. "
        "Errors from the jackknife; k_B = 1."
    )
    return Picture(render(draw, f"heat capacity of {run.path}", panels=2), caption)


def _points(axes: "Axes", x: np.ndarray, y: np.ndarray, error: np.ndarray, style: int, label: str) -> None:
    colour, mark = _COLOURS[style % len(_COLOURS)], _MARKS[style % len(_MARKS)]
    axes.errorbar(x, y, error, fmt=mark, ms=4, capsize=3, color=colour, label=label, mfc="none" if style else colour)


def _temperature_axes(levels: np.ndarray, *panels: "Axes") -> None:
    """Make the x axes logarithmic in T, as ladders are spaced, with plain numbers at some rungs."""
    shown = np.unique(np.linspace(0, len(levels) - 1, min(6, len(levels))).round().astype(int))
    for axes in panels:
        axes.set_xscale("log")
        axes.set_xticks(levels[shown], [f"{level:.3g}" for level in levels[shown]])
        axes.set_xticks([], minor=True)
    panels[-1].set_xlabel("temperature T")


def free_energies(run: Trajectory) -> Picture:
    """Draw ln Z and entropy by temperature from MBAR, and how far the other methods are from it."""
    ladder = _ladder(run, 2)
    try:
        found = thermodynamics.free_energies(ladder)
    except (TrajectoryError, ValueError) as reason:
        raise Missing(str(reason)) from reason
    first, *others = found.methods
    levels = ladder.temperatures

    def draw(upper: "Axes", lower: "Axes") -> None:
        upper.errorbar(levels, first.log_z, first.error, fmt="o-", ms=4, capsize=3, color=BLUE, label="ln Z")
        upper.errorbar(
            levels, first.entropy, first.entropy_error, fmt="s--", ms=4, capsize=3, color=VERMILLION, label="entropy S"
        )
        upper.set_ylabel("since the lowest T")
        legend(upper)
        lower.fill_between(levels, -first.error, first.error, color=BLUE, alpha=0.25, lw=0, label="MBAR ± 1 se")
        gap = np.log(levels[1:] / levels[:-1]).min()
        for k, one in enumerate(others):
            shift = np.exp(0.12 * (k - (len(others) - 1) / 2) * gap)
            _points(lower, levels * shift, one.log_z - first.log_z, one.error, k, one.method)
        lower.set_ylabel("ln Z less MBAR's")
        _temperature_axes(levels, upper, lower)
        legend(lower, columns=3)

    name, worst = max(found.worst.items(), key=lambda pair: pair[1])
    caption = (
        f"ln Z at T = {levels[-1]:.4g} is {first.log_z[-1]:.4f} ± {first.error[-1]:.2g} above that at T = "
        f"{levels[0]:.4g}, the entropy {first.entropy[-1]:.4f} ± {first.entropy_error[-1]:.2g}. Farthest from MBAR: "
        f"{name}, |z| = {worst:.1f}. Points are shifted in T so that they can be told apart."
    )
    return Picture(render(draw, f"free energies of {run.path}", panels=2), caption)


def microcanonical(run: Trajectory) -> Picture:
    """Draw T(E) = dE/dS from the density of states that all temperatures tell together."""
    ladder = _ladder(run, 2)
    try:
        everything = np.concatenate([one.ravel() for one in ladder.energies])
        states = thermodynamics.wham(ladder, np.unique(np.quantile(everything, np.linspace(0, 1, _BINS + 1))))
        found = thermodynamics.microcanonical_temperature(
            states.energies, states.log_g, left_out=states.left_out, window=_WINDOW
        )
    except (TrajectoryError, ValueError) as reason:
        raise Missing(str(reason)) from reason
    mean = thermodynamics.mean_energy(ladder)
    shown = found.beta > 0
    shown &= (found.energies > mean.value[0]) & (found.energies < mean.value[-1])
    if not shown.any():
        raise Missing("no bin of energy lies between the mean energies of the lowest and the highest temperature")

    def draw(axes: "Axes") -> None:
        x, y, error = found.energies[shown], found.temperature[shown], found.error[shown]
        axes.plot(x, y, color=BLUE, label="T(E) = dE/dS ± 1 se")
        axes.fill_between(x, y - error, y + error, color=BLUE, alpha=0.25, lw=0)
        axes.errorbar(
            mean.value,
            ladder.temperatures,
            xerr=mean.error,
            fmt="s",
            ms=4,
            color=VERMILLION,
            label="canonical <E> at T",
        )
        axes.set_xlabel("energy E")
        axes.set_ylabel("temperature T")
        legend(axes)

    caption = (
        f"ln g(E) by WHAM of {ladder.rungs} temperatures in {len(states.energies)} bins, its slope by parabolas "
        f"through {_WINDOW} bins; errors from the jackknife. The squares are the set temperatures at their mean "
        "energies, which lie off the curve by about 1/N."
    )
    return Picture(render(draw, f"microcanonical temperature of {run.path}"), caption)


def temperatures(run: Trajectory) -> Picture:
    """Draw every temperature that the run's data tell, and the set one."""
    try:
        found = thermodynamics.temperatures(run)
    except (TrajectoryError, ValueError) as reason:
        raise Missing(str(reason)) from reason
    expected = found[0].expected
    relative = "set_temperature" in run.observables and np.ptp(run.observables["set_temperature"].values[-1]) > 0

    def draw(axes: "Axes") -> None:
        place = np.arange(len(found))[::-1]
        axes.errorbar(
            [one.value.value for one in found], place, xerr=[one.value.error for one in found], fmt="o", ms=5,
            capsize=3, color=BLUE, label="mean ± 1 se",
        )  # fmt: skip
        if np.isfinite(expected):
            axes.axvline(expected, color=INK, linewidth=1, linestyle=(0, (4, 2)), label="set temperature")
        axes.set_yticks(place, [one.name for one in found])
        axes.set_ylim(-0.6, len(found) - 0.4)
        axes.set_xlabel("temperature / set temperature" if relative else "temperature T")
        legend(axes)

    told = "; ".join(f"{one.name} {one.value} (z = {one.z:+.1f})" for one in found)
    against = "the set temperature" if np.isfinite(expected) else "the first"
    return Picture(render(draw, f"temperatures of {run.path}"), f"{told}. z against {against}, k_B = 1.")


def equipartition(run: Trajectory) -> Picture:
    """Draw the kinetic temperature of every parameter tensor over the set one."""
    try:
        layers = thermodynamics.equipartition(run)
    except (TrajectoryError, ValueError) as reason:
        raise Missing(str(reason)) from reason
    values, errors = (np.array([one.temperature[k] for one in layers]) for k in range(2))

    def draw(axes: "Axes") -> None:
        place = np.arange(len(layers))
        axes.errorbar(place, values, errors, fmt="o", ms=4, capsize=3, color=BLUE, label="tensor ± 1 se")
        axes.axhline(1.0, color=INK, linewidth=1, linestyle=(0, (4, 2)), label="set temperature")
        if len(layers) <= _NAMED:
            names = [one.name for one in layers]
            axes.set_xticks(place, names, rotation=0 if sum(map(len, names)) < 50 else 90)
        axes.set_xlabel("parameter tensor")
        axes.set_ylabel("<m v²> / T")
        legend(axes)

    worst = max(layers, key=lambda layer: abs(layer.temperature.z(1.0)))
    caption = (
        f"Worst of {len(layers)} tensors: {worst.name} ({worst.size} coordinates), {worst.temperature}, "
        f"z = {worst.temperature.z(1.0):+.1f}."
    )
    return Picture(render(draw, f"equipartition of {run.path}"), caption)
