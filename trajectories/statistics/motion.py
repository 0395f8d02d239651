"""How the weights move: mean squared displacement, diffusion, velocity correlations and vibrations."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.statistics.estimate import Estimate
from trajectories.statistics.lagged import Change, lagged, spacing
from trajectories.statistics.spectra import lag_window_spectrum
from trajectories.statistics.walking import Samples, Weights

Floats = NDArray[np.float64]


class Displacement(NamedTuple):
    """Mean squared displacement per coordinate against the time between."""

    lags: Floats  # (lags,) time
    msd: Floats  # (lags,) squared position
    error: Floats  # (lags,)
    replicas: Floats  # (lags, replicas) of each; of each section where the replicas are fewer than 4


class VelocityCorrelation(NamedTuple):
    """Velocity autocorrelation per coordinate against the time between."""

    lags: Floats  # (lags,) time
    values: Floats  # (lags,) <m v(0) v(t)>, T at t = 0; squared velocity where no masses are given
    error: Floats  # (lags,)
    normalised: Floats  # (lags,) values / values[0]
    normalised_error: Floats  # (lags,)
    replicas: Floats  # (lags, replicas) of each, as values


class Vibrations(NamedTuple):
    """Density of vibrational states per degree of freedom."""

    frequencies: Floats  # (frequencies,) angular, radians per unit time, from 0 to pi / spacing
    density: Floats  # (frequencies,) time; its integral by the trapezoidal rule is 1
    error: Floats  # (frequencies,)


def mean_squared_displacement(
    positions: Weights, times: ArrayLike, masses: ArrayLike | None = None, *, longest: int | None = None
) -> Displacement:
    """Mean squared displacement per coordinate, MSD(t) = <(x(s + t) - x(s))^2> over times s and coordinates.

    It is computed by FFT in blocks of bounded memory. The error is the scatter of replicas; with fewer than 4 the
    run is cut into 4 sections, which then stand for replicas.

    Args:
        positions: (samples, replicas, dof) or (samples, dof), in memory or on disk.
        times: (samples,), evenly spaced.
        masses: (dof,) weights of the mean over coordinates; equal unless given.
        longest: longest lag in samples; half of a run (or section) unless given. A short one saves passes over a
            file that is larger than memory.

    Raises:
        ValueError: a wrong shape, uneven times, or too few samples for the lag.

    Reference: Calandrini, Pellegrini, Calligari, Hinsen & Kneller, Collection SFN 12, 201 (2011).
    """
    samples = Samples(positions)
    dt, share = spacing(times, samples.frames), _mean_weights(masses, samples.dof)

    def change(block: Floats, frames: slice, replicas: slice, columns: slice) -> Floats:
        start = samples.read(slice(0, 1), replicas, columns)  # differences stay, and large offsets do not round them
        return (block - start) * np.sqrt(share[columns])

    sums = lagged(samples, longest, change)
    n, lags = len(sums.squares), np.arange(len(sums.products))
    running = np.concatenate([np.zeros((1, sums.squares.shape[1])), np.cumsum(sums.squares, axis=0)])
    ends = running[n - lags] + running[n] - running[lags]  # sum of x(s)^2 + x(s + t)^2
    each = np.maximum(ends - 2 * sums.products, 0.0) / sums.pairs
    each[0] = 0.0
    return Displacement(lags.astype(np.float64) * dt, *_mean_and_error(each), each)


def diffusion(displacement: Displacement, window: tuple[float, float]) -> Estimate:
    """Diffusion coefficient per coordinate, D = (1/2) d MSD / dt, in the window of times where MSD is a line.

    The line has an intercept, for what happens before the motion diffuses; lags weigh by 1 / error^2. The error is
    the scatter of the replicas' slopes.

    Raises:
        ValueError: fewer than 2 lags in the window.
    """
    first, last = window
    inside = (displacement.lags >= first) & (displacement.lags <= last) & (displacement.lags > 0)
    times, each = displacement.lags[inside], displacement.replicas[inside]
    if len(times) < 2:
        raise ValueError(f"the window {window} holds {len(times)} lags of {displacement.lags[-1]:g} in time: widen it")
    errors = displacement.error[inside]
    weights = 1 / np.square(errors) if (errors > 0).all() else np.ones_like(times)
    centred = times - np.average(times, weights=weights)
    slopes = (weights * centred) @ each / (weights @ np.square(centred))  # (replicas,)
    return Estimate(float(slopes.mean() / 2), float(slopes.std(ddof=1) / 2 / math.sqrt(len(slopes))))


def velocity_autocorrelation(
    velocities: Weights, times: ArrayLike, masses: ArrayLike | None = None, *, longest: int | None = None
) -> VelocityCorrelation:
    """Velocity autocorrelation per coordinate, C(t) = (1/dof) sum_i m_i <v_i(s) v_i(s + t)>, with C(0) = T.

    Blocks, errors and ``longest`` are as in `mean_squared_displacement`; the mean velocity is not subtracted, as
    it is zero.

    Args:
        velocities: (samples, replicas, dof) or (samples, dof), in memory or on disk.
        times: (samples,), evenly spaced.
        masses: (dof,); 1 unless given.

    Raises:
        ValueError: a wrong shape, uneven times, too few samples for the lag, or nothing moves.

    Reference: Rahman, Phys. Rev. 136, A405 (1964).
    """
    samples = Samples(velocities)
    dt = spacing(times, samples.frames)
    sums = lagged(samples, longest, _weigh(masses, samples.dof))
    each = sums.products / sums.pairs / samples.dof
    values, error = _mean_and_error(each)
    if not values[0] > 0:
        raise ValueError("every velocity is zero: there is nothing to correlate")
    normalised, normalised_error = _ratio(each, each[0])
    return VelocityCorrelation(
        np.arange(len(each), dtype=np.float64) * dt, values, error, normalised, normalised_error, each
    )


def vibrational_density(
    velocities: Weights, times: ArrayLike, masses: ArrayLike | None = None, *, longest: int | None = None
) -> Vibrations:
    """Vibrational density of states, g(w) = (2/pi) int_0^inf C(t) cos(w t) dt / C(0), one per degree of freedom.

    C is the mass-weighted velocity autocorrelation up to ``longest``, under a Parzen window: a harmonic mode is a
    peak at sqrt(k/m), about 8 / (longest * spacing) wide. Arguments and errors are as in `velocity_autocorrelation`.

    Reference: Dickey & Paskin, Phys. Rev. 188, 1407 (1969).
    """
    samples = Samples(velocities)
    dt = spacing(times, samples.frames)
    sums = lagged(samples, longest, _weigh(masses, samples.dof))
    each = lag_window_spectrum(sums.products, dt) / (2 * math.pi)  # per cycle -> per radian
    powers = sums.products[0]
    if not powers.sum() > 0:
        raise ValueError("every velocity is zero: there are no vibrations")
    return Vibrations(np.linspace(0, math.pi / dt, len(each)), *_ratio(each, powers))


def _weigh(masses: ArrayLike | None, dof: int) -> Change:
    """Velocities -> sqrt(m) v."""
    roots = np.sqrt(_masses(masses, dof))

    def change(block: Floats, frames: slice, replicas: slice, columns: slice) -> Floats:
        return block * roots[columns]

    return change


def _masses(masses: ArrayLike | None, dof: int) -> Floats:
    array = np.ones(dof) if masses is None else np.asarray(masses, dtype=np.float64)
    if array.shape != (dof,) or not (array > 0).all():
        raise ValueError(f"masses must be ({dof},) and positive; they are {array.shape}")
    return array


def _mean_weights(masses: ArrayLike | None, dof: int) -> Floats:
    array = _masses(masses, dof)
    return np.asarray(array / array.sum())


def _mean_and_error(each: Floats) -> tuple[Floats, Floats]:
    """Mean over replicas (last axis) and its standard error."""
    return each.mean(axis=-1), each.std(axis=-1, ddof=1) / math.sqrt(each.shape[-1])


def _ratio(above: Floats, below: Floats) -> tuple[Floats, Floats]:
    """Ratio of means over replicas, sum(above) / sum(below), and its jackknife error."""
    total, count = above.sum(axis=-1), above.shape[-1]
    left_out = (total[:, None] - above) / (below.sum() - below)  # (lags, replicas)
    return total / below.sum(), np.sqrt((count - 1) * left_out.var(axis=-1))
