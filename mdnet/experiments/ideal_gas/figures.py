"""Pictures of the gas: p V against R T, radii against what is foretold, Maxwell slopes, Gibbs potential, energies."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdnet.experiments.ideal_gas import toy
from mdnet.experiments.ideal_gas.checks import by_rate, gibbs
from mdnet.experiments.ideal_gas.measured import Measured
from mdnet.experiments.ideal_gas.method import PROTOCOLS, Array, Protocol
from mdnet.experiments.results import Plot
from mdnet.figures import LINES, Line, curves, logarithmic
from trajectories import sgd
from trajectories.report.drawing import FAINT, INK, STYLE

Found = Mapping[Protocol, Measured]
_BARS = "Bars are ± 1 standard error over seeds"


def state(found: Found) -> Plot:
    """Draw p V against R T of all states by each protocol with the line of the ideal gas, and their ratio below."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.8, 5.4), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1.6, 1))
        ends = np.array([np.inf, -np.inf])
        for i, (name, one) in enumerate(found.items()):
            gas = 0.5 * (one.dimension - 1) * one.temperature
            x = sgd.over_seeds(gas).value
            y = sgd.over_seeds(one.pressure * one.square / 2)
            ends = np.array([min(ends[0], x.min()), max(ends[1], x.max())])
            _marks(upper, x, y, i, PROTOCOLS[name])
            _marks(lower, x * 1.02 ** (i - 1), one.state, i, None)
        upper.plot(ends, ends, color=INK, linewidth=1, label="ideal gas, p V = R T")
        lower.axhline(1, color=INK, linewidth=1)
        for axis, scale in ((upper.xaxis, upper.set_xscale), (upper.yaxis, upper.set_yscale)):
            logarithmic(axis, scale)
        upper.set_ylabel("p V  [loss]")
        lower.set_ylabel("p V / (R T)")
        lower.set_xlabel("R T = (D − 1) T / 2  [loss]")
        figure.legend(loc="outside upper left", ncols=2)
    caption = (
        "p is the decay λ, on a sphere the decay that would hold its radius, V = ⟨r²⟩/2, T by the law of each protocol "
        f"from the measured noise. {_BARS}; the protocols are drawn a little apart below."
    )
    return Plot("Equation of state", figure, caption)


def radius(found: Found) -> Plot:
    """Draw r over the radius of the ideal gas, and over that at which one step keeps |w|^2, against the rate."""
    lines = []
    for name in ("elr", "lr"):
        if one := found.get(name):
            rates = np.unique(one.grid.effective)
            for discrete, of in ((False, "ideal gas"), (True, "one step keeps |w|²")):
                ratio = one.radius(discrete=discrete)
                mean, error = _over_radii(rates, ratio)
                lines.append(Line(f"{PROTOCOLS[name]}: {of}", rates, mean, error))
    figure = curves(lines, x="effective rate e, set", y="r / predicted r", log="x", levels={"prediction": 1.0})
    caption = (
        "Means over the radii of the grid. The ideal gas leaves out that a step along the gradient, too, lengthens "
        f"|w|, and terms of second order in the rate; what keeps |w|² in one step has both. What is left at a fixed "
        f"effective rate e is that r² fluctuates: with Gaussian noise its relative variance is e²σ², and r lower by "
        f"e²σ²/2. {_BARS}."
    )
    return Plot("Stationary radius", figure, caption)


