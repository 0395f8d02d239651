"""Whether a run that filled a table has converged: what is wanted, what was measured, and where it is too little."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from trajectories.landscape.axes import Floats
from trajectories.landscape.difference import difference
from trajectories.landscape.reading import History
from trajectories.storage.reader import Trajectory

ENOUGH = 100  # visits of a bin, below which it tells nothing of flatness or halves
FLATNESS, TRIPS, HALVES, WARMTH, ACCEPTED, SWAPPED, LOST = 0.8, 10.0, 0.5, 0.02, 0.3, 0.1, 0.001
_CLEAR = 5.0  # standard errors
_BLOCKS = 10  # parts of a run, at most, whose scatter gives the error of a temperature


class Row(NamedTuple):
    """One thing that is wanted of a run."""

    name: str
    value: float  # nan where nothing was measured
    error: float  # standard error, nan where there is none
    wanted: str
    holds: bool | None  # None: the run tells too little
    note: str = ""

    @property
    def told(self) -> str:
        """Whether it holds, in words."""
        return "too little" if self.holds is None else "holds" if self.holds else "fails"

    def __str__(self) -> str:
        """One line."""
        return f"{self.name}: {self.told}, {self.value:.4g} (wanted {self.wanted}){f', {self.note}' * bool(self.note)}"


def verdict(run: Trajectory) -> list[Row]:
    """Return what is wanted of a run that filled a table, what it did, and whether that holds.

        flatness        min/mean of the visits of the table's bins, the least of all tables     > .8
        round trips     of a walker from one end of x to the other and back, on average         >= 10
        halves          largest |S_1 - S_2| of both halves of what was counted, of each copy    <= .5 k_B
        temperature     largest |2K/N_f/T - 1| of the bins                                      <= .02
        acceptance      of the test that removes the error of the time step, the least          >= .3
        exchanges       accepted between neighbouring windows, the least                        >= .1
        beyond          share of visits whose recorded variables left their axes                <= .001

    All are of production alone. A row whose data are too few holds neither way: its `holds` is None, and its note says
    what is missing; so do all of a run that has not begun to count.

    Raises NotRecorded for a run without a table.
    """
    history = History(run)
    rows = [_flatness(history), _trips(history), _halves(history), _warmth(history), _acceptance(history)]
    return [*rows, *_exchanges(history), *_beyond(history)]


def temperatures(history: History) -> tuple[Floats, Floats]:
    """Return 2K/N_f in the bins of the table (*bins), of all copies, and its standard error, nan where none came.

    It is in units of the temperature that the run was set to. The error is sqrt(2 g/(N_f visits)); g, how much more the
    blocks of the run scatter than independent visits would, is one number for all bins.
    """
    level = float(history.run.parameters["landscape"]["temperature"])
    ends = _blocks(history)
    kinetic, visits = (
        np.diff([history.whole(_table(history, name, k)).sum(axis=0) for k in ends], axis=0, prepend=0.0)
        for name in ("kinetic", "visits")
    )
    kinetic /= level
    total = visits.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = kinetic.sum(axis=0) / total
        scatter = np.where(visits > 0, np.square(kinetic / visits - mean) * visits, 0.0).sum(axis=0)
        free = (visits > 0).sum(axis=0) - 1.0
        known = (free > 0) & np.isfinite(mean)
        excess = history.dof / 2 * scatter[known].sum() / free[known].sum() if known.any() else np.nan
        return mean, np.sqrt(2 * max(excess, 1.0) / (history.dof * total))


def _flatness(history: History) -> Row:
    wanted = f"> {FLATNESS}"
    if not history.counted:
        return _nothing("flatness", wanted)
    visits = _table(history, "visits", -1)
    tables = visits.reshape(-1, *visits.shape[2:])
    reached = (tables > 0).any(axis=0) if history.flat > 1 else np.ones(tables.shape[1:], dtype=bool)
    least = min(float(table[reached].min() / table[reached].mean()) if table.any() else 0.0 for table in tables)
    mean = float(tables[:, reached].mean())
    if mean < ENOUGH:
        return Row("flatness", least, np.nan, wanted, None, f"{mean:.0f} visits a bin: {ENOUGH} or more tell")
    empty = int((~reached).sum())
    return Row("flatness", least, np.nan, wanted, least > FLATNESS, f"{empty} bins that none came to" if empty else "")


def _trips(history: History) -> Row:
    wanted = f">= {TRIPS:g}"
    if not history.counted:
        return _nothing("round trips", wanted)
    trips = float(_tests(history)[2].sum()) / history.walkers
    return Row("round trips", trips, np.nan, wanted, trips >= TRIPS, f"{history.walkers} walkers")


def _halves(history: History) -> Row:
    wanted = f"<= {HALVES} k_B"
    if len(history.counted) < 2:
        return _nothing("halves", wanted, "it wrote less than twice while it counted")
    steps = history.steps[history.counted] - history.learn
    middle = history.counted[int(np.argmin(np.abs(steps[:-1] - steps[-1] / 2)))]
    names = [axis.name for axis in history.axes[: history.flat]]
    try:
        first, second = history.landscape(middle, keep=names), history.landscape(-1, since=middle, keep=names)
        found = [difference(first.copy(k), second.copy(k), at_least=ENOUGH) for k in range(history.copies)]
    except ValueError as reason:
        return _nothing("halves", wanted, str(reason))
    came = np.isfinite(first.entropy) | np.isfinite(second.entropy)
    bins, known = min(each.bins for each in found), int(came.any(axis=0).sum())
    far = max(each.max for each in found)
    if far <= HALVES and bins < 0.9 * known:
        return Row("halves", far, np.nan, wanted, None, f"{bins} of {known} bins have {ENOUGH} visits in both")
    return Row("halves", far, np.nan, wanted, far <= HALVES, f"{bins} bins")


def _warmth(history: History) -> Row:
    wanted = f"<= {WARMTH}"
    if not history.counted:
        return _nothing("temperature", wanted)
    value, error = temperatures(history)
    if not np.isfinite(value).any():
        return _nothing("temperature", wanted, "its walkers have no momenta")
    off = np.where(np.isfinite(value), np.abs(value - 1), -1.0)
    worst = np.unravel_index(int(np.argmax(off)), off.shape)
    top, noise = float(off[worst]), float(error[worst])
    largest = float(error[np.isfinite(value)].max())
    note = f"{int((off > WARMTH).sum())} of {int((off >= 0).sum())} bins are further off; the worst has 1 ± {noise:.2g}"
    if _lost(history) > LOST:
        return Row("temperature", top, noise, wanted, None, "visits beyond the recorded axes have left its sums uneven")
    clear = bool(((off - WARMTH) > _CLEAR * error).any())
    holds = False if clear else None if top > WARMTH or not largest <= WARMTH else True
    return Row("temperature", top, noise, wanted, holds, note if holds is not None else f"{note}: noise, so far")


def _acceptance(history: History) -> Row:
    wanted = f">= {ACCEPTED}"
    tests = _tests(history) if history.counted else np.zeros((3, 1, 1))
    if not (tests[0] > 0).all():
        return _nothing("acceptance", wanted)
    least = float((tests[1] / tests[0]).min())
    return Row("acceptance", least, np.nan, wanted, least >= ACCEPTED)


def _exchanges(history: History) -> Iterator[Row]:
    if history.windows == 1:
        return
    wanted = f">= {SWAPPED}"
    if not history.has("swaps"):
        yield Row("exchanges", 0.0, np.nan, wanted, False, "windows without exchange: walkers stay where they began")
        return
    swaps = np.asarray(history.run.learnt["landscape/swaps"].read("value", -1), dtype=np.float64)
    if not (swaps[0] > 0).all():
        yield _nothing("exchanges", wanted, "some neighbours have never tried")
        return
    least = float((swaps[1] / swaps[0]).min())
    yield Row("exchanges", least, np.nan, wanted, least >= SWAPPED)


def _beyond(history: History) -> Iterator[Row]:
    if len(history.axes) > history.flat and history.counted:
        lost = _lost(history)
        yield Row("beyond", lost, np.nan, f"<= {LOST}", lost <= LOST, "visits outside of the recorded axes")


def _lost(history: History) -> float:
    """The share of production visits that were not counted."""
    sample = int(history.steps[-1])
    visits = history.walkers * (sample // history.every - history.learn // history.every)
    return 1 - float(history.sums("visits").sum()) / visits


def _tests(history: History) -> Floats:
    """Tests, accepted ones and round trips of production (3, copies, windows)."""
    return history.sums("tested", -1, history.before_counting())


def _table(history: History, name: str, sample: int) -> Floats:
    """A sum by bins of the table (copies, windows, *bins)."""
    found = history.sums(name, sample)
    return np.asarray(found.sum(axis=tuple(range(2 + history.flat, found.ndim))))


def _blocks(history: History) -> list[int]:
    """The samples at which blocks of production end, about evenly."""
    many = len(history.counted)
    ends = np.unique(np.linspace(0, many, min(_BLOCKS, many) + 1).astype(int))[1:]
    return [history.counted[k - 1] for k in ends]


def _nothing(name: str, wanted: str, why: str = "it has not begun to count") -> Row:
    return Row(name, float("nan"), float("nan"), wanted, None, why)
