"""Runs as files and objects that other tools open: MDAnalysis, ArviZ, numpy, torch."""

from trajectories.export.arviz import to_datatree
from trajectories.export.weights import state
from trajectories.export.writing import KINDS, Written, write

__all__ = ["KINDS", "Written", "state", "to_datatree", "write"]
