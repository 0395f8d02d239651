"""The microcanonical view: temperature from a density of states, and canonical averages at any temperature."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.thermodynamics.resampling import spread

Floats = NDArray[np.float64]


class MicrocanonicalTemperature(NamedTuple):
    """T(E) = 1 / (d ln g / dE)."""

    energies: Floats  # (bins,)
    temperature: Floats  # (bins,)
    error: Floats  # (bins,) standard error, nan where nothing tells
    beta: Floats  # (bins,) d ln g / dE


def microcanonical_temperature(
    energies: ArrayLike, log_g: ArrayLike, *, left_out: ArrayLike | None = None, window: int = 11, degree: int = 2
) -> MicrocanonicalTemperature:
    """T(E) = dE/dS with S = ln g(E), of a table from WHAM or Wang-Landau.

    The slope at each energy is that of a polynomial fitted to the nearest `window` energies by least squares: on
    even spacing the filter of Savitzky and Golay. Energies with infinite ln g (never visited) are left out.

    Args:
        energies: (bins,) rising.
        log_g: (bins,), or (tables, bins) of independent tables, whose mean is taken and whose scatter is the error.
        left_out: (parts, bins) tables that leave out one independent part each, as `wham` has them, for the error.
        window: energies in a fit. degree: of the polynomial.

    Raises:
        ValueError: shapes do not fit, the window is not larger than the degree, or there are fewer energies.

    Reference: Savitzky, Golay, Anal. Chem. 36, 1627 (1964).
    """
    x, tables = np.asarray(energies, dtype=np.float64), np.atleast_2d(np.asarray(log_g, dtype=np.float64))
    left = None if left_out is None else np.atleast_2d(np.asarray(left_out, dtype=np.float64))
    if left is None and len(tables) > 1:
        left = (tables.sum(axis=0) - tables) / (len(tables) - 1)
    table = tables.mean(axis=0)
    if table.shape != x.shape or x.ndim != 1 or (left is not None and left.shape[1:] != x.shape):
        raise ValueError(f"energies are {x.shape}, ln g {np.shape(log_g)}: they need one number a bin")
    known = np.isfinite(table) if left is None else np.isfinite(table) & np.isfinite(left).all(axis=0)
    if not 0 < degree < window <= int(known.sum()):
        raise ValueError(
            f"degree {degree}, window {window}, {int(known.sum())} energies with finite ln g: each must be larger "
            "than the one before"
        )
    every = table[known][None] if left is None else np.concatenate([table[known][None], left[:, known]])
    beta = _slopes(x[known], every, window, degree)
    error = np.full(beta.shape[1], np.nan) if left is None else spread(beta[1:])
    return MicrocanonicalTemperature(x[known], 1 / beta[0], error / beta[0] ** 2, beta[0])


def _slopes(x: Floats, tables: Floats, window: int, degree: int) -> Floats:
    """Slope of each table (tables, bins) at each x, by local polynomials."""
    slopes = np.empty_like(tables)
    first = np.clip(np.arange(len(x)) - window // 2, 0, len(x) - window)
    for i, start in enumerate(first):
        near = slice(start, start + window)
        scale = float(np.ptp(x[near]))
        slopes[:, i] = np.polynomial.polynomial.polyfit((x[near] - x[i]) / scale, tables[:, near].T, degree)[1] / scale
    return slopes


class Canonical(NamedTuple):
    """Canonical averages of a density of states."""

    temperatures: Floats  # (n,)
    log_z: Floats  # (n,) ln of the sum of g(E) exp(-E/T) over the widths of the bins
    mean_energy: Floats  # (n,)
    heat_capacity: Floats  # (n,) var E / T^2
    entropy: Floats  # (n,) <E>/T + ln Z


def canonical(energies: ArrayLike, log_g: ArrayLike, temperatures: ArrayLike) -> Canonical:
    """Z(T) = int g(E) exp(-E/T) dE with its mean energy, heat capacity and entropy at temperatures (n,).

    The integral is the trapezoidal rule over energies (bins,) rising; they must reach as far as the temperatures do.

    Raises:
        ValueError: shapes do not fit, fewer than two ln g are finite, or a temperature is not positive.
    """
    x, table = np.asarray(energies, dtype=np.float64), np.asarray(log_g, dtype=np.float64)
    levels = np.atleast_1d(np.asarray(temperatures, dtype=np.float64))
    if x.ndim != 1 or table.shape != x.shape or np.isfinite(table).sum() < 2:
        raise ValueError(f"energies are {x.shape}, ln g {table.shape}: two finite numbers are needed, one a bin")
    if not (levels > 0).all():
        raise ValueError(f"temperatures are {levels}: they must be positive")
    width = np.gradient(x)
    width[[0, -1]] /= 2
    with np.errstate(divide="ignore"):
        exponent = table + np.log(width) - x / levels[:, None]  # (n, bins)
    top = exponent.max(axis=1, keepdims=True)
    weights = np.exp(exponent - top)
    total = weights.sum(axis=1, keepdims=True)
    weights /= total
    mean = weights @ x
    variance = (weights * np.square(x - mean[:, None])).sum(axis=1)
    log_z = (top + np.log(total))[:, 0]
    return Canonical(levels, log_z, mean, variance / levels**2, mean / levels + log_z)
