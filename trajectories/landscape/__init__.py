"""The density of states of networks, offline: tables from files, what follows from them, and how sure it is."""

from trajectories.landscape.axes import Axis
from trajectories.landscape.convergence import Row, verdict
from trajectories.landscape.curve import Curve
from trajectories.landscape.difference import Difference, difference
from trajectories.landscape.joining import join
from trajectories.landscape.landscape import Landscape
from trajectories.landscape.metric import Advantage, Bimodality, advantage, bimodality, equilibrium, ridge
from trajectories.landscape.microcanonical import (
    Canonical,
    Microcanonical,
    Transition,
    canonical,
    microcanonical,
    transitions,
)
from trajectories.landscape.reading import History, of_run
from trajectories.landscape.summary import summary

__all__ = [
    "Advantage",
    "Axis",
    "Bimodality",
    "Canonical",
    "Curve",
    "Difference",
    "History",
    "Landscape",
    "Microcanonical",
    "Row",
    "Transition",
    "advantage",
    "bimodality",
    "canonical",
    "difference",
    "equilibrium",
    "join",
    "microcanonical",
    "of_run",
    "ridge",
    "summary",
    "transitions",
    "verdict",
]
