"""Gaps of SGD and of thermostats at equal training loss, which needs no matching of temperatures, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

from mdnet.experiments.data_averaging.models import Floats
from mdnet.experiments.data_averaging.thermostat_reading import AGAIN, CHAIN, DESCENT, LANGEVIN, Steady
from mdnet.experiments.results import Check
from trajectories.averaging import Curve, trend
from trajectories.sgd import Values, jackknife
from trajectories.statistics import Estimate

_LEVELS = 8
_Z, _SURE = 5.0, 1e-3  # standard errors, and the p-value below which curves are said to differ
_FALLS = -0.9


class Apart(NamedTuple):
    """Two tables at equal training losses `levels` (m,): `one` and `other` (m, splits), their ratio, `p` of no gap.

    `ratio` (m,) of the means over data sets, `overall` its mean over levels, errors by the jackknife over data sets,
    which are paired. `p`: Student's t of the differences of data sets, each the mean over levels.
    """

    levels: Floats
    one: Floats
    other: Floats
    ratio: Values
    overall: Estimate
    p: float

    def change(self) -> Estimate:
        """Return the ratio at the largest training loss less that at the smallest."""
        first, second = self.one[[0, -1]], self.other[[0, -1]]
        found = jackknife(lambda a, b: np.diff(a / b), first, second)
        return Estimate(float(found.value[0]), float(found.error[0]))


def levels(curves: Sequence[Curve], count: int = _LEVELS) -> Floats:
    """Return training losses (count,), evenly spaced in ln, that every data set reaches on every curve.

    Raises ValueError where there are none.
    """
    low = max(float(curve.train.min(axis=0).max()) for curve in curves)
    high = min(float(curve.train.max(axis=0).min()) for curve in curves)
    if not low < high:
        raise ValueError(
            f"the training losses of the curves have nothing in common: one begins at {low:.4g}, one ends at "
            f"{high:.4g}; give ladders of temperatures that overlap"
        )
    return np.geomspace(low, high, count)


def at_levels(curve: Curve, table: Floats, at: Floats) -> Floats:
    """Return table (n, splits) at training losses (m,), (m, splits): straight lines between a data set's own points."""
    found = np.empty((len(at), curve.splits))
    for s in range(curve.splits):
        order = np.argsort(curve.train[:, s])
        found[:, s] = np.interp(at, curve.train[order, s], table[order, s])
    return found


def apart(one: tuple[Curve, Floats], other: tuple[Curve, Floats], at: Floats) -> Apart:
    """Compare tables (n, splits), each with its curve, at equal training losses (m,)."""
    first, second = at_levels(*one, at), at_levels(*other, at)
    ratio = jackknife(np.divide, first, second)
    overall = jackknife(lambda a, b: np.mean(a / b, keepdims=True), first, second)
    p = float(stats.ttest_rel(first.mean(axis=0), second.mean(axis=0)).pvalue)
    return Apart(at, first, second, ratio, Estimate(float(overall.value[0]), float(overall.error[0])), p)


def differ(one: Floats, other: Floats) -> float:
    """Return the p that paired tables (n, splits) have the same means: Student's t of each row, by Fisher together."""
    return float(stats.combine_pvalues(stats.ttest_rel(one, other, axis=1).pvalue).pvalue)


def pairing(one: Floats, other: Floats) -> Floats:
    """Return the scatter (splits,) of differences of tables (n, splits) with the columns of one shifted cyclically.

    The mean square over rows and columns, rows less their means; the first is that of the tables as they are paired.
    """
    a, b = (table - table.mean(axis=1, keepdims=True) for table in (one, other))
    return np.array([np.square(a - np.roll(b, shift, axis=1)).mean() for shift in range(a.shape[1])])


@dataclass(frozen=True, eq=False)
class Found:
    """The steady states by method, and how their gaps and <theta^2> lie apart at equal training loss."""

    steady: dict[str, Steady]

    def gaps(self, one: str = DESCENT, other: str = LANGEVIN) -> Apart:
        """Return the gaps of two methods at equal training loss."""
        return self._apart(one, other, lambda steady: steady.curve.gap)

    def spreads(self) -> Apart:
        """Return <|theta|^2>/D of SGD and of Langevin dynamics at equal training loss."""
        return self._apart(DESCENT, LANGEVIN, lambda steady: steady.spread)

    def _apart(self, one: str, other: str, table: Callable[[Steady], Floats]) -> Apart:
        at = levels([self.steady[name].curve for name in (DESCENT, LANGEVIN, CHAIN)])
        first, second = ((self.steady[name].curve, table(self.steady[name])) for name in (one, other))
        return apart(first, second, at)

    def rise(self) -> Estimate:
        """Return by how much Langevin dynamics' largest mean gap exceeds that of its lowest temperature."""
        gap = self.steady[LANGEVIN].curve.gap
        more = gap[int(gap.mean(axis=1).argmax())] - gap[0]
        return Estimate(float(more.mean()), float(more.std(ddof=1) / np.sqrt(len(more))))


