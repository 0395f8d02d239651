"""Figures of the visits to a table of states: are they flat, alike in both halves, at the right temperature."""

from typing import TYPE_CHECKING

import numpy as np

from trajectories.landscape import History, difference
from trajectories.landscape.convergence import ENOUGH, FLATNESS, HALVES, TRIPS, WARMTH, temperatures
from trajectories.report.drawing import BLUE, FAINT, VERMILLION, Array, Missing, Picture, legend, render
from trajectories.report.maps import coloured
from trajectories.storage.reader import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DASHES = (0, (4, 2))


def visits(run: Trajectory) -> Picture:
    """Draw how often each bin of the table was counted, over the mean, with the line above which that is flat."""
    history = _counting(run)
    found = history.sums("visits")
    found = found.sum(axis=tuple(range(2 + history.flat, found.ndim)))
    relative = found / np.maximum(found.mean(axis=tuple(range(2, found.ndim)), keepdims=True), 1e-300)
    axis, tables = history.axes[0], found.shape[0] * found.shape[1]

    def lines(axes: "Axes") -> None:
        for copy, window in np.ndindex(*relative.shape[:2]):
            edges = axis.part(history.firsts[window], relative.shape[2]).edges
            label = "each table" if not copy and not window else None
            axes.stairs(relative[copy, window], edges, color=BLUE, lw=1, alpha=0.7, baseline=None, label=label)
        axes.axhline(FLATNESS, color=VERMILLION, ls=_DASHES, lw=1.4, label=f"wanted: above {FLATNESS:g}")
        axes.set_ylim(0, max(1.5, 1.05 * float(relative.max())))
        axes.set_xlabel(axis.text)
        axes.set_ylabel("visits over their mean")
        legend(axes)

    def cells(axes: "Axes") -> None:
        whole = history.whole(found).sum(axis=0)
        shown = np.where(whole > 0, whole / whole[whole > 0].mean(), np.nan)
        _cells(axes, history, shown, "visits over their mean")

    flat = history.flat == 1
    told = (
        f"Lowest over mean: {relative.min():.3g}, where more than {FLATNESS:g} is flat"
        if flat
        else f"{(found.sum((0, 1)) > 0).mean():.0%} of the bins were reached; the others are blank"
    )
    caption = (
        f"{found.sum():.4g} visits while the bias was frozen, {found.sum() / found.size:.4g} a bin, of "
        f"{tables} table{'s' if tables > 1 else ''}. {told}."
    )
    return Picture(render(lines if flat else cells, f"visits of {run.path}"), caption)


def halves(run: Trajectory) -> Picture:
    """Draw S(x) of the first half of production less that of the second, for each copy of the table."""
    history = _counting(run)
    if len(history.counted) < 2:
        raise Missing("the run wrote less than twice while it counted; it has no halves")
    steps = history.steps[history.counted] - history.learn
    middle = history.counted[int(np.argmin(np.abs(steps[:-1] - steps[-1] / 2)))]
    axis = history.axes[0]
    first, second = (
        history.landscape(end, since=begin, keep=[axis.name]) for end, begin in ((middle, None), (-1, middle))
    )
    pairs = [difference(first.copy(k), second.copy(k), at_least=ENOUGH) for k in range(history.copies)]

    def draw(axes: "Axes") -> None:
        axes.axhspan(-HALVES, HALVES, color=FAINT, alpha=0.25, lw=0, label=f"wanted: within {HALVES:g} k_B")
        axes.axhline(0, color=FAINT, lw=1)
        for k, pair in enumerate(pairs):
            label = "each copy of the table" if not k else None
            axes.plot(pair.axes[0].centres, pair.values, color=BLUE, lw=1.1, alpha=0.8, label=label)
        axes.set_xlabel(axis.text)
        axes.set_ylabel("S, first − second half  [k_B]")
        legend(axes)

    largest = ", ".join(f"{pair.max:.2g}" for pair in pairs)
    caption = (
        f"Largest difference {largest} k_B by copy, in {min(pair.bins for pair in pairs)} of {axis.bins} bins that "
        f"have {ENOUGH} visits in both halves, after the best constant. It shows what one walk does not know of itself."
    )
    return Picture(render(draw, f"halves of {run.path}"), caption)


