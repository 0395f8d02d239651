"""How far two landscapes are apart, on the bins that both have, after the best constant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trajectories.landscape.axes import Axis, Floats
from trajectories.landscape.landscape import Landscape


class Difference(NamedTuple):
    """S_a - S_b in the bins that both axes have, less its mean where both are known."""

    axes: tuple[Axis, ...]
    values: Floats  # (*bins), nan where one of them is not known
    error: Floats | None  # (*bins) standard error, None where one of them has one copy
    bins: int  # how many are compared
    max: float  # of |values|
    rms: float


def difference(a: Landscape, b: Landscape, *, at_least: float = 1) -> Difference:
    """Compare the means over copies of two landscapes with the constant for which the rms of S_a - S_b is least.

    `at_least`: visits, of all copies together, that a bin needs where visits are known. The axes may have different
    ends, not different bins. Raises ValueError for axes that do not fit, and where no bin is common.
    """
    if len(a.axes) != len(b.axes):
        raise ValueError(f"landscapes of {len(a.axes)} and {len(b.axes)} axes: take the marginal() of one")
    axes, *parts = zip(*map(_shared, a.axes, b.axes), strict=True)
    one, two = _known(a, parts[0], at_least), _known(b, parts[1], at_least)
    both = np.isfinite(one) & np.isfinite(two)
    if not both.any():
        raise ValueError("the landscapes have no bin in common that both know: count longer, or take wider bins")
    values = np.full(one.shape, np.nan)
    values[both] = one[both] - two[both]
    values -= values[both].mean()
    errors = [each.error() for each in (a, b)]
    error = None
    if errors[0] is not None and errors[1] is not None:
        error = np.where(both, np.hypot(errors[0][parts[0]], errors[1][parts[1]]), np.nan)
    top, rms = float(np.abs(values[both]).max()), float(np.sqrt(np.square(values[both]).mean()))
    return Difference(axes, values, error, int(both.sum()), top, rms)


def _known(landscape: Landscape, part: Sequence[slice], at_least: float) -> Floats:
    """The mean over copies in a part of the bins, -inf where too few visits were counted."""
    mean = landscape.mean()
    if landscape.visits is not None:
        mean = np.where(landscape.visits.sum(axis=0) >= at_least, mean, -np.inf)
    return np.asarray(mean[tuple(part)])


def _shared(a: Axis, b: Axis) -> tuple[Axis, slice, slice]:
    """The axis that two have in common, and where it lies in each."""
    offset = (b.low - a.low) / a.width
    whole = round(offset)
    if abs(b.width / a.width - 1) > 1e-6 or abs(offset - whole) > 1e-3:
        raise ValueError(
            f"axis {a.name!r} has bins of {a.width:.6g} from {a.low:.6g} on in one landscape, of {b.width:.6g} from "
            f"{b.low:.6g} on in the other: bins have to coincide; make them so with coarse(), or on the same axis"
        )
    first, last = max(0, whole), min(a.bins, whole + b.bins)
    if last <= first:
        raise ValueError(f"the landscapes have no range of {a.name!r} in common: they end where the other begins")
    return a.part(first, last - first), slice(first, last), slice(first - whole, last - whole)
