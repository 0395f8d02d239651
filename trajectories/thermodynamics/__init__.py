"""What a run says of energy, temperature and free energy, in reduced units (k_B = 1)."""

from trajectories.thermodynamics.checks import Check, Layer, canonical_checks, equipartition
from trajectories.thermodynamics.evidence import Evidence, log_evidence
from trajectories.thermodynamics.free_energy import Comparison, free_energies
from trajectories.thermodynamics.histograms import Histograms, wham
from trajectories.thermodynamics.integration import thermodynamic_integration
from trajectories.thermodynamics.ladder import Ladder, energies_by_temperature
from trajectories.thermodynamics.laws import Drift, KineticLaw, drift, kinetic_law
from trajectories.thermodynamics.microcanonical import (
    Canonical,
    MicrocanonicalTemperature,
    canonical,
    microcanonical_temperature,
)
from trajectories.thermodynamics.response import HeatCapacity, MeanEnergy, heat_capacity, mean_energy
from trajectories.thermodynamics.reweighting import bar, chained, fep, mbar
from trajectories.thermodynamics.states import FreeEnergies
from trajectories.thermodynamics.thermometers import (
    FluctuationDissipation,
    Thermometer,
    configurational_temperature,
    fluctuation_dissipation_temperature,
    kinetic_temperature,
    temperatures,
    virial_temperature,
)
from trajectories.thermodynamics.two_temperatures import distribution_slope

__all__ = [
    "Canonical",
    "Check",
    "Comparison",
    "Drift",
    "Evidence",
    "FluctuationDissipation",
    "FreeEnergies",
    "HeatCapacity",
    "Histograms",
    "KineticLaw",
    "Ladder",
    "Layer",
    "MeanEnergy",
    "MicrocanonicalTemperature",
    "Thermometer",
    "bar",
    "canonical",
    "canonical_checks",
    "chained",
    "configurational_temperature",
    "distribution_slope",
    "drift",
    "energies_by_temperature",
    "equipartition",
    "fep",
    "fluctuation_dissipation_temperature",
    "free_energies",
    "heat_capacity",
    "kinetic_law",
    "kinetic_temperature",
    "log_evidence",
    "mbar",
    "mean_energy",
    "microcanonical_temperature",
    "temperatures",
    "thermodynamic_integration",
    "virial_temperature",
    "wham",
]
