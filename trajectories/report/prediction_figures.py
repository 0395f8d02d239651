"""Figures of what the ensemble predicts on the test set, with its spread."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trajectories import ensemble
from trajectories.report import reading
from trajectories.report.drawing import BLUE, GREEN, INK, VERMILLION, Array, Missing, Picture, legend, render
from trajectories.storage.reader import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SERIES = "test/prediction"
_NUMBERS = 1 << 23  # outputs that are read at most, or 8 samples of all points
_BAND = (0.05, 0.95)


class Outputs(NamedTuple):
    """The last half of recorded predictions, thinned where they are many."""

    values: Array  # (samples, replicas, points, outputs)
    steps: Array  # (samples,)
    note: str  # which samples and replicas these are, in words


def outputs(run: Trajectory, name: str = SERIES) -> Outputs:
    """Read the last half of the predictions, of the replicas of `reading.group`.

    Raises:
        Missing: they were not recorded, are of another shape, or not finite.
    """
    if name not in run.observables:
        raise Missing(f"the run did not record “{name}”")
    chosen = reading.group(run)
    stride, steps, _, values = reading.strided(run.observables[name], _NUMBERS, fewest=8)
    values, steps = values[len(values) // 2 :, chosen.replicas], steps[len(steps) // 2 :]
    if values.ndim != 4 or not values.size or not np.isfinite(values).all():
        raise Missing(f"“{name}” has samples {values.shape}: finite (samples, replicas, points, outputs) are needed")
    told = [
        f"{len(values)} samples × {values.shape[1]} replicas",
        f"one in {stride}" if stride > 1 else "",
        chosen.note,
    ]
    return Outputs(values, steps, ", ".join(filter(None, told)))


def test_set(run: Trajectory) -> Mapping[str, Any]:
    """Return /parameters/test with its targets; Missing where the run file holds none."""
    test = run.parameters.get("test")
    if not isinstance(test, Mapping) or "targets" not in test:
        raise Missing(f"“{SERIES}” is there, but the run file holds no /parameters/test/targets to compare with")
    return test


def labelled(test: Mapping[str, Any]) -> bool:
    """Whether the targets are labels of classes, (points,), or (replicas, points) with test sets of their own."""
    targets = np.asarray(test["targets"])
    return targets.dtype.kind in "iub" and targets.ndim == 1 + bool(test.get("per_replica"))


def prediction(run: Trajectory) -> Picture:
    """Draw the ensemble of the last half of the samples: a curve, predicted against true, or calibration.

    Integer targets mean classification; else a single input feature means a curve. With /parameters/test/per_replica
    inputs and targets have a leading replica axis, and each replica is an ensemble of its own.
    """
    found, test = outputs(run), test_set(run)
    if test.get("per_replica"):
        found, test = _own_test_sets(found, test, reading.group(run).replicas)
    targets = np.asarray(test["targets"])
    if labelled(test):
        return _classification(run, found, targets)
    inputs = np.asarray(test.get("inputs", np.empty((0, 0))))
    if inputs.size == len(targets):
        return _curve(run, found, test)
    return _against_truth(run, found, targets)


def _own_test_sets(found: Outputs, test: Mapping[str, Any], chosen: Array) -> tuple[Outputs, Mapping[str, Any]]:
    """Replicas with test sets of their own, (replicas, points, ...): pool them, or show the first one's curve.

    Each replica is an ensemble of its own samples: (samples, 1, replicas * points, outputs).
    """
    samples, replicas, points, width = found.values.shape
    inputs, targets = np.asarray(test["inputs"])[chosen], np.asarray(test["targets"])[chosen]
    if inputs.size == replicas * points and targets.dtype.kind == "f":
        first = f"{samples} samples of the first of {replicas} replicas"
        return Outputs(found.values[:, :1], found.steps, first), {"inputs": inputs[0], "targets": targets[0]}
    pooled = found.values.reshape(samples, 1, replicas * points, width)
    told = f"{samples} samples a replica, each on its own test set, {replicas} replicas pooled"
    return Outputs(pooled, found.steps, told), {
        "inputs": inputs.reshape(replicas * points, -1),
        "targets": targets.reshape(-1, *targets.shape[2:]),
    }


def _regression_caption(found: Outputs, targets: Array) -> str:
    mean = ensemble.mean(found.values)
    members = ensemble.mse(found.values, targets)
    held = ensemble.coverage(found.values, targets, _BAND[1] - _BAND[0])
    return (
        f"Ensemble of {found.note} (last half of the run): "
        f"mean squared error {ensemble.mse(mean, targets):.4g}, R² {ensemble.r2(mean, targets):.4f}; "
        f"a single member's mean squared error is {members.mean():.4g} on average. The middle 90 % of the members hold "
        f"{100 * held:.0f} % of the targets; where these are noisy that is less than 90 %."
    )


def _curve(run: Trajectory, found: Outputs, test: Mapping[str, Any]) -> Picture:
    order = np.argsort(np.ravel(test["inputs"]))
    x = np.ravel(test["inputs"])[order]
    mean = ensemble.mean(found.values)[order, 0]
    low, high = ensemble.quantiles(found.values, _BAND)[:, order, 0]
    targets = np.asarray(test["targets"]).reshape(len(x), -1)

    def draw(axes: "Axes") -> None:
        axes.fill_between(x, low, high, color=BLUE, alpha=0.25, lw=0, label="5 to 95 % of members")
        axes.plot(x, mean, color=BLUE, label="ensemble mean")
        if "truth" in test:
            truth = np.asarray(test["truth"]).reshape(len(x), -1)[order, 0]
            axes.plot(x, truth, color=INK, lw=1, ls=(0, (4, 2)), label="truth")
        axes.plot(x, targets[order, 0], "o", ms=3, color=VERMILLION, label="data")
        axes.set_xlabel("input")
        axes.set_ylabel("output" if targets.shape[1] == 1 else "output 0")
        legend(axes)

    return Picture(render(draw, f"prediction of {run.path}"), _regression_caption(found, targets))


def _against_truth(run: Trajectory, found: Outputs, targets: Array) -> Picture:
    truth, mean = targets.ravel(), ensemble.mean(found.values).ravel()
    low, high = ensemble.quantiles(found.values, _BAND).reshape(2, -1)
    error = np.maximum([mean - low, high - mean], 0.0)  # a mean may lie outside where a few members are far off
    shown = np.linspace(0, len(truth) - 1, min(300, len(truth))).astype(int)

    def draw(axes: "Axes") -> None:
        axes.errorbar(
            truth[shown],
            mean[shown],
            error[:, shown],
            fmt="o",
            ms=3,
            lw=0.8,
            alpha=0.7,
            color=BLUE,
            label="ensemble mean, 5 to 95 % of members",
        )
        ends = [truth.min(), truth.max()]
        axes.plot(ends, ends, color=INK, lw=1, ls=(0, (4, 2)), label="predicted = true")
        axes.set_xlabel("true value")
        axes.set_ylabel("predicted value")
        legend(axes)

    return Picture(render(draw, f"prediction of {run.path}"), _regression_caption(found, targets))


def _classification(run: Trajectory, found: Outputs, labels: Array) -> Picture:
    chances = ensemble.mean_softmax(found.values)
    curve = ensemble.calibration(chances, labels)
    members = ensemble.accuracy(ensemble.probabilities(found.values), labels).ravel()
    together = float(ensemble.accuracy(chances, labels))
    full = curve.counts > 0
    centres = (np.arange(len(full)) + 0.5) / len(full)

    def draw(upper: "Axes", middle: "Axes", lower: "Axes") -> None:
        upper.plot([0, 1], [0, 1], color=INK, lw=1, ls=(0, (4, 2)), label="perfect calibration")
        upper.errorbar(
            curve.confidence[full],
            curve.accuracy[full],
            curve.error[full],
            fmt="o-",
            ms=4,
            color=BLUE,
            label="ensemble ± 1 se",
        )
        upper.set_ylabel("accuracy")
        legend(upper)
        middle.bar(centres, curve.counts, width=0.9 / len(full), color=BLUE, alpha=0.6)
        for axes in (upper, middle):
            axes.set_xlim(0, 1)
        middle.set_xlabel("confidence")
        middle.set_ylabel("points")
        lower.hist(members, bins=20, color=GREEN, alpha=0.6, label="members")
        lower.axvline(together, color=VERMILLION, label=f"ensemble, {together:.3f}")
        lower.set_xlabel("test accuracy")
        lower.set_ylabel("number of members")
        legend(lower)

    caption = (
        f"Mean softmax of {found.note} (last half of the run): accuracy "
        f"{together:.4f} against {members.mean():.4f} of a single member; negative log-likelihood "
        f"{float(ensemble.nll(chances, labels)):.4f} nats, expected calibration error {curve.ece:.4f}."
    )
    svg = render(draw, f"prediction of {run.path}", panels=3, height=6.2, ratios=(3.0, 1.0, 2.0))
    return Picture(svg, caption)
