"""Tempering: replicas of one run walk in temperature, by exchange, by themselves, or as a population that cools."""

from mdnet.tempering.annealing import PopulationAnnealing
from mdnet.tempering.exchange import ReplicaExchange
from mdnet.tempering.ladder import Placement, from_pilot, geometric, harmonic_acceptance, rungs_needed
from mdnet.tempering.simulated import SimulatedTempering
from mdnet.tempering.tempered import TemperingError, TemperingWarning

__all__ = [
    "Placement",
    "PopulationAnnealing",
    "ReplicaExchange",
    "SimulatedTempering",
    "TemperingError",
    "TemperingWarning",
    "from_pilot",
    "geometric",
    "harmonic_acceptance",
    "rungs_needed",
]
