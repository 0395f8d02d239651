"""Questions asked beside the main table of a problem, each in a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mdnet.experiments.results import Study
from mdnet.experiments.studies.baths import baths
from mdnet.experiments.studies.beginnings import beginnings
from mdnet.experiments.studies.finished import Finished
from mdnet.experiments.studies.growing import growing
from mdnet.experiments.studies.uncertainty import uncertainty

Question = Callable[[Finished], Study]

_ALWAYS: tuple[Question, ...] = (beginnings, growing, uncertainty)
STUDIES: Mapping[str, tuple[Question, ...]] = {
    "sine": (*_ALWAYS, baths),
    "iris": (*_ALWAYS, baths),
    "digits": _ALWAYS,
    "auto-mpg": _ALWAYS,
    "auto-mpg-single": _ALWAYS,
}
"""By problem, in the order of the page."""
