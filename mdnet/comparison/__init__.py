"""Integrators and thermostats side by side on one system, at equal numbers of force evaluations."""

from mdnet.comparison.contest import METHODS, Contestant, of_method, of_pair
from mdnet.comparison.measures import Row, measure
from mdnet.comparison.series import Series, record

__all__ = ["METHODS", "Contestant", "Row", "Series", "measure", "of_method", "of_pair", "record"]
