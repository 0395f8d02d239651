"""Free energies of one ladder of temperatures by every method, side by side."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trajectories.thermodynamics.histograms import wham
from trajectories.thermodynamics.integration import thermodynamic_integration
from trajectories.thermodynamics.ladder import Ladder
from trajectories.thermodynamics.printing import aligned, estimates, numbers
from trajectories.thermodynamics.reweighting import chained, mbar
from trajectories.thermodynamics.states import FreeEnergies

Floats = NDArray[np.float64]


class Comparison(NamedTuple):
    """Free energies by several methods, the first being the one that the others are compared with."""

    methods: tuple[FreeEnergies, ...]
    z: Floats  # (methods, rungs) difference of ln Z from the first method's in units of both errors, 0 at the lowest T

    def __str__(self) -> str:
        """Two tables, ln Z and S from the lowest temperature up: one line a temperature, one column a method."""
        steps = {"T": numbers(self.methods[0].temperatures)}
        log_z = {f"ln Z: {one.method}": estimates(one.log_z, one.error) for one in self.methods}
        entropy = {f"S: {one.method}": estimates(one.entropy, one.entropy_error) for one in self.methods}
        worst = ", ".join(f"{method} {z:.1f}" for method, z in self.worst.items())
        return f"{aligned(steps | log_z)}\n\n{aligned(steps | entropy)}\n\nlargest |z| of ln Z from MBAR: {worst}"

    @property
    def worst(self) -> dict[str, float]:
        """The largest |z| of each method after the first."""
        return {one.method: float(np.abs(z).max()) for one, z in zip(self.methods[1:], self.z[1:], strict=True)}


def free_energies(ladder: Ladder, *, bins: int = 200) -> Comparison:
    """Return ln Z and entropy by MBAR, thermodynamic integration, BAR, exponential averages up and down, and WHAM.

    All see the same samples, so that methods which agree differ by less than their error bars: |z| above 2 points
    to a ladder too coarse, or to rungs that hardly overlap.

    Args:
        ladder: energies by temperature, two or more.
        bins: the number of bins of WHAM.

    Raises:
        ValueError: there are fewer than two temperatures; TrajectoryError: pymbar is not installed.
    """
    methods = (
        mbar(ladder),
        thermodynamic_integration(ladder),
        chained(ladder, "bar"),
        chained(ladder, "up"),
        chained(ladder, "down"),
        wham(ladder, bins).free,
    )
    first = methods[0]
    z = np.zeros((len(methods), ladder.rungs))
    for row, one in zip(z, methods, strict=True):
        row[1:] = (one.log_z - first.log_z)[1:] / np.hypot(one.error, first.error)[1:]
    return Comparison(methods, z)
