"""What a page says of a study: its table, its notes, its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mdnet.experiments.data_averaging import figures
from mdnet.experiments.data_averaging.analysis import Found
from mdnet.experiments.data_averaging.checks import fitted
from mdnet.experiments.data_averaging.models import SETTLED, variant
from mdnet.experiments.results import Check, Study, Table
from trajectories.averaging import Curve, collapse
from trajectories.sgd import over_seeds
from trajectories.statistics import Estimate

COLUMNS = (
    "T", "rate", "batch", "steps", "train loss", "test loss", "gap", "test accuracy", "σ_l", "train loss drifts"
)  # fmt: skip


SUBJECTS = {
    "G1": "The gap as a covariance, and the Boltzmann inequality",
    "G2": "The steady state in one dimension",
    "G3": "Fluctuation and dissipation",
    "G4": "Digits: gap, optimal temperature, train loss",
    "G5": "Digits: one curve at equal T",
    "G6": "Digits: a falling rate",
    "G7": "Digits: how far losses scatter",
}


def table(found: Found) -> Table:
    """Return the steady values by temperature, means over data sets with standard errors."""
    model, moved = found.model, found.stationarity
    tables = [found.curve.train, found.curve.test, found.curve.gap, found.curve.test_accuracy, found.deviation]
    values = [over_seeds(each) for each in tables if each is not None]
    rows = []
    for i, t in enumerate(found.temperatures):
        change = f"{moved.change.value[i]:+.1%} ± {moved.change.error[i]:.1%}"
        rows.append([
            f"{t:.3g}", f"{model.rates[i]:.4g}", f"{model.batches[i]}", f"{model.ends[i]}",
            *(str(Estimate(float(each.value[i]), float(each.error[i]))) for each in values),
            f"{'yes' if moved.flags[i] else 'no'}, {change}",
        ])  # fmt: skip
    return Table(COLUMNS, rows)


def notes(found: Found) -> list[str]:
    """What a reader must know to judge the table."""
    model, form = found.model, variant(found.variant)
    drawn = {
        "split": "all rows merged, shuffled and divided anew",
        "random": "training rows drawn from all with replacement, test rows of those that were not drawn",
    }[found.sampling]
    moves = "θ ← θ − lr (g_B + αθ)" if not form.momentum else f"v ← {form.momentum:g} v + g_B + αθ, θ ← θ − lr v"
    rate = "lr cos(πt/2t_f), t_f each temperature's own end" if form.cosine else "constant"
    steps = f"lr × steps = {model.exposure:g}" if model.epochs is None else "epochs by the published rule of T"
    words = {True: "holds", False: "contradicted", None: "undecided"}
    told = [
        f"{model.splits} data sets of {model.train} training and {model.test} test rows each: {drawn}. They and their "
        "starts are the same at all temperatures, so that differences between temperatures are paired; ± is the "
        "standard error over data sets.",
        f"{moves}, α = {model.decay:g}; the rate is {rate}; {steps}. Batches are drawn with replacement.",
        f"Losses are medians of the looks in the last {SETTLED:.0%} of a run, without spikes (looks beyond "
        "5 median absolute deviations). A train loss that drifts over these looks was under-trained: its flag says so, "
        f"and by how much of itself it moved; here {found.stationarity.flags.sum()} of {len(found.temperatures)} are "
        "flagged, and what is compared is runs of equal lr × steps.",
        *(f"Prediction {one.prediction}, {one.claim}: {words[one.holds]}; {one.evidence}." for one in found.statements),
        f"Eq. 1, gap = (a/T + b) exp(−T/c): {fitted(found)}; intervals of 95 % over data sets.",
    ]
    if form.cosine:
        told.append("A rate that falls to zero leaves no steady state, so that drift means nothing here; T is lr/B at "
                    "the start.")  # fmt: skip
    return [*told, *(each for each in (model.published and f"The paper: {model.published}.", model.note) if each)]


def study(found: Found) -> Study:
    """Return the pictures of a study, with the paired differences and the numbers behind them."""
    paired, unpaired = found.paired, found.unpaired
    rows = [
        [f"{t:.3g}", str(Estimate(float(value), float(error))), f"{other:.3f}"]
        for t, value, error, other in zip(found.temperatures, *paired, unpaired, strict=True)
    ]
    plots = [figures.losses(found), figures.differences(found), figures.spread(found), figures.along(found)]
    caption = "Test loss less that at the lowest T on the same data sets, and the error were they not the same."
    return Study("averages", "Averages over data sets", ("T", "paired difference", "error, unpaired"), rows, caption,
                 plots=plots, numbers=_numbers(found))  # fmt: skip


def collapsed(by_batch: Mapping[int, Curve], what: str, name: str) -> Study:
    """Return the study of equal temperatures, curves by their batches, which rise and their rates with them."""
    names, curves = [f"B = {batch}" for batch in by_batch], list(by_batch.values())
    found = collapse(curves)
    rows = [
        [label, *(str(Estimate(float(v), float(e))) for v, e in zip(*curve.mean("test"), strict=True))]
        for label, curve in zip(names, curves, strict=True)
    ]
    columns = ("test loss", *(f"T = {t:.2g}" for t in found.temperatures))
    numbers = {"spread": found.spread, "interval": list(found.interval), "change": list(found.change),
               "rho": found.trend.rho, "p": found.trend.p}  # fmt: skip
    plot = figures.equal_temperature(names, curves, what)
    return Study(name, f"Equal temperatures: {what}", columns, rows, plot.caption, plots=[plot], numbers=numbers)


def compared(found: Found, other: Found, names: tuple[str, str]) -> Study:
    """Return the study of two forms of SGD on the same data sets, at the same temperatures in the same steps."""
    apart = over_seeds(found.curve.test - other.curve.test)
    rows = [
        [f"{t:.3g}", *(str(Estimate(float(v[i]), float(e[i]))) for v, e in columns)]
        for i, t in enumerate(found.temperatures)
        for columns in [(found.curve.mean("test"), other.curve.mean("test"), apart)]
    ]
    plot = figures.beside(found, other, names)
    return Study("beside", plot.title, ("T", *names, "paired difference"), rows, plot.caption, plots=[plot])


def laws(every: Sequence[Check]) -> tuple[Table, list[Study]]:
    """Return the table of all laws, and a study of each with its checks."""
    listed, studies, rows = ["what", "wanted", "found"], [], []
    for law, subject in SUBJECTS.items():
        own = [check for check in every if check.name.startswith(law)]
        cells = [[check.name, check.expectation, check.measured] for check in own]
        studies.append(Study(law.lower(), subject, listed, cells, "", own))
        rows.append([law, subject, f"{sum(check.holds for check in own)} of {len(own)}"])
    return Table(["law", "what it is about", "checks that hold"], rows), studies


def _numbers(found: Found) -> dict[str, object]:
    """What results.json keeps."""
    law, best = found.law, found.best
    return {
        "temperatures": found.temperatures.tolist(),
        "train": found.curve.train.tolist(),
        "test": found.curve.test.tolist(),
        "sigma_l": found.deviation.tolist(),
        "under_trained": found.stationarity.flags.tolist(),
        "eq1": {"a": _plain(law.a), "b": _plain(law.b), "c": _plain(law.c), "r2": _plain(law.r2)},
        "optimum": {"T": _plain(best.temperature), "interval": [_plain(x) for x in best.interval],
                    "depth": _plain(best.depth.value), "interior": best.interior},
        "correlation": _plain(found.scatter.correlation),
    }  # fmt: skip


def _plain(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None
