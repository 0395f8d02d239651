"""Curves of a run drawn with characters, for a terminal or a pipe."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NARROWEST, LOWEST = 40, 7  # columns and rows that a panel needs, its title included
_TALLEST = 14
# After Okabe & Ito (2008), which colour-blind readers tell apart, on a dark ground and on a light one; each colour has
# a mark of its own, so that a picture without colours reads as well.
_LOOKS = (("braille", "⣀", (86, 180, 233)), ("x", "x", (230, 159, 0)), ("=", "=", (0, 158, 115)))
_EDGE = "·"


class Curve(NamedTuple):
    """A quantity along a run: the median of its replicas, with 5 and 95 %."""

    name: str
    steps: Floats  # (points,)
    low: Floats
    middle: Floats
    high: Floats


class Panel(NamedTuple):
    """One picture of the curves that share a unit."""

    title: str
    curves: list[Curve]
    replicas: int


def drawn(panels: list[Panel], width: int, height: int) -> str:
    """Draw as many panels as fit into ``width`` columns and ``height`` rows, as text with ANSI colours."""
    fitting = min(len(panels), height // LOWEST)
    if width < NARROWEST or not fitting:
        return f"the terminal is too small for pictures: they need {NARROWEST} columns and {LOWEST + 1} rows"
    rows = min(_TALLEST, height // fitting)
    return "\n".join(_panel(panel, width, rows) for panel in panels[:fitting])


def _panel(panel: Panel, width: int, rows: int) -> str:
    """A title line, which is the legend too, and the canvas below it."""
    looks = _LOOKS[: len(panel.curves)]
    names = [
        _coloured(f"{sign} {_told(curve)}", rgb) for curve, (_, sign, rgb) in zip(panel.curves, looks, strict=True)
    ]
    plain = [f"{sign} {_told(curve)}" for curve, (_, sign, _) in zip(panel.curves, looks, strict=True)]
    words = [f"{panel.title}:", *names]
    if panel.replicas > 1 and len("  ".join([words[0], *plain])) + 44 < width:
        words.append(f"median and {_EDGE} 5 to 95 % of {panel.replicas} replicas")
    return "  ".join(words) + "\n" + _canvas(panel.curves, width, rows - 1)


def _told(curve: Curve) -> str:
    last = curve.middle[-1] if len(curve.middle) else math.nan
    return f"{curve.name} {last:.4g}"


def _coloured(text: str, rgb: tuple[int, int, int]) -> str:
    return "\x1b[38;2;{};{};{}m".format(*rgb) + text + "\x1b[0m"


def _canvas(curves: list[Curve], width: int, rows: int) -> str:
    import plotext

    values = np.concatenate([np.concatenate([curve.low, curve.middle, curve.high]) for curve in curves])
    steps = np.concatenate([curve.steps for curve in curves])
    finite = values[np.isfinite(values)]
    if not len(finite):
        return "  no finite value" + "\n" * (rows - 1)
    logarithmic = bool(finite.min() > 0 and finite.max() > 30 * finite.min())
    plotext.terminal.limit(False, False)
    figure = plotext.figure
    figure.clear()
    figure.theme("colorless").canvas("default")
    figure.plot_size(width, rows)
    for curve, (mark, _, rgb) in reversed(list(zip(curves, _LOOKS, strict=False))):  # the first lies on top
        curve = _thinned(curve, width)
        if not np.array_equal(curve.low, curve.high, equal_nan=True):
            for edge in (curve.low, curve.high):
                _line(figure, plotext.marker(_EDGE, rgb), curve.steps, edge, logarithmic, lines=False)
        _line(figure, plotext.marker(mark, rgb), curve.steps, curve.middle, logarithmic, lines=mark == "braille")
    _ticks(figure, (float(steps.min()), float(steps.max())), finite, logarithmic, width, rows)
    return str(figure.build().string())


def _thinned(curve: Curve, width: int) -> Curve:
    """At most a point a column, the last one always among them."""
    chosen = slice((len(curve.steps) - 1) % (every := -(-len(curve.steps) // width)), None, every)
    return Curve(curve.name, *(values[chosen] for values in curve[1:]))


def _line(figure: object, marker: object, steps: Floats, values: Floats, logarithmic: bool, *, lines: bool) -> None:
    there = np.isfinite(values) & ((values > 0) | (not logarithmic))
    shown = np.log10(values[there]) if logarithmic else values[there]
    if len(shown):
        signal = figure.signal(steps[there].tolist(), shown.tolist(), marker=marker)  # type: ignore[attr-defined]
        figure.draw(signal.lines(lines))  # type: ignore[attr-defined]


def _ticks(
    figure: object, steps: tuple[float, float], values: Floats, logarithmic: bool, width: int, rows: int
) -> None:
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    ends = (math.log10(low), math.log10(high)) if logarithmic else (low, high)
    places = np.linspace(*ends, 3 if rows > 7 else 2)
    named = [f"{10**place if logarithmic else place:.3g}" for place in places]
    along = np.linspace(steps[0], steps[1] if steps[1] > steps[0] else steps[0] + 1, 5 if width > 70 else 3)
    for axis, limits, at, names in (
        ("x", (along[0], along[-1]), along, [f"{round(place):,}" for place in along]),
        ("y", ends, places, named),
    ):
        ruler = figure.ruler(axis)  # type: ignore[attr-defined]
        ruler.lim(*map(float, limits))
        ruler.ticks(at.tolist(), names)
