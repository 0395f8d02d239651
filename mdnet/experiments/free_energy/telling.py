"""What a page says of a sweep: its table, its notes, its pictures."""

from __future__ import annotations

import numpy as np

from mdnet.experiments.free_energy import figures, toy
from mdnet.experiments.free_energy.analysis import Found
from mdnet.experiments.free_energy.sphere import sphere
from mdnet.experiments.results import Plot, Study, Table
from trajectories.statistics import Estimate

COLUMNS = ("η", "U", "S (but for a constant)", "T", "T_min to T_max", "SNR", "U drifts", "F least at")


def table(found: Found) -> Table:
    """Return the states by rate."""
    thermal, s = found.thermodynamics, found.stationary.states.S
    heat, free = thermal.temperature, thermal.free_energy
    rows = []
    for i, rate in enumerate(found.rates):
        star = free.star[i]
        rows.append([
            f"{rate:.4g}", _told(found.U.value[i], found.U.error[i]), _told(s.value[i], s.error[i]),
            _told(heat.value[i], heat.error[i]) if not heat.reasons[i] else heat.reasons[i].replace(": ", ":\n"),
            "–" if heat.reasons[i] else f"{heat.low[i]:.3g} to {heat.high[i]:.3g}",
            _told(found.snr.value[i], found.snr.error[i]), "yes" if found.stationary.drift.moved[i] else "no",
            "–" if star < 0 else f"η = {found.rates[star]:.4g}",
        ])  # fmt: skip
    return Table(COLUMNS, rows)


def notes(found: Found) -> list[str]:
    """What a reader must know to judge the table."""
    model, law = found.model, found.thermodynamics.power_law
    at = model.stride
    told = [
        f"{model.seeds} seeds of {len(found.rates)} rates as replicas of one run, {model.steps} steps of SGD on the "
        f"unit sphere, batch {model.batch} drawn with replacement, no momentum, no decay; a seed begins the same "
        f"at all rates. ± is the standard error over seeds, values are means over the last {model.last} looks.",
        f"S is known but for a constant: only differences mean anything. It comes from the graph of {model.k} nearest "
        f"neighbours of {model.samples} iterates, {'one step' if at == 1 else f'{at} steps'} apart.",
        _temperatures(found),
    ]
    if np.isfinite(law.b.value):
        told.append(f"The power law is T = a η^b, a = {law.a}, b = {law.b}, without the first and the last rate.")
    if found.stationary.drift.moved.any():
        told.append("Where U drifts there is no stationary state: read T along the run instead of the table's.")
    return [*told, *(each for each in (model.published and f"The paper: {model.published}.", model.note) if each)]


def _temperatures(found: Found) -> str:
    """How T was taken, and what of F can fail then."""
    apart = found.thermodynamics.by_construction
    return (
        f"T is dU/dS between states, taken with eps = {found.model.eps:g}"
        + (", not smoothed, for rates are far apart. That F = U − T S is least at a state's own rate is then so by "
           "construction, where T_min ≤ T_max" if apart else
           " from U and S smoothed over ln η; F = U − T S is that of the measured states")
        + ". What can fail, and is claimed, is that U(S) is convex, that T rises, and that F of half of the seeds is "
        "least where T of the others says. With S permuted over rates it fails."
    )  # fmt: skip


def studies(found: Found) -> list[Study]:
    """Return the pictures of a sweep, with the numbers behind them."""
    is_toy = found.model.name == "toy" and found.model.regime == "up"
    plots: list[Plot] = [figures.states(found, toy.LEAST if is_toy else None)]
    if np.isfinite(found.thermodynamics.temperature.value).any():
        plots.append(figures.temperature(found, toy.temperatures(found.rates) if is_toy else None))
    if (found.thermodynamics.temperature.value > 0).any():
        plots.append(figures.free_energies(found))
    plots += [figures.noise(found), figures.run(found)]
    if found.model.entropies > 2 and len(found.falling) > 1 and np.isfinite(found.along.value).any():
        plots.append(figures.collapse(found))
    if found.paths is not None and found.paths.shape[-1] == 3:
        plots.append(sphere([(found.model.regime.upper(), found)]))
    numbers = {"thermodynamics": found.thermodynamics.told(), "signal_to_noise_exponent": found.snr_law.b.value}
    bent = found.thermodynamics.convexity
    rows = [
        [f"{rate:.4g}", _told(below, error), f"{p:.2g}"]
        for rate, below, error, p in zip(bent.rates, *bent.chord, bent.p, strict=True)
    ]
    caption = "How far each state lies below the chord of its neighbours in U(S), and p of so low a value on the chord."
    return [Study("sweep", "The sweep", ["η", "below the chord", "p"], rows, caption, plots=plots, numbers=numbers)]


def thinned(found: Found) -> Study:
    """Return what iterates further apart say, which are a longer part of the run."""
    one, span = table(found), found.model.window
    free = found.thermodynamics.free_energy
    law, bent = found.thermodynamics.power_law, found.thermodynamics.convexity
    caption = (
        f"The same sweep with S of {found.model.samples} iterates over {span} steps instead of consecutive ones. "
        f"Exponent {law.b}; F is least at its own rate for {free.at_own} of {len(found.rates) - 2}, and "
        f"{'nothing contradicts a convex U(S)' if bent.convex else 'U(S) is not convex'} (least p "
        f"{np.nanmin(bent.p):.2g}). How far apart iterates are is part of what S means: consecutive ones see the "
        "surroundings of one weight, distant ones also how far the walk has come."
    )
    plots = [figures.states(found), figures.temperature(found)]
    numbers = {"thermodynamics": found.thermodynamics.told()}
    return Study("thinned", "Entropy of iterates further apart", one.columns, one.rows, caption, plots=plots,
                 numbers=numbers)  # fmt: skip


def _told(value: float, error: float) -> str:
    return str(Estimate(float(value), float(error))) if np.isfinite(error) else f"{value:.4g}"
