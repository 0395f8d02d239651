"""Flat-histogram sampling of S(x), the entropy of collective variables such as the logarithm of the loss."""

from mdnet.landscape.bias import Bias, BiasedForce, Line, Umbrella
from mdnet.landscape.coordinates import Coordinates
from mdnet.landscape.enumeration import binary_network, enumerate_density, exact, states, teach
from mdnet.landscape.ladder import exponents, ladder, pilot
from mdnet.landscape.monte_carlo import MonteCarlo, walk_inside
from mdnet.landscape.moves import AllParameters, Flip, OneParameter
from mdnet.landscape.rungs import Metropolis, Rungs
from mdnet.landscape.starting import bring_inside, masses_of_box
from mdnet.landscape.steps import StepsByPlace
from mdnet.landscape.table import Table
from mdnet.landscape.variables import LogLoss, Mean, OfParameters, Variable, margin, smooth_accuracy
from mdnet.landscape.wang_landau import Recorded, WangLandau
from mdnet.landscape.weights import Cycles, OneOverT, Weights, WellTempered
from trajectories.landscape.axes import Axis

__all__ = [
    "AllParameters",
    "Axis",
    "Bias",
    "BiasedForce",
    "Coordinates",
    "Cycles",
    "Flip",
    "Line",
    "LogLoss",
    "Mean",
    "Metropolis",
    "MonteCarlo",
    "OfParameters",
    "OneOverT",
    "OneParameter",
    "Recorded",
    "Rungs",
    "StepsByPlace",
    "Table",
    "Umbrella",
    "Variable",
    "WangLandau",
    "Weights",
    "WellTempered",
    "binary_network",
    "bring_inside",
    "enumerate_density",
    "exact",
    "exponents",
    "ladder",
    "margin",
    "masses_of_box",
    "pilot",
    "smooth_accuracy",
    "states",
    "teach",
    "walk_inside",
]
