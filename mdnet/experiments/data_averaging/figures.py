"""Pictures of a study: losses, gap and accuracy against T, what pairing shows, sigma_l, equal T, and the run itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from mdnet.experiments.data_averaging.analysis import Found
from mdnet.experiments.landscape.lines import key, measured
from mdnet.experiments.results import Plot
from mdnet.figures import LINES, Line, log_x, logarithmic, panels
from trajectories.averaging import Curve, collapse
from trajectories.report.drawing import BLUE, FAINT, GREEN, INK, VERMILLION
from trajectories.sgd import over_seeds

T = "temperature T = rate/batch"
_FINE = 200
_MOST = 4  # temperatures that are drawn along the run


def losses(found: Found) -> Plot:
    """Draw the gap with Eq. 1 and its band, and test and train loss with the best temperature."""
    t, law = found.temperatures, found.law
    with panels(2) as (figure, (left, right)):
        if not law.reason:
            fine = np.geomspace(t[0], t[-1], _FINE)
            left.fill_between(fine, *law.band(fine), color=FAINT, alpha=0.35, linewidth=0, label="95 % of the fit")
            left.plot(fine, law.at(fine), color=INK, linestyle=":", label="(a/T + b) exp(−T/c)")
        measured(left, _line("gap: test less train loss", found.curve, "gap"), 0, ringed=True)
        measured(right, _line("test loss", found.curve, "test"), 1)
        measured(right, _line("train loss", found.curve, "train"), 2)
        _optimum(right, found)
        log_x(T, left, right)
        left.set_ylabel("generalisation gap  [mean loss]")
        right.set_ylabel("mean loss")
        key(figure)
    caption = f"R² of the law {law.r2:.3f}. {_bars(found)}" if not law.reason else f"{law.reason}. {_bars(found)}"
    return Plot("Losses and gap by temperature", figure, caption)


def differences(found: Found) -> Plot:
    """Draw accuracies, and the test loss less that at the lowest T with paired errors beside unpaired ones."""
    t, paired = found.temperatures, found.paired
    with panels(2) as (figure, (left, right)):
        measured(left, _line("test accuracy", found.curve, "test_accuracy"), 1)
        measured(left, _line("train accuracy", found.curve, "train_accuracy"), 2)
        right.errorbar(t, paired.value, found.unpaired, color=FAINT, linestyle="none", capsize=5, linewidth=3,
                       alpha=0.7, label="error of unlike data sets")  # fmt: skip
        measured(right, Line("test loss less that at the lowest T", t, *paired), 1)
        right.axhline(0, color=FAINT, linewidth=1)
        _optimum(right, found)
        log_x(T, left, right)
        left.set_ylabel("accuracy")
        right.set_ylabel("difference of test losses")
        key(figure)
    caption = f"Data sets are the same at all temperatures: what one adds to all cancels. {_bars(found)}"
    return Plot("Accuracy, and paired differences", figure, caption)


def spread(found: Found) -> Plot:
    """Draw sigma_l against the test loss, every run and the means by temperature, with the line."""
    line, x = found.scatter, found.curve.test
    with panels(1) as (figure, (axes,)):
        axes.plot(x.ravel(), found.deviation.ravel(), color=BLUE, marker="o", markersize=3, alpha=0.45,
                  linestyle="none", label="a run")  # fmt: skip
        ends = np.array([x.min(), x.max()])
        axes.plot(ends, line.intercept.value + line.slope.value * ends, color=INK, linestyle=":", label="line")
        axes.errorbar(
            *found.curve.mean("test")[:1], *over_seeds(found.deviation)[:1], over_seeds(found.deviation).error,
            found.curve.mean("test").error, color=VERMILLION, marker="s", markersize=5, capsize=2, linestyle="none",
            label="mean of a temperature",
        )  # fmt: skip
        axes.set_xlabel("test loss")
        axes.set_ylabel("σ_l, standard deviation of a row's loss")
        key(figure)
    low, high = line.interval
    caption = (
        f"Correlation over all runs {line.correlation:.3f} [{low:.3f}, {high:.3f}]. The standard deviation of the test "
        f"loss over data sets, each known to {(2 * found.curve.splits - 2) ** -0.5:.0%}, correlates with its mean by "
        f"{found.between:.2f} over T. {_bars(found)}"
    )
    return Plot("How far losses scatter", figure, caption)


def along(found: Found) -> Plot:
    """Draw train and test loss along the runs of a few temperatures; dashed where the train loss still drifts."""
    places = np.unique(np.linspace(0, len(found.temperatures) - 1, _MOST).round().astype(int))
    with panels(2) as (figure, (left, right)):
        for number, i in enumerate(places):
            flag = bool(found.stationarity.flags[i])
            label = f"T = {found.temperatures[i]:.2g}{', drifts' if flag else ''}"
            for axes, values in ((left, found.train), (right, found.test)):
                mean, error = over_seeds(values[:, i])
                colour = LINES[number][0]
                axes.fill_between(
                    found.model.fractions, mean - error, mean + error, color=colour, alpha=0.2, linewidth=0
                )
                axes.plot(found.model.fractions, mean, color=colour, linestyle="--" if flag else "-",
                          label=label if axes is left else None)  # fmt: skip
        for axes, name in ((left, "train"), (right, "test")):
            axes.set_xlabel("fraction of the run, t/t_f")
            axes.set_ylabel(f"{name} loss")
            logarithmic(axes.xaxis, axes.set_xscale)
            logarithmic(axes.yaxis, axes.set_yscale)
        key(figure)
    changes = found.stationarity.change
    drifting = [f"T = {found.temperatures[i]:.2g}: {changes.value[i]:+.1%} ± {changes.error[i]:.1%}"
                for i in np.flatnonzero(found.stationarity.flags)]  # fmt: skip
    told = "; ".join(drifting) or "none"
    caption = f"Means ± standard errors over data sets. Train losses that still drift over the last looks: {told}."
    return Plot("Along the runs", figure, caption)


def equal_temperature(names: Sequence[str], curves: Sequence[Curve], what: str) -> Plot:
    """Draw test losses at equal T by other batches, and how far each lies from their mean."""
    found = collapse(curves)
    with panels(2) as (figure, (left, right)):
        for number, (name, curve) in enumerate(zip(names, curves, strict=True)):
            value, error = found.deviation.value[number], found.deviation.error[number]
            measured(left, _line(name, curve, "test"), number)
            measured(right, Line("", curve.temperatures, 100 * value, 100 * error), number)
        right.axhspan(-5, 5, color=FAINT, alpha=0.2, linewidth=0, label="± 5 %")
        log_x(T, left, right)
        left.set_ylabel("test loss")
        right.set_ylabel("from the mean at equal T  [%]")
        key(figure)
    low, high = found.interval
    caption = (
        f"{what} at the same T by other rates and batches, on the same data sets; they lie {found.spread:.1%} "
        f"[{low:.1%}, {high:.1%}] apart, and from the lowest rate to the highest the loss moves by "
        f"{found.change.value:+.1%} ± {found.change.error:.1%} (p = {found.trend.p:.2g}). Bars are ± 1 standard error."
    )
    return Plot(f"Equal temperatures: {what}", figure, caption)


def beside(found: Found, other: Found, names: tuple[str, str]) -> Plot:
    """Draw the test loss of two studies on the same data sets and temperatures, and their paired difference."""
    apart = over_seeds(found.curve.test - other.curve.test)
    with panels(2) as (figure, (left, right)):
        for number, (name, each) in enumerate(zip(names, (found, other), strict=True)):
            measured(left, _line(name, each.curve, "test"), number)
        measured(right, Line("", found.temperatures, *apart), 2)
        right.axhline(0, color=FAINT, linewidth=1)
        log_x(T, left, right)
        left.set_ylabel("test loss")
        right.set_ylabel(f"{names[0]} less {names[1]}")
        key(figure)
    caption = f"On the same data sets from the same starts, in the same steps. {_bars(found)}"
    return Plot(f"{names[0].capitalize()} and {names[1]}", figure, caption)


def _line(label: str, curve: Curve, name: str) -> Line:
    return Line(label, curve.temperatures, *curve.mean(name))  # type: ignore[arg-type]


def _optimum(axes: Axes, found: Found) -> None:
    """Mark the best temperature with its interval."""
    if found.best.reason:
        return
    axes.axvspan(*found.best.interval, color=GREEN, alpha=0.15, linewidth=0, label="95 % of the best T")
    axes.axvline(found.best.temperature, color=GREEN, linewidth=1)


def _bars(found: Found) -> str:
    return f"Bars are ± 1 standard error over {found.curve.splits} data sets."
