"""Which studies a problem has, in the order of its page."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mdnet.experiments.results import Study
from mdnet.experiments.studies.baths import baths
from mdnet.experiments.studies.beginnings import beginnings
from mdnet.experiments.studies.distances import distances
from mdnet.experiments.studies.dynamic import dynamic
from mdnet.experiments.studies.finished import Finished
from mdnet.experiments.studies.fisher import fisher
from mdnet.experiments.studies.growing import growing
from mdnet.experiments.studies.reduced import reduced
from mdnet.experiments.studies.uncertainty import uncertainty
from mdnet.experiments.studies.window import few_rows, window

Question = Callable[[Finished], Study]

_ALWAYS: tuple[Question, ...] = (window, beginnings, growing, uncertainty, reduced)
STUDIES: Mapping[str, tuple[Question, ...]] = {
    "sine": (*_ALWAYS, few_rows, dynamic, fisher, distances, baths),
    "iris": (*_ALWAYS, dynamic, fisher, distances, baths),
    "digits": _ALWAYS,
    "auto-mpg": _ALWAYS,
    "auto-mpg-single": _ALWAYS,
}
