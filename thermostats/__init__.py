"""Heat baths, one a file: each changes the momenta in place over a time span, and nothing else."""

from thermostats.adaptive_langevin import AdaptiveLangevin
from thermostats.andersen import Andersen
from thermostats.berendsen import Berendsen
from thermostats.bussi import Bussi
from thermostats.decoherence import Decoherence
from thermostats.gjf import GJF
from thermostats.gle import GLE, delta_like, optimal_sampling, white_noise
from thermostats.langevin import Langevin
from thermostats.no_bath import NoBath
from thermostats.nose_hoover import NoseHooverChain
from thermostats.nose_hoover_langevin import NoseHooverLangevin
from thermostats.rescaling import VelocityRescaling
from thermostats.several import Several

__all__ = [
    "GJF",
    "GLE",
    "AdaptiveLangevin",
    "Andersen",
    "Berendsen",
    "Bussi",
    "Decoherence",
    "Langevin",
    "NoBath",
    "NoseHooverChain",
    "NoseHooverLangevin",
    "Several",
    "VelocityRescaling",
    "delta_like",
    "optimal_sampling",
    "white_noise",
]
