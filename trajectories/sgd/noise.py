"""The signal and the noise of gradients over a sweep, and the minimum at which both, and T, are known exactly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from trajectories.sgd.table import Floats, Values, jackknife


class Quadratic(NamedTuple):
    """The stationary state of SGD at a quadratic minimum at each of the rates, all (n,)."""

    energy: Floats  # U - U_min
    entropy: Floats
    temperature: Floats
    signal_to_noise: Floats


def signal_to_noise(gradient_squared: ArrayLike, noise_squared: ArrayLike) -> Values:
    """Return SNR = sqrt(<|grad U|^2>/<|g_B - grad U|^2>), both squares (..., seeds) averaged before they are divided.

    Its error (...) is the jackknife's over seeds. For its slope against the rate, see `power_law`; for whether it has
    reached its plateau along a run, `drift` of its logarithm.

    Raises ValueError for shapes that differ.
    """
    signal, noise = (np.asarray(square, dtype=np.float64) for square in (gradient_squared, noise_squared))
    if signal.shape != noise.shape:
        raise ValueError(f"gradient_squared {signal.shape} and noise_squared {noise.shape} must both be (..., seeds)")
    with np.errstate(divide="ignore", invalid="ignore"):
        return jackknife(lambda a, b: np.sqrt(a / b), signal, noise)


def quadratic_minimum(eta: ArrayLike, h: float, sigma2: float, d: int) -> Quadratic:
    """Return the exact stationary state of SGD at rates eta (n,) in U = U_min + h |x|^2/2 in d dimensions,

        x' = (1 - eta h) x + eta xi,    <xi xi> = sigma2 1

    whose variance v of each coordinate solves v = (1 - eta h)^2 v + eta^2 sigma2, so, exactly at any eta,

        v = eta sigma2/(2 h (1 - eta h/2)),    U - U_min = d h v/2,    S = (d/2) ln(2 pi e v).

    dU/dv = d h/2 and dS/dv = d/(2 v) yield T = dU/dS = h v = eta sigma2/2/(1 - eta h/2), with U - U_min = d T/2
    (equipartition). |grad U|^2 = h^2 |x|^2 and |xi|^2 have the means d h^2 v and d sigma2, so that
    SNR^2 = h^2 v/sigma2 = (eta h/2)/(1 - eta h/2). That is the ratio of mean squares; the mean of |grad U| is smaller
    than its root mean square, by sqrt(pi)/2 in two dimensions.

    Raises ValueError for h, sigma2 or d that is not positive, and rates outside (0, 2/h), where it diverges.
    """
    rates = np.asarray(eta, dtype=np.float64)
    if not (h > 0 and sigma2 > 0 and d >= 1):
        raise ValueError(f"h = {h}, sigma2 = {sigma2} and d = {d} must be positive")
    if not np.all((rates > 0) & (rates * h < 2)):
        raise ValueError(f"rates {rates.tolist()} must lie between 0 and 2/h = {2 / h:g}: beyond, SGD diverges")
    temperature = rates * sigma2 / 2 / (1 - rates * h / 2)
    variance = temperature / h
    return Quadratic(
        d * temperature / 2, d / 2 * np.log(2 * np.pi * np.e * variance), temperature, h * np.sqrt(variance / sigma2)
    )
