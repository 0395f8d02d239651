"""Maxwell relations of an ideal gas: how entropy depends on the volume at one temperature, by quadratic fits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from trajectories.sgd.ideal_gas import PROTOCOLS
from trajectories.sgd.table import Floats, over_seeds
from trajectories.statistics import Estimate


class Relation(NamedTuple):
    """A slope of the entropy with its standard error over seeds, and what an ideal gas of D dimensions has."""

    name: str
    slope: Estimate
    expected: float

    @property
    def deviation(self) -> Estimate:
        """How far the slope is off, relative to what is expected."""
        return Estimate(self.slope.value / self.expected - 1, abs(self.slope.error / self.expected))


def maxwell(protocol: str, rate: ArrayLike, second: ArrayLike, entropy: ArrayLike, dimension: int) -> Relation:
    """Return (dS/dV)_T = (dp/dT)_V = R/V in the variables of a protocol, from S (n, seeds) on n points:

        sphere  `second` r:       dS/d ln r at one eta/r^2            = D - 1
        elr     `second` lambda:  dS/d ln lambda                      = -(D - 1)/2
        lr      `second` lambda:  dS/d ln eta - dS/d ln lambda        = (D - 1)/2

    S is the entropy of the whole state, (D - 1) ln r included (`whole_entropy`). `rate` (n,) is eta, and eta_eff for
    elr. For each seed S is fitted by a quadratic form in the variable that sets T, a = ln(eta/r^2), ln eta_eff or
    ln(eta lambda), and in another, b, about the centre of the points: the slope along b there is
    the answer. Terms that the points cannot tell (one temperature alone, two radii) are left out.

    Raises ValueError for an unknown protocol, shapes that do not fit, and points among which b does not vary at one a.
    """
    x, y, s = (np.asarray(given, dtype=np.float64) for given in (rate, second, entropy))
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol = {protocol!r} is unknown; allowed are {', '.join(PROTOCOLS)}")
    if s.ndim != 2 or not x.shape == y.shape == s.shape[:1]:
        raise ValueError(f"rate {x.shape}, second {y.shape} and entropy {s.shape} must be (n,), (n,) and (n, seeds)")
    log_x, log_y, r = np.log(x), np.log(y), (dimension - 1) / 2
    a, b, name, expected = {
        "sphere": (log_x - 2 * log_y, log_y, "dS/d ln r", 2 * r),
        "elr": (log_x, log_y, "dS/d ln lambda", -r),
        "lr": (log_x + log_y, (log_x - log_y) / 2, "dS/d ln eta - dS/d ln lambda", r),
    }[protocol]
    mean, error = over_seeds(_slopes(a - a.mean(), b - b.mean(), s))
    return Relation(name, Estimate(float(mean), float(error)), expected)


def _slopes(a: Floats, b: Floats, entropy: Floats) -> Floats:
    """dS/db at the centre, of each seed (seeds,)."""
    columns = [np.ones_like(a)]
    if _tells(columns, a):
        columns.append(a)
    if not _tells(columns, b):
        raise ValueError("all points lie on a line across the isotherms: give several radii or decays at a temperature")
    place = len(columns)
    columns.append(b)
    for term in (b * b, a * b, a * a):
        if _tells(columns, term):
            columns.append(term)
    return np.asarray(np.linalg.lstsq(np.stack(columns, axis=-1), entropy, rcond=None)[0][place])


def _tells(columns: list[Floats], term: Floats) -> bool:
    """Whether a term differs from all combinations of the columns, at more than rounding."""
    matrix = np.stack(columns, axis=-1)
    left = term - matrix @ np.linalg.lstsq(matrix, term, rcond=None)[0]
    return bool(np.abs(left).max() > 1e-6 * max(np.abs(term).max(), 1e-6))