def controls(found: Found) -> list[Check]:
    """Return what must hold whatever SGD does: both thermostats' temperatures, one curve of both, pairing, rest."""
    langevin, again, chain = (found.steady[name].curve.gap for name in (LANGEVIN, AGAIN, CHAIN))
    checks = []
    for name in (LANGEVIN, CHAIN):
        t, steady = found.steady[name].matched, found.steady[name]
        kinetic, shape = _over_splits(steady.kinetic / t), _over_splits(steady.configurational / t)
        checks += [
            Check(f"{name}: kinetic temperature halfway through a step", "that set within 1 %, mean over T",
                  f"{kinetic} of it", abs(kinetic.value - 1) < 0.01),
            Check(f"{name}: configurational temperature ⟨|∇U|²⟩/⟨ΔU⟩",
                  f"that set within {_Z:g} standard errors, mean over T", f"{shape} of it", abs(shape.z(1.0)) <= _Z),
        ]  # fmt: skip
    for name, other in ((AGAIN, again), (CHAIN, chain)):
        p = differ(langevin, other)
        checks.append(
            Check(
                f"{LANGEVIN} against {name}: one gap at each T", f"Fisher's p ≥ {_SURE:g}", f"p = {p:.2g}", p >= _SURE
            )
        )
    for name, steady in found.steady.items():
        p = differ(*steady.halves)
        checks.append(
            Check(f"{name}: the gap stands", f"both halves of the looks alike, Fisher's p ≥ {_SURE:g}", f"p = {p:.2g}",
                  p >= _SURE)
        )  # fmt: skip
    scatter = pairing(langevin, again)
    shuffled = scatter[1:].min()
    checks.append(
        Check("data sets are paired: scatter of the gap between two Langevin runs",
              "below that of every cyclic permutation of the data sets",
              f"{np.sqrt(scatter[0]):.2g}, permuted {np.sqrt(shuffled):.2g} or more", bool(scatter[0] < shuffled))
    )  # fmt: skip
    return checks


def claims(found: Found) -> list[Check]:
    """Return what SGD and the thermostats were found to differ in, and that the thermostats do not."""
    curve, gaps, thermal = found.steady[DESCENT].curve, found.gaps(), found.gaps(CHAIN)
    change = gaps.change()
    falls = trend(curve.temperatures, curve.gap).rho
    return [
        Check(f"{DESCENT}: the gap falls with T = lr/B", f"Spearman ≤ {_FALLS}", f"{falls:.2f}", falls <= _FALLS),
        Check(f"at equal training loss {DESCENT}'s gap is another than {LANGEVIN}'s", f"p < {_SURE:g}",
              f"ratio {gaps.overall}, p = {gaps.p:.2g}", gaps.p < _SURE),
        Check("and the more so the larger the loss", f"change of the ratio by {_Z:g} standard errors", str(change),
              abs(change.z(0.0)) > _Z),
        Check(f"at equal training loss the gap of the {CHAIN} is {LANGEVIN}'s", f"p ≥ {_SURE:g}",
              f"ratio {thermal.overall}, p = {thermal.p:.2g}", thermal.p >= _SURE),
    ]  # fmt: skip


def conclude(found: Found) -> str:
    """Say in words, with its uncertainty, whether SGD's gap follows the law of the thermostats."""
    gaps, thermal, spreads = found.gaps(), found.gaps(CHAIN), found.spreads()
    curve, rise = found.steady[DESCENT].curve, found.rise()
    falls, langevin = trend(curve.temperatures, curve.gap).rho, found.steady[LANGEVIN].curve
    thermal_trend = trend(langevin.temperatures, langevin.gap).rho
    same = "the gap does not follow the same law" if gaps.p < _SURE else "no difference of the laws is seen"
    alike = "agree" if thermal.p >= _SURE else f"differ (p = {thermal.p:.2g})"
    return (
        f"At equal training loss ({gaps.levels[0]:.2f} to {gaps.levels[-1]:.2f}) the gap of {DESCENT} is "
        f"{gaps.overall} times that of {LANGEVIN} dynamics (paired over {curve.splits} data sets, p = {gaps.p:.2g}): "
        f"{same}. The ratio is {_at(gaps.ratio, 0)} at the smallest of these losses and {_at(gaps.ratio, -1)} at the "
        f"largest. The two thermostats {alike}: {thermal.overall} times. Against its own T the gap of {DESCENT} has a "
        f"rank correlation of {falls:.2f}, that of {LANGEVIN} dynamics {thermal_trend:.2f}, with a largest value "
        f"{rise} above that of its lowest T. A bath heats all directions alike, the noise of minibatches mostly the "
        f"stiff ones: ⟨θ²⟩ of {DESCENT} is {spreads.overall} times that of {LANGEVIN} dynamics at equal training loss."
    )


def _over_splits(table: Floats) -> Estimate:
    """The mean over temperatures of a table (n, splits), with its standard error over data sets."""
    values = table.mean(axis=0)
    return Estimate(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))


def _at(values: Values, place: int) -> Estimate:
    return Estimate(float(values.value[place]), float(values.error[place]))
