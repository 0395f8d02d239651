"""Pictures of the temperatures of SGD: the routes beside one another, the energies they tell, and equipartition."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mdnet.experiments.free_energy.temperature_comparison import (
    CONFIGURATION,
    DISSIPATION,
    ENTROPY,
    MATCHING,
    SAME,
    WEIGHTED,
    Comparison,
    twins,
)
from mdnet.experiments.free_energy.temperature_measures import distance
from mdnet.experiments.free_energy.temperature_problems import Floats
from mdnet.experiments.results import Plot
from mdnet.figures import LINES, logarithmic
from trajectories.report.drawing import BLUE, FAINT, GREEN, INK, PURPLE, STYLE, VERMILLION

_ROUTES = (ENTROPY, DISSIPATION, CONFIGURATION, WEIGHTED, SAME)
_BINS = 40
_LONG = 3.0  # from here on ratios are drawn on a logarithmic axis


def temperatures(found: Comparison) -> Plot:
    """Draw T of each route over that of Langevin matching, and below how far the laws of U are apart, by rate."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 6.8), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1.25, 1))
        base = found.routes[MATCHING].value
        upper.axhline(1, color=FAINT, linewidth=1.4, label=f"{MATCHING}, η Tr Σ/2(D − 1)")
        shift = np.exp(np.linspace(-0.04, 0.04, len(_ROUTES)))  # so that bars do not hide one another
        for i, name in enumerate(_ROUTES):
            route = found.routes[name]
            _bars(upper, found.rates * shift[i], route.value / base, route.error / base, i, name)
        if upper.get_ylim()[1] > _LONG:
            logarithmic(upper.yaxis, upper.set_yscale)
        upper.set_ylabel("T / T of Langevin matching")
        upper.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
        _distances(lower, found)
        logarithmic(lower.xaxis, lower.set_xscale)
        lower.set_xlabel("learning rate η")
    caption = (
        "Above, the temperature of SGD by each route over that of Langevin matching. Below, the largest distance "
        "between the distribution functions of U, that of Langevin dynamics at the T that the key names; the dotted "
        "line is the mean distance of two Langevin runs from the same starts, which is what noise makes. "
        f"Bars: ± 1 standard error over {found.energy.shape[2]} seeds."
    )
    return Plot("The temperature of SGD by several routes", figure, caption)


def energies(found: Comparison) -> Plot:
    """Draw the distribution of U at three rates: SGD, with isotropic noise, and Langevin at two temperatures."""
    places = sorted({0, len(found.rates) // 2, len(found.rates) - 1})
    drawn = (
        ("SGD", found.energy, BLUE, "-"),
        ("SGD, isotropic noise of the same trace", found.isotropic, GREEN, "-."),
        (f"Langevin, T by {MATCHING}", found.canonical[MATCHING], VERMILLION, "--"),
        (f"Langevin, T of the {SAME}", found.canonical[SAME], INK, ":"),
    )
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.9), layout="constrained")
        for axes, k in zip(figure.subplots(1, len(places)), places, strict=True):
            shown = [values[:, k].ravel() for _, values, _, _ in drawn]
            low, high = (np.quantile(np.concatenate(shown), share) for share in (0.0005, 0.9995))
            for (label, _, colour, dash), values in zip(drawn, shown, strict=True):
                density, edges = np.histogram(values, _BINS, (low, high))
                height = density / len(values) / (edges[1] - edges[0])
                axes.stairs(height, edges, color=colour, linestyle=dash, linewidth=1.5, label=label)
            axes.set_title(f"η = {found.rates[k]:g}", fontsize=10)
            axes.set_xlabel("energy U (mean loss)")
            axes.set_yticks([])
            axes.xaxis.set_major_locator(MaxNLocator(4))
        figure.axes[0].set_ylabel("probability density")
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return Plot(
        "Energies of SGD and of Langevin dynamics",
        figure,
        "Distribution of U on all data, over all seeds and frames. The second curve has the trace of the noise of the "
        "first but no preferred direction; what is left between it and the third is the finite rate.",
    )


def equipartition(found: Comparison) -> Plot:
    """Draw T along eigenvectors of the mean Hessian against the curvature along them."""
    modes = found.modes
    order = np.argsort(modes.curvature.value)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.0, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.axhline(1, color=FAINT, linewidth=1.4, label="the canonical value")
        lines = (("SGD", modes.descent), ("noise along it, (η/2) Var g_B", modes.noise), ("Langevin", modes.langevin))
        for i, (label, values) in enumerate(lines):
            x = modes.curvature.value[order] * (1 + 0.015 * (i - 1))
            _bars(axes, x, values.value[order] / modes.set, values.error[order] / modes.set, i, label)
        logarithmic(axes.xaxis, axes.set_xscale)
        logarithmic(axes.yaxis, axes.set_yscale)
        axes.set_xlabel("curvature ⟨v·H v⟩ along the direction v")
        axes.set_ylabel("T along v / T of Langevin matching")
        figure.legend(loc="outside upper left", ncols=2)
    caption = (
        f"T along v = ⟨(v·g)²⟩/⟨v·Hv − (D − 2)(v·w)(v·g)⟩, at η = {modes.rate:g}, along the eigenvectors of rank "
        f"{', '.join(map(str, modes.ranks))} of SGD's mean Hessian. The same for all directions in any canonical "
        f"state. Bars: ± 1 standard error over {found.energy.shape[2]} seeds."
    )
    return Plot("Equipartition", figure, caption)


def _distances(axes: Axes, found: Comparison) -> None:
    isotropic = found.isotropic[:, :-1]
    lines: Sequence[tuple[str, Floats, Floats, int]] = (
        ("SGD, T by matching", found.energy, found.canonical[MATCHING], 1),
        (f"SGD, T of the {SAME}", found.energy, found.canonical[SAME], 4),
        ("isotropic noise, T by matching", isotropic, found.canonical[MATCHING], 2),
    )
    for label, one, other, number in lines:
        apart = [distance(one[:, k], other[:, k])[0] for k in range(len(found.rates))]
        _bars(axes, found.rates, np.array(apart), None, number, label)
    axes.axhline(
        float(np.mean([apart for apart, _ in twins(found)])),
        color=PURPLE,
        linestyle=":",
        linewidth=1.4,
        label="Langevin, T by matching",
    )
    axes.set_ylim(0, None)
    axes.set_ylabel("KS distance of U to Langevin")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)


def _bars(axes: Axes, x: Floats, y: Floats, error: Floats | None, number: int, label: str) -> None:
    colour, mark, dash = LINES[number]
    known = np.isfinite(y)
    bars = None if error is None else np.where(np.isfinite(error), error, 0)[known]
    axes.errorbar(
        x[known], y[known], bars, color=colour, marker=mark, linestyle=dash, label=label, capsize=2, markersize=4.5
    )
