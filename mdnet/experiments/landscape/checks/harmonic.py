"""W1: walkers on a harmonic potential in a box find S = D/2 ln U, in 10 and in 50 dimensions."""

from __future__ import annotations

import torch
from torch import Tensor

from mdnet.experiments.landscape.checks import walks
from mdnet.experiments.landscape.checks.walks import Found
from mdnet.experiments.landscape.task import Walk
from mdnet.experiments.results import Array, Check, Plot, Study
from mdnet.figures import Line, curves
from mdnet.landscape import Table
from mdnet.simulation import finish

WALKS = {
    10: Walk(dt=0.05, friction=3.0, walkers=64, learn=4_000, count=12_000, every=4, peak=0.1),
    50: Walk(dt=0.03, friction=3.0, walkers=128, learn=6_000, count=10_000, every=4, peak=1.0),
}
RMS = {10: 0.1, 50: 0.3}


def w1(seed: int = 0, *, copies: int = 5) -> Study:
    """Return the slopes of S and their errors in 10 and 50 dimensions, and what the kernel at the edge is good for."""
    found = {dof: walks.harmonic(walk, dof, copies=copies, seed=seed) for dof, walk in WALKS.items()}
    cut = without_mirrors(WALKS[10], 10, copies=copies, seed=seed)
    x = found[10].axes[0].centres
    table = [row(f"D = {dof}, counted", one.entropy, dof, x) for dof, one in found.items()]
    table += [row(f"D = {dof}, the table as it was learnt", one.learnt, dof, x) for dof, one in found.items()]
    table.append(row("D = 10, as learnt, the kernel cut at the edges", cut, 10, x))
    return Study(
        name="harmonic",
        title="Entropy of a harmonic potential in a box",
        columns=["table", "slope over D/2, copy by copy", "rms error of S (k_B), copy by copy"],
        rows=table,
        caption=f"ln U from {walks.LOW} to {walks.HIGH}, {copies} independent tables, ± their standard error. Walkers "
        "begin evenly spread over the window. " + " ".join(told(dof, one) for dof, one in found.items()),
        checks=[check for dof, one in found.items() for check in checks(dof, one)],
        plots=[drawn(found, cut, x)],
        numbers={f"slopes {dof}": walks.slopes(one.entropy, x).tolist() for dof, one in found.items()},
    )


def checks(dof: int, found: Found) -> list[Check]:
    """Return the claims of W1 in D dimensions; the copy that is worst counts."""
    x = found.axes[0].centres
    slope = float(abs(walks.slopes(found.entropy, x) / (dof / 2) - 1).max())
    error = float(walks.rms(found.entropy, dof / 2 * x).max())
    return [
        Check(f"D = {dof}: slope of S in ln U", f"{dof / 2:g} within 1 %", f"off by {slope:.2%} at most", slope < 0.01),
        Check(f"D = {dof}: rms error of S", f"≤ {RMS[dof]} k_B", f"{error:.3f} k_B at most", error <= RMS[dof]),
    ]


class CutTable(Table):
    """A table whose kernels lose what falls beyond the edges of the window: how not to do it."""

    def smooth(self, hits: Tensor) -> None:
        """Spread hits (tables, bins) by a normal law without mirrors, add them to S, and begin to wait anew."""
        at = torch.arange(hits.shape[-1], dtype=torch.float64)
        law = torch.exp(-0.5 * ((at[:, None] - at) / self.sigma) ** 2) / (self.sigma * (2 * torch.pi) ** 0.5)
        self.entropy.add_(hits @ law)
        self.hits.zero_()


def without_mirrors(walk: Walk, dof: int, *, copies: int, seed: int) -> Array:
    """Return S (copies, bins) as it is learnt with kernels that are cut at the edges."""
    replicas = copies * walk.walkers
    system, variables = walks.quadratic([dof], replicas)
    table = CutTable([walks.window("ln U", 0.02)], replicas, copies=copies)
    start = walks.spread([dof], replicas, seed)
    simulation, _ = walks.begin(system, variables, table, walk, start, seed=seed)
    finish(simulation, walk.learn, progress=False)
    return table.entropy.numpy()


def row(name: str, entropy: Array, dof: int, x: Array) -> list[str]:
    """Return a row of the table: slopes over D/2 and rms errors."""
    slope, error = walks.slopes(entropy, x) / (dof / 2), walks.rms(entropy, dof / 2 * x)
    return [name, walks.joined(slope), walks.joined(error)]


def told(dof: int, found: Found) -> str:
    """Tell how the walkers of a run did."""
    return (
        f"D = {dof}: {found.trips:.0f} round trips a walker, min H/mean H {found.flatness:.2f}, "
        f"{found.acceptance:.0%} of the tests accepted."
    )


def drawn(found: dict[int, Found], cut: Array, x: Array) -> Plot:
    """Draw S less the exact one against ln U, the mean over copies."""
    tables = {f"D = {dof}, counted": (one.entropy, dof) for dof, one in found.items()}
    tables["D = 10, as learnt, kernel cut at the edges"] = cut, 10
    lines = []
    for name, (entropy, dof) in tables.items():
        away = walks.off(entropy, dof / 2 * x)[:, 2::5]
        lines.append(Line(name, x[2::5], away.mean(0), away.std(0, ddof=1) / len(away) ** 0.5))
    figure = curves(lines, x="ln U", y="S − (D/2) ln U (k_B)", levels={"exact": 0.0})
    return Plot("The error of the entropy", figure, "Every fifth bin; bars: the standard error over copies.")
