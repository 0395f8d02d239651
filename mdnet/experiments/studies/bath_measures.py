"""What a bath reached, in numbers: the score, the sampled law of U and of K, and how fast samples become new."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdnet.experiments.problems import Task
from mdnet.experiments.results import Array, Comparison, mean_of
from mdnet.experiments.studies.members import likelihood
from mdnet.experiments.studies.sampling import EVERY, Sampled
from trajectories import statistics
from trajectories.statistics import Estimate
from trajectories.thermodynamics import kinetic_law


@dataclass(frozen=True, eq=False)
class Row:
    """What one bath reached; an array is over seeds, an Estimate has the error of the mean over seeds."""

    name: str
    canonical: bool
    native: bool
    score: Array  # of the problem's metric
    nll: Array
    energy: Array  # <U>
    off: Estimate  # <U> less the reference's, in N_f T/2
    distance: Array  # of the distribution functions of U
    p_value: float
    width: float  # sd(K)/canonical
    width_z: float  # its deviation from 1 in standard errors
    layer: Estimate  # T/T of the worst parameter tensor
    effective: Array  # effective samples of U per 1000 forces
    per_second: float  # of the processor, all seeds

    @property
    def cells(self) -> list[str]:
        """The row of the table."""
        numbers = [mean_of(self.score), mean_of(self.nll), mean_of(self.energy), str(self.off), mean_of(self.distance)]
        kinetic = [f"{self.p_value:.2g}", f"{self.width:.3f}", str(self.layer)]
        return [self.name, *numbers, *kinetic, mean_of(self.effective), f"{self.per_second:.2g}"]


COLUMNS = (
    "NLL", "⟨U⟩", "(⟨U⟩ − reference)/(N_f T/2)", "distance of the laws of U", "p", "sd(K)/canonical",
    "worst tensor's T/T", "effective U per 1000 forces", "per second",
)  # fmt: skip


def measure(task: Task, name: str, run: Sampled, reference: Sampled, noise: Array | None, *, canonical: bool) -> Row:
    """Return all numbers of a run; `noise` (seeds,) of the data is what the likelihood of a regression adds."""
    temperature, dof = task.problem.temperature, task.particles().dof
    comparison = Comparison(task.truth, task.problem.metric)
    comparison.add(name, run.predictions)
    ess = effective(run)
    return Row(
        name, canonical, run.native,
        comparison.scores[name].ensemble, likelihood(task, run.predictions, noise), run.potential.mean(0),
        difference(run, reference, dof * temperature / 2), *law(run, reference), *width(run, temperature, dof),
        worst_layer(run), 1000 * ess / (EVERY * len(run.potential)), float(ess.sum() / run.seconds),
    )  # fmt: skip


def difference(run: Sampled, reference: Sampled, unit: float) -> Estimate:
    """Return <U> less that of the reference, seed by seed, in a unit; its error is the scatter of the seeds."""
    each = (run.potential.mean(0) - reference.potential.mean(0)) / unit
    return Estimate(float(each.mean()), float(each.std(ddof=1) / math.sqrt(len(each))))


def law(run: Sampled, reference: Sampled) -> tuple[Array, float]:
    """Compare the sampled U of every seed with the reference's by Kolmogorov and Smirnov.

    Returns the largest distance of the distribution functions (seeds,), of all samples; and one p-value of all seeds
    by Fisher's rule, of decorrelated ones.
    """
    from scipy import stats

    pairs = list(zip(run.potential.T, reference.potential.T, strict=True))
    distances = [stats.ks_2samp(one, other, method="asymp").statistic for one, other in pairs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where rounding takes an exact p beyond 1
        tests = [stats.ks_2samp(*(u[statistics.decorrelate(u)] for u in pair)).pvalue for pair in pairs]
    return np.array(distances), float(stats.combine_pvalues(tests).pvalue)


def width(run: Sampled, temperature: float, dof: int) -> tuple[float, float]:
    """Return sd(K)/(T sqrt(N_f/2)), exactly 1 in the canonical ensemble, and its deviation in standard errors."""
    found = kinetic_law(run.kinetic, dof=dof, temperature=temperature)
    return found.width, found.width_z


def worst_layer(run: Sampled) -> Estimate:
    """Return <p^2/m>/T of the parameter tensor that is the most standard errors (over seeds) from 1."""
    mean, error = run.layers.mean(0), run.layers.std(0, ddof=1) / math.sqrt(len(run.layers))
    i = int(np.argmax(np.abs(mean - 1) / error))
    return Estimate(float(mean[i]), float(error[i]))


def effective(run: Sampled) -> Array:
    """Return the effective samples of U of every seed (seeds,), by arviz-stats."""
    from arviz_stats.base import array_stats  # type: ignore[attr-defined]

    ess: Any = array_stats.ess
    chains = run.potential.T[:, None]  # each seed has data, and so a law, of its own
    return np.array([ess(one, chain_axis=0, draw_axis=1, method="mean") for one in chains])
