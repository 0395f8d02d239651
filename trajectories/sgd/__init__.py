"""Stochastic gradient descent as a thermodynamic system, offline: what (U, S) over learning rates say of T and F."""

from trajectories.sgd.along import Along, Collapse, along, collapse
from trajectories.sgd.convexity import Convexity, convexity
from trajectories.sgd.drift import Drift, drift
from trajectories.sgd.free_energy import HeldOut, Potentials, free_energy, gibbs, held_out
from trajectories.sgd.ideal_gas import (
    discrete_radius,
    effective_rate_temperature,
    equation_of_state,
    fixed_rate_temperature,
    noise_variance,
    sphere_pressure,
    sphere_temperature,
    stationary_radius,
    whole_entropy,
)
from trajectories.sgd.maxwell import Relation, maxwell
from trajectories.sgd.noise import Quadratic, quadratic_minimum, signal_to_noise
from trajectories.sgd.power_law import PowerLaw, power_law
from trajectories.sgd.reading import Stationary, Sweep, series, stationary, sweep
from trajectories.sgd.summary import Thermodynamics
from trajectories.sgd.table import States, Values, jackknife, over_seeds
from trajectories.sgd.temperature import Resampled, Temperatures, smooth, temperature

__all__ = [
    "Along",
    "Collapse",
    "Convexity",
    "Drift",
    "HeldOut",
    "Potentials",
    "PowerLaw",
    "Quadratic",
    "Relation",
    "Resampled",
    "States",
    "Stationary",
    "Sweep",
    "Temperatures",
    "Thermodynamics",
    "Values",
    "along",
    "collapse",
    "convexity",
    "discrete_radius",
    "drift",
    "effective_rate_temperature",
    "equation_of_state",
    "fixed_rate_temperature",
    "free_energy",
    "gibbs",
    "held_out",
    "jackknife",
    "maxwell",
    "noise_variance",
    "over_seeds",
    "power_law",
    "quadratic_minimum",
    "series",
    "signal_to_noise",
    "smooth",
    "sphere_pressure",
    "sphere_temperature",
    "stationary",
    "stationary_radius",
    "sweep",
    "temperature",
    "whole_entropy",
]
