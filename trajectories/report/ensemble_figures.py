"""Figures of the ensemble away from its run: on inputs of another kind, and at temperatures between those run."""

from typing import TYPE_CHECKING, Any

import numpy as np

from trajectories import ensemble
from trajectories.ensemble import Assessment, Weights
from trajectories.ensemble.blocks import Stored, rows_of
from trajectories.report.drawing import BLUE, VERMILLION, Array, Missing, Picture, legend, render
from trajectories.report.prediction_figures import SERIES, labelled, outputs, test_set
from trajectories.storage.reader import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SAMPLES = 500  # of every replica, at most
_NUMBERS = 1 << 23  # outputs, at most
_BETWEEN = 4  # temperatures drawn from one rung to the next, so many at most
_MOST = 25  # temperatures in all, at most


def novelty(run: Trajectory) -> Picture:
    """Draw what the members disagree about on the test set beside another recorded set of inputs, NAME/prediction.

    Disagreement is the mutual information where targets are labels, else the spread (see `ensemble.ood_spread`).
    """
    others = [name for name in run.observables if name.endswith("/prediction") and name != SERIES]
    if not others:
        raise Missing("the run recorded predictions of one set of inputs alone: add md.Predictions(inputs, name=...)")
    kind: Any = "classification" if labelled(test_set(run)) else "regression"
    known, new = outputs(run), outputs(run, others[0])
    steps = np.intersect1d(known.steps, new.steps)
    if not len(steps):
        raise Missing(f"“{SERIES}” and “{others[0]}” were recorded at different steps")
    inside, outside = (one.values[np.isin(one.steps, steps)] for one in (known, new))
    found = ensemble.ood_spread(inside, outside, kind=kind)
    name = others[0].removesuffix("/prediction")
    bins = np.linspace(0, max(found.inside.max(), found.outside.max()), 31).tolist()

    def draw(axes: "Axes") -> None:
        for values, colour, label in ((found.inside, BLUE, "test"), (found.outside, VERMILLION, name)):
            axes.hist(values, bins=bins, density=True, color=colour, alpha=0.5, label=f"{label}, {len(values)} points")
        unit = "mutual information  [nats]" if kind == "classification" else "spread of members"
        axes.set_xlabel(unit)
        axes.set_ylabel("probability density")
        legend(axes)

    caption = (
        f"Disagreement of the members, {known.note} (last half of the run). It is larger on “{name}” than on the test "
        f"set with a probability (AUROC) of {found.auroc}; 1/2 is no better than chance."
    )
    return Picture(render(draw, f"novelty of {run.path}"), caption)


def at_temperatures(run: Trajectory) -> Picture:
    """Draw the score of the ensemble and of its members against temperature, by MBAR between the temperatures run.

    The score is the negative log-likelihood where targets are labels, else the mean squared error; points are the
    samples of one temperature alone.
    """
    if SERIES not in run.observables or "set_temperature" not in run.observables:
        raise Missing(f"the run did not record both “{SERIES}” and “set_temperature”")
    test = test_set(run)
    if test.get("per_replica"):
        raise Missing("replicas have test sets of their own: there is no one prediction at a temperature")
    score, together = ("nll", "mean softmax") if labelled(test) else ("mse", "mean")
    found, share, drawn = _samples(run)
    rungs = np.unique(drawn)
    grid = _grid(rungs)
    curve = [_assessed(found, test["targets"], share, T) for T in grid]
    points = [ensemble.assess(found, test["targets"], weights=drawn == T, together=share.together) for T in rungs]

    def draw(axes: "Axes") -> None:
        for who, colour in (("member", VERMILLION), (together, BLUE)):
            value, error = _column(curve, who, score)
            axes.plot(
                grid, value, color=colour, label=f"{who} ± 1 se" if who == "member" else f"ensemble, {who} ± 1 se"
            )
            axes.fill_between(grid, value - error, value + error, color=colour, alpha=0.25, lw=0)
            value, error = _column(points, who, score)
            axes.errorbar(rungs, value, np.where(np.isfinite(error), error, 0), fmt="o", ms=4, color=colour)
        axes.set_xlabel("temperature T")
        axes.set_ylabel("negative log-likelihood  [nats]" if score == "nll" else "mean squared error")
        if rungs[-1] > 4 * rungs[0]:
            axes.set_xscale("log")
        told = rungs[np.linspace(0, len(rungs) - 1, min(5, len(rungs))).astype(int)]
        axes.set_xticks(told.tolist(), [f"{T:.3g}" for T in told])
        axes.minorticks_off()
        legend(axes, columns=1)

    return Picture(render(draw, f"temperatures of {run.path}"), _caption(grid, curve, together, score, found, share))


def _samples(run: Trajectory) -> tuple[Stored, Weights, Array]:
    """Predictions, weights, and the set temperature of each sample, (samples, replicas)."""
    level, predictions = run.observables["set_temperature"], run.observables[SERIES]
    last = rows_of(level, np.array([len(level) - 1]))
    if np.ptp(last) == 0:
        raise Missing("all replicas are at one temperature; several, a ladder, give the prediction between them")
    width = int(np.prod(predictions.shape[1:], dtype=np.int64))
    found, share = ensemble.on_ladder(run, float(last.min()), most=max(8, min(_SAMPLES, _NUMBERS // width)))
    return found, share, rows_of(level, np.searchsorted(level.steps, predictions.steps[found.rows]))


def _grid(rungs: Array) -> Array:
    """Temperatures to draw, the rungs among them where there is room, evenly in ln T from one to the next."""
    parts = min(_BETWEEN, max(1, (_MOST - 1) // (len(rungs) - 1)))
    places = np.arange(parts * (len(rungs) - 1) + 1) / parts
    grid = np.exp(np.interp(places, np.arange(len(rungs)), np.log(rungs)))
    return np.asarray(grid[:: max(1, -(-len(grid) // _MOST))])


def _assessed(found: Stored, targets: Array, share: Weights, temperature: float) -> Assessment | None:
    try:
        return ensemble.assess(found, targets, weights=share.at(temperature))
    except ValueError:  # too few effective samples there
        return None


def _column(several: list[Assessment | None] | list[Assessment], who: str, score: str) -> Array:
    """Values and sampling errors of a score, (2, temperatures); nan where there are too few samples."""
    return np.array([one.scores[who][score][:2] if one else (np.nan, np.nan) for one in several]).T


def _caption(grid: Array, curve: list[Assessment | None], who: str, score: str, found: Stored, share: Weights) -> str:
    value = _column(curve, who, score)[0]
    if np.isnan(value).all():
        raise Missing("too few effective samples at every temperature: make a longer run, or a denser ladder")
    best = int(np.nanargmin(value))
    first = curve[best]
    data = first.scores[who][score].data if first else np.nan
    return (
        f"Lines: all temperatures reweighted by MBAR; points: the samples of one temperature alone. "
        f"{found.shape[0]} samples × {found.shape[1]} replicas, errors from {share.source}. The ensemble is best at "
        f"T = {grid[best]:.4g}, with {value[best]:.4g} (± {data:.2g} by the choice of test points, which moves all "
        "temperatures alike)."
    )
