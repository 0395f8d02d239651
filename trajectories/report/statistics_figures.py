"""How far the averages of a run can be trusted: convergence, correlations, block averages and spectra."""

from typing import TYPE_CHECKING

import numpy as np

from trajectories import statistics
from trajectories.report import reading
from trajectories.report.drawing import BLUE, GREEN, INK, VERMILLION, Array, Missing, Picture, Table, legend, render
from trajectories.report.equilibrium import equilibrium
from trajectories.report.reading import Series
from trajectories.statistics import Estimate
from trajectories.storage.reader import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FOLLOWED = {"potential_energy": BLUE, "train/loss": VERMILLION, "test/loss": GREEN}
_LINES = {"potential_energy": "-", "train/loss": (0, (5, 1.5)), "test/loss": (0, (1.5, 1.2))}
_CONVERGED = 1.01  # R-hat below which a mean is taken as converged, after Vehtari et al.
_POINTS = 250


def convergence(run: Trajectory) -> Table:
    """List the equilibrated mean of every series of one number a replica, and how many samples it is worth."""
    found = equilibrium(run)
    if not found:
        raise Missing("no series of one number a replica has 20 samples or more at its last temperature")
    rows = [
        [
            name,
            str(Estimate(one.mean, one.error)),
            f"{one.inefficiency:.3g}",
            f"{one.effective_samples:.0f}",
            f"{one.rhat:.3f}",
            f"{one.monte_carlo_error:.2g}",
            one.from_step,
            verdict(one.rhat),
        ]
        for name, one in found.items()
    ]
    columns = ("observable", "mean ± 1 se", "inefficiency g", "ESS", "R-hat", "MCSE", "from step", "verdict")
    stride = max(one.stride for one in found.values())
    read = f" Of long series one sample in {stride} was read, so g is {stride} or more." if stride > 1 else ""
    which = reading.group(run).note
    return Table(
        columns,
        rows,
        f"Equilibrated part{', ' + which if which else ''}. g: samples of the file that count as one; ESS: effective "
        f"sample size of all replicas; R-hat below {_CONVERGED} means that replicas, and both halves of each, agree; "
        f"MCSE: the error of the mean by the effective sample size.{read}",
    )


def verdict(rhat: float) -> str:
    """Say whether replicas agree."""
    if not np.isfinite(rhat):
        return "not judged"
    return "converged" if rhat < _CONVERGED else "not converged"


def _followed(run: Trajectory) -> list[Series]:
    """The settled parts of energy and losses."""
    reasons, found = [], []
    for name in _FOLLOWED:
        try:
            found.append(reading.settled(run, name))
        except Missing as reason:
            reasons.append(str(reason))
    if not found:
        raise Missing("; ".join(reasons))
    return found


def _notes(run: Trajectory, found: list[Series]) -> str:
    """Say which samples were used, and of which replicas unless of all."""
    which = reading.group(run).note
    kept = "; ".join(f"{_plain(one)} {one.note}" for one in found)
    return f"Equilibrated part: {kept}.{' Of ' + which + '.' if which else ''}"


def autocorrelation(run: Trajectory) -> Picture:
    """Draw the normalised autocorrelation of energy and losses up to 8 correlation times of the slowest."""
    found = _followed(run)
    slowness = [statistics.inefficiency(one.values) for one in found]
    spans = [4 * g * _spacing(one) for one, g in zip(found, slowness, strict=True)]

    def draw(axes: "Axes") -> None:
        axes.axhline(0, color=INK, lw=0.8)
        for one in found:
            correlation = statistics.autocorrelation(one.values)[: max(2, len(one.values) // 2)]
            lags = _spacing(one) * np.arange(len(correlation))
            kept = spaced(int((lags <= max(spans)).sum()))
            axes.plot(lags[kept], correlation[kept], color=_FOLLOWED[one.name], ls=_LINES[one.name], label=_plain(one))
        axes.set_xlabel("lag  [time]")
        axes.set_ylabel("autocorrelation C(t) / C(0)")
        legend(axes, columns=3)

    told = "; ".join(
        f"{_plain(one)} {g * _spacing(one) / 2:.3g} ({g:.3g} samples count as one)"
        for one, g in zip(found, slowness, strict=True)
    )
    caption = f"Integrated correlation time: {told}. About the mean over replicas. {_notes(run, found)}"
    return Picture(render(draw, f"autocorrelation of {run.path}"), caption)


def blocks(run: Trajectory) -> Picture:
    """Draw the error of the mean against the block size; where it levels off blocks are independent."""
    found = _followed(run)
    results = [statistics.blocks(one.values) for one in found]
    spreads = [float(one.values.std()) for one in found]

    def draw(axes: "Axes") -> None:
        for one, result, spread in zip(found, results, spreads, strict=True):
            time = result.sizes * _spacing(one)
            axes.errorbar(
                time, result.errors / spread, result.error_of_error / spread, fmt="o", ls=_LINES[one.name], ms=3,
                lw=1, color=_FOLLOWED[one.name], label=_plain(one),
            )  # fmt: skip
            if result.chosen is not None:
                axes.axhline(result.plateau.value / spread, color=_FOLLOWED[one.name], lw=0.8, ls=(0, (1, 2)))
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("length of a block  [time]")
        axes.set_ylabel("error of the mean / sd")
        legend(axes, columns=3)

    told = "; ".join(
        f"{_plain(one)} {Estimate(float(one.values.mean()), result.plateau.value)}"
        if result.chosen is not None
        else f"{_plain(one)} has no plateau, so the run is too short for its correlations"
        for one, result in zip(found, results, strict=True)
    )
    caption = f"Means with the error at the plateau (dotted): {told}. {_notes(run, found)}"
    return Picture(render(draw, f"block averages of {run.path}"), caption)


def spectrum(run: Trajectory) -> Picture:
    """Draw the one-sided power spectral density of energy and losses, over the variance."""
    found = _followed(run)
    results = [statistics.spectral_density(one.values, one.times, longest=_longest(one)) for one in found]

    def draw(axes: "Axes") -> None:
        for one, result in zip(found, results, strict=True):
            variance, colour = float(one.values.var()), _FOLLOWED[one.name]
            kept = 1 + spaced(len(result.frequencies) - 1)  # the first is at frequency 0
            x, y, error = (array[kept] for array in (result.frequencies, result.density, result.error))
            axes.plot(x, y / variance, color=colour, ls=_LINES[one.name], label=_plain(one))
            low = np.maximum(y - error, 0.1 * y) / variance  # a logarithmic axis has no room below
            axes.fill_between(x, low, (y + error) / variance, color=colour, alpha=0.25, linewidth=0)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("frequency  [1 / time]")
        axes.set_ylabel("spectral density / variance  [time]")
        legend(axes, columns=3)

    caption = f"One-sided, its integral is 1; band ± 1 se. {_notes(run, found)}"
    return Picture(render(draw, f"spectral density of {run.path}"), caption)


def _longest(one: Series) -> int:
    """Lags in the spectrum: an eighth of the samples of the series, for a smooth curve, 1000 at most."""
    return max(4, min(1000, len(one.values) // 8))


def spaced(count: int, most: int = _POINTS) -> Array:
    """Indices of ``most`` of ``count`` points at most, dense at the start: all of the first ones, then logarithmic."""
    if count <= most:
        return np.arange(count)
    return np.unique(np.geomspace(1, count, most).round().astype(int) - 1)


def _spacing(one: Series) -> float:
    return float(np.ptp(one.times) / max(1, len(one.times) - 1))


def _plain(one: Series) -> str:
    return one.name.replace("_", " ")
