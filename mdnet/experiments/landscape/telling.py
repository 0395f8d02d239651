"""What is told of a cell: the table by levels of the training loss, and the studies with their pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mdnet.experiments.landscape import figures
from mdnet.experiments.landscape.baselines import Crossings
from mdnet.experiments.landscape.method import Found, Plan
from mdnet.experiments.results import Array, Study, Table
from mdnet.figures import Line
from trajectories.landscape import (
    Advantage,
    Curve,
    Landscape,
    advantage,
    bimodality,
    difference,
    equilibrium,
    ridge,
    summary,
    transitions,
)
from trajectories.statistics import Estimate

SPACING = 0.25  # of the levels of ln L_train that are told
_PATHS = 8  # ways of trained networks in the map


@dataclass(frozen=True, eq=False)
class Cell:
    """What was found of a cell: the landscape, the trained networks by method, and the ladder's landscape if it ran."""

    plan: Plan
    found: Found
    trained: dict[str, Crossings]
    ladder: Found | None

    @property
    def gains(self) -> dict[str, Advantage]:
        """The advantage over each baseline at the levels that the landscape knows."""
        known, better = levels(self.found.landscape), "lower" if self.plan.task.sharpness is None else "higher"
        gains = {}
        for name, each in self.trained.items():
            at = [int(np.argmin(np.abs(each.levels - x))) for x in known]
            gains[name] = advantage(self.found.landscape, each.levels[at], each.metric[:, at], better)  # type: ignore[arg-type]
        return gains


def levels(found: Landscape) -> list[float]:
    """Return the multiples of a quarter that lie between bins that all copies know; none where no bin is."""
    one = found.marginal() if len(found.axes) > 1 else found
    x = one.axes[0].centres[one.common]
    if not len(x):
        return []
    return [float(k * SPACING) for k in np.arange(np.ceil(x.min() / SPACING), np.floor(x.max() / SPACING) + 1)]


def table(cell: Cell) -> Table:
    """Return S, S', T, the equilibrium and the ridge at levels of x, and the trained networks beside them.

    Where no level is known, they are told in every bin that is; of copies without a common bin the networks alone.
    """
    found = cell.found.landscape
    if not found.marginal().common.any():
        return _of_trained(cell)
    if not (cell.trained and levels(found)):
        return _by_bin(found)
    columns = summary(found, levels(found))
    told = {name: _told(v, columns.get(f"± {name}")) for name, v in columns.items() if not name.startswith("±")}
    for name, gain in cell.gains.items():
        told[name] = _told(gain.baseline, gain.baseline_error)
        told[f"advantage over {name}"] = _told(gain.gain, gain.error)
    return _table(told)


def _by_bin(found: Landscape) -> Table:
    """S, equilibrium and ridge in every bin of x that is known, where x has few values and no slope."""
    one, axes = found.marginal(), [axis.text for axis in found.axes]
    known = np.isfinite(one.mean())
    each = np.where(np.isfinite(one.entropy), one.aligned() - one.mean().max(), np.nan)
    curves = [Curve(one.axes[0].centres, each), equilibrium(found), ridge(found)]
    columns = ["S (k_B)", f"<{axes[1]}>", f"ridge of {axes[1]}"]
    told = {axes[0]: [f"{x:.3f}" for x in curves[0].x[known]]}
    for name, curve in zip(columns, curves, strict=True):
        told[name] = _told(curve.mean[known], None if curve.error is None else curve.error[known])
    return _table(told)


def _of_trained(cell: Cell) -> Table:
    """The trained networks at the levels that some of them came to."""
    each = list(cell.trained.values())
    places = each[0].levels if each else np.zeros(0)
    came = np.any([one.reached.any(0) for one in each], 0) if each else np.zeros(0, dtype=bool)
    told = {cell.found.landscape.axes[0].text: [f"{x:g}" for x in places[came]]}
    told |= {name: _told(one.mean[came], one.error[came]) for name, one in cell.trained.items()}
    return _table(told)


def _table(told: dict[str, list[str]]) -> Table:
    return Table(list(told), [list(row) for row in zip(*told.values(), strict=True)])


def studies(cell: Cell) -> list[Study]:
    """Return the landscape with all that is compared on it, S by two methods, and the signs of transitions.

    A study of what is not known, as of copies that share no bin, says why.
    """
    found = cell.found.landscape
    told = [_attempt("map", "The landscape", lambda: _map(cell))]
    if cell.ladder is not None:
        other = cell.ladder.landscape
        told.append(_attempt("methods", "S by two methods", lambda: _two_methods(found, other)))
    if cell.trained:
        told.append(_attempt("transitions", "Signs of phase transitions", lambda: _transitions(found)))
    return told


