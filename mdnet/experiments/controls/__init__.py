"""What simmering is compared with: every method may spend as many gradient evaluations a seed, and chooses alike."""

from mdnet.experiments.controls.averaging import SWA, SWAG
from mdnet.experiments.controls.boosting import BOOSTING
from mdnet.experiments.controls.control import Control
from mdnet.experiments.controls.deep import BAGGING, DEEP, DEEP_RESTRAINED
from mdnet.experiments.controls.dropout import DROPOUT
from mdnet.experiments.controls.early import EARLY
from mdnet.experiments.controls.laplace import LAPLACE
from mdnet.experiments.controls.restrained import RESTRAINED

__all__ = ["CONTROLS", "EARLY", "Control"]

CONTROLS = (EARLY, RESTRAINED, DEEP, DEEP_RESTRAINED, BAGGING, DROPOUT, SWA, SWAG, LAPLACE, BOOSTING)
"""In the order of the table."""
