"""What the theory of data averaging predicts of a curve, said of one that was measured, with its uncertainty."""

from __future__ import annotations

from typing import NamedTuple

from trajectories.averaging.curve import Curve
from trajectories.averaging.gap import GapLaw, fit_gap
from trajectories.averaging.optimum import Optimum, optimum
from trajectories.averaging.trends import Trend, trend

_LEVEL = 0.05


class Statement(NamedTuple):
    """A prediction ("A", "B", "C"), its `claim`, whether it `holds` (None: undecided), and the `evidence` in words."""

    prediction: str
    claim: str
    holds: bool | None
    evidence: str


def predictions(curve: Curve, law: GapLaw | None = None, best: Optimum | None = None) -> tuple[Statement, ...]:
    """Return what a curve says of the three predictions.

    A: the gap falls with T, as (a/T + b) exp(-T/c). B: the test loss is least at a temperature inside the range.
    C: the train loss rises with T. A trend holds where p < .05 and its interval excludes zero, is contradicted where
    the same is true of the other sign, and is undecided else; B is undecided where either end is not worse at the 5 %
    level. `law` and `best`: those of `fit_gap` and `optimum`, computed unless given.
    """
    law, best = law or fit_gap(curve), best or optimum(curve)
    falls, rises = trend(curve.temperatures, curve.gap), trend(curve.temperatures, curve.train)
    return (
        Statement("A", "the gap falls with T", _holds(falls, -1), f"{_told(falls)}; {_fitted(law)}"),
        Statement("B", "the test loss is least at a T inside the range", _best(best), _where(best)),
        Statement("C", "the train loss rises with T", _holds(rises, 1), _told(rises)),
    )


def _holds(found: Trend, sign: int) -> bool | None:
    ends = [sign * end for end in found.interval]
    if not found.p < _LEVEL:
        return None
    return True if min(ends) > 0 else False if max(ends) < 0 else None


def _told(found: Trend) -> str:
    low, high = found.interval
    return f"rank correlation {found.rho:.3f} [{low:.3f}, {high:.3f}], p = {found.p:.2g}"


def _fitted(law: GapLaw) -> str:
    if law.reason:
        return f"no fit of (a/T + b) exp(-T/c): {law.reason}"
    low, high = law.intervals["c"]
    return f"(a/T + b) exp(-T/c) with c = {law.c:.3g} [{low:.3g}, {high:.3g}], R² = {law.r2:.3f}"


def _best(best: Optimum) -> bool | None:
    return True if best.interior else None


def _where(best: Optimum) -> str:
    if best.reason:
        return best.reason
    low, high = best.interval
    return (
        f"T_opt = {best.temperature:.3g} [{low:.3g}, {high:.3g}]; better than at the lowest T by "
        f"{_percent(best.depth.value, best.depth.error)}, at the highest by "
        f"{_percent(best.rise.value, best.rise.error)}"
    )


def _percent(value: float, error: float) -> str:
    return f"{100 * value:.1f} ± {100 * error:.1f} %"
