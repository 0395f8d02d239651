"""What is claimed of a network's landscape: convergence, two methods that agree, and the published numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mdnet.experiments.landscape.baselines import Crossings
from mdnet.experiments.results import Check
from trajectories.landscape import Landscape, Row, difference, equilibrium, ridge

AGREE, VISITS = 1.0, 100  # k_B, of two methods on one network, in bins with so many visits
RIDGE = {-1.0: -0.18, -1.5: -0.35, -2.0: -0.42}  # published, W = 30 and N = 100: ln L_test of the ridge
DROP, GAIN, ADAM, AT = 132.0, 0.15, -0.20, -2.0  # S(-1) - S(-3); the advantage, and Adam's ln L_test, at -2


def converged(rows: Sequence[Row]) -> list[Check]:
    """Return what is wanted of a run; what it tells too little of does not hold."""
    found = []
    for row in rows:
        note = f", {row.note}" if row.note else ""
        found.append(Check(f"Converged: {row.name}", row.wanted, f"{row.value:.3g}{note}", row.holds is True))
    return found


def agreement(one: Landscape, other: Landscape, *, low: float, high: float) -> Check:
    """Return how far S(x) of two methods are apart between two places, after the best constant."""
    name, wanted = f"S by {one.method} and by {other.method}, x from {low:g} to {high:g}", f"within {AGREE:g} k_B"
    try:
        a, b = (within(each, low, high) for each in (one, other))
        apart, span = difference(a, b, at_least=VISITS), float(np.ptp(a.mean()[np.isfinite(a.mean())]))
    except ValueError as reason:
        return Check(name, wanted, f"too little to tell, in bins with {VISITS} visits: {reason}", False)
    return Check(
        name, wanted,
        f"{apart.max:.2f} k_B at most, {apart.rms:.2f} rms, over {span:.0f} k_B in {apart.bins} bins",
        apart.max <= AGREE,
    )  # fmt: skip


def no_other(found: Landscape, reason: str) -> Check:
    """Return that S could not be compared with that of another method, which failed."""
    return Check(f"S by {found.method} and by the ladder", f"within {AGREE:g} k_B", f"no ladder: {reason}", False)


def within(found: Landscape, low: float, high: float) -> Landscape:
    """Return S(x) of the bins whose middle is between two places."""
    one = found.marginal() if len(found.axes) > 1 else found
    axis = one.axes[0]
    kept = np.flatnonzero((axis.centres >= low) & (axis.centres <= high))
    part = slice(int(kept[0]), int(kept[-1]) + 1)
    visits = None if one.visits is None else one.visits[:, part]
    return Landscape((axis.part(part.start, len(kept)),), one.entropy[:, part], visits, one.method)


def published(found: Landscape, adam: Crossings) -> list[Check]:
    """Return the paper's numbers of the spiral regression, W = 30 and N = 100, beside those found."""
    along = ridge(found)
    checks = []
    for x, y in RIDGE.items():
        here = along.at([x])
        value, error = float(here.mean[0]), _first(here.error)
        told = f"{value:.3f} ± {error:.3f}"
        checks.append(Check(f"Ridge: ln L_test at ln L_train = {x:g}", f"{y:g} ± .08", told, abs(value - y) <= 0.08))
    here, mean = equilibrium(found).at([AT]), adam.around(AT)
    told = f"{mean[0]:.3f} ± {mean[1]:.3f}, all times of {adam.train.shape[1]} networks"
    checks.append(
        Check(f"Adam: ln L_test at ln L_train = {AT:g}", f"about {ADAM:g} (± .08)", told, abs(mean[0] - ADAM) <= 0.08)
    )
    gain, error = mean[0] - float(here.mean[0]), float(np.hypot(mean[1], _first(here.error)))
    told = f"{gain:.3f} ± {error:.3f}"
    checks.append(Check(f"Advantage at ln L_train = {AT:g}", f"≥ {GAIN:g}", told, gain >= GAIN))
    return [*checks, drop(found)]


def drop(found: Landscape) -> Check:
    """Return S(-1) - S(-3) beside the published one."""
    one = found.marginal()
    places = [int(np.argmin(np.abs(one.axes[0].centres - x))) for x in (-1.0, -3.0)]
    with np.errstate(invalid="ignore"):
        each = one.entropy[:, places[0]] - one.entropy[:, places[1]]
        value = float(each.mean())
        error = float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else float("nan")
    return Check("S(-1) - S(-3)", f"{DROP:g} ± 30 k_B", f"{value:.1f} ± {error:.1f} k_B", abs(value - DROP) <= 30)


def _first(error: object) -> float:
    return float("nan") if error is None else float(np.asarray(error).flat[0])
