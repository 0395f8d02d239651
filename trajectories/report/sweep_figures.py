"""Figures of a sweep of learning rates: stationary states by rate, their temperature, signal and noise."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from trajectories.report.drawing import BLUE, VERMILLION, Missing, Picture, Table, legend, logarithmic, render
from trajectories.sgd import Stationary, Thermodynamics, Values, over_seeds, stationary
from trajectories.sgd.reading import ENERGY, ENTROPY, GRADIENT, NOISE
from trajectories.sgd.summary import columns
from trajectories.statistics import Estimate
from trajectories.storage.reader import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LAST = 50  # samples of the energy that are averaged, or all where there are fewer


def drawn(run: Trajectory) -> dict[str, Callable[[Trajectory], Picture | Table]]:
    """The figures of a run by title; none where it swept nothing."""
    if not swept(run):
        return {}
    return {
        "States by point": states,
        "Energy and entropy by rate": by_rate,
        "Temperature by rate": temperature,
        "Signal and noise by rate": signal,
    }


def swept(run: Trajectory) -> bool:
    """Whether replicas differ in their learning rate, so that averages over all of them mean nothing."""
    return "rate" in (run.parameters.get("sweep") or {})


def states(run: Trajectory) -> Table:
    """List the stationary values of each point of the sweep, and whether its energy still drifted."""
    found = _read(run)
    told = columns(found)
    names = [name for name in told if not name.startswith("±")]
    rows = [
        [*(_cell(told, name, k) for name in names), "yes" if found.drift.moved[k] else "no"]
        for k in range(len(found.sweep.rates))
    ]
    caption = f"Means over the samples since step {found.since}, ± 1 standard error over {_seeds(found)}."
    return Table((*names, "U drifts"), rows, caption)


def by_rate(run: Trajectory) -> Picture:
    """Draw U, and S where it was recorded, against the rate."""
    found = _rising(run)
    shown = {"U [mean loss]": over_seeds(found[ENERGY])}
    if ENTROPY in found.values:
        shown["S, but for a constant  [k_B]"] = over_seeds(found[ENTROPY])

    def draw(*panels: "Axes") -> None:
        for axes, (name, values), colour in zip(panels, shown.items(), (BLUE, VERMILLION), strict=False):
            _points(axes, found.sweep.rates, values, colour, name)
            axes.set_ylabel(name)
        panels[-1].set_xlabel("learning rate η")

    svg = render(draw, "sweep by rate", panels=len(shown), share_x=True)
    return Picture(svg, f"Means since step {found.since}. Bars: ± 1 standard error over {_seeds(found)}.")


def temperature(run: Trajectory) -> Picture:
    """Draw T = dU/dS with the interval between its bounds, and its power law."""
    found = _rising(run)
    if ENTROPY not in found.values:
        raise Missing("no entropy was recorded: give the Simulation a GraphEntropy at late steps")
    heat = Thermodynamics(found)
    t, law = heat.temperature, heat.power_law
    known = np.isfinite(t.value) & (t.value > 0)
    if not known.any():
        raise Missing(f"no rate has a temperature: {'; '.join(dict.fromkeys(filter(None, t.reasons)))}")

    def draw(axes: "Axes") -> None:
        x = t.rates[known]
        axes.vlines(x, t.low[known], t.high[known], color=BLUE, alpha=0.3, lw=6, label="T_min to T_max")
        _points(axes, x, Values(t.value[known], t.error[known]), BLUE, "T = √(T_min T_max)", line="")
        if np.isfinite(law.b.value):
            axes.plot(x, law.at(x), color=VERMILLION, ls="--", label=f"{law.a.value:.3g} η^{law.b.value:.2f}")
        axes.set_yscale("log")
        axes.set_xlabel("learning rate η")
        axes.set_ylabel("T  [U/k_B]")
        legend(axes)

    curves = heat.free_energy
    missing = dict.fromkeys(f"η = {r:.3g}: {why}" for r, why in zip(t.rates, t.reasons, strict=True) if why)
    caption = (
        f"Power law T = a η^b: a = {law.a}, b = {law.b}. F = U − T S is least at its own rate at {curves.at_own} of "
        f"{curves.told} rates ({curves.shuffled.mean():.1f} with S permuted), with T of half of the seeds and F of the "
        f"others at {heat.held_out.at_own} of {heat.held_out.told}. No T at {'; '.join(missing) or 'none'}."
    )
    return Picture(render(draw, "sweep temperature"), caption)


def signal(run: Trajectory) -> Picture:
    """Draw the signal-to-noise ratio of the gradient against the rate."""
    found = _rising(run)
    if not {GRADIENT, NOISE} <= set(found.values):
        raise Missing("no noise was recorded: give the Simulation a NoiseLevel")
    ratio = found.signal_to_noise

    def draw(axes: "Axes") -> None:
        _points(axes, found.sweep.rates, ratio, BLUE, "|∇U|/√⟨|g − ∇U|²⟩")
        axes.set_xlabel("learning rate η")
        axes.set_ylabel("signal-to-noise ratio")

    return Picture(render(draw, "sweep signal"), f"Bars: ± 1 standard error over {_seeds(found)}.")


def _points(axes: "Axes", x: np.ndarray, values: Values, colour: str, label: str, line: str = "-") -> None:
    finite = np.isfinite(values.value)
    error = np.where(np.isfinite(values.error), values.error, 0.0)[finite]
    axes.errorbar(
        x[finite], values.value[finite], error, color=colour, marker="o", ls=line, capsize=2, ms=4, label=label
    )
    axes.set_xscale("log")
    if logarithmic(values.value[finite]):
        axes.set_yscale("log")


def _read(run: Trajectory) -> Stationary:
    looks = int((run.observables[ENERGY].steps > 0).sum()) if ENERGY in run.observables else 0
    if looks < 8:
        raise Missing(f"there are {looks} samples of the energy after step 0; eight tell a stationary value")
    return stationary(run, min(_LAST, looks))


def _rising(run: Trajectory) -> Stationary:
    """The stationary values of a sweep of nothing but rates, in their order."""
    found = _read(run)
    if len(found.sweep.rates) < 3 or not np.all(np.diff(found.sweep.rates) > 0):
        raise Missing("that takes three points or more, each with a higher rate than the one before")
    return found


def _seeds(found: Stationary) -> str:
    return f"{len(found.sweep.seeds)} seeds"


def _cell(told: dict[str, np.ndarray], name: str, row: int) -> str:
    value, errors = float(told[name][row]), told.get(f"± {name}")
    if errors is None or not np.isfinite(errors[row]):
        return f"{value:.4g}"
    return str(Estimate(value, float(errors[row])))
