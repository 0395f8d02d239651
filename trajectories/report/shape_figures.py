"""What shape the weights fill: distances and overlaps of replicas, principal components, and the diffusion map."""

from typing import TYPE_CHECKING, Any

import numpy as np

from trajectories import statistics
from trajectories.report import reading
from trajectories.report.drawing import BLUE, GREEN, INK, PURPLE, VERMILLION, Array, Missing, Picture, legend, render
from trajectories.report.reading import Weights
from trajectories.storage.reader import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CLOUD = 400  # points of a scatter plot
_WALKERS = 600  # samples of a diffusion map
_COMPONENTS = 10
_APART = ((BLUE, "o"), (VERMILLION, "s"), (GREEN, "^"), (PURPLE, "D"))  # of the replicas that are told apart


def _several(run: Trajectory) -> Weights:
    found = reading.weights(run, frames=200)
    if found.values.shape[1] < 2:
        raise Missing("one replica has no distance to another, and there is one at the lowest temperature")
    return found


def distances(run: Trajectory) -> Picture:
    """Draw the density of distances between replicas, and g(r), that density over the one at far times."""
    found = _several(run)
    result = statistics.radial_distribution(found.values, 30)
    known = np.isfinite(result.g) & (result.g_error < 1)

    def draw(upper: "Axes", lower: "Axes") -> None:
        upper.stairs(result.density, result.edges, color=BLUE, fill=True, alpha=0.25)
        upper.errorbar(result.r, result.density, result.error, fmt="o", ms=3, lw=1, color=BLUE, label="density ± 1 se")
        upper.set_ylabel("probability density")
        legend(upper)
        lower.axhline(1, color=INK, lw=1, ls=(0, (4, 2)))
        lower.errorbar(
            result.r[known], result.g[known], result.g_error[known], fmt="o", ms=3, lw=1, color=VERMILLION,
            label="g(r) ± 1 se",
        )  # fmt: skip
        lower.set_ylim(0, max(2.0, min(4.0, 1.2 * float(np.max(result.g[known], initial=0)))))
        lower.set_xlabel("distance of two replicas")
        lower.set_ylabel("g(r)")
        legend(lower)

    mean = float(result.density @ (np.diff(result.edges) * result.r))
    caption = (
        f"Mean distance {mean:.4g}. g(r) compares with replicas half the run apart in time: it is 1 where replicas do "
        f"not know of each other. {found.note}."
    )
    return Picture(render(draw, f"distances of replicas of {run.path}", panels=2, share_x=True), caption)


def overlap(run: Trajectory) -> Picture:
    """Draw P(q), the distribution of the cosine between replicas, and q(t), that of a replica with itself later."""
    found = _several(run)
    result = statistics.overlap(found.values)
    later = statistics.self_overlap(found.values, found.times)
    full = np.flatnonzero(result.density)
    shown = slice(max(0, full[0] - 2), full[-1] + 3)

    def draw(upper: "Axes", lower: "Axes") -> None:
        q, density, error = (array[shown] for array in (result.q, result.density, result.error))
        upper.errorbar(q, density, error, fmt="o-", ms=3, lw=1, color=BLUE, label="two replicas ± 1 se")
        upper.set_xlabel("overlap q")
        upper.set_ylabel("density P(q)")
        legend(upper)
        lower.plot(later.lags, later.values, color=VERMILLION, label="a replica with itself ± 1 se")
        lower.fill_between(
            later.lags, later.values - later.error, later.values + later.error, color=VERMILLION, alpha=0.25, lw=0
        )
        lower.axhline(result.mean.value, color=BLUE, lw=1, ls=(0, (4, 2)), label="mean of two replicas")
        lower.set_xlabel("lag  [time]")
        lower.set_ylabel("overlap q(t)")
        legend(lower)

    caption = (
        f"Cosine of the angle between two networks, seen from the origin of the weights: mean {result.mean}; "
        f"independent directions have 0 ± {found.values.shape[2] ** -0.5:.2g} (sd). Several peaks are several basins. "
        f"{found.note}."
    )
    return Picture(render(draw, f"overlap of replicas of {run.path}", panels=2), caption)


