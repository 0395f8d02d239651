"""A run at several temperatures, a ladder or a walk, as an ensemble at any temperature between them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trajectories.ensemble.blocks import Stored, rows_of
from trajectories.ensemble.predictions import probabilities
from trajectories.ensemble.reweighting import Weights, weights
from trajectories.ensemble.units import Feature, gather, scatter
from trajectories.errors import NotRecorded
from trajectories.storage.reader import Trajectory
from trajectories.thermodynamics import tempering

Floats = NDArray[np.float64]
SERIES = "test/prediction"


class Prediction(NamedTuple):
    """An ensemble's prediction at one temperature."""

    mean: Floats  # (points, outputs), or mean softmax (points, classes)
    error: Floats  # standard error of the mean, from independent members and the weights
    spread: Floats  # sd of the members about the mean; for classes of their probabilities
    effective: float  # how many samples at this temperature the run is worth


def at_temperature(
    run: Trajectory, temperature: float, *, name: str = SERIES, classes: bool = False, start: int | None = None
) -> Prediction:
    """Ensemble prediction at a temperature between those of a run, with standard errors, by MBAR (see `weights`).

    Args:
        run: an open trajectory whose replicas have different temperatures, or walk between them.
        temperature: T of the wanted prediction.
        name: the observable that holds the outputs, (samples, replicas, points, outputs).
        classes: whether outputs are logits, so that the mean softmax is wanted.
        start: the first step that counts; by default the last half of the samples.

    Raises:
        NotRecorded: the run lacks predictions, energies or set temperatures.
        ValueError: see `weights`.
    """
    found, share = on_ladder(run, temperature, name=name, start=start)
    value: Feature = probabilities if classes else np.asarray
    centre = value(next(found.blocks())[1]).mean(axis=(0, 1))
    means = gather(
        found, lambda f: {"shift": value(f) - centre, "square": np.square(value(f) - centre)}, share
    )  # about a centre, so that squares lose no digits
    variance = np.maximum(means["square"][0] - np.square(means["shift"][0]), 0.0)
    return Prediction(
        centre + means["shift"][0], scatter(means["shift"], share.units), np.sqrt(variance), share.effective
    )


def on_ladder(
    run: Trajectory, temperature: float, *, name: str = SERIES, start: int | None = None, most: int | None = None
) -> tuple[Stored, Weights]:
    """Return predictions of a run at several temperatures, and their weights at another one.

    Give both to `assess`, `scored`, `mean`, `quantiles` and the like: mean(predictions, weights=weights). The energy
    is that which was tempered, "potential_energy", or "tempering/energy" of a run that tempers the loss alone, at the
    steps at which predictions were recorded too; of these, ``most`` evenly along the run. Independent units are ladders
    (the i-th replicas at each temperature) where they are 4 or more, else 16 blocks of time. The other arguments and
    the errors are those of `at_temperature`. For more temperatures of the same run see `Weights.at`.
    """
    found = run.observables[name]
    loss = tempering.parameters(run).get("tempered") == "loss"
    energy, level = (
        run.observables["tempering/energy" if loss else "potential_energy"],
        run.observables["set_temperature"],
    )
    first = found.steps[len(found) // 2] if start is None and len(found) else start
    steps = found.steps[found.steps >= (first or 0)]
    steps = steps[np.isin(steps, energy.steps) & np.isin(steps, level.steps)]
    if not len(steps):
        raise NotRecorded(
            f"{run.path} holds no step from {first or 0} on at which “{name}”, “{energy.name}” and “{level.name}” were "
            "all recorded: let their reporters share a cadence"
        )
    steps = steps[:: max(1, -(-len(steps) // (most or len(steps))))]
    rows = np.searchsorted(found.steps, steps)
    drawn = rows_of(level, np.searchsorted(level.steps, steps))
    values = rows_of(energy, np.searchsorted(energy.steps, steps))
    return Stored(found, rows), weights(values, drawn, temperature, together=_ladders(run, drawn))


def _ladders(run: Trajectory, drawn: Floats) -> NDArray[np.intp]:
    """Independent group of each replica, (replicas,); all in one where ladders are not whole."""
    replicas = drawn.shape[1]
    if "tempering/rung" in run.observables:
        return np.asarray(tempering.walk(run, start=-1).units)
    levels, rung, counts = np.unique(drawn[0], return_inverse=True, return_counts=True)
    if (drawn != drawn[0]).any() or (counts != counts[0]).any():
        return np.zeros(replicas, dtype=np.intp)
    ladders = np.empty(replicas, dtype=np.intp)
    for k in range(len(levels)):
        ladders[rung == k] = np.arange(counts[0])  # the i-th replica at this temperature
    return ladders
