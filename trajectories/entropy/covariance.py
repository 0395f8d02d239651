"""Entropies from the covariance of the samples: of the Gaussian, and of the quantum oscillators that share it."""

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from trajectories.entropy.samples import Floats, as_samples, inefficiency_of_squares, jackknife, pooled
from trajectories.statistics import Estimate

Shrinkage = Literal["ledoit-wolf", "oas"]
Form = Literal["schlitter", "oscillators"]


def gaussian(samples: ArrayLike, *, shrinkage: Shrinkage | None = None) -> Estimate:
    """Differential entropy of the Gaussian with the samples' covariance C: S = (1/2) ln det(2 pi e C).

    It is an upper bound of the true entropy, exact for a Gaussian. ln det of a sample covariance reads low; with nu
    degrees of freedom (independent samples less one) the mean bias is removed exactly for Gaussian samples,
    E[ln det C_nu] - ln det C = sum_{i=1..d} psi((nu + 1 - i) / 2) - d ln(nu / 2).
    nu is reduced by the inefficiency of the squared deviations. The error is the jackknife over replicas when
    there are 4 or more, else sqrt((1/4) sum_i psi'((nu + 1 - i) / 2)), the exact one for independent samples.

    With ``shrinkage`` the correlations are drawn towards none, each coordinate keeping its spread, which makes fewer
    samples than coordinates enough. Nothing corrects the bias then, nor does the error bar hold it: for d = 10 and 20
    samples -0.7 without correlations, and +2.2 where the eigenvalues of C spread over a factor of 100.

    Args:
        samples: (samples, d) or (samples, replicas, d); replicas sample the same distribution.
        shrinkage: "ledoit-wolf" or "oas", by scikit-learn; holds a matrix (d, d).

    Raises:
        ValueError: without shrinkage, fewer independent samples than d + 2, or a coordinate that does not move or
            follows others.

    References: Ahmed & Gokhale, IEEE Trans. Inf. Theory 35, 688 (1989); Ledoit & Wolf, J. Multivar. Anal. 88, 365
    (2004); Chen, Wiesel, Eldar & Hero, IEEE Trans. Signal Process. 58, 5016 (2010).
    """
    array = as_samples(samples)
    count, replicas, d = array.shape
    thinning = inefficiency_of_squares(array)

    def entropy(part: Floats) -> float:
        nu = part.shape[0] * part.shape[1] / thinning - 1
        bias = 0.0 if shrinkage else _log_det_bias(nu, d, part)
        return 0.5 * float(d * math.log(2 * math.pi * math.e) + _log_det(_covariance(part, shrinkage)) - bias)

    if replicas >= 4 or shrinkage:
        return jackknife(entropy, array, g=thinning, unbiased=True)
    return Estimate(entropy(array), _exact_error(count * replicas / thinning - 1, d))