def maxwell(found: Found) -> Plot:
    """Draw the slope of S of each protocol over what an ideal gas has."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.8, 2.4), layout="constrained")
        axes = figure.subplots()
        axes.axvline(1, color=INK, linewidth=1)
        axes.axvspan(0.95, 1.05, color=FAINT, alpha=0.2, linewidth=0)
        relations = [one.maxwell for one in found.values()]
        for i, relation in enumerate(relations):
            colour, mark, _ = LINES[i]
            deviation = relation.deviation
            axes.errorbar([1 + deviation.value], [i], xerr=[deviation.error], color=colour, marker=mark, capsize=3)
        names = [
            f"{PROTOCOLS[name]}:\n{relation.name} = {relation.expected:g}"
            for name, relation in zip(found, relations, strict=True)
        ]
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel("slope / that of an ideal gas")
    return Plot("Maxwell relations", figure, f"Quadratic fits of S over the grid of states, seed by seed. {_BARS}.")


def potential(one: Measured) -> Plot:
    """Draw G at temperature and pressure of three states against rate and against radius of the others."""
    g, grid = gibbs(one), one.grid
    rates, radii = np.unique(grid.effective), np.unique(grid.radius)
    middle = radii[len(radii) // 2], rates[len(rates) // 2]
    temperature, gas = one.temperature.mean(axis=1), (one.dimension - 1) / 2
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 3.8), layout="constrained")
        panels = figure.subplots(1, 2)
        sides = (
            (panels[0], grid.effective, grid.radius == middle[0], "e", "effective rate e of another state"),
            (panels[1], grid.radius, grid.effective == middle[1], "r", "radius r of another state"),
        )
        for axes, along, row, letter, label in sides:
            places = np.flatnonzero(row)
            for i, own in enumerate(places[[0, len(places) // 2, -1]]):
                y = sgd.Values(*(part[own, places] / temperature[own] for part in g.excess))
                _marks(axes, along[places], y, i, f"at T and p of {letter} = {along[own]:g}", line=True)
                axes.plot([along[own]], [0], marker="*", markersize=13, color=LINES[i][0], markeredgecolor=INK)
            logarithmic(axes.xaxis, axes.set_xscale)
            axes.set_yscale("symlog", linthresh=gas)
            axes.set_xlabel(label)
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
        panels[0].set_ylabel("(G of the other − G of the own) / T")
    caption = (
        f"{PROTOCOLS[one.protocol]}: G = U − T S + p V of states at the temperature and pressure of another, above "
        f"that of the other itself (star), which should have the least. Linear up to {gas:g}, logarithmic "
        f"beyond. {_BARS}."
    )
    return Plot("Gibbs potential", figure, caption)


def energies(found: Found) -> Plot:
    """Draw the toy's mean loss over T against T, beside that of the canonical law on the sphere."""
    lines = []
    for name, one in found.items():
        temperature = by_rate(one, one.temperature).mean(axis=1)
        mean = sgd.over_seeds(by_rate(one, one.energy))
        lines.append(Line(PROTOCOLS[name], temperature, mean.value / temperature, mean.error / temperature))
    t = np.geomspace(np.min(lines[0].x), np.max(lines[0].x), 50)
    figure = curves(lines, x="T of the noise  [loss]", y="⟨L⟩ / T", log="x")
    with mpl.rc_context(STYLE):
        figure.axes[0].plot(t, toy.energy(t) / t, color=INK, linewidth=1, label="canonical, exp(−L/T)")
        for old in figure.legends:
            old.remove()
        figure.legend(loc="outside upper left", ncols=2)
    return Plot(
        "Energy of the toy",
        figure,
        f"Means over radii. A finite step heats: near the minimum ⟨L⟩/T = 1/(1 − e/2), e = 2T. {_BARS}.",
    )


def products(one: Measured) -> Plot:
    """Draw U at a fixed rate against eta lambda, and as control against eta, for each radius of the grid."""
    radii, mean = np.unique(one.grid.radius), sgd.over_seeds(one.energy)
    rate, decay = one.rate[:, 0], one.decay[:, 0]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 3.6), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, x, label in ((panels[0], rate * decay, "η λ"), (panels[1], rate, "η (control)")):
            for i, r in enumerate(radii):
                row = one.grid.radius == r
                y = sgd.Values(mean.value[row], mean.error[row])
                name = f"begun at r = {r:g}" if axes is panels[0] else None
                _marks(axes, x[row], y, i, name, line=True)
            logarithmic(axes.xaxis, axes.set_xscale)
            axes.set_xlabel(label)
        panels[0].set_ylabel("U  [loss]")
        figure.legend(loc="outside upper left", ncols=len(radii))
    return Plot("Energy at a fixed rate", figure, f"Lines fall together where U knows η λ only. {_BARS}.")


def _over_radii(rates: Array, ratio: sgd.Values) -> tuple[Array, Array]:
    """Means over radii of values by state, and their errors, as of independent states."""
    shape = len(rates), -1
    error = np.sqrt(np.square(ratio.error.reshape(shape)).sum(axis=1)) / (len(ratio.error) // len(rates))
    return ratio.value.reshape(shape).mean(axis=1), error


def _marks(axes: Axes, x: Array, y: sgd.Values, i: int, label: str | None, *, line: bool = False) -> None:
    colour, mark, dash = LINES[i % len(LINES)]
    axes.errorbar(
        x, y.value, y.error, color=colour, marker=mark, linestyle=dash if line else "none", label=label, capsize=2,
        markersize=4, markerfacecolor="none",
    )  # fmt: skip
