"""The error of a mean by block averaging: seen against the block size, and at the size where it no longer grows."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.statistics.estimate import Estimate, as_series

Floats = NDArray[np.float64]
_ENOUGH_BLOCKS = 8  # fewer tell little of their own scatter


class Blocks(NamedTuple):
    """Standard error of the mean against the block size; it rises to a plateau as blocks become independent."""

    sizes: NDArray[np.int64]  # (sizes,) samples a block: 1, 2, 4, ...
    errors: Floats  # (sizes,) standard error of the mean
    error_of_error: Floats  # (sizes,) its own standard error if the blocks are independent
    chosen: int | None  # index of the size where the plateau is taken to begin; None where the run is too short

    @property
    def plateau(self) -> Estimate:
        """Standard error of the mean at the chosen size; not a number where the run is too short for one."""
        if self.chosen is None:
            return Estimate(math.nan, math.inf)
        return Estimate(float(self.errors[self.chosen]), float(self.error_of_error[self.chosen]))


def blocks(values: ArrayLike) -> Blocks:
    """Error of the mean from blocks of b samples: error^2 = sum_B (x_B - mean)^2 / (N (N - 1)), N blocks.

    Its own error is error / sqrt(2 (N - 1)). Blocks of all replicas count together, about the mean over everything;
    b doubles while 2 blocks are left. The plateau is taken at the first b with b^3 > 2 n (error_b / error_1)^4,
    n samples in all, which balances what is left of the correlation against the noise of the error, if that leaves
    8 blocks.

    Args:
        values: equilibrated samples, (samples,) or (samples, replicas); 2 numbers or more.

    Raises:
        ValueError: not a series, or a single number.

    References: Flyvbjerg & Petersen, J. Chem. Phys. 91, 461 (1989); the criterion is that of Wolff, Comput. Phys.
    Commun. 156, 143 (2004) and Lee et al., Phys. Rev. E 83, 066706 (2011).
    """
    series = as_series(values)
    if series.size < 2:
        raise ValueError("one number has no blocks: give 2 samples or more")
    total, size, rows = series.size, 1, []
    while series.size >= 2 and len(series):
        count = series.size
        error = math.sqrt(float(series.var(ddof=1)) / count)
        rows.append((size, error, error / math.sqrt(2 * (count - 1))))
        series = (series[0 : len(series) // 2 * 2 : 2] + series[1::2]) / 2
        size *= 2
    sizes, errors, spread = (np.array(column) for column in zip(*rows, strict=True))
    growth = (errors / errors[0]) ** 4 if errors[0] > 0 else np.ones_like(errors)
    enough = np.flatnonzero((sizes.astype(np.float64) ** 3 > 2 * total * growth) & (total // sizes >= _ENOUGH_BLOCKS))
    return Blocks(sizes, errors, spread, int(enough[0]) if len(enough) else None)
