"""Figures of runs that temper: overlap of energies, acceptance, the walk through the ladder, and free energies."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from trajectories.errors import TrajectoryError
from trajectories.report.drawing import BLUE, INK, VERMILLION, Array, Missing, Picture, legend, render
from trajectories.storage.reader import Trajectory
from trajectories.thermodynamics import annealing, tempering
from trajectories.thermodynamics.tempering import Walk

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN = 150  # attempts of which the walk is drawn
_TICKS = 6
_WALK, _POPULATION = "tempering/rung", "tempering/log_z"


def drawn(run: Trajectory) -> dict[str, Callable[[Trajectory], Picture]]:
    """The figures of a run by title; none where it does not temper."""
    names = {"SimulatedTempering": "Simulated tempering"}
    title = names.get(str(tempering.parameters(run).get("method")), "Replica exchange")
    if _WALK in run.observables:
        return {
            f"{title}: overlap of energies": overlap,
            f"{title}: acceptance": acceptance,
            f"{title}: walk through the ladder": walk,
        }
    return {"Population annealing": population} if _POPULATION in run.observables else {}


def _second_half(run: Trajectory) -> Walk:
    """The attempts of the second half of the run, or those after the weights were learnt where these are fewer."""
    if not len(run.observables[_WALK]):
        raise Missing(f"“{_WALK}” holds no sample: the run ended before the first attempt")
    steps = run.observables[_WALK].steps
    learnt = int(tempering.parameters(run).get("learn", 0))
    try:
        return tempering.walk(run, start=max(learnt, int(steps[len(steps) // 2]) - 1))
    except (TrajectoryError, ValueError) as reason:
        raise Missing(str(reason)) from reason


def _logarithmic(axes: "Axes", values: Array) -> None:
    """Make the x axis logarithmic, with plain numbers at some of these values."""
    shown = np.unique(np.linspace(0, len(values) - 1, min(_TICKS, len(values))).round().astype(int))
    axes.set_xscale("log")
    axes.set_xticks(values[shown], [f"{value:.3g}" for value in values[shown]])
    axes.set_xticks([], minor=True)


def overlap(run: Trajectory) -> Picture:
    """Draw the histogram of the tempered energy of every rung, from dark (cold) to bright (hot)."""
    from matplotlib import colormaps

    found = _second_half(run)
    by_rung = tempering.energies(found)
    # the ends of the map are left out: they would vanish on a dark or a bright page
    colours = colormaps["cividis"](np.linspace(0.2, 0.95, found.rungs))
    everything = np.concatenate(by_rung)
    low, high = everything.min(), everything.max()
    log = high > 4 * low > 0
    bins = np.geomspace(low, high, 61) if log else np.linspace(low, high if high > low else low + 1, 61)

    def draw(axes: "Axes") -> None:
        for k, (energies, colour) in enumerate(zip(by_rung, colours, strict=True)):
            label = f"T = {found.ladder[k]:.3g}" if k in {0, found.rungs - 1} else None
            share = np.full(len(energies), 1 / max(1, len(energies)))
            axes.hist(energies, bins=bins.tolist(), weights=share, histtype="step", color=colour, lw=1.6, label=label)
        if log:
            _logarithmic(axes, np.geomspace(low, high, 7))
        axes.set_xlabel("tempered energy E")
        axes.set_ylabel("share of the samples")
        legend(axes)

    settings = tempering.parameters(run)
    what = "U" if settings.get("tempered", "all") == "all" else "L = U - prior"
    means = tempering.mean_energies(found)
    caption = (
        f"E = {what} on {found.rungs} rungs; mean {means[0]} at T = {found.ladder[0]:.4g} and {means[-1]} at "
        f"T = {found.ladder[-1]:.4g}. Neighbours exchange where their histograms overlap. Second half of the run, "
        "reduced units, k_B = 1."
    )
    return Picture(render(draw, f"energies by rung of {run.path}"), caption)


def acceptance(run: Trajectory) -> Picture:
    """Draw the acceptance of each pair of neighbours with its standard error."""
    found = _second_half(run)
    rate, error, tries = tempering.acceptance(found)
    if not tries.any():
        raise Missing("no exchange was tried in the second half of the run")
    middle = np.sqrt(found.ladder[1:] * found.ladder[:-1])

    def draw(axes: "Axes") -> None:
        axes.errorbar(middle, rate, error, fmt="o-", ms=4, color=BLUE, label="pair ± 1 se")
        _logarithmic(axes, found.ladder)
        axes.set_ylim(0, 1)
        axes.set_xlabel("temperature between the two rungs")
        axes.set_ylabel("acceptance")
        legend(axes)

    worst = int(np.nanargmin(rate))
    caption = (
        f"Mean {np.nanmean(rate):.3f}; lowest {rate[worst]:.3f} ± {error[worst]:.2g} between T = "
        f"{found.ladder[worst]:.4g} and {found.ladder[worst + 1]:.4g}; {tries.min()} to {tries.max()} attempts a pair. "
        "Second half of the run."
    )
    return Picture(render(draw, f"acceptance of {run.path}"), caption)


def walk(run: Trajectory) -> Picture:
    """Draw two replicas' walks through the ladder, and the fraction of replicas on their way up at each rung."""
    found = _second_half(run)
    trips = tempering.round_trips(found)
    replicas, part = found.rung.shape[1], slice(-_SHOWN, None)

    def draw(upper: "Axes", lower: "Axes") -> None:
        for r, colour, style in ((0, BLUE, "-"), (replicas // 2, VERMILLION, (0, (4, 1))))[: min(2, replicas)]:
            rung = found.rung[part, r]
            upper.plot(found.steps[part], rung, color=colour, ls=style, drawstyle="steps-post", label=f"replica {r}")
        upper.set_xlabel("step")
        upper.set_ylabel("rung")
        legend(upper)
        rungs = np.arange(found.rungs)
        lower.plot(rungs, trips.upward, "o-", ms=4, color=BLUE, label="on their way up")
        lower.plot(rungs, 1 - rungs / (found.rungs - 1), color=INK, lw=1, ls=(0, (4, 2)), label="even flow")
        lower.set_ylim(-0.05, 1.05)
        lower.set_xlabel("rung")
        lower.set_ylabel("fraction of replicas")
        legend(lower)

    if trips.trips.sum():
        each = str(trips.time) if np.isfinite(trips.time.error) else f"{trips.time.value:.0f}"
        told = f"{trips.trips.sum()} round trips of {replicas} replicas, {each} steps each"
    else:
        told = f"no round trip of any of {replicas} replicas"
    caption = (
        f"Above the last {len(found.steps[part])} attempts. Second half of the run: {told}; rung 0 is the coldest. "
        "Below, of the replicas on a rung, the fraction that came from the coldest one last."
    )
    return Picture(render(draw, f"walk of {run.path}", panels=2), caption)


def population(run: Trajectory) -> Picture:
    """Draw ln Z of every temperature of a population annealing run, and how many families are left."""
    if not len(run.observables[_POPULATION]):
        raise Missing(f"“{_POPULATION}” holds no sample: the run ended before the first fall of the temperature")
    found = annealing.stages(run)
    error = np.nan_to_num(found.error)

    def draw(upper: "Axes", lower: "Axes") -> None:
        upper.errorbar(found.ladder, found.log_z, error, fmt="o-", ms=4, capsize=3, color=BLUE, label="ln Z ± 1 se")
        upper.set_ylabel("ln Z(T) - ln Z(first T)")
        lower.plot(found.ladder, found.families, "o-", ms=4, color=VERMILLION, label="families left in a population")
        lower.plot(found.ladder, found.rho, "s--", ms=4, color=BLUE, label="mean square family size")
        for axes in (upper, lower):
            _logarithmic(axes, found.ladder)
            axes.set_xlabel("temperature T")
            legend(axes)

    told = f" ± {found.error[-1]:.2g}" if np.isfinite(found.error[-1]) else " (one population, so without error)"
    caption = (
        f"ln Z at T = {found.ladder[-1]:.4g} is {found.log_z[-1]:.4f}{told} above that at the first temperature; "
        f"{found.families[-1]:.1f} families are left, of mean square size {found.rho[-1]:.1f}: a population should "
        "have many times more replicas than that."
    )
    return Picture(render(draw, f"population annealing of {run.path}", panels=2), caption)
