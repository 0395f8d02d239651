"""Retrofit or ab initio: does it matter whether dynamics starts at Adam's minimum or at random weights?"""

from __future__ import annotations

from mdnet.experiments import simmering
from mdnet.experiments.results import Check, Comparison, Study
from mdnet.experiments.studies.finished import Finished


def beginnings(finished: Finished) -> Study:
    """Run every ensemble of the table ab initio with the retrofit's budget, and set both side by side."""
    task, mine = finished.task, finished.comparison
    comparison = Comparison(task.truth, task.problem.metric)
    comparison.add("Adam", finished.predictions["Adam"])
    checks = []
    for run in simmering.ensembles(task):
        comparison.scores[f"{run.method}: retrofit"] = mine.scores[run.method]
        folder = finished.folder / "ab-initio" / run.place
        said = simmering.simmer(
            task, run, folder, start=simmering.starts(task), mode="ab-initio",
            overwrite=finished.overwrite, progress=finished.progress,
        )  # fmt: skip
        method = f"{run.method}: ab initio"
        comparison.add(method, said.reshape(-1, *said.shape[2:]))
        if run.restraint != 0:
            wins = comparison.better(method, "Adam")
            share = f"{wins.sum()}/{len(wins)}"
            checks.append(Check(f"{method}: better than Adam", "75% of the seeds", share, bool(wins.mean() >= 0.75)))
    return Study(
        "beginnings",
        "Retrofit or ab initio",
        comparison.columns,
        comparison.rows,
        f"Both spend {task.problem.budget} gradients a seed: a retrofit {task.problem.adam_steps} of them on Adam, ab "
        "initio all on dynamics at the target, with samples from its last part only.",
        checks,
        numbers={method: one.entry() for method, one in comparison.scores.items()},
    )
