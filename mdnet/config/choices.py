"""The things that a run file picks by name: networks, thermostats, priors and schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import thermostats
from integrators import Thermostat
from mdnet.config.options import Choice, Options
from mdnet.networks import NETWORKS
from mdnet.priors import Box, GaussianPrior
from mdnet.schedules import Constant, Cosine, Cyclical, Linear, Staircase, Table

THERMOSTATS = {
    "langevin": thermostats.Langevin,
    "nose-hoover-chain": thermostats.NoseHooverChain,
    "bussi": thermostats.Bussi,
    "andersen": thermostats.Andersen,
    "berendsen": thermostats.Berendsen,
    "none": thermostats.NoBath,
}
PRIORS = {"gaussian": GaussianPrior, "box": Box}
SCHEDULES = {
    "constant": Constant,
    "staircase": Staircase,
    "linear": Linear,
    "cosine": Cosine,
    "cyclical": Cyclical,
    "table": Table,
}

Network = Annotated[Options, Choice("name", NETWORKS, leave=frozenset({"inputs", "outputs"}))]
Bath = Annotated[Options | None, Choice("name", THERMOSTATS, leave=frozenset({"sizes"}))]
PriorTable = Annotated[Options | None, Choice("kind", PRIORS, defaults={"temperature": None})]
ScheduleTable = Annotated[Options | None, Choice("kind", SCHEDULES)]


def bath(options: Options, sizes: Sequence[int]) -> Thermostat:
    """Make the thermostat; `sizes` of the parameter tensors are what only the system knows."""
    by_layer = getattr(options, "group", None) == "layer"
    made: Thermostat = options.make({"sizes": tuple(sizes)} if by_layer else None)
    return made
