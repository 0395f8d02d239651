"""Figures of what the ensemble predicts on the test set, with its spread."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from trajectories import ensemble
from trajectories.report.drawing import BLUE, GREEN, INK, VERMILLION, Array, Missing, Picture, legend, render
from trajectories.storage.reader import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SERIES = "test/prediction"


def prediction(run: Trajectory) -> Picture:
    """Draw the ensemble of the last half of the samples, all replicas: a curve, predicted against true, or calibration.

    Integer targets mean classification; else a single input feature means a curve. With /parameters/test/per_replica
    inputs and targets have a leading replica axis, and each replica is an ensemble of its own.
    """
    if SERIES not in run.observables:
        raise Missing(f"the run did not record “{SERIES}”")
    values = run.observables[SERIES].values
    values = values[len(values) // 2 :]  # (samples, replicas, points, outputs)
    test = run.parameters.get("test")
    if not isinstance(test, Mapping) or "targets" not in test:
        raise Missing(f"“{SERIES}” is there, but the run file holds no /parameters/test/targets to compare with")
    if values.ndim != 4 or not values.size or not np.isfinite(values).all():
        raise Missing(f"“{SERIES}” has samples {values.shape}: finite (samples, replicas, points, outputs) are needed")
    if test.get("per_replica"):
        values, test = _own_test_sets(values, test)
    targets = np.asarray(test["targets"])
    if targets.dtype.kind in "iub" and targets.ndim == 1:
        return _classification(run, values, targets, test)
    inputs = np.asarray(test.get("inputs", np.empty((0, 0))))
    if inputs.size == len(targets):
        return _curve(run, values, test)
    return _against_truth(run, values, targets, test)


def _own_test_sets(values: Array, test: Mapping[str, Any]) -> tuple[Array, Mapping[str, Any]]:
    """Replicas with test sets of their own, (replicas, points, ...): pool them, or show the first one's curve.

    Each replica is an ensemble of its own samples: (samples, 1, replicas * points, outputs).
    """
    samples, replicas, points, outputs = values.shape
    inputs, targets = np.asarray(test["inputs"]), np.asarray(test["targets"])
    if inputs.size == replicas * points and targets.dtype.kind == "f":
        first = f"{samples} samples of the first of {replicas} replicas"
        return values[:, :1], {"inputs": inputs[0], "targets": targets[0], "ensemble": first}
    pooled = values.reshape(samples, 1, replicas * points, outputs)
    return pooled, {
        "inputs": inputs.reshape(replicas * points, -1),
        "targets": targets.reshape(-1, *targets.shape[2:]),
        "ensemble": f"{samples} samples a replica, each on its own test set, {replicas} replicas pooled",
    }


def _ensemble(values: Array, test: Mapping[str, Any]) -> str:
    """Say whose ensemble it is."""
    return str(test.get("ensemble", f"{values.shape[0]} samples × {values.shape[1]} replicas"))


def _regression_caption(values: Array, targets: Array, test: Mapping[str, Any]) -> str:
    mean = ensemble.mean(values)
    members = ensemble.mse(values, targets)
    return (
        f"Ensemble of {_ensemble(values, test)} (last half of the run): "
        f"mean squared error {ensemble.mse(mean, targets):.4g}, R² {ensemble.r2(mean, targets):.4f}; "
        f"a single member's mean squared error is {members.mean():.4g} on average."
    )


def _curve(run: Trajectory, values: Array, test: Mapping[str, Any]) -> Picture:
    order = np.argsort(np.ravel(test["inputs"]))
    x = np.ravel(test["inputs"])[order]
    mean, spread = ensemble.mean(values)[order, 0], ensemble.spread(values)[order, 0]
    targets = np.asarray(test["targets"]).reshape(len(x), -1)

    def draw(axes: "Axes") -> None:
        axes.fill_between(
            x, mean - 2 * spread, mean + 2 * spread, color=BLUE, alpha=0.25, lw=0, label="± 2 sd of members"
        )
        axes.plot(x, mean, color=BLUE, label="ensemble mean")
        if "truth" in test:
            truth = np.asarray(test["truth"]).reshape(len(x), -1)[order, 0]
            axes.plot(x, truth, color=INK, lw=1, ls=(0, (4, 2)), label="truth")
        axes.plot(x, targets[order, 0], "o", ms=3, color=VERMILLION, label="data")
        axes.set_xlabel("input")
        axes.set_ylabel("output" if targets.shape[1] == 1 else "output 0")
        legend(axes)

    return Picture(render(draw, f"prediction of {run.path}"), _regression_caption(values, targets, test))


def _against_truth(run: Trajectory, values: Array, targets: Array, test: Mapping[str, Any]) -> Picture:
    truth = targets.ravel()
    mean, spread = ensemble.mean(values).ravel(), ensemble.spread(values).ravel()
    shown = np.linspace(0, len(truth) - 1, min(300, len(truth))).astype(int)

    def draw(axes: "Axes") -> None:
        axes.errorbar(
            truth[shown],
            mean[shown],
            2 * spread[shown],
            fmt="o",
            ms=3,
            lw=0.8,
            alpha=0.7,
            color=BLUE,
            label="ensemble mean ± 2 sd of members",
        )
        ends = [truth.min(), truth.max()]
        axes.plot(ends, ends, color=INK, lw=1, ls=(0, (4, 2)), label="predicted = true")
        axes.set_xlabel("true value")
        axes.set_ylabel("predicted value")
        legend(axes)

    return Picture(render(draw, f"prediction of {run.path}"), _regression_caption(values, targets, test))


def _classification(run: Trajectory, values: Array, labels: Array, test: Mapping[str, Any]) -> Picture:
    chances = ensemble.mean_softmax(values)
    curve = ensemble.calibration(chances, labels)
    members = ensemble.accuracy(ensemble.probabilities(values), labels).ravel()
    together = float(ensemble.accuracy(chances, labels))

    def draw(upper: "Axes", lower: "Axes") -> None:
        full = curve.counts > 0
        error = np.sqrt(curve.accuracy * (1 - curve.accuracy) / np.maximum(curve.counts, 1))
        upper.plot([0, 1], [0, 1], color=INK, lw=1, ls=(0, (4, 2)), label="perfect calibration")
        upper.errorbar(
            curve.confidence[full],
            curve.accuracy[full],
            error[full],
            fmt="o-",
            ms=4,
            color=BLUE,
            label="ensemble ± 1 se",
        )
        upper.set_xlabel("confidence")
        upper.set_ylabel("accuracy")
        legend(upper)
        lower.hist(members, bins=20, color=GREEN, alpha=0.6, label="members")
        lower.axvline(together, color=VERMILLION, label=f"ensemble, {together:.3f}")
        lower.set_xlabel("test accuracy")
        lower.set_ylabel("number of members")
        legend(lower)

    caption = (
        f"Mean softmax of {_ensemble(values, test)} (last half of the run): accuracy "
        f"{together:.4f} against {members.mean():.4f} of a single member; negative log-likelihood "
        f"{float(ensemble.nll(chances, labels)):.4f} nats, expected calibration error {curve.ece:.4f}."
    )
    return Picture(render(draw, f"prediction of {run.path}", panels=2), caption)
