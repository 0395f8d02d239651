"""The built-in systems by name: with exact answers, and two real networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mdnet.validation import networks, subjects
from mdnet.validation.subjects import Subject

SYSTEMS: Mapping[str, Callable[[], Subject]] = {
    "lattice": subjects.lattice,
    "linear": subjects.linear,
    "harmonic": subjects.harmonic,
    "double-well": subjects.double_well,
    "digits": networks.digits,
    "auto-mpg": networks.auto_mpg,
}
