"""The evidence of a network: ln of the integral of its likelihood over the prior, by two methods."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from trajectories import statistics
from trajectories.statistics import Estimate
from trajectories.thermodynamics.integration import thermodynamic_integration
from trajectories.thermodynamics.ladder import Ladder
from trajectories.thermodynamics.reweighting import mbar


class Evidence(NamedTuple):
    """Return ln int exp(-L/T_0) prior(q) dq with a normalised prior, T_0 the lowest temperature."""

    integration: Estimate  # the error includes the discretisation
    mbar: Estimate
    discretisation: float  # of the integral over 1/T
    z: float  # difference of the two methods in units of both errors


def log_evidence(ladder: Ladder, *, prior: ArrayLike | None = None) -> Evidence:
    """Return ln Z(b_0) - ln Z(0) = -int_0^b_0 <L> db over power posteriors exp(-b L) prior(q), b = 1/T.

    The prior must be the same at every b: a ladder of `tempered="loss"`, where L = U - P is tempered and the prior's
    energy P is not (its law stays exp(-P/T_0)). Samples at b = 0, draws from the prior, are a part of it:

    Args:
        ladder: losses L by temperature, with `tempered="loss"`.
        prior: losses L of draws q from the prior exp(-P/T_0), (samples,) or (samples, replicas); not needed where
            the ladder holds an infinite temperature. A Gaussian prior is drawn from directly, so this takes the loss
            of some thousand random networks, and no run.

    Raises:
        ValueError: the ladder tempers the prior too, or does not reach b = 0; TrajectoryError: pymbar is missing.

    Reference: Friel, Pettitt, J. R. Stat. Soc. B 70, 589 (2008).
    """
    if ladder.tempered != "loss":
        raise ValueError(
            'the evidence needs a prior that stays as it is: temper the loss alone, tempered="loss" (here the prior '
            "was tempered too)"
        )
    if prior is not None:
        energies = [*ladder.energies, statistics.as_series(prior)]
        ladder = Ladder(np.append(ladder.temperatures, np.inf), energies, "loss")
    if np.isfinite(ladder.temperatures[-1]):
        raise ValueError(
            f"the ladder ends at T = {ladder.temperatures[-1]:g} and the evidence at 1/T = 0, the prior itself: give "
            "prior=, the losses of networks drawn from the prior"
        )
    integral, states = thermodynamic_integration(ladder), mbar(ladder)
    one, other = (Estimate(-float(found.log_z[-1]), float(found.error[-1])) for found in (integral, states))
    assert integral.discretisation is not None
    off = (one.value - other.value) / math.hypot(one.error, other.error)
    return Evidence(one, other, float(integral.discretisation[-1]), off)
