"""Bounds of the gap beside the true one: the covariance bound, and gaps of effective potentials, never negative."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from mdnet.experiments.data_averaging import diffusion
from mdnet.experiments.data_averaging.identities import Averages, gaussian
from mdnet.experiments.results import Check

TEMPERATURES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # of SGD in the wells
SETS, ROWS = 2000, 10  # data sets in the wells
GAUSSIAN, GIBBS, SGD = "Gibbs, Gaussian model", "Gibbs, two wells", "SGD, two wells"
_ROUNDING = 1e-9


class Bounded(NamedTuple):
    """The gap of one law over data sets, and what bounds it."""

    law: str
    setting: float  # 1/beta of a Gibbs law, T = rate/batch of SGD
    gap: float  # test - train loss
    error: float  # of the gap, over data sets
    above: float  # n^(-1/2) int sigma_rho sigma_l, that |gap| is not above
    potential: float  # gap of -ln rho, the effective potential: not negative
    divergence: float  # mean KL(rho_S || rho_S') over pairs of data sets, which that gap is


def bounded(law: str, setting: float, laws: Averages) -> Bounded:
    """Return the gap of the laws and its bounds.

        |gap| <= n^(-1/2) int sigma_rho sigma_l d theta          of any laws, by Cauchy and Schwarz
        <-ln rho_S'>_S - <-ln rho_S>_S = KL(rho_S || rho_S') >= 0   in the mean over pairs of data sets

    -ln rho is beta U of a Gibbs law, so that its gap is beta times the gap, and (2/T) v + a of SGD's diffusion, whose
    own gap may have either sign.
    """
    gap = laws.gap()
    potential = laws.covariance(-laws.log_density)
    return Bounded(
        law, setting, float(gap.value), float(gap.error), laws.bound(), float(potential.value), laws.divergence()
    )


def evaluate(seed: int = 0, temperatures: Sequence[float] = TEMPERATURES) -> list[Bounded]:
    """Return the bounds of the Gaussian model, and in two wells those of Gibbs laws and of SGD, by temperature."""
    wells, empty = diffusion.averages(SETS, ROWS, seed)
    found = [bounded(GAUSSIAN, 0.1, gaussian(20_000, seed))]
    found += [bounded(GIBBS, t, replace(empty, log_density=-empty.train / t)) for t in temperatures]
    for t in temperatures:
        potential = wells.potential(empty.grid, t, decay=diffusion.DECAY, noise=diffusion.NOISE)
        found.append(bounded(SGD, t, replace(empty, log_density=-potential)))
    return found


def checks(found: Sequence[Bounded]) -> list[Check]:
    """Return whether the bounds hold of all laws, and how tight they are."""
    tight = [abs(one.gap) / one.above for one in found]
    least = min(one.potential for one in found)
    off = max(abs(one.potential / one.divergence - 1) for one in found)
    return [
        Check(f"|gap| ≤ n^(−1/2) ∫σ_ρ σ_l dθ, {len(found)} laws", "gap / bound ≤ 1",
              f"{min(tight):.2f} to {max(tight):.2f}", max(tight) <= 1),
        Check("gap of the effective potential, of SGD (2/T) v + a", "the mean divergence of laws, so not negative",
              f"least {least:.2g}, off the divergence by {off:.0e}", bool(least >= 0 and off < _ROUNDING)),
    ]  # fmt: skip
