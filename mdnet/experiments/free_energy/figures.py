"""Pictures of a sweep: states, temperature, free energies, signal and noise by rate, and the run itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mdnet.experiments.free_energy.analysis import Found
from mdnet.experiments.landscape.lines import key, measured
from mdnet.experiments.results import Plot
from mdnet.figures import LINES, Line, log_x, logarithmic, panels
from trajectories.report.drawing import BLUE, INK, VERMILLION

Floats = NDArray[np.float64]
RATE = "learning rate η"
_BARS = "Bars are ± 1 standard error over {} seeds."
_LOOKS = 60  # of a run that are drawn
_MOST = 5  # rates that are drawn one by one


def states(found: Found, least: float | None = None) -> Plot:
    """Draw stationary U and S against the rate; with `least` U less it, on a logarithmic axis."""
    u, s = found.U, found.stationary.states.S
    above = u.value - (least or 0.0)
    with panels(2) as (figure, (left, right)):
        measured(left, Line("energy U" if least is None else "U − U_min", found.rates, above, u.error), 0)
        measured(right, Line("entropy S, but for a constant", found.rates, s.value, s.error), 1)
        log_x(RATE, left, right)
        if least is not None:
            logarithmic(left.yaxis, left.set_yscale)
        left.set_ylabel("U, mean loss on all training rows" if least is None else "U − U_min, mean loss")
        right.set_ylabel("S  [k_B]")
        key(figure)
    caption = f"Means over the last {found.model.last} looks, S of {found.model.samples} iterates. {_bars(found)}"
    return Plot("Energy and entropy by rate", figure, caption)


def temperature(found: Found, known: Floats | None = None) -> Plot:
    """Draw T with its interval T_min to T_max against the rate, the power law through it, and T where it is `known`."""
    heat, law = found.thermodynamics.temperature, found.thermodynamics.power_law
    inside = np.isfinite(heat.value)
    with panels(1) as (figure, (axes,)):
        axes.vlines(found.rates[inside], heat.low[inside], heat.high[inside], color=BLUE, alpha=0.35, linewidth=7,
                    label="T_min to T_max")  # fmt: skip
        measured(axes, Line("T = √(T_min T_max)", found.rates, heat.value, heat.error), 0, ringed=True)
        if np.isfinite(law.b.value):
            axes.plot(found.rates, law.at(found.rates), color=VERMILLION, linestyle="--",
                      label=f"{law.a.value:.3g} η^{law.b.value:.2f}")  # fmt: skip
        if known is not None:
            axes.plot(found.rates, known, color=INK, linestyle=":", label="exact where U is quadratic")
        log_x(RATE, axes)
        logarithmic(axes.yaxis, axes.set_yscale)
        axes.set_ylabel("temperature T  [U/k_B]")
        key(figure)
    missing = [f"η = {rate:.3g}: {why}" for rate, why in zip(found.rates, heat.reasons, strict=True) if why]
    caption = (
        f"T = dU/dS between the states, eps = {found.model.eps:g}. {_bars(found)} The exponent is {law.b} without the "
        f"ends. No T at {'; '.join(missing) or 'no rate'}."
    )
    return Plot("Temperature", figure, caption)


def free_energies(found: Found) -> Plot:
    """Draw F_i of all states at the temperatures of a few of them, above its least; a star marks the least.

    States of T = 0, in units of which nothing can be drawn, are left out.
    """
    free, heat = found.thermodynamics.free_energy, found.thermodynamics.temperature
    held = found.thermodynamics.held_out
    rows = _few(np.flatnonzero((free.star >= 0) & (heat.value > 0)))
    with panels(1, 4.2) as (figure, (axes,)):
        for place, i in enumerate(rows):
            star = free.star[i]
            excess = (free.value[i] - free.value[i, star]) / heat.value[i]
            error = free.excess.error[i] / heat.value[i]
            measured(axes, Line(f"T of η = {found.rates[i]:.3g}", found.rates, excess, error), place)
            colour = LINES[place % len(LINES)][0]
            axes.plot(found.rates[star], 0.0, marker="*", markersize=15, color=colour, markeredgecolor="white",
                      zorder=5, linestyle="none")  # fmt: skip
            axes.axvline(found.rates[i], color=colour, linewidth=0.7, alpha=0.6)
        log_x(RATE, axes)
        axes.set_yscale("symlog", linthresh=1.0)
        axes.set_ylim(bottom=-0.6)
        axes.set_ylabel("(F − its least)/T  [k_B]")
        key(figure)
    caption = (
        "F = U − T S of every state at one state's T > 0; the star is the least, the thin line that state's own rate. "
        f"The least is at its own rate for {free.at_own} of {free.told}, with S permuted over rates for "
        f"{free.shuffled.mean():.1f}; with T of half of the seeds and F of the others for {held.at_own} of "
        f"{held.told}. Bars are ± 1 standard error of F less the F of its own state."
    )
    return Plot("Free energies and where they are least", figure, caption)


def noise(found: Found) -> Plot:
    """Draw the signal-to-noise ratio, and the norms of gradient and noise, against the rate."""
    signal, spread = found.gradient_norm, found.noise_norm
    with panels(2) as (figure, (left, right)):
        measured(left, Line("|∇U| / √⟨|g − ∇U|²⟩", found.rates, found.snr.value, found.snr.error), 0)
        measured(right, Line("gradient |∇U|", found.rates, signal.value, signal.error), 1)
        measured(right, Line("noise √⟨|g − ∇U|²⟩", found.rates, spread.value, spread.error), 2)
        log_x(RATE, left, right)
        for axes, values in ((left, [found.snr.value]), (right, [signal.value, spread.value])):
            if (np.concatenate(values) > 0).all():
                logarithmic(axes.yaxis, axes.set_yscale)
        left.set_ylabel("signal-to-noise ratio")
        right.set_ylabel("root mean square  [mean loss]")
        key(figure)
    return Plot("Signal and noise of the gradient by rate", figure, f"Root mean squares of late looks. {_bars(found)}")


def run(found: Found) -> Plot:
    """Draw the energy and the signal-to-noise ratio along the run at a few rates."""
    late = _spread(found.steps)
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = np.sqrt(found.gradient.mean(axis=2) / found.noise.mean(axis=2))
    energy = found.energy.mean(axis=2)
    with panels(2) as (figure, (left, right)):
        for place, i in enumerate(_few(np.arange(len(found.rates)))):
            for axes, values, label in ((left, energy, f"η = {found.rates[i]:.3g}"), (right, snr, "")):
                colour, _, dash = LINES[place % len(LINES)]
                shown = late[(values[late, i] > 1e-30) & np.isfinite(values[late, i])]
                axes.plot(found.steps[shown], values[shown, i], color=colour, linestyle=dash, linewidth=1.2,
                          label=label or None)  # fmt: skip
        for axes in (left, right):
            axes.set_xlabel("step")
            logarithmic(axes.xaxis, axes.set_xscale)
            logarithmic(axes.yaxis, axes.set_yscale)
        left.set_ylabel("U, mean loss on all training rows")
        right.set_ylabel("signal-to-noise ratio")
        key(figure)
    caption = f"Means over {found.model.seeds} seeds at log-spaced looks; below 1e-30 nothing is drawn."
    return Plot("Along the run", figure, caption)


def collapse(found: Found) -> Plot:
    """Draw T = dU/dS along the run of rates whose loss goes to zero, against the step and against eta t."""
    along = found.along
    with panels(2) as (figure, (left, right)):
        for place, i in enumerate(_few(np.flatnonzero(np.isfinite(along.value).any(axis=0)))):
            rate = found.rates[found.falling[i]]
            shown = np.isfinite(along.value[:, i]) & (along.value[:, i] > 1e-30)
            colour, mark, dash = LINES[place % len(LINES)]
            y, error = along.value[shown, i], np.nan_to_num(along.error[shown, i])
            for axes, scale, label in ((left, 1.0, f"η = {rate:.3g}"), (right, rate, None)):
                axes.errorbar(
                    along.steps[shown] * scale, y, np.stack([np.minimum(error, 0.9 * y), error]), color=colour,
                    marker=mark, linestyle=dash, capsize=2, markersize=4, linewidth=1.1, label=label,
                )  # fmt: skip
        for axes, name in ((left, "step t"), (right, "η t")):
            axes.set_xlabel(name)
            logarithmic(axes.xaxis, axes.set_xscale)
            logarithmic(axes.yaxis, axes.set_yscale)
        left.set_ylabel("T = dU/dS along the run  [U/k_B]")
        key(figure)
    power = found.collapse.power
    caption = (
        f"Rates whose loss goes to zero; S of the last {found.model.samples} iterates at each time, T > 1e-30. "
        f"{_bars(found)}" + (f" The curves fall together best against η^{power:.1f} t." if np.isfinite(power) else "")
    )
    return Plot("Temperature along the run", figure, caption)


def _few(places: NDArray[np.intp]) -> NDArray[np.intp]:
    """At most _MOST of the places, evenly spread."""
    if len(places) <= _MOST:
        return places
    return np.take(places, np.linspace(0, len(places) - 1, _MOST).round().astype(int))


def _spread(steps: NDArray[np.intp]) -> NDArray[np.intp]:
    """The places of at most _LOOKS steps above zero, about evenly spaced in their logarithm."""
    wanted = np.geomspace(max(1, steps[steps > 0].min()), steps.max(), _LOOKS)
    return np.asarray(np.unique(np.searchsorted(steps, wanted).clip(max=len(steps) - 1)), np.intp)


def _bars(found: Found) -> str:
    return _BARS.format(found.model.seeds)
