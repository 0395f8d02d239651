"""Free energies from overlapping samples: exponential averages, Bennett's acceptance ratio, and MBAR."""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories import statistics
from trajectories.statistics import Estimate
from trajectories.thermodynamics.integration import thermodynamic_integration
from trajectories.thermodynamics.ladder import Ladder
from trajectories.thermodynamics.pymbar_quietly import estimators, mbar_class
from trajectories.thermodynamics.resampling import jackknife
from trajectories.thermodynamics.states import FreeEnergies, both

Floats = NDArray[np.float64]
_Difference = Callable[[Floats, Floats, float], float]


def fep(energies: ArrayLike, temperature: float, other: float) -> Estimate:
    """Return ln Z(T') - ln Z(T) = ln <exp(-(1/T' - 1/T) E)>_T from samples at T, (samples,) or (samples, replicas).

    Right where T's samples reach what matters at T'; its error bar does not know of what was never sampled.

    Reference: Zwanzig, J. Chem. Phys. 22, 1420 (1954).
    """
    exponent = -(1 / other - 1 / temperature) * statistics.as_series(energies)
    top = exponent.max()
    average = statistics.mean(np.exp(exponent - top))
    return Estimate(top + math.log(average.value), average.error / average.value)


def bar(energies: ArrayLike, others: ArrayLike, temperature: float, other: float) -> Estimate:
    """Return ln Z(T') - ln Z(T) from samples at both temperatures by Bennett's acceptance ratio.

    Args:
        energies: at T, (samples,) or (samples, replicas); they are thinned by their statistical inefficiency.
        others: at T'.
        temperature: T. other: T'.

    Raises:
        TrajectoryError: pymbar is not installed.

    Reference: Bennett, J. Comput. Phys. 22, 245 (1976).
    """
    ladder = Ladder(np.array([temperature, other]), [statistics.as_series(energies), statistics.as_series(others)])
    low, high = ladder.independent()
    step = float(np.diff(ladder.betas)[0])
    found = estimators().bar(step * low, -step * high)
    sign = 1 if temperature < other else -1
    return Estimate(-sign * float(found["Delta_f"]), float(found["dDelta_f"]))


def chained(ladder: Ladder, by: Literal["bar", "up", "down"]) -> FreeEnergies:
    """Return ln Z by adding up neighbours' differences: by BAR, or by exponential averages going up or down in T.

    Errors are those of the jackknife, as neighbours share the samples between them.

    Raises:
        ValueError: there are fewer than two temperatures; TrajectoryError: BAR without pymbar.
    """
    ladder.needs(2, "a chain of neighbours")
    means = {"bar": _bar, "up": _up, "down": _down}
    if by not in means:
        raise ValueError(f"by = {by!r} is unknown; allowed are {', '.join(means)}")
    (log_z, entropy), (error, entropy_error) = jackknife(ladder, lambda part: both(part, _chain(part, means[by])))
    names = {"bar": "BAR", "up": "exponential, up", "down": "exponential, down"}
    return FreeEnergies(names[by], ladder.temperatures, log_z, error, entropy, entropy_error)


def _chain(ladder: Ladder, difference: _Difference) -> Floats:
    pairs = range(ladder.rungs - 1)
    drops = -np.diff(ladder.betas)
    steps = [difference(ladder.energies[k], ladder.energies[k + 1], float(drops[k])) for k in pairs]
    return np.concatenate([[0.0], np.cumsum(steps)])


def _up(low: Floats, high: Floats, step: float) -> float:
    return _log_mean_exp(step * low)


def _down(low: Floats, high: Floats, step: float) -> float:
    return -_log_mean_exp(-step * high)


def _log_mean_exp(exponent: Floats) -> float:
    top = float(exponent.max())
    return top + math.log(float(np.exp(exponent - top).mean()))


def _bar(low: Floats, high: Floats, step: float) -> float:
    found = estimators().bar(-step * low.ravel(), step * high.ravel(), compute_uncertainty=False)
    return -float(found["Delta_f"])


def mbar(ladder: Ladder) -> FreeEnergies:
    """Return ln Z of every rung from all samples at once, by MBAR on samples a statistical inefficiency apart.

    The errors are asymptotic: they hold where neighbours overlap, which `overlap` tells (an entry beside the
    diagonal below 0.03 is too little), as does `n_effective`.

    Raises:
        ValueError: there are fewer than two temperatures; TrajectoryError: pymbar is not installed.

    Reference: Shirts, Chodera, J. Chem. Phys. 129, 124105 (2008).
    """
    ladder.needs(2, "MBAR")
    samples = ladder.independent()
    counts = np.array([len(one) for one in samples])
    reduced = np.concatenate(samples) * ladder.betas[:, None]  # (rungs, samples)
    reduced += 1 - reduced.min()  # pymbar takes logarithms of it; a constant changes no difference
    solver = ({"method": "adaptive", "options": {"min_sc_iter": 0}},)
    start = -thermodynamic_integration(ladder).log_z
    states = mbar_class()(reduced, counts, initial_f_k=start, solver_protocol=solver)
    found = states.compute_entropy_and_enthalpy()
    return FreeEnergies(
        "MBAR", ladder.temperatures, -found["Delta_f"][0], found["dDelta_f"][0], found["Delta_s"][0],
        found["dDelta_s"][0], overlap=states.compute_overlap()["matrix"],
        n_effective=states.compute_effective_sample_number(),
    )  # fmt: skip
