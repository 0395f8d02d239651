"""The laws of physics as a conformance test of any scheme with any thermostat, on any system."""

from mdnet.validation.law import Law
from mdnet.validation.laws import LAWS, Verdicts, validate
from mdnet.validation.pairs import Pair
from mdnet.validation.subjects import Exact, Subject, double_well, harmonic, lattice, linear
from mdnet.validation.trial import Trial

__all__ = [
    "LAWS",
    "Exact",
    "Law",
    "Pair",
    "Subject",
    "Trial",
    "Verdicts",
    "double_well",
    "harmonic",
    "lattice",
    "linear",
    "validate",
]
