"""Results by temperature as aligned lines, for `print`."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from trajectories.statistics import Estimate


def estimates(values: NDArray[np.float64], errors: NDArray[np.float64]) -> list[str]:
    """Return a column of values with their errors."""
    return [str(Estimate(float(value), float(error))) for value, error in zip(values, errors, strict=True)]


def numbers(values: NDArray[np.float64], form: str = ".4g") -> list[str]:
    """Return a column of numbers."""
    return [format(float(value), form) for value in values]


def aligned(columns: Mapping[str, Sequence[str]]) -> str:
    """Return the columns below their names, as lines."""
    rows = zip(*([name, *cells] for name, cells in columns.items()), strict=True)
    widths = [max(map(len, [name, *cells])) for name, cells in columns.items()]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
