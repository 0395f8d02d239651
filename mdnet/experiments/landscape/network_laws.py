"""W5 and W6: two methods that agree on a real network, and the numbers that the paper gives of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mdnet.experiments.landscape import claims
from mdnet.experiments.landscape.baselines import crossings
from mdnet.experiments.landscape.method import METHODS, Plan
from mdnet.experiments.landscape.reproduction import LOOK
from mdnet.experiments.landscape.task import Walk
from mdnet.experiments.landscape.tasks import TASKS
from mdnet.experiments.landscape.telling import Cell, levels, studies, table
from mdnet.experiments.results import Check, Study
from trajectories.landscape import agreement
from trajectories.landscape.ladder import Ladder

REGRESSION = TASKS["spiral-regression"]
WIDTH, POINTS, COPIES, SEEDS = 30, 100, 4, 96
LOW, HIGH = -2.0, -0.6  # the window of W5
NARROW = Walk(dt=0.003, friction=3.0, walkers=32, learn=40_000, count=60_000)
RUNS = {"W5": ("w5-wlmd", "w5-ladder"), "W6": ("w6-wlmd",)}  # the folders of a law's runs
LADDERS = 8  # independent ones: fewer tell too little of their error
Z = 5.0


def w5(out: Path, *, overwrite: bool = False, walk: Walk = NARROW) -> Study:
    """Compare S of W = 30, N = 100 by a table that fills with that of the ladder, and the ladder's rungs."""
    task = replace(REGRESSION, low=LOW, high=HIGH)
    plan = Plan(task, WIDTH, POINTS, walk, out, copies=COPIES, overwrite=overwrite)
    places = [out / name for name in RUNS["W5"]]
    found = METHODS["wlmd"](replace(plan, folder=places[0]))
    ladder = METHODS["ladder"](replace(plan, folder=places[1], copies=LADDERS))
    told = Cell(plan, found, {}, ladder)
    checks = [claims.agreement(found.landscape, ladder.landscape, low=LOW, high=HIGH)]
    assert ladder.samples is not None
    checks.append(conditionals(ladder.samples))
    methods = next(study for study in studies(told) if study.name == "methods")
    rows = [[each.name, each.expectation, each.measured] for each in claims.converged(found.rows)]
    return replace(
        methods, name="w5", title="Two methods on a network: W = 30, N = 100", checks=checks,
        columns=["what a converged run shows", "wanted", "measured"], rows=rows,
    )  # fmt: skip


def conditionals(ladder: Ladder) -> Check:
    """Return whether the mean of ln L_test at fixed ln L_train is the same on all rungs."""
    axis = replace(REGRESSION, low=LOW, high=HIGH).axes[0]
    said = agreement.conditionals(ladder, axis, "ln L_test")
    worst = float(abs(said.z).max())
    return Check(
        "ln L_test at fixed ln L_train does not depend on n", f"neighbouring rungs within {Z:g} standard errors",
        f"|z| ≤ {worst:.1f} over {len(said.z)} pairs, differences ≤ {abs(said.difference).max():.3f}", worst <= Z,
    )  # fmt: skip


def w6(out: Path, *, overwrite: bool = False, walk: Walk | None = None) -> Study:
    """Return the paper's numbers of W = 30, N = 100 beside those found."""
    (place,) = (out / name for name in RUNS["W6"])
    plan = Plan(REGRESSION, WIDTH, POINTS, walk or REGRESSION.short, place, copies=COPIES, overwrite=overwrite)
    found = METHODS["wlmd"](plan)
    places = levels(found.landscape)
    adam, boxed = (
        crossings(REGRESSION, WIDTH, POINTS, places, seeds=SEEDS, data_seed=plan.seed, every=LOOK, boxed=boxed)
        for boxed in (False, True)
    )
    cell = Cell(plan, found, {"Adam": adam, "Adam in the box": boxed}, None)
    main, told = studies(cell)[0], table(cell)
    return replace(
        main, name="w6", title="The paper: W = 30, N = 100", columns=told.columns, rows=told.rows,
        caption="Trained networks: where ln L_train first falls to a level; the check takes all times there.",
        checks=claims.published(found.landscape, adam),
    )  # fmt: skip
