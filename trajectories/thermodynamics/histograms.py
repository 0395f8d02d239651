"""WHAM: the density of states, and with it ln Z, from histograms of the energy at several temperatures."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.thermodynamics.ladder import Ladder
from trajectories.thermodynamics.resampling import left_out, spread
from trajectories.thermodynamics.states import FreeEnergies, both

Floats = NDArray[np.float64]


class Histograms(NamedTuple):
    """The density of states g(E) by bins of energy, up to a factor, and the free energies that go with it."""

    energies: Floats  # (bins,) middle of each bin that was visited
    log_g: Floats  # (bins,) ln g, so that ln Z(lowest T) = 0
    error: Floats  # (bins,) standard error of ln g(E) - its mean over bins
    left_out: Floats  # (parts, bins) ln g without one independent part of the samples each, for further jackknives
    free: FreeEnergies


def wham(ladder: Ladder, bins: ArrayLike = 200) -> Histograms:
    """g(E) = sum_k H_k(E) / (width sum_k N_k exp(-E/T_k)/Z_k),   Z_k = sum_E g(E) exp(-E/T_k) width

    solved together for all Z_k: the root of a convex function, by Newton's method. Within a bin E is the mean of the
    samples in it; bins much narrower than T make this MBAR.

    Args:
        ladder: energies by temperature; every sample counts (correlations show in the error, by the jackknife).
        bins: their number, or their edges.

    Raises:
        ValueError: there are fewer than two temperatures, or no bin is visited.

    Reference: Ferrenberg, Swendsen, Phys. Rev. Lett. 63, 1195 (1989).
    """
    ladder.needs(2, "WHAM")
    edges = np.histogram_bin_edges(np.concatenate([one.ravel() for one in ladder.energies]), np.asarray(bins))
    seen = _histogram(ladder, edges)[0].sum(axis=0) > 0
    if not seen.any():
        raise ValueError(f"no energy lies within the bins from {edges[0]:g} to {edges[-1]:g}; give others")

    def solved(part: Ladder) -> tuple[Floats, Floats]:
        histogram = _histogram(part, edges)
        log_z = _solve(*histogram, part.betas)
        return both(part, log_z), _density(*histogram, part.betas, log_z, edges)[seen]

    (log_z, entropy), log_g = solved(ladder)
    parts = [solved(part) for part in left_out(ladder)]
    errors, tables = spread(np.stack([one for one, _ in parts])), np.stack([table for _, table in parts])
    free = FreeEnergies("histograms", ladder.temperatures, log_z, errors[0], entropy, errors[1])
    return Histograms(((edges[1:] + edges[:-1]) / 2)[seen], log_g, _shape_error(tables), tables, free)


def _shape_error(tables: Floats) -> Floats:
    """The jackknife's error of tables (parts, bins) less their mean over bins, infinite where a bin is empty in one."""
    known = np.isfinite(tables).all(axis=0)
    error = np.full(tables.shape[1], np.inf)
    if known.any():
        error[known] = spread(tables[:, known] - tables[:, known].mean(axis=1, keepdims=True))
    return error


def _histogram(ladder: Ladder, edges: Floats) -> tuple[Floats, Floats]:
    """Counts (rungs, bins) and the mean energy in each bin (bins,), its middle where it is empty."""
    counts = np.stack([np.histogram(one, edges)[0] for one in ladder.energies]).astype(np.float64)
    sums = sum(np.histogram(one, edges, weights=one)[0] for one in ladder.energies)
    total = counts.sum(axis=0)
    return counts, np.where(total > 0, sums / np.maximum(total, 1), (edges[1:] + edges[:-1]) / 2)


def _solve(counts: Floats, centres: Floats, beta: Floats) -> Floats:
    """Return ln Z (rungs,) less the first; sum_E H ln(sum_k N_k exp(-E/T_k)/Z_k) + sum_k N_k ln Z_k is least there."""
    from scipy import optimize

    seen = counts.sum(axis=0) > 0
    number, total = counts.sum(axis=1), counts.sum(axis=0)[seen]
    exponent = np.log(np.maximum(number, 1e-300))[:, None] - beta[:, None] * centres[seen]
    means = np.array([np.average(centres, weights=row) for row in counts])
    first = -np.cumsum(np.diff(beta) * (means[1:] + means[:-1]) / 2)

    def shares(log_z: Floats) -> tuple[Floats, Floats]:
        terms = exponent - np.concatenate([[0.0], log_z])[:, None]
        top = terms.max(axis=0)
        weights = np.exp(terms - top)
        return weights / weights.sum(axis=0), top + np.log(weights.sum(axis=0))

    def value(log_z: Floats) -> tuple[float, Floats]:
        share, logarithm = shares(log_z)
        gradient = number[1:] - share[1:] @ total
        return float(total @ logarithm + number[1:] @ log_z) / total.sum(), gradient / total.sum()

    def curvature(log_z: Floats) -> Floats:
        share = shares(log_z)[0][1:]
        return np.asarray((np.diag(share @ total) - (share * total) @ share.T) / total.sum())

    found: Any = optimize.minimize(
        value, first, jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-10, "maxiter": 500}
    )
    return np.concatenate([[0.0], found.x])


def _density(counts: Floats, centres: Floats, beta: Floats, log_z: Floats, edges: Floats) -> Floats:
    """Return ln g (bins,), minus infinity where a bin is empty."""
    number = counts.sum(axis=1)
    below = np.log(number)[:, None] - beta[:, None] * centres - log_z[:, None]
    top = below.max(axis=0)
    with np.errstate(divide="ignore"):
        total = np.log(counts.sum(axis=0) / np.diff(edges))
    return np.asarray(total - top - np.log(np.exp(below - top).sum(axis=0)))
