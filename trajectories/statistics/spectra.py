"""Autocovariances and power spectra of observables."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.statistics.estimate import as_series
from trajectories.statistics.lagged import lagged, spacing
from trajectories.statistics.walking import Samples

Floats = NDArray[np.float64]


class Spectrum(NamedTuple):
    """One-sided power spectral density."""

    frequencies: Floats  # (frequencies,) cycles per unit time, from 0 to 1 / (2 spacing)
    density: Floats  # (frequencies,) squared observable times time
    error: Floats  # (frequencies,)


def autocovariance(values: ArrayLike, *, longest: int | None = None) -> Floats:
    """Autocovariance c(t) = (1/n) sum_i x_i x_(i+t) of each replica, x about the mean over everything.

    (lags, replicas); lags run from 0 to ``longest``, half of the samples unless given. Series of fewer than 4
    replicas are cut into 4 sections, which then stand for replicas. The factor is 1/n at every lag.
    """
    series = as_series(values)
    average = series.mean()
    sums = lagged(Samples(series[:, :, None]), longest, lambda block, frames, replicas, columns: block - average)
    return sums.products / len(sums.squares)


def spectral_density(values: ArrayLike, times: ArrayLike, *, longest: int | None = None) -> Spectrum:
    """Power spectral density S(f) = 2 int c(t) cos(2 pi f t) dt over all t, one-sided: its integral is the variance.

    The autocovariance c up to ``longest`` is taken under a Parzen window, so S is nowhere negative, resolves
    frequencies about 2 / (longest * spacing) apart, and integrates by the trapezoidal rule to the variance exactly.
    A peak narrower than that is smeared; a shorter ``longest`` has less noise. The error is the scatter of replicas
    (of 4 sections where there are fewer than 4).

    Args:
        values: (samples,) or (samples, replicas).
        times: (samples,), evenly spaced.
        longest: in samples; half of a series (or section) unless given.

    Raises:
        ValueError: a wrong shape, uneven times, or too few samples for the lag.

    Reference: Parzen, Technometrics 3, 167 (1961).
    """
    dt = spacing(times, len(as_series(values)))
    each = lag_window_spectrum(autocovariance(values, longest=longest), dt)
    error = each.std(axis=1, ddof=1) / math.sqrt(each.shape[1])
    return Spectrum(np.linspace(0, 1 / (2 * dt), len(each)), each.mean(axis=1), error)


def lag_window_spectrum(covariances: Floats, dt: float) -> Floats:
    """One-sided densities (frequencies, replicas) of autocovariances (lags, replicas), under a Parzen window.

    S_k = 2 dt [c_0 + 2 sum_t w_t c_t cos(pi k t / M)], k = 0 ... M, M the longest lag, where w_M = 0.
    """
    from scipy import fft

    u = np.linspace(0, 1, len(covariances))
    window = np.where(u <= 0.5, 1 - 6 * u**2 + 6 * u**3, 2 * (1 - u) ** 3)
    return np.asarray(2 * dt * fft.dct(covariances * window[:, None], type=1, axis=0))
