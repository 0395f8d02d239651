"""How a table is learnt: the error falls as t^-1/2, nothing is lost at edges, and walkers only add up."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from mdnet.experiments.landscape.checks import walks
from mdnet.experiments.landscape.task import Walk
from mdnet.experiments.results import Array, Check
from mdnet.landscape import Table
from mdnet.simulation import finish
from trajectories.landscape.axes import Axis

DOF, BINS = 10, 35
AXIS = Axis("ln U", walks.LOW, walks.HIGH, BINS)
FALL = Walk(dt=0.05, friction=3.0, walkers=4, learn=120_000, count=0, every=4, peak=0.1)
DROP = 4_000  # the step from which on the weights fall
MERGED = Walk(dt=0.05, friction=3.0, walkers=8, learn=2_000, count=4_000, every=4, peak=0.2)


class Fall(NamedTuple):
    """Steps (times,), the rms error of the table (times, copies), and the exponent of each group of copies."""

    steps: Array
    error: Array
    exponents: Array

    @property
    def check(self) -> Check:
        """The claim that the error falls as t^-1/2."""
        mean, bar = float(self.exponents.mean()), float(self.exponents.std(ddof=1) / len(self.exponents) ** 0.5)
        holds = abs(mean + 0.5) < 0.1
        span = f"from step {self.steps[0]:.0f} to {self.steps[-1]:.0f}"
        return Check("1/t: exponent of the error of S", "−0.5 ± 0.1", f"{mean:.3f} ± {bar:.3f} {span}", holds)


def fall(seed: int = 0, *, copies: int = 64, walk: Walk = FALL, groups: int = 8, times: int = 12) -> Fall:
    """Measure the error of tables while they are learnt, from three times `DROP` on, and fit its exponent."""
    replicas = copies * walk.walkers
    system, variables = walks.quadratic([DOF], replicas)
    table = Table([AXIS], replicas, copies=copies, sigma=2.0)
    start = walks.spread([DOF], replicas, seed)
    simulation, _ = walks.begin(system, variables, table, walk, start, seed=seed, drop=DROP)
    stops = np.geomspace(3 * DROP, walk.learn, times).round()
    errors = []
    for stop in stops:
        finish(simulation, int(stop) - simulation.step, progress=False)
        errors.append(walks.rms(table.entropy.numpy(), DOF / 2 * AXIS.centres))
    error = np.array(errors)
    group = np.log(np.sqrt((error**2).reshape(times, groups, -1).mean(-1)))
    return Fall(stops, error, np.polyfit(np.log(stops), group, 1)[0])


def mass(seed: int = 0) -> Check:
    """Weights that fall at and beside the edges of windows are all found in the tables again."""
    noise = torch.Generator().manual_seed(seed)
    lost = 0.0
    for axes, windows in (([AXIS], 3), ([AXIS, AXIS._replace(name="y", bins=9)], 1)):
        table = Table(axes, 400, windows=windows, sigma=3.0)
        near = torch.randint(0, 2, (400, len(axes)), generator=noise) + 0.01 * torch.rand(400, 1, generator=noise)
        ends = table.low[table.owner] + table.width * (torch.tensor(table.entropy.shape[1:]) - 1) * near.floor()
        weights = torch.rand(400, generator=noise, dtype=torch.float64)
        table.add(ends + table.width * near.frac(), weights)
        table.smooth(table.hits.clone())
        lost = max(lost, float(abs(table.entropy.sum() - weights.sum())))
    return Check("kernels at the edges: weight that is lost", "0 ± 1e-10", f"{lost:.1g} of 200", lost < 1e-10)


def merging(seed: int = 0, *, copies: int = 8) -> list[Check]:
    """One table of n walkers is that of n tables of one: exactly for the same visits, and S for n times the steps."""
    noise = torch.Generator().manual_seed(seed)
    x = walks.LOW + (walks.HIGH - walks.LOW) * torch.rand(64, 1, generator=noise, dtype=torch.float64)
    together, apart = Table([AXIS], 64), Table([AXIS], 64, copies=64)
    for table in (together, apart):
        table.add(x, 0.1)
        table.smooth(table.hits.clone())
    off = float((together.entropy[0] - apart.entropy.sum(0)).abs().max())
    exact = Check("merging: one table of 64 walkers, 64 tables of one", "equal to 1e-12", f"{off:.1g}", off < 1e-12)
    many = walks.harmonic(MERGED, DOF, copies=copies, bin=AXIS.width, sigma=2.0, seed=seed)
    n = MERGED.walkers
    alone = replace(MERGED, walkers=1, learn=n * MERGED.learn, count=n * MERGED.count)
    one = walks.harmonic(alone, DOF, copies=copies, bin=AXIS.width, sigma=2.0, seed=seed + 1)
    slopes = [walks.slopes(found.entropy, AXIS.centres) for found in (many, one)]
    gap = float(slopes[0].mean() - slopes[1].mean())
    bar = float(sum(slope.var(ddof=1) for slope in slopes) / copies) ** 0.5
    name = f"merging: slope from {n} walkers a table, and from one for {n} times the steps"
    return [exact, Check(name, "equal within 4 standard errors", f"{gap:+.3f} ± {bar:.3f}", abs(gap) < 4 * bar)]
