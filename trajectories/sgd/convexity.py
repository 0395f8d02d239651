"""Whether U(S) is convex over a sweep of rates: what a free energy with one temperature a rate rests on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import stdtr

from trajectories.sgd.table import Floats, States, Values, jackknife


class Convexity(NamedTuple):
    """How far each state between its neighbours lies below their chord, in the unit of U, all (n - 2,).

    `chord`: U of the chord less U, positive where U(S) is convex, with its standard error over seeds; `p`: the chance
    of so low a value where it is zero; `convex`: whether no p is below level/(n - 2), None where errors are missing.
    """

    rates: Floats
    chord: Values
    p: Floats
    convex: bool | None

    @property
    def clear(self) -> int:
        """At how many of the rates the state lies below the chord by two standard errors or more."""
        return int(np.sum(self.chord.value > 2 * self.chord.error))


def convexity(states: States, level: float = 0.01) -> Convexity:
    """Test that U is a convex function of S: with temperatures T = dU/dS that rise, each state lies below the chord,

        U_{i-1} + (U_{i+1} - U_{i-1}) (S_i - S_{i-1})/(S_{i+1} - S_{i-1}) - U_i >= 0.

    Each of n - 2 states is tested by Student's t of seeds - 1, one-sided, the level shared among them (Bonferroni).
    "Convex" means that nothing contradicts it; `clear` counts where it is seen. nan where S does not rise from one
    neighbour to the other, which `convex` takes for a failure.

    Raises ValueError for a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level = {level} must lie between 0 and 1")
    chord = jackknife(_chord, states.energy, states.entropy)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = stdtr(max(states.seeds - 1, 1), chord.value / chord.error)
    told = states.seeds > 1
    convex = bool(np.all(np.isfinite(p)) and np.all(p >= level / len(p))) if told else None
    return Convexity(states.rates[1:-1], chord, p, convex)


def _chord(energy: Floats, entropy: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        part = (entropy[1:-1] - entropy[:-2]) / (entropy[2:] - entropy[:-2])
        chord = energy[:-2] + (energy[2:] - energy[:-2]) * part - energy[1:-1]
    return np.where(entropy[2:] > entropy[:-2], chord, np.nan)
