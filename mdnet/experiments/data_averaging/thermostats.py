"""Temperature in one language: SGD at lr/B beside thermostats at T on the same data sets, and whether gaps agree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdnet.experiments.data_averaging import thermostat_figures as figures
from mdnet.experiments.data_averaging.models import Floats
from mdnet.experiments.data_averaging.thermostat_comparison import Apart, Found, claims, conclude, controls
from mdnet.experiments.data_averaging.thermostat_reading import AGAIN, CHAIN, DESCENT, LANGEVIN, Steady, folder_of
from mdnet.experiments.data_averaging.thermostat_runs import PROBLEM, Problem, Runs, Where
from mdnet.experiments.results import Study, mean_of
from mdnet.recording import refuse_existing
from trajectories.averaging import GapLaw, fit_gap
from trajectories.sgd import Values

RUNS = "thermostats"  # the folder of the runs, in that of the page


def study(
    folder: Path, *, seed: int = 0, overwrite: bool = False, progress: bool = True, problem: Problem = PROBLEM
) -> Study:
    """Run SGD, Langevin dynamics twice and a Nose-Hoover chain on the same data sets and compare their gaps.

    U = mean loss + decay theta^2/2 in all, so that e^{-U/T} can be normalised. The runs are written below
    `folder`/thermostats; what is concluded, in words, is in the caption and in numbers["conclusion"]. `seed`: of the
    first data set, the starts and the noise.

    Raises OutputExistsError where a run is there and may not be replaced, KeyboardInterrupt where a signal has stopped
    one.
    """
    place = folder / RUNS
    if not overwrite:
        for name in (DESCENT, LANGEVIN, AGAIN, CHAIN):
            refuse_existing(place / folder_of(name))
    runs = Runs(problem, Where(place, seed, overwrite, progress))
    found = Found({
        DESCENT: runs.descent(), LANGEVIN: runs.langevin(), AGAIN: runs.langevin(AGAIN), CHAIN: runs.chain()
    })  # fmt: skip
    laws = {name: fit_gap(steady.curve) for name, steady in found.steady.items()}
    conclusion = conclude(found)
    return Study(
        "thermostats", "Temperature in one language: SGD at lr/B, Langevin dynamics and a Nose-Hoover chain at T",
        _COLUMNS, rows(found), f"{conclusion} {_told(laws)} {_caption(problem)}", [*controls(found), *claims(found)],
        [figures.by_temperature(found, laws), figures.by_loss(found), figures.spread(found)],
        _numbers(found, laws, conclusion),
    )  # fmt: skip


_COLUMNS = (
    "method",
    "T (lr/B or set)",
    "T of isotropic noise",
    "configurational T",
    "train loss",
    "test loss",
    "gap",
    "test accuracy",
    "⟨θ²⟩",
)


def rows(found: Found) -> list[list[str]]:
    """Return the table, a row for each method and temperature."""
    table = []
    for name, steady in found.steady.items():
        curve = steady.curve
        assert curve.test_accuracy is not None
        for k, t in enumerate(curve.temperatures):
            scores = (curve.train, curve.test, curve.gap, curve.test_accuracy, steady.spread)
            matched, shape = (f"{values[k].mean():.2g}" for values in (steady.matched, steady.configurational))
            table.append([name, f"{t:.3g}", matched, shape, *(mean_of(values[k]) for values in scores)])
    return table


def _told(laws: dict[str, GapLaw]) -> str:
    """What Eq. 1 makes of each curve."""
    parts = []
    for name, law in laws.items():
        low, high = law.intervals["c"]
        why = f" ({law.reason})" if law.reason else ""
        parts.append(f"{name} c = {law.c:.3g} ({low:.2g} to {high:.2g}), R² = {law.r2:.2f}{why}")
    return f"gap = (a/T + b) exp(−T/c), each against its own T: {'; '.join(parts)}."


def _caption(problem: Problem) -> str:
    """How the table was made."""
    model, descent, thermal = problem.model, problem.descent, problem.thermal
    return (
        f"{model.title}, tanh, {model.splits} data sets by splitting. U is the mean loss with {model.decay:g} θ²/2, "
        "ten times the published decay, so that flat directions come to rest in time. All start from the minima that "
        f"Adam finds on each data set, the same at every T. SGD: lr = {model.rates[0]:g}, B from {max(model.batches)} "
        f"to {min(model.batches)}, {descent.steps} steps, medians of {descent.frames} looks over the last "
        f"{descent.frames * descent.stride}. Thermostats: BAOAB on all rows, dt = {problem.dt:g}, {thermal.steps} "
        f"steps, {thermal.frames} looks over the last {thermal.frames * thermal.stride}; friction "
        f"{problem.friction:g}, or a chain of {problem.links} links (tau = {problem.tau:g}) for each parameter. T of "
        "isotropic noise: (lr/2) E|g_B − g|²/D, that of Langevin dynamics whose noise has the trace of SGD's. At equal "
        "training loss, by straight lines between each data set's own points, no temperatures are matched. Errors are "
        "over data sets."
    )


def _numbers(found: Found, laws: dict[str, GapLaw], conclusion: str) -> dict[str, Any]:
    """What results.json keeps."""
    return {
        "conclusion": conclusion,
        "methods": {name: _entry(steady, laws[name]) for name, steady in found.steady.items()},
        "gap at equal training loss": {
            f"{one} over {LANGEVIN}": _compared(found.gaps(one)) for one in (DESCENT, AGAIN, CHAIN)
        },
        "spread at equal training loss": _compared(found.spreads()),
    }


def _entry(steady: Steady, law: GapLaw) -> dict[str, Any]:
    curve = steady.curve
    tables = {"train": curve.train, "test": curve.test, "gap": curve.gap, "spread": steady.spread}
    temperatures = {"matched": steady.matched, "configurational": steady.configurational}
    return {
        "T": curve.temperatures.tolist(),
        **{name: _plain(values) for name, values in (tables | temperatures).items()},
        "law": {
            "a": _finite(law.a),
            "b": _finite(law.b),
            "c": _finite(law.c),
            "r2": _finite(law.r2),
            "reason": law.reason,
        },
    }


def _compared(apart: Apart) -> dict[str, Any]:
    return {
        "levels": apart.levels.tolist(),
        "ratio": _pair(apart.ratio),
        "overall": {"value": apart.overall.value, "error": apart.overall.error},
        "p": apart.p,
    }


def _pair(values: Values) -> dict[str, Sequence[float | None]]:
    return {"value": [_finite(x) for x in values.value], "error": [_finite(x) for x in values.error]}


def _plain(table: Floats) -> list[list[float | None]]:
    return [[_finite(x) for x in row] for row in table]


def _finite(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None
