"""Questions asked beside the main table of a problem, each in a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mdnet.experiments.results import Study
from mdnet.experiments.studies.finished import Finished

STUDIES: Mapping[str, tuple[Callable[[Finished], Study], ...]] = {}
"""By problem, in the order of the page."""