def components(run: Trajectory) -> Picture:
    """Draw replicas along the first two principal components, and the share of the variance of each component."""
    found = reading.weights(run)
    count = min(_COMPONENTS, found.values.shape[2], found.values.shape[0] * found.values.shape[1] - 1)
    if count < 2:
        raise Missing(f"the weights have {found.values.shape[2]} coordinates; two components need two")
    result = statistics.principal_components(found.values, count)
    total = result.variances[0].value / result.explained[0]
    errors = [one.error / total for one in result.variances]

    def draw(upper: "Axes", lower: "Axes") -> None:
        _scatter(upper, result.coordinates)
        upper.set_xlabel("component 1")
        upper.set_ylabel("component 2")
        lower.errorbar(
            np.arange(1, count + 1),
            result.explained,
            errors,
            fmt="o",
            ms=4,
            capsize=3,
            color=BLUE,
            label="share ± 1 se",
        )
        lower.set_ylim(bottom=0)
        lower.set_xticks(range(1, count + 1))
        lower.set_xlabel("component")
        lower.set_ylabel("share of the variance")
        legend(lower)

    caption = (
        f"The first two hold {result.explained[:2].sum():.1%}, the first {count} {result.explained.sum():.1%} of "
        f"the variance {total:.4g}. Clouds that do not overlap are replicas that do not sample the same region. "
        f"{found.note}."
    )
    svg = render(draw, f"principal components of {run.path}", panels=2, height=5.4, ratios=(1.6, 1))
    return Picture(svg, caption)


def _scatter(axes: "Axes", points: Array) -> None:
    """Draw points (samples, replicas, 2): the first replicas each in a colour and shape of its own, the others pale."""
    samples, replicas, _ = points.shape
    kept = points[:: max(1, -(-samples * replicas // _CLOUD))]
    others = kept[:, len(_APART) :].reshape(-1, points.shape[2])
    if len(others):
        axes.plot(others[:, 0], others[:, 1], ".", ms=3, color=INK, alpha=0.25, label="others")
    for replica, (colour, marker) in enumerate(_APART[:replicas]):
        x, y = kept[:, replica, 0], kept[:, replica, 1]
        axes.plot(
            x,
            y,
            marker,
            ms=3.5,
            color=colour,
            alpha=0.75,
            mew=0,
            label=f"replica {replica}" if not replica else f"{replica}",
        )
    legend(axes, columns=5)


def diffusion_map(run: Trajectory) -> Picture:
    """Draw replicas along the two slowest coordinates of a diffusion among the samples."""
    found = reading.weights(run)
    every = max(1, -(-found.values.shape[0] * found.values.shape[1] // _WALKERS))
    kept = found.values[::every]
    samples, replicas, dof = kept.shape
    if samples * replicas < 50:
        raise Missing(f"{samples * replicas} samples of the weights are left; a diffusion map needs 50")
    cloud: Any = kept.reshape(-1, dof)
    count = min(_COMPONENTS, dof, len(cloud) - 1)
    reduced = statistics.principal_components(cloud, count).coordinates.reshape(-1, count)
    try:
        result = statistics.diffusion_map(reduced, 2)
    except ValueError:  # at the usual width the replicas are separate clouds: join them by the width of everything
        width = 2 * float(reduced.var(axis=0).sum())  # the mean squared distance of two samples
        result = statistics.diffusion_map(reduced, 2, epsilon=width)
    points = result.coordinates.reshape(samples, replicas, 2)

    def draw(axes: "Axes") -> None:
        _scatter(axes, points)
        axes.set_xlabel("slowest coordinate")
        axes.set_ylabel("second coordinate")

    caption = (
        f"Of {len(cloud)} samples in their first {count} principal components, kernel width epsilon = "
        f"{result.epsilon:.3g}; rates {result.rates[0]:.3g} and {result.rates[1]:.3g}. "
        f"A line or two clumps along a coordinate is a slow passage. {found.note}."
    )
    return Picture(render(draw, f"diffusion map of {run.path}"), caption)
