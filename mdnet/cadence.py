"""When something happens: every so many steps, or at steps of one's choice."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from operator import index
from typing import SupportsIndex
from zlib import crc32

import numpy as np

NEVER = 1 << 62


@dataclass(frozen=True, init=False)
class At:
    """Steps of one's choice, at which a reporter looks: At([1, 10, 100]), log_spaced(...), before(...), their union |.

    Raises ValueError without a step, and for a negative one.
    """

    steps: tuple[int, ...]

    def __init__(self, steps: Iterable[int]) -> None:
        object.__setattr__(self, "steps", tuple(sorted({_whole("steps", step) for step in steps})))
        if not self.steps or self.steps[0] < 0:
            raise ValueError(f"steps = {list(self.steps[:3])}...: there must be one or more, and none below zero")

    def __or__(self, other: At) -> At:
        return At((*self.steps, *other.steps))

    def __contains__(self, step: int) -> bool:
        place = bisect_right(self.steps, step)
        return place > 0 and self.steps[place - 1] == step

    def __repr__(self) -> str:
        known = crc32(np.asarray(self.steps, dtype=np.int64).tobytes())
        return f"At({len(self.steps)} steps, {self.steps[0]} to {self.steps[-1]}, {known:08x})"


Cadence = int | At
"""Every so many steps, step 0 included, or at given ones."""


def cadence(every: Cadence) -> Cadence:
    """Return the steps between reports, or those given; raises ValueError for no whole number from one on."""
    if isinstance(every, At):
        return every
    if (steps := _whole("every", every)) < 1:
        raise ValueError(f"every = {every}: a reporter needs one step or more between its reports")
    return steps


def _whole(name: str, steps: SupportsIndex) -> int:
    try:
        return index(steps)
    except TypeError:
        raise ValueError(f"{name} = {steps!r}: steps are whole numbers") from None


def is_due(every: Cadence, step: int) -> bool:
    """Whether it is time at this step."""
    return step in every if isinstance(every, At) else step % every == 0


def until(every: Cadence, step: int) -> int:
    """Return how many steps after this one it is time again; a very large number where it never is."""
    if not isinstance(every, At):
        return every - step % every
    place = bisect_right(every.steps, step)
    return every.steps[place] - step if place < len(every.steps) else NEVER


def log_spaced(last: int, points: int = 200, *, first: int = 1) -> At:
    """Return 0 and about `points` steps from `first` to `last`, evenly spaced in their logarithm.

    Raises ValueError for fewer than two points or a range that is empty.
    """
    if not 0 < first < last or points < 2:
        raise ValueError(f"first = {first}, last = {last}, points = {points}: 0 < first < last, and two points or more")
    return At([0, *np.geomspace(first, last, points).round().astype(int).tolist()])


def before(ends: Iterable[int], count: int, stride: int = 1) -> At:
    """Return the `count` steps, `stride` apart, that end at each of `ends`, as far as they are not below zero.

    Raises ValueError for a count or a stride below one.
    """
    if min(count, stride) < 1:
        raise ValueError(f"count = {count} and stride = {stride} must be one or more")
    return At(step for end in ends for step in range(end, end - count * stride, -stride) if step >= 0)
