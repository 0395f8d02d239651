"""Pictures of the theory: SGD's density beside its diffusion's, fluctuation and dissipation, the gap and its bounds."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from mdnet.experiments.data_averaging import bounds
from mdnet.experiments.data_averaging.bounds import Bounded
from mdnet.experiments.data_averaging.diffusion import GRID, TEMPERATURE, Steady
from mdnet.experiments.data_averaging.dissipation import BATCH, SEEDS, Dissipation
from mdnet.experiments.results import Plot
from mdnet.figures import LINES, Line, curves
from trajectories.report.drawing import INK, STYLE

_BINS = np.linspace(-2.2, 2.2, 89)
_SHOWN = 3  # rates in the picture of densities


def plots(found: Sequence[Bounded], steady: Steady, softmax: Dissipation, network: Dissipation) -> list[Plot]:
    """Return all pictures."""
    return [density(steady), distance(steady), dissipation(softmax, network), gaps(found)]


def density(found: Steady) -> Plot:
    """Draw the diffusion's density, and histograms of SGD at the lowest, the middle and the largest rate."""
    centres = (_BINS[1:] + _BINS[:-1]) / 2
    places = np.linspace(0, len(found.rates) - 1, _SHOWN).round().astype(int)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.8, 3.8), layout="constrained")
        axes = figure.subplots()
        inside = np.abs(GRID) <= _BINS[-1]
        axes.plot(GRID[inside], found.density[inside], color=INK, label="diffusion, exp(−(2/T) v − a)")
        for i, place in enumerate(places):
            colour, mark, _ = LINES[i]
            samples = found.samples[place]
            heights = np.histogram(samples, _BINS)[0] / (samples.size * np.diff(_BINS))
            label = f"SGD, rate {found.rates[place]:g}, batch {found.batches[place]}"
            axes.plot(centres, heights, color=colour, marker=mark, linestyle="none", markersize=3, label=label)
        axes.set_xlabel("weight θ")
        axes.set_ylabel("density ρ(θ)")
        figure.legend(loc="outside upper left", ncols=2)
    caption = (
        f"One weight in two wells; its noise grows with it. All rates have T = rate/batch = {TEMPERATURE:g}, so that "
        f"the diffusion is the same. {found.samples[0].size} samples each: errors are smaller than the marks."
    )
    return Plot("Steady state of SGD", figure, caption)


def distance(found: Steady) -> Plot:
    """Draw the distance between SGD and its diffusion against the rate, with that of the density without a."""
    figure = curves(
        [Line("SGD and its diffusion", found.rates, *found.distance)], x="learning rate", log="xy",
        y="Kolmogorov-Smirnov distance", levels={"density without a, at the lowest rate": float(found.without.value)},
    )  # fmt: skip
    return Plot("What a finite rate changes", figure, "Bars are ± 1 standard error over parts of the replicas.")


def dissipation(softmax: Dissipation, network: Dissipation) -> Plot:
    """Draw the ratio of dissipation and fluctuation against the rate."""
    lines = []
    for name, one in (("softmax", softmax), ("64-16-10", network)):
        for discrete, what in ((True, "T⟨Tr D⟩ + rate ⟨|f|²⟩"), (False, "T⟨Tr D⟩")):
            lines.append(Line(f"{name}, over {what}", one.rates, *one.ratio(discrete=discrete)))
    figure = curves(lines, x="learning rate", y="2⟨θ·f⟩ / what fluctuates", log="x", levels={"stationary": 1.0})
    caption = f"Digits, batch {BATCH}; f = ∇U + αθ. Bars are ± 1 standard error over {SEEDS} starts."
    return Plot("Fluctuation and dissipation", figure, caption)


def gaps(found: Sequence[Bounded]) -> Plot:
    """Draw the gap and its bound against the temperature, of Gibbs laws and of SGD in two wells."""
    lines = []
    for law in (bounds.GIBBS, bounds.SGD):
        one = [each for each in found if each.law == law]
        t = [each.setting for each in one]
        lines.append(Line(f"gap, {law}", t, [each.gap for each in one], [each.error for each in one]))
        lines.append(Line(f"its bound, {law}", t, [each.above for each in one]))
    figure = curves(lines, x="temperature T  [loss]; of SGD rate/batch", y="test − train loss  [loss]", log="xy")
    caption = (
        f"Data sets of {bounds.ROWS} rows; all integrals are exact. Bound: n^(−1/2) ∫σ_ρ σ_l dθ. "
        "Bars are ± 1 standard error over data sets."
    )
    return Plot("The gap and its bound", figure, caption)
