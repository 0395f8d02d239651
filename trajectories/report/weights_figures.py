"""How the weights move: how far they get, and at which frequencies they swing."""

from typing import TYPE_CHECKING, Any

import numpy as np

from trajectories import statistics
from trajectories.report import reading
from trajectories.report.drawing import BLUE, INK, VERMILLION, Picture, legend, render
from trajectories.report.statistics_figures import spaced
from trajectories.storage.reader import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FRAMES, _COORDINATES = 2000, 128  # for motion: many times, few coordinates


def displacement(run: Trajectory) -> Picture:
    """Draw the mean squared displacement of a coordinate, and the line of free diffusion at late times."""
    found = reading.weights(run, frames=_FRAMES, coordinates=_COORDINATES)
    result = statistics.mean_squared_displacement(found.values, found.times)
    window = (result.lags[-1] / 2, result.lags[-1])
    diffusion = statistics.diffusion(result, window)
    late = result.lags >= window[0]
    kept = 1 + spaced(len(result.lags) - 1)

    def draw(axes: "Axes") -> None:
        lags, msd, error = (array[kept] for array in (result.lags, result.msd, result.error))
        axes.plot(lags, msd, color=BLUE, label="MSD ± 1 se")
        axes.fill_between(lags, np.maximum(msd - error, 0.1 * msd), msd + error, color=BLUE, alpha=0.25, linewidth=0)
        if diffusion.value > 0:
            line = result.msd[late].mean() + 2 * diffusion.value * (result.lags[late] - result.lags[late].mean())
            axes.plot(result.lags[late], line, color=VERMILLION, ls=(0, (4, 2)), label="2 D t + constant")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("lag  [time]")
        axes.set_ylabel("mean squared displacement")
        legend(axes)

    caption = (
        f"Mean over coordinates and replicas. Slope over the last half of the lags: D = {diffusion} a coordinate "
        f"(z = {diffusion.z(0):+.1f} from rest). {found.note}."
    )
    return Picture(render(draw, f"mean squared displacement of {run.path}"), caption)


def vibrations(run: Trajectory) -> Picture:
    """Draw the velocity autocorrelation, and its Fourier transform, the vibrational density of states."""
    found = reading.weights(run, kind="velocities", frames=_FRAMES, coordinates=_COORDINATES)
    masses = run.masses[found.coordinates]
    correlation = statistics.velocity_autocorrelation(found.values, found.times, masses)
    longest = max(4, min(500, len(found.values) // 8))
    density = statistics.vibrational_density(found.values, found.times, masses, longest=longest)
    shown = max(8, min(len(correlation.lags), 4 * longest // 3))

    def draw(upper: "Axes", lower: "Axes") -> None:
        upper.axhline(0, color=INK, lw=0.8)
        kept = spaced(shown)
        _banded(upper, correlation.lags[kept], correlation.normalised[kept], correlation.normalised_error[kept], BLUE)
        upper.set_xlabel("lag  [time]")
        upper.set_ylabel("C(t) / C(0)")
        _banded(lower, density.frequencies, density.density, density.error, VERMILLION)
        lower.set_ylim(bottom=0)
        lower.set_xlabel("angular frequency  [1 / time]")
        lower.set_ylabel("density of states  [time]")

    caption = (
        f"Above, the mass-weighted velocity autocorrelation, C(0) = {correlation.values[0]:.4g} ± "
        f"{correlation.error[0]:.2g}, the temperature; below, its Fourier transform, whose integral is 1. Bands ± 1 "
        f"se. Frequencies above {density.frequencies[-1]:.3g} are folded back by the spacing of frames. {found.note}."
    )
    return Picture(render(draw, f"vibrations of {run.path}", panels=2), caption)


def _banded(axes: "Axes", x: Any, y: Any, error: Any, colour: str) -> None:
    axes.plot(x, y, color=colour)
    axes.fill_between(x, y - error, y + error, color=colour, alpha=0.25, linewidth=0)
