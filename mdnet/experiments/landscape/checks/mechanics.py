"""W8: the mechanics of walkers, tables and metrics, each against what it has to be."""

from __future__ import annotations

from mdnet.experiments.landscape.checks import accuracy, learning, motion
from mdnet.experiments.landscape.checks.learning import Fall
from mdnet.experiments.results import Plot, Study
from mdnet.figures import Line, curves


def w8(seed: int = 0) -> Study:
    """Return the claims on motion, learning and metrics, with the error of a table against the time of learning."""
    moved, shown = motion.steps(seed)
    fall, stages = learning.fall(seed), accuracy.stages(seed)
    checks = [
        motion.free_box(seed), *moved, fall.check, learning.mass(seed), *learning.merging(seed),
        *accuracy.checks(stages),
    ]  # fmt: skip
    return Study(
        name="mechanics",
        title="Mechanics of walkers and tables",
        columns=["run", "what was found", "and"],
        rows=[*shown, *accuracy.rows(stages)],
        caption="A quadratic energy of 10 weights, 64 walkers for each of five tables; classifiers of two spiral arms, "
        "3 layers of 6 units of ReLU, 160 training points, 400 test points, 24 networks. ± is the standard error over "
        "independent tables. Where logits are small, as at the start, the smooth accuracy is near a half.",
        checks=checks,
        plots=[drawn(fall)],
        numbers={"steps": fall.steps.tolist(), "rms": fall.error.mean(1).tolist()},
    )


def drawn(fall: Fall) -> Plot:
    """Draw the error of a table while it is learnt, beside t^-1/2."""
    mean, bar = fall.error.mean(1), fall.error.std(1, ddof=1) / fall.error.shape[1] ** 0.5
    slow = mean[-1] * (fall.steps / fall.steps[-1]) ** -0.5
    lines = [Line("tables", fall.steps, mean, bar), Line("t^−½", fall.steps, slow)]
    figure = curves(lines, x="steps", y="rms error of S (k_B)", log="xy")
    return Plot(
        "The error while a table is learnt", figure, "Weights fall as 1/t. Bars: the standard error over copies."
    )
