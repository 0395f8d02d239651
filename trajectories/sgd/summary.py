"""The thermodynamics of a sweep in columns: what a table of it shows."""

from __future__ import annotations

from typing import Any

import numpy as np

from trajectories.sgd.convexity import Convexity, convexity
from trajectories.sgd.free_energy import HeldOut, Potentials, free_energy, held_out
from trajectories.sgd.power_law import PowerLaw, power_law
from trajectories.sgd.reading import ENERGY, ENTROPY, GRADIENT, NOISE, Stationary
from trajectories.sgd.table import Floats, over_seeds
from trajectories.sgd.temperature import Temperatures, smooths, temperature


def columns(found: Stationary) -> dict[str, Floats]:
    """Return columns (n,) by name: rate, what else differs by point, U, S and SNR with their standard errors."""
    columns = {"rate": found.sweep.rates}
    columns |= {
        name: np.asarray(value, dtype=np.float64)
        for name, value in found.sweep.points.items()
        if np.asarray(value).dtype.kind in "fiu"
    }
    for name, observable in (("U", ENERGY), ("S", ENTROPY)):
        if observable in found.values:
            columns[name], columns[f"± {name}"] = over_seeds(found[observable])
    if GRADIENT in found.values and NOISE in found.values:
        columns["SNR"], columns["± SNR"] = found.signal_to_noise
    return columns


def thermal(temperatures: Temperatures) -> dict[str, Floats]:
    """Return the columns T, its standard error, T_min and T_max."""
    return {
        "T": temperatures.value,
        "± T": temperatures.error,
        "T_min": temperatures.low,
        "T_max": temperatures.high,
    }


class Thermodynamics:
    """Temperature, power law, free energies and convexity of the states of a sweep, with the settings of `temperature`.

    Attributes: `temperature`, `power_law`, `free_energy` (of the states as they were measured), `held_out`,
    `convexity`; `by_construction`: whether T is of the very states whose F is asked for, so that only `held_out` can
    tell whether it is least at their own rate.
    """

    def __init__(self, found: Stationary, *, eps: float = 0.0, width: float = 0.3) -> None:
        states = found.states
        self.temperature: Temperatures = temperature(states, eps=eps, width=width)
        self.power_law: PowerLaw = power_law(
            states.rates, self.temperature.value, self.temperature.error, self.temperature.resampled
        )
        self.free_energy: Potentials = free_energy(states, self.temperature)
        self.held_out: HeldOut = held_out(states, eps=eps, width=width)
        self.by_construction = eps == 0 and not smooths(states.rates, width)
        self.convexity: Convexity = convexity(states)

    def told(self) -> dict[str, Any]:
        """Return what holds of the sweep as a whole, by name, for programs."""
        law, curves = self.power_law, self.free_energy
        return {
            "power_law": {"a": law.a.value, "a_error": law.a.error, "b": law.b.value, "b_error": law.b.error},
            "monotone": self.temperature.monotone,
            "least_at_own": curves.at_own,
            "of": curves.told,
            "least_at_own_shuffled": float(curves.shuffled.mean()),
            "held_out": {"least_at_own": self.held_out.at_own, "of": self.held_out.told, "p": self.held_out.p},
            "convex": self.convexity.convex,
            "clearly_convex": self.convexity.clear,
        }
