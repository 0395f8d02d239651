"""W4: the entropy of two blocks of weights is a plane, and the mean test loss at each train loss a line."""

from __future__ import annotations

import numpy as np

from mdnet.experiments.landscape.checks import walks
from mdnet.experiments.landscape.checks.regression import Regression, regression
from mdnet.experiments.landscape.task import Walk
from mdnet.experiments.results import Array, Check, Plot, Study
from mdnet.figures import Line, curves
from mdnet.landscape import Table

BLOCKS = 10, 6
PLANE = Walk(dt=0.04, friction=1.0, walkers=128, learn=6_000, count=12_000, every=4, peak=0.3)
REGRESSION = Walk(dt=0.05, friction=1.0, walkers=64, learn=4_000, count=16_000, every=4, peak=0.1)


def w4(seed: int = 0, *, copies: int = 5) -> Study:
    """Return the slopes of the plane, and the test loss of a linear regression beside its exact line."""
    slopes, error = plane(PLANE, copies=copies, seed=seed)
    line = regression(REGRESSION, copies=copies, seed=seed)
    rows = [
        [f"S(x, y), {dof} weights: slope over D/2", walks.joined(slope / (dof / 2))]
        for dof, slope in zip(BLOCKS, slopes, strict=True)
    ]
    rows += [["S(x, y): rms error (k_B)", walks.joined(error)]]
    rows += [["regression, S(ln L_train): rms error (k_B)", walks.joined(line.rms)]]
    rows += [
        [f"regression, ⟨L_test⟩ at ln L_train = {x:.2f} over exact", walks.joined(ratio)]
        for x, ratio in zip(line.x, (line.measured / line.exact).T, strict=True)
    ]
    return Study(
        name="plane",
        title="The entropy of two variables",
        columns=["quantity", "measured"],
        rows=rows,
        caption=f"Blocks of {BLOCKS[0]} and {BLOCKS[1]} weights, each with a quadratic energy of its own data, in a "
        "table that is flat in both logarithms; a linear regression, flat in ln L_train, with L_test recorded beside "
        f"it. {copies} independent tables, ± their standard error.",
        checks=checks(slopes, line),
        plots=[drawn(line)],
    )


def plane(walk: Walk, *, copies: int, seed: int, bin: float = 0.1) -> tuple[Array, Array]:
    """Return the slopes of S(x, y) of two blocks (2, copies), and its rms distance from the exact plane (copies,)."""
    replicas = copies * walk.walkers
    system, variables = walks.quadratic(BLOCKS, replicas)
    axes = [walks.window(variable.name, bin) for variable in variables]
    table = Table(axes, replicas, copies=copies, sigma=3.0)
    start = walks.spread(BLOCKS, replicas, seed)
    found = walks.finish(*walks.begin(system, variables, table, walk, start, seed=seed), walk)
    x, y = np.meshgrid(axes[0].centres, axes[1].centres, indexing="ij")
    design = np.stack([x.ravel(), y.ravel(), np.ones(x.size)], 1)
    fitted: Array = np.linalg.lstsq(design, found.entropy.reshape(copies, -1).T, rcond=None)[0]
    return fitted[:2], walks.rms(found.entropy, BLOCKS[0] / 2 * x + BLOCKS[1] / 2 * y)


def checks(slopes: Array, line: Regression) -> list[Check]:
    """Return the claims of W4: the copy whose slope is worst counts, and the mean over copies of the test loss."""
    found = []
    for dof, slope in zip(BLOCKS, slopes, strict=True):
        off = float(abs(slope / (dof / 2) - 1).max())
        name = f"two blocks: slope of S along that of {dof} weights"
        found.append(Check(name, f"{dof / 2:g} within 2 %", f"off by {off:.2%} at most", off < 0.02))
    off = float(abs(line.measured.mean(0) / line.exact - 1).max())
    name = "regression: ⟨L_test⟩ at fixed L_train"
    return [*found, Check(name, "exact line within 2 %", f"off by {off:.2%} at most", off < 0.02)]


def drawn(line: Regression) -> Plot:
    """Draw the mean test loss over the exact one against the train loss."""
    ratio = line.measured / line.exact
    bars = ratio.std(0, ddof=1) / len(ratio) ** 0.5
    lines = [Line("linear regression", line.x, ratio.mean(0), bars)]
    figure = curves(lines, x="ln L_train", y="⟨L_test⟩ over its exact value", levels={"exact": 1.0})
    return Plot("The test loss at a train loss", figure, "Bars: the standard error over copies.")
