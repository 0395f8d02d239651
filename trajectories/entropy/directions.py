"""Entropies on the sphere: of the directions of the weights, for networks whose scale means nothing."""

import math

import numpy as np
from numpy.typing import ArrayLike

from trajectories.entropy.nearest import counted
from trajectories.entropy.samples import Floats, as_samples, inefficiency, jackknife, pooled
from trajectories.statistics import Estimate

_LARGE = 50.0  # order from which on Bessel functions come from their uniform expansion


def sphere(samples: ArrayLike, k: int = 4) -> Estimate:
    """Entropy of directions u = w/|w| on the sphere S^(D-1), by nearest neighbours, carried to the samples' radius.

    S = psi(n) - psi(k) + (1/n) sum_i ln A(theta_i) + (D - 1) <ln |w|>, A(theta) the area of the cap that reaches to
    the k-th neighbour. The cap is the ball of Kozachenko and Leonenko on the sphere itself: angles with their
    Jacobian, to which it tends for many samples, would see a hole at the poles. Exact on average for the uniform
    distribution in every D; else biased above as `kozachenko_leonenko` in d = D - 1, whose treatment of correlated
    samples and whose error it shares. Of unit vectors it is S(u) itself. Where |w| varies it is not the entropy of w.

    Args:
        samples: (samples, D) or (samples, replicas, D), none of them zero.

    Raises:
        ValueError: D = 1, a sample is zero, two samples point the same way, or there are too few.

    References: Kozachenko & Leonenko, Probl. Inf. Transm. 23, 95 (1987); Li, Mnatsakanov & Andrew, Entropy 13, 650
    (2011).
    """
    directions, radius = _directions(as_samples(samples))
    d = directions.shape[2]
    return counted(directions, (d - 1) * radius, k, lambda chord: _log_cap(chord, d))


def von_mises_fisher(samples: ArrayLike) -> Estimate:
    """Entropy of the von Mises-Fisher distribution that fits the directions w/|w|, carried to the samples' radius.

    p(u) = C(kappa) exp(kappa mu.u):  S = -ln C(kappa) - kappa A(kappa) + (D - 1) <ln |w|>, with
    C = kappa^(D/2-1) / ((2 pi)^(D/2) I_(D/2-1)(kappa)), and kappa the solution of A = I_(D/2) / I_(D/2-1) = |<u>|.
    It has the largest entropy of all with that <u>: an upper bound of the true one, at any D. The bias of order 1/n
    is removed by the jackknife over replicas, or over blocks of time with fewer than 4, which also gives the error.

    Args:
        samples: (samples, D) or (samples, replicas, D), none of them zero.

    Raises:
        ValueError: D = 1, a sample is zero, or all point the same way.

    Reference: Mardia & Jupp, Directional Statistics (Wiley, 2000).
    """
    array = as_samples(samples)

    def entropy(part: Floats) -> float:
        directions, radius = _directions(part)
        return float(_fitted(pooled(directions)) + (part.shape[2] - 1) * radius.mean())

    return jackknife(entropy, array, g=inefficiency(_directions(array)[0]))


def _directions(array: Floats) -> tuple[Floats, Floats]:
    """Unit vectors (samples, replicas, D), and ln |w| (samples, replicas)."""
    if array.shape[2] < 2:
        raise ValueError("a direction needs two coordinates or more")
    norms: Floats = np.linalg.norm(array, axis=2)
    if not norms.all():
        raise ValueError(f"{int((norms == 0).sum())} samples are zero and have no direction: leave them out")
    return array / norms[..., None], np.log(norms)


def _log_area(d: int) -> float:
    """Ln of the area of the unit sphere in d dimensions."""
    from scipy.special import gammaln

    return math.log(2) + 0.5 * d * math.log(math.pi) - float(gammaln(0.5 * d))


def _log_cap(chord: Floats, d: int) -> Floats:
    """Ln of the area of the caps that reach ``chord`` far: A = (1/2) area I_x((d - 1)/2, 1/2), x = sin^2 theta."""
    beyond = chord > math.sqrt(2.0)  # the equator
    x = np.clip(np.square(chord) * (1 - 0.25 * np.square(chord)), 0.0, 1.0)
    half = _log_half(0.5 * (d - 1), x)
    share = np.where(beyond, np.log1p(-0.5 * np.exp(np.where(beyond, half, 0.0))), half - math.log(2))
    return np.asarray(_log_area(d) + share)


def _log_half(a: float, x: Floats) -> Floats:
    """Ln I_x(a, 1/2), the share of half a sphere; where I_x underflows by its series in x / (a (1 - x)) < 1/600."""
    from scipy.special import betainc, betaln

    share = betainc(a, 0.5, x)
    tiny = share < 1e-290
    small = np.where(tiny, x, 0.5)
    term = series = np.ones_like(small)
    for j in range(8):
        term = -term * (0.5 + j) / (a + 1 + j) * small / (1 - small)
        series = series + term
    log = a * np.log(small) - 0.5 * np.log1p(-small) - math.log(a) - betaln(a, 0.5) + np.log(np.where(tiny, series, 1))
    return np.asarray(np.where(tiny, log, np.log(np.where(tiny, 1.0, share))))


def _fitted(points: Floats) -> float:
    """Entropy of the fit to unit vectors (n, d)."""
    from scipy.optimize import brentq

    d = points.shape[1]
    length = float(np.linalg.norm(points.mean(axis=0)))
    if length > 1 - 1e-12:
        raise ValueError("all samples point the same way: their directions have no spread")
    order = 0.5 * d - 1
    low, high = length * (d - 2) / (1 - length**2), length * d / (1 - length**2)  # bounds of the solution
    kappa = float(brentq(lambda one: _ratio(order, one) - length, max(0.5 * low, 1e-12), 2 * high, xtol=1e-14))
    log_c = order * math.log(kappa) - 0.5 * d * math.log(2 * math.pi) - _log_bessel(order, kappa)
    return float(-log_c - kappa * length)


def _ratio(order: float, x: float) -> float:
    """A = I_(order + 1)(x) / I_order(x)."""
    return math.exp(_log_bessel(order + 1, x) - _log_bessel(order, x))


def _log_bessel(order: float, x: float) -> float:
    """Ln I_order(x): by its series, for large orders by the uniform expansion DLMF 10.41.3, else from scipy."""
    if x**2 < order + 1:
        from scipy.special import gammaln, hyp0f1

        return order * math.log(0.5 * x) - float(gammaln(order + 1)) + math.log(hyp0f1(order + 1, 0.25 * x**2))
    if order < _LARGE:
        from scipy.special import ive

        return math.log(ive(order, x)) + x
    root = math.hypot(1.0, x / order)
    p = 1 / root
    series = (
        1
        + (3 * p - 5 * p**3) / 24 / order
        + (81 * p**2 - 462 * p**4 + 385 * p**6) / 1152 / order**2
        + (30375 * p**3 - 369603 * p**5 + 765765 * p**7 - 425425 * p**9) / 414720 / order**3
    )
    exponent = order * (root + math.log(x / order / (1 + root)))
    return exponent - 0.5 * math.log(2 * math.pi * order * root) + math.log(series)