def _attempt(name: str, title: str, make: Callable[[], Study]) -> Study:
    """A study, or in its place the reason why there is none: what was sampled for long is worth a page."""
    try:
        return make()
    except ValueError as reason:
        return Study(name, title, ["not known"], [[str(reason)]], "A longer run tells more.")


def _map(cell: Cell) -> Study:
    found, ladder = cell.found.landscape, cell.ladder
    trained = [Line(f"{name}, mean", e.levels, e.mean, e.error) for name, e in cell.trained.items()]
    paths = [
        (e.train[:, k], e.test[:, k]) for e in list(cell.trained.values())[:1] for k in range(e.train.shape[1])[:_PATHS]
    ]
    plot = figures.landscape(
        found, ridge=_curve("ridge", ridge(found)), equilibrium=_curve("equilibrium", equilibrium(found)),
        trained=trained, paths=paths,
        ladder=None if ladder is None else _curve("equilibrium by the ladder", equilibrium(ladder.landscape), 12),
    )  # fmt: skip
    two = bimodality(found)
    rows = [
        [f"{two.x[k]:.2f}", *(f"{y:.3f}" for y in two.modes[k]), f"{two.gap[k]:.2f}", f"{two.barrier[k]:.2f}"]
        for k in np.flatnonzero(two.found)[:: max(1, int(two.found.sum()) // 12)]
    ] or [["none", "", "", "", ""]]
    x, y = (axis.text for axis in found.axes)
    caption = f"Places where S has two modes in {y} within 5 k_B: {int(two.found.sum())} of {len(two.x)} bins of {x}."
    columns = [x, "first mode", "second mode", "gap (k_B)", "barrier (k_B)"]
    return Study("map", "The landscape", columns, rows, caption, plots=[plot])


def _two_methods(found: Landscape, ladder: Landscape) -> Study:
    one, other = found.marginal(), ladder.marginal()
    apart = difference(one, other)
    x = apart.axes[0].centres
    first, second = _aligned(one, other)
    plot = figures.agreement(
        first, second, Line("difference", x, apart.values, apart.error), x=one.axes[0].text, y="S", allowed=1.0
    )
    rows = [["largest", f"{apart.max:.2f}"], ["rms", f"{apart.rms:.2f}"], ["bins", str(apart.bins)]]
    caption = "The ladder samples p ~ L_train^-n for many n and is put together by MBAR: nothing of it is in the table."
    return Study("methods", "S by two methods", ["difference", "k_B"], rows, caption, plots=[plot])


def _aligned(one: Landscape, other: Landscape) -> tuple[Line, Line]:
    """Both with the constant for which they agree best; they share a bin."""
    a, b = one.mean(), other.mean()
    both = np.isfinite(a) & np.isfinite(b)
    b = b + (a[both] - b[both]).mean() - a[both].max()
    a = a - a[both].max()
    x = one.axes[0].centres
    return Line(one.method, x, a, one.error()), Line(other.method, x, b, other.error())


def _transitions(found: Landscape) -> Study:
    found_ones = transitions(found.marginal())
    x = found.axes[0].text
    columns = (
        [f"{x} from", "to", "temperature", "modes of the canonical law", "barrier (k_B)"] if found_ones else ["sign"]
    )
    rows = [
        [f"{one.low:.2f}", f"{one.high:.2f}", f"{one.temperature:.4g}", "{:.2f}, {:.2f}".format(*one.modes),
         f"{one.barrier:.2f}"] for one in found_ones
    ] or [["none"]]  # fmt: skip
    caption = (
        "Ranges of L where S(L) is convex, so that the heat capacity is negative and the canonical law has two modes: "
        "the sign of a transition of first order in a small system."
    )
    return Study("transitions", "Signs of phase transitions", columns, rows, caption)


def _curve(label: str, curve: Curve, thin: int = 1) -> Line:
    error = None if curve.error is None else curve.error[::thin]
    return Line(label, curve.x[::thin], curve.mean[::thin], error)


def _told(values: Array, errors: Array | None) -> list[str]:
    known = np.full(len(values), np.nan) if errors is None else errors
    return [
        "–" if np.isnan(value) else str(Estimate(value, error)) if np.isfinite(error) else f"{value:.4g}"
        for value, error in zip(values, known, strict=True)
    ]
