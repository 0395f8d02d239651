"""A quantity along x from independent copies of a table: its mean, and its standard error over the copies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from trajectories.landscape.axes import Floats


@dataclass(frozen=True, eq=False)
class Curve:
    """Values of independent copies, `each` (copies, points), nan where a copy does not tell, at `x` (points,) rising.

    Raises ValueError for shapes that do not fit.
    """

    x: Floats
    each: Floats

    def __post_init__(self) -> None:
        if self.x.ndim != 1 or self.each.ndim != 2 or self.each.shape[1:] != self.x.shape:
            raise ValueError(f"a curve is x (points,) and each (copies, points), not {self.x.shape}, {self.each.shape}")

    @property
    def copies(self) -> int:
        """How many copies there are."""
        return len(self.each)

    @property
    def mean(self) -> Floats:
        """The mean over copies (points,), nan where one of them does not tell."""
        return np.asarray(self.each.mean(axis=0))

    @property
    def error(self) -> Floats | None:
        """Its standard error (points,) from the scatter of the copies; None of one copy."""
        return over_copies(self.each)

    def at(self, levels: ArrayLike) -> Curve:
        """Return the curve at levels (n,) between its points, each copy by itself, on straight lines.

        Raises ValueError for levels beyond its points.
        """
        wanted = np.atleast_1d(np.asarray(levels, dtype=np.float64))
        beyond = wanted[~((wanted >= self.x[0]) & (wanted <= self.x[-1]))]
        if beyond.size:
            raise ValueError(
                f"{beyond.tolist()} lie beyond the points of the curve, from {self.x[0]:.4g} to {self.x[-1]:.4g}"
            )
        return Curve(wanted, np.stack([np.interp(wanted, self.x, values) for values in self.each]))


def over_copies(each: Floats) -> Floats | None:
    """Return the standard error of the mean of copies (copies, ...), (...); None of one copy."""
    if len(each) < 2:
        return None
    return np.asarray(each.std(axis=0, ddof=1) / np.sqrt(len(each)))
