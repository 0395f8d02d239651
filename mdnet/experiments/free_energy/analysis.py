"""What the file of a sweep says: stationary states, temperature, free energies, and the temperature along the run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import trajectories
from mdnet.experiments.free_energy.models import Model
from trajectories.sgd import (
    Along,
    Collapse,
    PowerLaw,
    Stationary,
    Thermodynamics,
    Values,
    along,
    collapse,
    jackknife,
    over_seeds,
    power_law,
    series,
    stationary,
    sweep,
)
from trajectories.sgd.reading import ENERGY, GRADIENT, NOISE

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Found:
    """A sweep of a model, read: all arrays are (looks or times, rates, seeds), in the order that the file has them.

    `energy`, `gradient`, `noise` at `steps`; `entropy` and the energy there at `times`; `paths` (frames, rates, seeds,
    dof) at the steps `frames` where positions were kept, else None.
    """

    model: Model
    folder: Path
    stationary: Stationary
    steps: NDArray[np.intp]
    energy: Floats
    gradient: Floats
    noise: Floats
    times: NDArray[np.intp]
    energy_then: Floats
    entropy: Floats
    frames: NDArray[np.intp]
    paths: Floats | None

    @property
    def rates(self) -> Floats:
        """The learning rates (rates,)."""
        return self.stationary.sweep.rates

    @cached_property
    def U(self) -> Values:
        """The stationary energy of each rate (rates,) and its error over seeds."""
        return over_seeds(self.stationary[ENERGY])

    @cached_property
    def snr(self) -> Values:
        """The signal-to-noise ratio of each rate (rates,) in the same looks, and its error over seeds."""
        return self.stationary.signal_to_noise

    @cached_property
    def gradient_norm(self) -> Values:
        """The root mean square of |grad U| of each rate (rates,) in the same looks, and its error over seeds."""
        return jackknife(np.sqrt, self.stationary[GRADIENT])

    @cached_property
    def noise_norm(self) -> Values:
        """The root mean square of the noise of each rate (rates,) in the same looks, and its error over seeds."""
        return jackknife(np.sqrt, self.stationary[NOISE])

    @cached_property
    def thermodynamics(self) -> Thermodynamics:
        """Temperature, power law, free energies and convexity of the stationary states."""
        return Thermodynamics(self.stationary, eps=self.model.eps)

    @cached_property
    def falling(self) -> NDArray[np.intp]:
        """The places of the rates whose energy fell below a hundredth of that at the start: no stationary state."""
        return np.asarray(np.flatnonzero(self.U.value < self.energy[0].mean() / 100), np.intp)

    @cached_property
    def along(self) -> Along:
        """T = dU/dS along the run of the `falling` rates, (times, falling)."""
        return along(self.times, self.energy_then[:, self.falling], self.entropy[:, self.falling])

    @cached_property
    def collapse(self) -> Collapse:
        """On which eta^power t the temperatures along the run fall together best; needs two falling rates."""
        return collapse(self.rates[self.falling], self.along)

    @cached_property
    def snr_law(self) -> PowerLaw:
        """SNR = a eta^b over all rates."""
        return power_law(self.rates, self.snr.value, self.snr.error, ends=True)


def read(model: Model, folder: Path) -> Found:
    """Read the sweep of a model from the file in a folder; raises trajectories' errors for a file that is not one."""
    with trajectories.open(folder) as run:
        steps, looks = series(run, (ENERGY, GRADIENT, NOISE))
        times, then = series(run)
        paths = None
        if len(run):
            flat = np.asarray(run.positions[:], dtype=np.float64)
            paths = flat.reshape(len(flat), len(sweep(run).rates), -1, flat.shape[-1])
        return Found(
            model, folder, stationary(run, model.last), steps, looks[ENERGY], looks[GRADIENT], looks[NOISE], times,
            then[ENERGY], then["graph_entropy"], run.steps if len(run) else np.empty(0, np.intp), paths,
        )  # fmt: skip
