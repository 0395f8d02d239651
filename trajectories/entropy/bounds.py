"""Bounds of entropies from two samples: by a fitted density, and by energies of each sample in both systems."""

import math
import warnings
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from trajectories import statistics
from trajectories.entropy.samples import Floats, as_samples, inefficiency, pooled
from trajectories.statistics import Estimate

Density = Literal["gaussian", "mixture"]
_COMPONENTS = (1, 2, 3, 4, 6, 8)


class Bounds(NamedTuple):
    """What a number lies between, each bound with its own error."""

    lower: Estimate
    upper: Estimate


def cross_entropy(samples: ArrayLike, others: ArrayLike, *, density: Density = "gaussian") -> Estimate:
    """Upper bound of the entropy of ``samples`` from a density q fitted to ``others``: S <= <-ln q>.

    The excess is the divergence of q from the true distribution, so it is a bound whatever q, and whatever ``others``
    are, as long as they are independent of ``samples``: another replica, or a part of the run well before. Holds in
    every d, but fitting needs several times more others than coordinates. The error is that of the mean over samples
    at this q.

    Args:
        samples, others: (samples, d) or (samples, replicas, d).
        density: "gaussian", or "mixture": of up to 8 Gaussians, as many as the BIC asks for (scikit-learn),
            counting independent samples.

    Raises:
        ValueError: an unknown density, other numbers of coordinates, or too few others for a covariance.

    Reference: Cover & Thomas, Elements of Information Theory (Wiley, 2006).
    """
    array, fitted = as_samples(samples), as_samples(others)
    d = array.shape[2]
    if fitted.shape[2] != d:
        raise ValueError(f"samples have {d} coordinates, the others {fitted.shape[2]}: both must have the same")
    if density not in ("gaussian", "mixture"):
        raise ValueError(f"density is {density!r}; allowed are 'gaussian' and 'mixture'")
    independent = len(pooled(fitted)) / inefficiency(fitted)
    if independent < d + 2 or (np.ptp(pooled(fitted), axis=0) == 0).any():
        raise ValueError(
            f"{independent:.1f} independent others are too few for the covariance of {d} coordinates, or one does not "
            f"move: take {d + 2} or more, or fewer coordinates (a projection)"
        )
    most = 1 if density == "gaussian" else _COMPONENTS[-1]
    surprise = _surprise(pooled(array), pooled(fitted), most, independent)
    return statistics.mean(surprise.reshape(array.shape[:2]))


def _surprise(points: Floats, fitted: Floats, most: int, independent: float) -> Floats:
    """-ln q of points (n, d), q the mixture of ``most`` components or fewer that the BIC prefers."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    centre, scale, d = fitted.mean(axis=0), fitted.std(axis=0), fitted.shape[1]
    standard = (fitted - centre) / scale
    numbers = {n: n * (1 + d + d * (d + 1) // 2) - 1 for n in _COMPONENTS if n <= most}  # parameters of a mixture
    tried = [n for n in numbers if n == 1 or 2 * numbers[n] <= independent]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # any density gives a bound
        models = [GaussianMixture(n, random_state=0).fit(standard) for n in tried]
    penalties = [numbers[n] * math.log(independent) / (2 * independent) for n in tried]
    best = int(np.argmin([penalty - one.score(standard) for one, penalty in zip(models, penalties, strict=True)]))
    return np.asarray(np.log(scale).sum() - models[best].score_samples((points - centre) / scale))


def difference_bounds(
    first_in_first: ArrayLike, second_in_first: ArrayLike, first_in_second: ArrayLike, second_in_second: ArrayLike
) -> Bounds:
    """Bounds of the entropy difference S_2 - S_1 of two canonical ensembles, from reduced energies u = U/T.

    <u_2>_2 - <u_2>_1 <= S_2 - S_1 <= <u_1>_2 - <u_1>_1, the inequality of Gibbs and Bogoliubov for each. Of one
    system at two temperatures this is (U_2 - U_1)/T_2 <= S_2 - S_1 <= (U_2 - U_1)/T_1. Exact in every d, with one set
    of coordinates for both; close where the ensembles overlap. Errors are those of the two means together.

    Args:
        first_in_first: u_1 of equilibrated samples of ensemble 1, (samples,) or (samples, replicas).
        second_in_first: u_2 of samples of ensemble 1; and so on. u_i may leave out the same constant everywhere.

    Raises:
        ValueError: a series is empty or not finite.

    Reference: Isihara, J. Phys. A 1, 539 (1968).
    """
    return Bounds(
        _difference(second_in_second, second_in_first),
        _difference(first_in_second, first_in_first),
    )


def _difference(later: ArrayLike, earlier: ArrayLike) -> Estimate:
    a, b = statistics.mean(later), statistics.mean(earlier)
    return Estimate(a.value - b.value, float(np.hypot(a.error, b.error)))
