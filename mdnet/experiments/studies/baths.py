"""Which thermostat: the restrained run of a problem with every bath, at the same temperature and the same budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from mdnet.experiments.problems import Problem
from mdnet.experiments.results import Array, Check, Plot, Study
from mdnet.experiments.simmering import FRICTION, LINKS, TAU, chain
from mdnet.experiments.studies import members
from mdnet.experiments.studies.bath_measures import COLUMNS, Row, measure
from mdnet.experiments.studies.finished import Finished
from mdnet.experiments.studies.sampling import sample
from thermostats import Andersen, Berendsen, Bussi, Langevin, NoseHooverChain
from trajectories.report.drawing import BLUE, FAINT, STYLE, VERMILLION
from trajectories.statistics import Estimate

Bath = NoseHooverChain | Langevin | Bussi | Andersen | Berendsen

LONGER = 8  # times the steps of a run, each half as long, has the reference
GATE = 5.0  # standard errors
LOCAL = ("massive chain", f"Langevin, friction {FRICTION:g}", "Andersen")  # they act fast, on each weight by itself


def planned(problem: Problem) -> dict[str, Bath]:
    """Return the baths by name; the second Langevin bath damps the slowest motion, the restraint's, critically."""
    t = problem.temperature
    return {
        "chain, 1 link": chain(t, 1),
        "chain, 3 links": chain(t, 3),
        "chain, 10 links": chain(t, 10),
        "massive chain": NoseHooverChain(t, TAU, links=LINKS, group="massive"),
        f"Langevin, friction {FRICTION:g}": Langevin(t, FRICTION),
        f"Langevin, friction {critical(problem):.2g}": Langevin(t, critical(problem)),
        "Bussi": Bussi(t, TAU),
        "Andersen": Andersen(t, FRICTION),
        "Berendsen": Berendsen(t, TAU),
    }


def critical(problem: Problem) -> float:
    """Return the friction 2 sqrt(T) that damps an oscillator of mass 1 and spring T critically: a restraint of s = 1.

    The restraint alone holds most weights back; a period of theirs is 2 pi/sqrt(T).
    """
    return 2 * math.sqrt(problem.temperature)


def baths(finished: Finished) -> Study:
    """Run every bath from Adam's minimum, and compare score, sampled law and speed with each other and a long run."""
    rows, reference = measured(finished)
    return Study(
        "baths",
        "Which thermostat",
        ("bath", finished.comparison.columns[1], *COLUMNS),
        [row.cells for row in [*rows, reference]],
        caption(finished, rows),
        checks(rows),
        [Plot("What a bath samples", overview(finished, rows, reference), PICTURE)],
        {row.name: numbers(row) for row in [*rows, reference]},
    )


def measured(finished: Finished) -> tuple[list[Row], Row]:
    """Return the numbers of every bath, and those of the reference."""
    task, problem = finished.task, finished.task.problem
    long = replace(
        problem, dt=problem.dt / 2, stage_steps=LONGER * problem.stage_steps,
        sample_steps=LONGER * problem.sample_steps, sample_every=LONGER * problem.sample_every,
    )  # fmt: skip
    slow = Langevin(problem.temperature, critical(problem))
    reference = sample(replace(task, problem=long), slow, start=finished.overfit)
    noise = None if task.classes else members.noise(finished, members.restrained(finished))
    rows = []
    for name, bath in planned(problem).items():
        run = sample(task, bath, start=finished.overfit)
        rows.append(measure(task, name, run, reference, noise, canonical=bath.canonical))
    return rows, measure(task, "reference", reference, reference, noise, canonical=True)


def checks(rows: Sequence[Row]) -> list[Check]:
    """Baths that act on each weight hold every tensor at T within the budget; Berendsen's fluctuations are wrong."""
    local, berendsen = [row for row in rows if row.name in LOCAL], rows[-1]
    worst = max(local, key=lambda row: abs(row.layer.value - 1))
    return [
        Check(
            f"the worst tensor's temperature under {'; '.join(LOCAL)}", "within 10 % of T",
            f"farthest: {worst.name}, {worst.layer.value - 1:+.0%}", abs(worst.layer.value - 1) < 0.1,
        ),
        Check(
            "the fluctuations of K under Berendsen's bath", f"more than {GATE:g} standard errors from canonical",
            f"sd(K)/canonical {berendsen.width:.2f}, {berendsen.width_z:+.0f} standard errors",
            abs(berendsen.width_z) > GATE,
        ),
    ]  # fmt: skip


