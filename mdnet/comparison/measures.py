"""What a series says: temperatures, fluctuations, the law and bias of U, drift, and how fast samples become new."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite, nan, sqrt
from typing import Any

import numpy as np
from scipy import stats

from mdnet.comparison.series import Floats, Series
from mdnet.validation.subjects import Subject
from trajectories import statistics
from trajectories.statistics import Estimate
from trajectories.thermodynamics import drift, kinetic_law

_NONE = Estimate(nan, nan)


@dataclass(frozen=True)
class Row:
    """One contestant's numbers; an Estimate is a value with its standard error from independent replicas."""

    scheme: str
    bath: str
    canonical: bool  # what the method says of itself
    finite: bool = True
    kinetic_temperature: Estimate = _NONE  # 2 <K>/(N_f T), exactly 1
    kinetic_width: Estimate = _NONE  # sd(K)/(T sqrt(N_f/2)), exactly 1
    worst_layer: Estimate = _NONE  # of <p^2/m>/T by parameter tensor, the one farthest from 1 in standard errors
    configurational_temperature: Estimate = _NONE  # <|grad U|^2>/(T <laplacian U>), exactly 1
    energy_p: float = nan  # of a Kolmogorov-Smirnov test of U on decorrelated samples
    bias: Estimate = _NONE  # (<U> - exact)/(N_f T/2)
    drift: Estimate = _NONE  # of U + K - heat over N_f T, per unit time
    autocorrelation: float = nan  # integrated, of U, in force evaluations
    effective: float = nan  # effective samples of U per 1000 force evaluations of a replica
    r_hat: float = nan  # of U over replicas
    cost: float = nan  # seconds a force evaluation of all replicas, bookkeeping included, over the bare force
    per_second: float = nan  # effective samples of U per second, all replicas

    def entry(self) -> dict[str, Any]:
        """Return the fields for JSON, an Estimate as [value, error]; numbers that are not finite are None."""
        return {name: _plain(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, eq=False)
class Reference:
    """What U is compared with: its exact mean and law, or those of a long run with a short step."""

    mean: Estimate
    law: Any  # a scipy distribution, or decorrelated samples (n,)

    def p_value(self, samples: Floats) -> float:
        """Return the p-value of samples (n,) under the law."""
        if isinstance(self.law, np.ndarray):
            return float(stats.ks_2samp(samples, self.law).pvalue)
        return float(stats.kstest(samples, self.law.cdf).pvalue)


def exact(subject: Subject, temperature: float) -> Reference | None:
    """Return the exact law of U of a quadratic system, U - U_0 ~ Gamma(N_f/2, T); None for others."""
    if subject.exact is None or not subject.exact.quadratic:
        return None
    mean, _ = subject.exact.energy(temperature)
    shape = subject.dof / 2
    return Reference(Estimate(mean, 0.0), stats.gamma(shape, loc=mean - shape * temperature, scale=temperature))


def observed(series: Series, subject: Subject, temperature: float) -> Reference:
    """Return the law of U as a long run saw it, with the exact mean where it is known."""
    samples = series.potential[statistics.decorrelate(series.potential)].ravel()
    mean = statistics.mean(series.potential)
    if subject.exact is not None:
        mean = Estimate(subject.exact.energy(temperature)[0], 0.0)
    return Reference(mean, samples)


def measure(
    series: Series, subject: Subject, reference: Reference, *, scheme: str, bath: str, canonical: bool,
    temperature: float,
) -> Row:  # fmt: skip
    """Return all numbers of a series but the costs, which are measured by themselves."""
    if not series.finite:
        return Row(scheme, bath, canonical, finite=False)
    effective, r_hat = _mixing(series.potential)
    replicas = series.potential.shape[1]
    forces = len(series.potential) * series.every
    slope = drift(series.conserved, series.time * np.arange(len(series.conserved))).overall
    scale = subject.dof * temperature
    return Row(
        scheme, bath, canonical, True, *_kinetic(series, subject, temperature), _worst(series, temperature),
        _configurational(series, temperature),
        reference.p_value(series.potential[statistics.decorrelate(series.potential)].ravel()),
        _difference(statistics.mean(series.potential), reference.mean, 2 / scale),
        Estimate(slope.value / scale, slope.error / scale),
        statistics.inefficiency(series.potential) / 2 * series.every,
        1000 * effective / (forces * replicas), r_hat,
    )  # fmt: skip


def _kinetic(series: Series, subject: Subject, temperature: float) -> tuple[Estimate, Estimate]:
    if series.kinetic is None:
        return _NONE, _NONE
    law = kinetic_law(series.kinetic, dof=subject.dof, temperature=temperature)
    mean = statistics.mean(series.kinetic * (2 / (subject.dof * temperature)))
    variance = statistics.mean(np.square(series.kinetic - series.kinetic.mean()) / (subject.dof * temperature**2 / 2))
    return mean, Estimate(law.width, variance.error / (2 * law.width) if law.width > 0 else nan)


def _worst(series: Series, temperature: float) -> Estimate:
    if series.layers is None:
        return _NONE
    means, errors = series.layers.mean(0), series.layers.std(0, ddof=1) / sqrt(len(series.layers))
    i = int(np.argmax(np.abs(means - temperature) / np.maximum(errors, 1e-300)))
    return Estimate(float(means[i] / temperature), float(errors[i] / temperature))


def _configurational(series: Series, temperature: float) -> Estimate:
    """The ratio of means, its error from the scatter of replicas by the delta method."""
    if series.laplacian is None:
        return _NONE
    above, below = series.squared.mean(0), series.laplacian.mean(0)
    ratio = above.mean() / below.mean()
    rest = (above - ratio * below) / below.mean()
    return Estimate(float(ratio / temperature), float(rest.std(ddof=1) / sqrt(len(rest)) / temperature))


def _mixing(potential: Floats) -> tuple[float, float]:
    """Effective samples of all replicas together and R-hat, by arviz-stats."""
    from arviz_stats.base import array_stats  # type: ignore[attr-defined]

    chains = potential.T
    chain_stats: Any = array_stats
    ess = chain_stats.ess(chains, chain_axis=0, draw_axis=1, method="mean")
    return float(ess), float(chain_stats.rhat(chains, chain_axis=0, draw_axis=1))


def _difference(one: Estimate, other: Estimate, scale: float) -> Estimate:
    return Estimate(scale * (one.value - other.value), scale * sqrt(one.error**2 + other.error**2))


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate | tuple | list):
        return [_plain(x) for x in value]
    return None if isinstance(value, float) and not isfinite(value) else value
