"""The things that a run file picks by name: networks, thermostats, priors and schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import integrators
import thermostats
from integrators import Thermostat
from mdnet import tempering
from mdnet.config.options import Choice, Options
from mdnet.networks import NETWORKS
from mdnet.priors import Box, GaussianPrior
from mdnet.schedules import Constant, Cosine, Cyclical, Linear, Staircase, Table

METHODS = {
    "splitting": integrators.Splitting,
    "brownian": integrators.Brownian,
    "euler-maruyama": integrators.EulerMaruyama,
    "isokinetic": integrators.Isokinetic,
    "hmc": integrators.HMC,
    "mala": integrators.MALA,
    "sgd": integrators.SGD,
}
TEMPERED = ("splitting", "isokinetic")  # methods that the table [thermostat] goes with
THERMOSTATS = {
    "langevin": thermostats.Langevin,
    "gjf": thermostats.GJF,
    "gle-optimal": thermostats.optimal_sampling,
    "gle-delta": thermostats.delta_like,
    "nose-hoover-chain": thermostats.NoseHooverChain,
    "nose-hoover-langevin": thermostats.NoseHooverLangevin,
    "adaptive-langevin": thermostats.AdaptiveLangevin,
    "bussi": thermostats.Bussi,
    "andersen": thermostats.Andersen,
    "berendsen": thermostats.Berendsen,
    "rescaling": thermostats.VelocityRescaling,
    "decoherence": thermostats.Decoherence,
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

TEMPERING = {
    "replica-exchange": tempering.ReplicaExchange,
    "simulated-tempering": tempering.SimulatedTempering,
    "population-annealing": tempering.PopulationAnnealing,
}
_LATER = {"temperature": None}  # what may be left to the thermostat, or to a ladder

Method = Annotated[
    Options,
    Choice("method", METHODS, leave=frozenset({"force", "thermostat", "compile"}), defaults=_LATER, word="splitting"),
]
Network = Annotated[Options, Choice("name", NETWORKS, leave=frozenset({"inputs", "outputs"}))]
Bath = Annotated[Options | None, Choice("name", THERMOSTATS, leave=frozenset({"sizes"}), defaults=_LATER)]
PriorTable = Annotated[Options | None, Choice("kind", PRIORS, defaults=_LATER)]
TemperingTable = Annotated[Options | None, Choice("kind", TEMPERING)]
ScheduleTable = Annotated[Options | None, Choice("kind", SCHEDULES)]


def bath(options: Options, sizes: Sequence[int], ladder: Mapping[str, Any] | None = None) -> Thermostat:
    """Make the thermostat; `sizes` of the parameter tensors are what only the system knows.

    `ladder`: {"temperature": (replicas, 1)} where a ladder of temperatures sets them.
    """
    by_layer = getattr(options, "group", None) == "layer"
    known: dict[str, Any] = {"sizes": tuple(sizes)} if by_layer else {}
    if hasattr(options, "temperature"):
        known |= ladder or {}
    made: Thermostat = options.make(known)
    return made
