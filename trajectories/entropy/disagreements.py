"""Which entropies of a comparison contradict each other, and the likely reason."""

import math
from collections.abc import Sequence

from trajectories.entropy.table import Row

_GAP = 3.0  # combined errors


def disagreements(rows: Sequence[Row]) -> list[str]:
    """A sentence for each pair of entropies of the same coordinates that lie more than 3 combined errors apart.

    Two upper bounds never contradict each other.
    """
    told = []
    comparable = [row for row in rows if row.kind in ("absolute", "upper bound")]
    for i, one in enumerate(comparable):
        for other in comparable[i + 1 :]:
            if one.of != other.of or one.estimate is None or other.estimate is None:
                continue
            if one.kind == other.kind == "upper bound":
                continue
            gap = one.estimate.value - other.estimate.value
            error = math.hypot(one.estimate.error, other.estimate.error)
            if abs(gap) > _GAP * error:
                high, low = (one, other) if gap > 0 else (other, one)
                apart = f"by {abs(gap):.3g} ({abs(gap) / error:.1f} errors)" if error > 0 else f"by {abs(gap):.3g}"
                told.append(f"{high.name} lies above {low.name} {apart}, {one.of}: {_reason(high, low)}")
    return told


def _reason(high: Row, low: Row) -> str:
    """The likely one."""
    d = high.dimension
    names = {high.name, low.name}
    if names & {"kozachenko_leonenko", "sphere"} and d > 10:
        return f"neighbours are too far apart at d = {d}, so their estimate is biased"
    if high.name.startswith("cross_entropy"):
        return "it is an upper bound, and its density, fitted to half of the samples, is not the distribution"
    if high.kind == "upper bound":
        return f"{high.name} is an upper bound, and the distribution is not of its form"
    if "mutual_information_expansion" in names:
        return "three or more coordinates depend on each other, or pairs more than their few samples show"
    if low.kind == "upper bound":
        return f"{low.name} is an upper bound, so {high.name} is biased or its error is too small"
    return "the errors are too small for so few independent samples, or one of them is biased"