def quasiharmonic(
    samples: ArrayLike,
    masses: ArrayLike,
    temperature: float,
    *,
    hbar: float = 1.0,
    form: Form = "schlitter",
    shrinkage: Shrinkage | None = None,
) -> Estimate:
    """Entropy of positions and momenta of quantum oscillators with the samples' mass-weighted covariance.

    Schlitter: S = (1/2) ln det(1 + (T e^2 / hbar^2) M^1/2 C M^1/2), an upper bound of the oscillators' own
    S = sum_i [x_i / (e^{x_i} - 1) - ln(1 - e^{-x_i})], x_i = hbar w_i / T, T / w_i^2 the eigenvalues of M^1/2 C M^1/2.
    Both tend to sum_i (1 + ln(T / hbar w_i)) for hbar w_i << T: the entropy of the Gaussian above, and of the momenta,
    in cells of 2 pi hbar a coordinate. A coordinate that does not move has none. The bias of order 1/n is removed by
    the jackknife, over replicas or blocks of time, without ``shrinkage`` (see `gaussian`); that needs several times
    more independent samples than coordinates.

    Args:
        samples: positions (samples, d) or (samples, replicas, d) at the one temperature T.
        masses: (d,), or one number.

    Raises:
        ValueError: a mass, T or hbar that is not positive, an unknown form, or fewer than d + 2 samples.

    References: Schlitter, Chem. Phys. Lett. 215, 617 (1993); Andricioaei & Karplus, J. Chem. Phys. 115, 6289 (2001).
    """
    array = as_samples(samples)
    d = array.shape[2]
    weights = np.broadcast_to(np.asarray(masses, dtype=np.float64), (d,))
    if not (temperature > 0 and hbar > 0 and (weights > 0).all()):
        raise ValueError(f"temperature ({temperature}), hbar ({hbar}) and all masses must be above zero")
    if form not in ("schlitter", "oscillators"):
        raise ValueError(f"form is {form!r}; allowed are 'schlitter' and 'oscillators'")
    scaled = array * np.sqrt(weights)
    thinning = inefficiency_of_squares(array)
    if not shrinkage:
        _enough(len(pooled(array)) / thinning, d, array)

    def entropy(part: Floats) -> float:
        spread = np.linalg.eigvalsh(_covariance(part, shrinkage)).clip(min=0.0) * temperature / hbar**2  # 1 / x_i^2
        if form == "schlitter":
            return 0.5 * float(np.log1p(math.e**2 * spread).sum())
        return _oscillators(spread)

    return jackknife(entropy, scaled, g=thinning, unbiased=shrinkage is not None)


def _oscillators(spread: Floats) -> float:
    """Entropy of oscillators with 1/x^2 = ``spread``; those stiffer than x = 700 add nothing."""
    x = 1 / np.sqrt(spread[spread > 700.0**-2])
    return float((x / np.expm1(x) - np.log(-np.expm1(-x))).sum())


def _covariance(array: Floats, shrinkage: Shrinkage | None) -> Floats:
    """Covariance (d, d) of the pooled samples, unbiased, or shrunk."""
    flat = pooled(array)
    if shrinkage is None:
        return np.asarray(np.cov(flat, rowvar=False)).reshape(flat.shape[1], flat.shape[1])
    from sklearn import covariance

    estimators = {"ledoit-wolf": covariance.ledoit_wolf, "oas": covariance.oas}
    if shrinkage not in estimators:
        raise ValueError(f"shrinkage is {shrinkage!r}; allowed are 'ledoit-wolf', 'oas' and None")
    spread = flat.std(axis=0, ddof=1)
    if not spread.all():
        raise ValueError(f"coordinate {int(np.argmin(spread))} does not move: leave it out")
    return np.asarray(estimators[shrinkage]((flat - flat.mean(axis=0)) / spread)[0] * np.outer(spread, spread))


def _log_det(covariance: Floats) -> float:
    sign, value = np.linalg.slogdet(covariance)
    if sign <= 0:
        raise ValueError("the covariance is singular: a coordinate does not move, or follows from the others")
    return float(value)


def _log_det_bias(nu: float, d: int, array: Floats) -> float:
    from scipy.special import psi

    _enough(nu + 1, d, array)
    return float(psi((nu + 1 - np.arange(1, d + 1)) / 2).sum()) - d * math.log(nu / 2)


def _enough(independent: float, d: int, array: Floats) -> None:
    if independent < d + 2:
        raise ValueError(
            f"{d} coordinates need at least {d + 2} independent samples, there are {independent:.1f} of "
            f"{len(pooled(array))}: sample longer, take fewer coordinates (one layer, a projection), or give "
            'shrinkage="ledoit-wolf"'
        )


def _exact_error(nu: float, d: int) -> float:
    from scipy.special import polygamma

    return math.sqrt(0.25 * float(polygamma(1, (nu + 1 - np.arange(1, d + 1)) / 2).sum()))