def warmth(run: Trajectory) -> Picture:
    """Draw 2K/N_f over the temperature that was set, in every bin, with the band in which it has to lie."""
    history = _counting(run)
    value, error = temperatures(history)
    if not np.isfinite(value).any():
        raise Missing("the walkers have no momenta, and so no kinetic temperature")

    def lines(axes: "Axes") -> None:
        axes.axhspan(1 - WARMTH, 1 + WARMTH, color=FAINT, alpha=0.25, lw=0, label=f"wanted: 1 ± {WARMTH:g}")
        axes.axhline(1, color=FAINT, lw=1)
        axes.errorbar(
            history.axes[0].centres, value, np.nan_to_num(error, posinf=0.0), fmt="o", ms=2.5, lw=0.8, color=BLUE,
            label="2K / (N_f T) ± 1 se",
        )  # fmt: skip
        axes.set_xlabel(history.axes[0].text)
        axes.set_ylabel("kinetic / set temperature")
        legend(axes)

    def cells(axes: "Axes") -> None:
        _cells(axes, history, value, "kinetic / set temperature")

    known = np.isfinite(value)
    off = np.abs(value[known] - 1)
    caption = (
        f"{(off > WARMTH).sum()} of {known.sum()} bins are more than {WARMTH:.0%} off, at most {off.max():.2%}, with a "
        f"standard error of {np.median(error[known]):.2g} a bin (median). Hot bins bend S: a smaller time step cools."
    )
    return Picture(render(lines if history.flat == 1 else cells, f"kinetic temperature of {run.path}"), caption)


def trips(run: Trajectory) -> Picture:
    """Draw how many round trips from one end of x to the other a walker of each table has made, as the run went on."""
    history = _counting(run)
    before = history.before_counting()
    start = history.learn if before is None else int(history.steps[before])
    walkers = np.bincount(np.arange(history.walkers) % (history.copies * history.windows))
    tested = np.stack([history.sums("tested", k, before) for k in history.counted])  # (samples, 3, copies, windows)
    each = tested[:, 2].reshape(len(tested), -1) / walkers
    steps = np.concatenate([[start], history.steps[history.counted]])

    def draw(axes: "Axes") -> None:
        for k, line in enumerate(each.T):
            label = "a walker of each table" if not k else None
            axes.plot(steps, [0, *line], "o-", ms=2.5, color=BLUE, lw=1.1, alpha=0.8, label=label)
        axes.axhline(TRIPS, color=VERMILLION, ls=_DASHES, lw=1.4, label=f"wanted: {TRIPS:g} or more")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("step")
        axes.set_ylabel("round trips a walker")
        legend(axes)

    tests, accepted = tested[-1, 0].sum(), tested[-1, 1].sum()
    mean = tested[-1, 2].sum() / history.walkers
    caption = (
        f"{mean:.3g} round trips a walker on average while the bias was frozen, {each[-1].min():.3g} at least by table "
        f"and {each[-1].max():.3g} at most; a tenth of the range is an end. {accepted / tests:.1%} of {tests:.4g} "
        "tests of the time step were accepted."
    )
    return Picture(render(draw, f"round trips of {run.path}"), caption)


def _counting(run: Trajectory) -> History:
    """What the run wrote, once it counts."""
    history = History(run)
    if not history.counted:
        raise Missing(f"the run learns until step {history.learn}, and has not begun to count")
    return history


def _cells(axes: "Axes", history: History, values: Array, label: str) -> None:
    x, y = history.axes[:2]
    axes.grid(visible=False)
    coloured(axes, x.edges, y.edges, values, label)
    axes.set_xlabel(x.text)
    axes.set_ylabel(y.text)