def caption(finished: Finished, rows: Sequence[Row]) -> str:
    """Tell how the table was made, and what it says."""
    problem = finished.task.problem
    period, time = 2 * math.pi / math.sqrt(problem.temperature), problem.dt * problem.sample_steps
    best = (min if problem.metric == "mse" else max)(rows, key=lambda row: float(row.score.mean()))
    worse = [row.name for row in rows if row is not best and apart(best.score, row.score) > 2]
    off = [row.name for row in rows if abs(row.off.z(0)) > GATE]
    uneven = [row.name for row in rows if abs(row.layer.z(1)) > GATE]
    slow = [row.name for row in rows if not row.native]
    return (
        f"The restrained run with other baths: the same start, staircase and dt = {problem.dt:g}, {problem.heating} + "
        f"{problem.sample_steps} steps; ± over {finished.task.seeds} seeds. Reference: a Langevin bath of friction "
        f"{critical(problem):.2g} with {LONGER} times as many steps, half as long; differences are taken seed by seed. "
        "The distance is Kolmogorov's, of all samples; p that of decorrelated ones, all seeds together. Effective "
        "samples of U are arviz's: they cannot count what was never visited. Seconds are of the processor, heating "
        f"included; steps not compiled: {listed(slow)}. Best score: {best.name}; worse by two standard errors or more: "
        f"{listed(worse)}. Beyond {GATE:g} standard errors are ⟨U⟩ of: {listed(off)}; the temperature of a tensor of: "
        f"{listed(uneven)}. The slowest motion, that of the restraint, has a period of {period:.0f}; the sampling "
        f"lasts {time:.0f}."
    )


def listed(names: Sequence[str]) -> str:
    """List names, or say that there is none."""
    return "; ".join(names) or "none"


def apart(one: Array, other: Array) -> float:
    """Return how many standard errors two scores (seeds,) differ, seed by seed."""
    each = one - other
    return abs(float(each.mean())) / max(float(each.std(ddof=1)) / math.sqrt(len(each)), 1e-300)


def numbers(row: Row) -> dict[str, Any]:
    """Return a row for JSON."""
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(row).items()}


PICTURE = (
    "By bath, with standard errors over seeds: the score; the mean energy less the reference's, the temperature of the "
    "worst tensor of weights or biases, both canonical at the line; and how many new samples of U a force evaluation "
    "brings. Open squares: not canonical; the line among the scores is the reference's."
)


def overview(finished: Finished, rows: Sequence[Row], reference: Row) -> Figure:
    """Draw a line for each bath, and a panel for each number."""
    panels: tuple[tuple[str, float | None, list[Estimate]], ...] = (
        (finished.comparison.columns[1], float(reference.score.mean()), [over_seeds(row.score) for row in rows]),
        ("(⟨U⟩ − reference)\n/(N_f T/2)", 0.0, [row.off for row in rows]),
        ("worst tensor's T / T", 1.0, [row.layer for row in rows]),
        ("effective samples of U\nper 1000 forces", None, [over_seeds(row.effective) for row in rows]),
    )
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.5, 1.2 + 0.26 * len(rows)), layout="constrained")
        drawn = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (label, line, values) in zip(drawn, panels, strict=True):
            if line is not None:
                axes.axvline(line, color=FAINT, linewidth=1)
            for place, (row, (value, error)) in enumerate(zip(rows, values, strict=True)):
                colour, mark, face = (BLUE, "o", BLUE) if row.canonical else (VERMILLION, "s", "none")
                axes.errorbar(
                    value, place, xerr=error, color=colour, marker=mark, markerfacecolor=face, capsize=2, markersize=5
                )
            axes.set_xlabel(label)
        drawn[0].set_yticks(range(len(rows)), [row.name for row in rows])
        drawn[0].invert_yaxis()
    return figure


def over_seeds(values: Array) -> Estimate:
    """Return the mean and standard error of values (seeds,)."""
    return Estimate(float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))))
