"""Heat baths, one a file: each changes the momenta in place over a time span, and nothing else."""

from thermostats.andersen import Andersen
from thermostats.berendsen import Berendsen
from thermostats.bussi import Bussi
from thermostats.langevin import Langevin
from thermostats.no_bath import NoBath
from thermostats.nose_hoover import NoseHooverChain

__all__ = ["Andersen", "Berendsen", "Bussi", "Langevin", "NoBath", "NoseHooverChain"]
