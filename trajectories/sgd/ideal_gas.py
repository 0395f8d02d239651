"""The ideal gas of a scale-invariant network under SGD: temperatures, radii and the equation of state.

A state is w = r n, n on the unit sphere in D dimensions. A scale-invariant loss has gradients grad L/r across w, and
a noise of trace (D - 1) sigma2/r^2; weight decay pulls along w. A step of rate eta turns n at the effective rate
eta_eff = eta/r^2, as Langevin dynamics on the sphere does at T = eta_eff sigma2/2. The pressure is p = lambda, the
volume V = r^2/2 and the gas constant R = (D - 1)/2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from trajectories.sgd.table import Floats, Values, over_seeds

PROTOCOLS = ("sphere", "elr", "lr")


def noise_variance(noise_squared: ArrayLike, radius: ArrayLike, dimension: int) -> Floats:
    """Return sigma2 = r^2 E|g_B - grad L|^2/(D - 1), that of each direction on the unit sphere."""
    return np.asarray(_numbers(radius) ** 2 * _numbers(noise_squared) / (dimension - 1))


def sphere_temperature(rate: ArrayLike, radius: ArrayLike, sigma2: ArrayLike) -> Floats:
    """Return T = eta sigma2/(2 r^2) on a fixed sphere, where eta_eff = eta/r^2."""
    return np.asarray(_numbers(rate) * _numbers(sigma2) / (2 * _numbers(radius) ** 2))


def effective_rate_temperature(rate: ArrayLike, sigma2: ArrayLike) -> Floats:
    """Return T = eta_eff sigma2/2 at a fixed effective rate, whatever the decay."""
    return np.asarray(_numbers(rate) * _numbers(sigma2) / 2)


def fixed_rate_temperature(rate: ArrayLike, decay: ArrayLike, sigma2: ArrayLike, dimension: int) -> Floats:
    """Return T = sqrt(eta lambda sigma2/(2 (D - 1))) at a fixed rate.

    It is the sphere's T = eta sigma2/(2 r^2) at the radius that it leads to itself, r^2 = T (D - 1)/lambda.
    """
    return np.asarray(np.sqrt(_numbers(rate) * _numbers(decay) * _numbers(sigma2) / (2 * (dimension - 1))))


def stationary_radius(temperature: ArrayLike, decay: ArrayLike, dimension: int) -> Floats:
    """Return r* = sqrt(T (D - 1)/lambda), where noise drives outwards as fast as decay pulls inwards: p V = R T."""
    return np.asarray(np.sqrt(_numbers(temperature) * (dimension - 1) / _numbers(decay)))


def discrete_radius(protocol: str, rate: ArrayLike, decay: ArrayLike, trace: ArrayLike) -> Floats:
    """Return the radius at which one step keeps |w|^2 on average, at a finite rate.

    `trace`: r^2 E|g_B|^2 = Tr Sigma + |grad L|^2 on the unit sphere, signal and noise together, since a step along the
    gradient leaves the sphere as well. Gradients are across w, so w' = (1 - eta lambda) w - eta g_B has

        E|w'|^2 = (1 - eta lambda)^2 r^2 + eta^2 trace/r^2 = r^2
        lr:   r^4 = eta trace/(2 lambda (1 - eta lambda/2))
        elr:  eta = eta_eff r^2 and y = lambda r^2:  2 y - eta_eff y^2 = eta_eff trace

    The first terms in the rate, with Tr Sigma for trace, are those of `stationary_radius`. For lr it holds as an
    average too, <r^2> = eta <|g_B|^2>/(2 lambda (1 - eta lambda/2)), exactly; else as far as r fluctuates little.

    Raises ValueError for a protocol other than "lr" and "elr", and an effective rate without such a radius.
    """
    eta, pull, n = _numbers(rate), _numbers(decay), _numbers(trace)
    if protocol == "lr":
        return np.asarray((eta * n / (2 * pull * (1 - eta * pull / 2))) ** 0.25)
    if protocol != "elr":
        raise ValueError(f"protocol = {protocol!r} has no radius of its own; allowed are 'lr' and 'elr'")
    left = 1 - np.square(eta) * n
    if not np.all(left >= 0):
        raise ValueError(f"effective rate times sqrt(trace) is {np.sqrt(1 - left.min()):g}: above 1 no radius is kept")
    return np.asarray(np.sqrt(eta * n / (1 + np.sqrt(left)) / pull))


def sphere_pressure(rate: ArrayLike, radius: ArrayLike, trace: ArrayLike) -> Floats:
    """Return the decay p at which a step of this rate would keep the radius by itself, r^2 that of `discrete_radius`:

    2 p (1 - eta p/2) = eta trace/r^4, the smaller of both solutions; so p = eta trace/(2 r^4) where eta p is small.

    Raises ValueError where no decay would.
    """
    eta, n, square = _numbers(rate), _numbers(trace), _numbers(radius) ** 2
    left = 1 - (eta / square) ** 2 * n
    if not np.all(left >= 0):
        raise ValueError("a step moves further than the radius: no decay would keep it; take a smaller rate")
    return np.asarray(eta * n / square**2 / (1 + np.sqrt(left)))


def equation_of_state(pressure: ArrayLike, volume: ArrayLike, temperature: ArrayLike, dimension: int) -> Values:
    """Return p V/(R T), R = (D - 1)/2, the mean over seeds (n,) and its error; 1 for an ideal gas.

    p, V and T broadcast to (n, seeds): a pressure that is set may be (n, 1).
    """
    ratio = _numbers(pressure) * _numbers(volume) / (0.5 * (dimension - 1) * _numbers(temperature))
    return over_seeds(ratio)


def whole_entropy(direction: ArrayLike, radius: ArrayLike, dimension: int) -> Floats:
    """Return S = S(direction) + (D - 1) ln r: that of directions on the unit sphere, on the sphere of radius r."""
    return np.asarray(_numbers(direction) + (dimension - 1) * np.log(_numbers(radius)))


def _numbers(given: ArrayLike) -> Floats:
    return np.asarray(given, dtype=np.float64)
