"""Landscapes from the file of a run that filled a table: what was learnt, what was counted, and when."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from trajectories.errors import NotRecorded
from trajectories.landscape.axes import Axis, Floats
from trajectories.landscape.joining import join
from trajectories.landscape.landscape import Landscape, log_sum
from trajectories.storage.observables import Observable
from trajectories.storage.reader import Trajectory

COUNTED, LEARNT = "Wang-Landau", "Wang-Landau, learnt only"


def of_run(run: Trajectory, keep: Sequence[str] | None = None) -> Landscape:
    """Return ln Omega = S + ln H_w at the last write of a run that filled a table, its windows joined, a copy a table.

    A run that has not begun to count yields S as it was learnt: its `visits` are None and its `method` says so.
    `keep`: variables to keep of those that the run has, by name; others are summed over.

    Raises NotRecorded for a run without such a table, ValueError for windows that cannot be joined yet, unknown
    variables, and more than two.
    """
    return History(run).landscape(keep=keep)


class History:
    """What a run wrote of its tables, as it went on; sums are cumulative and begin when learning ends.

    Attributes: `axes`, of the table and of what was counted beside; `flat`: how many are the table's; `copies`,
    `windows`, `firsts` (windows,): the first bin of each; `learn`, `every`: steps of learning, and between visits;
    `factor`: gamma of a well-tempered bias or None; `steps` (samples,): when it wrote; `walkers`; `dof`.

    Raises NotRecorded for a run without a table that was filled.
    """

    def __init__(self, run: Trajectory) -> None:
        given = run.parameters.get("landscape", {})
        bias = given.get("bias", {})
        if bias.get("kind") != "table" or "landscape/entropy" not in run.learnt or "learn" not in given:
            kind = f"its bias is of the kind {bias['kind']!r}" if bias else "it has no bias"
            raise NotRecorded(
                f"{run.path} holds no table of states: {kind}, or no WangLandau filled it; run a Simulation with a "
                "BiasedForce on a Table and the action WangLandau"
            )
        self.run, table = run, [Axis(**axis) for axis in bias["axes"]]
        self.axes = (*table, *(Axis(**axis) for axis in given["record"]))
        self.flat, self.copies, self.windows = len(table), int(bias["copies"]), len(bias["lows"])
        self.firsts = [round((float(low) - table[0].low) / table[0].width) for low in bias["lows"]]
        self.learn, self.every, self.factor = int(given["learn"]), int(given["every"]), given.get("factor")
        self.walkers, self.dof = run.replicas, run.degrees_of_freedom
        self.steps = self._series("entropy").steps
        if not len(self.steps):
            raise NotRecorded(f"{run.path} has not written its tables yet: let it run for longer")

    @cached_property
    def counted(self) -> list[int]:
        """The samples that were written while it counted."""
        return np.flatnonzero(self.steps >= self.learn + self.every).tolist()

    def has(self, name: str) -> bool:
        """Whether "landscape/<name>" was written."""
        return f"landscape/{name}" in self.run.learnt

    def sums(self, name: str, sample: int = -1, since: int | None = None) -> Floats:
        """Return a sum, "visits", "weights", "kinetic" or "tested", at a sample, from another one on or from the start.

        (copies, windows, ...); "tested" (3, copies, windows).
        """
        series = self._series(name)
        found = np.asarray(series.read("value", sample), dtype=np.float64)
        if since is not None:
            found = found - series.read("value", since)
        if name == "tested":
            return found.reshape(3, self.copies, self.windows)
        return found.reshape(self.copies, self.windows, *found.shape[1:])

    def before_counting(self) -> int | None:
        """Return the last sample of learning, None where there is none: "tested" begins with the run, not with it."""
        learning = np.flatnonzero(self.steps <= self.learn)
        return int(learning[-1]) if len(learning) else None

    def landscape(self, sample: int = -1, since: int | None = None, keep: Sequence[str] | None = None) -> Landscape:
        """Return the landscape at a sample, by what was counted from sample `since` on, or from the start."""
        kept = self._kept(keep)
        sample = range(len(self.steps))[sample]
        entropy = np.asarray(self._series("entropy").read("value", sample), dtype=np.float64)
        entropy = entropy.reshape(self.copies, self.windows, *entropy.shape[1:])
        if sample not in self.counted:
            return self._learnt(entropy, kept)
        recorded = len(self.axes) - self.flat
        visits, weights = self.sums("visits", sample, since), self.sums("weights", sample, since)
        with np.errstate(divide="ignore"):
            tables = entropy.reshape(*entropy.shape, *[1] * recorded) + np.log(weights)
        bins = self.axes[0].bins
        joined = np.stack(
            [join(s, self.firsts, bins, v, recorded) for s, v in zip(tables, visits, strict=True)]
        )  # (copies, *bins)
        return self._summed(joined, self.whole(visits), kept, COUNTED)

    def whole(self, sums: Floats) -> Floats:
        """Add up sums (copies, windows, *bins of a window) over windows: (copies, *bins)."""
        length = sums.shape[2]
        whole = np.zeros((self.copies, self.axes[0].bins, *sums.shape[3:]))
        for window, first in enumerate(self.firsts):
            whole[:, first : first + length] += sums[:, window]
        return whole

    def _learnt(self, entropy: Floats, kept: Sequence[int]) -> Landscape:
        if any(k >= self.flat for k in kept):
            if len(kept) > 1 and 0 not in kept:
                raise NotRecorded(f"{self.run.path} has not begun to count: {self.axes[kept[0]].name!r} is not known")
            kept = [k for k in kept if k < self.flat]
        scale = 1.0 if self.factor is None else self.factor / (self.factor - 1)
        tables = np.where(entropy != 0, scale * entropy, -np.inf)
        if not np.isfinite(tables).any(axis=tuple(range(2, tables.ndim))).all():
            raise NotRecorded(f"{self.run.path} has not learnt anything yet: let it run for longer")
        joined = np.stack([join(each, self.firsts, self.axes[0].bins) for each in tables])
        return self._summed(joined, None, kept, LEARNT)

    def _summed(self, entropy: Floats, visits: Floats | None, kept: Sequence[int], method: str) -> Landscape:
        """The landscape of the axes that are kept; the others are summed over."""
        over = tuple(k + 1 for k in range(entropy.ndim - 1) if k not in kept)
        counts = None if visits is None else visits.sum(axis=over)
        return Landscape(tuple(self.axes[k] for k in kept), log_sum(entropy, over), counts, method)

    def _kept(self, keep: Sequence[str] | None) -> list[int]:
        names = [axis.name for axis in self.axes]
        if keep is not None and (not keep or not set(keep) <= set(names)):
            raise ValueError(f"keep = {list(keep)}: the run has {names}")
        kept = [k for k, name in enumerate(names) if keep is None or name in keep]
        if len(kept) > 2:
            raise ValueError(f"a landscape is of one or two variables, this run has {names}: choose with keep=")
        return kept

    def _series(self, name: str) -> Observable:
        return self.run.learnt[f"landscape/{name}"]
