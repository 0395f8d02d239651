"""The scores of a run's ensemble on its test set, and what the canonical laws say of the run, as tables."""

import math
from typing import NamedTuple

import numpy as np

from trajectories import ensemble, thermodynamics
from trajectories.ensemble import Assessment
from trajectories.report import reading
from trajectories.report.drawing import Table
from trajectories.report.prediction_figures import outputs, test_set
from trajectories.statistics import Estimate
from trajectories.storage.reader import Trajectory


class Scored(NamedTuple):
    """The scores of the ensemble of a run, and of its members."""

    assessment: Assessment
    note: str  # which samples and replicas these are, in words


def assessed(run: Trajectory) -> Scored:
    """Assess the ensemble of the last half of the predictions, of the replicas at the lowest temperature.

    With /parameters/test/per_replica each replica is an ensemble on its own test set, and the points are pooled.

    Raises:
        Missing: no predictions or no targets were recorded, or they do not fit or are not finite.
    """
    found, test = outputs(run), test_set(run)
    values, targets = found.values, np.asarray(test["targets"])
    if test.get("per_replica"):  # each replica's own points side by side, as those of one replica
        samples, replicas, points, width = values.shape
        values, targets = values.reshape(samples, 1, replicas * points, width), targets[reading.group(run).replicas]
        targets = targets.reshape(-1, *targets.shape[2:])
    return Scored(ensemble.assess(values, targets), f"from step {found.steps[0]} on, {found.note}")


def _error(value: float, error: float) -> str:
    return "0" if error < 1e-12 * abs(value) else _number(error, ".2g")  # rounding is no error


def scores(run: Trajectory) -> Table:
    """List every score of a single member and of the ensemble, with the errors from members and from test points."""
    found, note = assessed(run)
    rows = [
        [name, who, f"{score.value:.4g}", *(_error(score.value, one) for one in score[1:])]
        for who, several in found.scores.items()
        for name, score in several.items()
    ]
    columns = ("score", "of", "value", "se (members)", "se (test points)")
    caption = (
        f"{found.kind.capitalize()} by {found.members} members at {found.points} test points, {note}. Errors: by the "
        f"members, from {found.source}, is what another run of the same length would change; by the test points, what "
        "another test set of the same size would change."
    )
    return Table(columns, rows, caption)


def checks(run: Trajectory) -> Table:
    """List the laws of the canonical ensemble with what the run says of each, see `thermodynamics.canonical_checks`."""
    rows = [
        [one.name, _told(one.value, one.error), _number(one.expectation), _number(one.z, "+.1f"), one.verdict, one.note]
        for one in thermodynamics.canonical_checks(run)
    ]
    caption = (
        "Relative values, so that 1, or 0 for a drift, is exact; z is the deviation in standard errors, and a law "
        "fails beyond 5 of them. A law is open where the data do not tell."
    )
    return Table(("law", "value", "exact", "z", "verdict", "note"), rows, caption)


def _told(value: float, error: float) -> str:
    if not math.isfinite(value):
        return "–"
    return str(Estimate(value, error)) if math.isfinite(error) else _number(value)


def _number(value: float, form: str = ".4g") -> str:
    return format(value, form) if math.isfinite(value) else "–"
