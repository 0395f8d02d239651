"""Axes of a table of states: a range of a collective variable in bins of one width, and windows of it."""

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Axis(NamedTuple):
    """`bins` bins of equal width from `low` to `high`, of the variable called `name`; `label` is what figures show."""

    name: str
    low: float
    high: float
    bins: int
    label: str = ""

    @classmethod
    def of_width(cls, name: str, low: float, high: float, width: float, label: str = "") -> Self:
        """Return the axis from low to at least high in bins of this width; raises ValueError for an empty range."""
        if not (low < high and 0 < width < float("inf")):
            raise ValueError(f"an axis {name!r} from {low} to {high} in bins of {width} needs low < high and width > 0")
        bins = max(1, int(np.ceil((high - low) / width - 1e-9)))
        return cls(name, low, low + bins * width, bins, label)

    @property
    def width(self) -> float:
        """The width of a bin."""
        return (self.high - self.low) / self.bins

    @property
    def centres(self) -> Floats:
        """The middle of each bin (bins,)."""
        return self.low + self.width * (np.arange(self.bins, dtype=np.float64) + 0.5)

    @property
    def edges(self) -> Floats:
        """The edges of the bins (bins + 1,)."""
        return self.low + self.width * np.arange(self.bins + 1, dtype=np.float64)

    @property
    def text(self) -> str:
        """What a figure writes at the axis."""
        return self.label or self.name

    def part(self, first: int, bins: int) -> Self:
        """Return the axis of `bins` bins from bin `first` on."""
        low = self.low + first * self.width
        return self._replace(low=low, high=low + bins * self.width, bins=bins)

    def windows(self, count: int, overlap: float = 0.75) -> list[Self]:
        """Return `count` axes of equally many of these bins that cover it, neighbours sharing `overlap` of them.

        Their bins are this axis's own. Raises ValueError where it has too few bins for so many windows.
        """
        if count < 1 or not 0 <= overlap < 1:
            raise ValueError(
                f"{count} windows with an overlap of {overlap}: there is one or more, and 0 <= overlap < 1"
            )
        length = int(np.ceil(self.bins / (1 + (count - 1) * (1 - overlap))))
        firsts = np.round(np.linspace(0, self.bins - length, count)).astype(int)
        if count > 1 and np.diff(firsts).min() < 1:
            raise ValueError(
                f"{self.bins} bins of {self.name!r} are too few for {count} windows with an overlap of {overlap}; "
                "take fewer windows, less overlap or narrower bins"
            )
        return [self.part(int(first), length) for first in firsts]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, as a file keeps them."""
        return dict(self._asdict())


def check_axes(axes: tuple[Axis, ...]) -> None:
    """Raise ValueError for no axis, for two of one name, and for an axis without bins or range."""
    names = [axis.name for axis in axes]
    if not axes or len(set(names)) < len(names):
        raise ValueError(f"axes {names}: a table has one or more, of different variables")
    for axis in axes:
        if axis.bins < 2 or not axis.low < axis.high:
            raise ValueError(
                f"axis {axis.name!r} from {axis.low} to {axis.high} in {axis.bins} bins: give it two or more"
            )
