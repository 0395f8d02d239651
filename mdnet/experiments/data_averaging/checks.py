"""The laws G4 to G7 of data averaging: each a function that returns its checks, with the control beside the claim."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mdnet.experiments.data_averaging.analysis import Found
from mdnet.experiments.results import Check
from trajectories.averaging import Curve, Trend, collapse, optimum, scatter_of_loss
from trajectories.sgd import over_seeds
from trajectories.statistics import Estimate

_FALL, _FIT, _DEPTH = -0.9, 0.85, 0.05
_APART = 0.05  # of test losses at equal T, relative
_LINE = 0.85
_ENOUGH = 32  # data sets; of 8 the standard deviation is known to 27 %, and this correlation was .60 to .97
_LEVEL = 0.05
_SHUFFLES = 200


def g4(found: Found) -> list[Check]:
    """Return the laws of the curve: the gap falls by Eq. 1, the test loss is least inside, the train loss rises."""
    law, best = found.law, found.best
    low, high = best.interval
    depth = f"{best.depth.value:.1%} ± {best.depth.error:.1%} below the lowest T's"
    return [
        Check("G4, A: the gap falls with T", f"rank correlation {_FALL} or less", _trend(found.falls),
              found.falls.rho <= _FALL),
        Check("G4, A: gap = (a/T + b) exp(−T/c)", f"R² ≥ {_FIT}", fitted(found), not law.reason and law.r2 >= _FIT),
        Check("G4, B: the least test loss", f"inside the range, {_DEPTH:.0%} or more below the lowest T's",
              f"T = {best.temperature:.3g} [{low:.3g}, {high:.3g}], {depth}",
              best.interior and best.depth.value >= _DEPTH),
        Check("G4, C: the train loss rises with T", f"rank correlation {-_FALL} or more", _trend(found.rises),
              found.rises.rho >= -_FALL),
        _pairing(found),
    ]  # fmt: skip


def _pairing(found: Found) -> Check:
    """That temperatures share their data sets: the error of a difference is less than of unlike data sets."""
    ratio = found.paired.error[1:] / found.unpaired[1:]
    return Check(
        "G4: error of a difference of test losses between temperatures, over that of unpaired data sets",
        "below 1", f"{ratio.min():.2f} to {ratio.max():.2f}", bool(ratio.max() < 1),
    )  # fmt: skip


def clean(noisy: Curve, true: Curve) -> Check:
    """Return the control of B: with true labels low temperatures lose less, both curves at the same temperatures.

    What is lost is the share of the test loss at the lowest T that the highest of these, which is near the best, saves.
    """
    lost = [over_seeds((each.test[0] - each.test[-1]) / each.test[0].mean()) for each in (noisy, true)]
    found = [Estimate(float(value), float(error)) for value, error in lost]
    return Check(
        f"G4, control: true labels, share of the test loss at T = {true.temperatures[0]:.2g} saved at "
        f"{true.temperatures[-1]:.2g}", f"less than with noisy ones, {found[0]}, by 2 ±", str(found[1]),
        found[0].value - found[1].value > 2 * float(np.hypot(found[0].error, found[1].error)),
    )  # fmt: skip


def together(curves: Sequence[Curve], what: str) -> list[Check]:
    """Return the law of equal T, G5: plain SGD by rates in their order, beside how much steps in T change."""
    found = collapse(curves)
    middle = np.stack([each.test for each in curves]).mean(axis=0)  # (n, splits)
    cold, hot = middle[0], middle[-1]
    step = over_seeds((hot - cold) / middle.mean())
    moved, error = abs(float(step.value)), float(step.error)
    low, high = found.interval
    return [
        Check(f"G5, plain SGD, {what}: test losses at equal T by other rates", f"within {_APART:.0%}",
              f"spread {found.spread:.1%} [{low:.1%}, {high:.1%}], largest deviation "
              f"{found.largest.value:+.1%} ± {found.largest.error:.1%}",
              found.spread <= _APART and abs(found.largest.value) <= _APART),
        Check(f"G5, control, {what}: the same between temperatures", "more than the largest deviation by 2 ±",
              f"{moved:.1%} ± {error:.1%} from T = {found.temperatures[0]:.2g} to {found.temperatures[-1]:.2g}",
              moved - abs(found.largest.value) > 2 * float(np.hypot(error, found.largest.error))),
    ]  # fmt: skip


def trending(curves: Sequence[Curve], plain: Sequence[Curve]) -> list[Check]:
    """Return the law that momentum breaks the collapse one way, G5: at equal T the test loss rises with the rate.

    `plain`: SGD without momentum by the same rates and batches on the same data sets.
    """
    found, other = collapse(curves), collapse(plain)
    less = float(found.change.value - other.change.value)
    error = float(np.hypot(found.change.error, other.change.error))
    return [
        Check("G5, momentum: test losses at equal T by other rates", f"a monotone trend, p < {_LEVEL:g}",
              f"{found.change.value:+.1%} ± {found.change.error:.1%} from the lowest rate to the highest, rank "
              f"correlation {found.trend.rho:.2f}, p = {found.trend.p:.2g}, in order at {found.ordered:.0%} of T",
              found.trend.p < _LEVEL and found.trend.rho > 0),
        Check("G5, control, momentum: the same without momentum", "less of a trend by 2 ±",
              f"{other.change.value:+.1%} ± {other.change.error:.1%}, p = {other.trend.p:.2g}", less > 2 * error),
    ]  # fmt: skip


def g6(cosine: Found, constant: Found) -> list[Check]:
    """Return the law that a falling rate generalises better: the best test loss of each, on the same data sets."""
    gain = over_seeds(cosine.best.by_split - constant.best.by_split)
    found = Estimate(float(gain.value), float(gain.error))
    other = optimum(cosine.curve, "test_accuracy").by_split - optimum(constant.curve, "test_accuracy").by_split
    more = over_seeds(other)
    return [
        Check(f"G6: best test loss of {cosine.variant} less that of {constant.variant}", "below 0 by 2 ±",
              f"{found} on the same data sets", found.value < -2 * found.error),
        Check(f"G6: best test accuracy of {cosine.variant} less that of {constant.variant}", "not below 0 by 2 ±",
              f"{100 * more.value:+.2f} ± {100 * more.error:.2f} %", bool(more.value >= -2 * more.error)),
    ]  # fmt: skip


def g7(found: Found) -> list[Check]:
    """Return the law of sigma_l against the test loss, other data sets' as control; of many data sets also theirs."""
    line = found.scatter
    low, high = line.interval
    draw = np.random.default_rng(0)
    apart = [
        scatter_of_loss(found.curve.test, draw.permuted(found.deviation, axis=1), resamples=2).correlation
        for _ in range(_SHUFFLES)
    ]
    most = float(np.quantile(apart, 1 - _LEVEL))
    return [
        Check("G7: σ_l of a row against the test loss, all runs", f"correlation {_LINE} or more",
              f"{line.correlation:.3f} [{low:.3f}, {high:.3f}], σ_l = {line.intercept} + ({line.slope}) × loss",
              line.correlation >= _LINE),
        *(between(found) if found.curve.splits >= _ENOUGH else []),
        Check("G7, control: σ_l of other data sets at the same T", "correlates less",
              f"{most:.3f} at most in {1 - _LEVEL:.0%} of {_SHUFFLES}", most < line.correlation),
    ]  # fmt: skip


def between(found: Found) -> list[Check]:
    """Return the law that the test loss differs the more between data sets the larger it is."""
    return [
        Check(f"G7: standard deviation of the test loss over {found.curve.splits} data sets, by T",
              f"correlation {_LINE} or more", f"{found.between:.3f}", found.between >= _LINE),
    ]  # fmt: skip


def _trend(found: Trend) -> str:
    rho, p, (low, high) = found
    return f"{rho:.3f} [{low:.3f}, {high:.3f}], p = {p:.2g}"


def fitted(found: Found) -> str:
    """Tell the fit of Eq. 1."""
    law = found.law
    if law.reason:
        return f"no fit: {law.reason}"
    told = ", ".join(
        f"{name} = {value:.3g} [{law.intervals[name][0]:.3g}, {law.intervals[name][1]:.3g}]"
        for name, value in (("a", law.a), ("b", law.b), ("c", law.c))
    )
    return f"R² = {law.r2:.3f}, {told}"
