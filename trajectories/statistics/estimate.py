"""What every analysis starts from and ends with: a series of samples, and a number with its standard error."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class Estimate(NamedTuple):
    """A number and its standard error, in the same unit."""

    value: float
    error: float

    def z(self, expected: float) -> float:
        """Deviation from ``expected`` in standard errors; infinite when the error is zero and the value is off."""
        deviation = self.value - expected
        if deviation == 0:
            return 0.0
        return deviation / self.error if self.error > 0 else math.copysign(math.inf, deviation)

    def __str__(self) -> str:
        """Value and error to two digits of the error: "0.1234 ± 0.0021"."""
        if not (math.isfinite(self.value) and math.isfinite(self.error) and self.error > 0):
            return f"{self.value:.6g} ± {self.error:.2g}"
        digits = 1 - math.floor(math.log10(self.error))  # decimals
        leading = math.floor(math.log10(max(abs(self.value), self.error)))
        if -4 <= leading <= 6:
            return f"{self.value:.{max(0, digits)}f} ± {self.error:.{max(0, digits)}f}"
        scaled, digits = 10.0**-leading, max(0, digits + leading)
        return f"({self.value * scaled:.{digits}f} ± {self.error * scaled:.{digits}f})e{leading:+d}"


def as_series(values: ArrayLike) -> Floats:
    """Values as float64 (samples, replicas); ValueError if empty, not finite or of another shape."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"a series is (samples,) or (samples, replicas), not empty; got shape {np.shape(values)}")
    if not np.isfinite(array).all():
        bad = int(np.argwhere(~np.isfinite(array))[0, 0])
        raise ValueError(f"sample {bad} is not finite: leave out the part of the run that diverged")
    return array
