"""Drawing for the report: matplotlib figures as SVG text whose colours the page sets, for light and dark."""

import html
import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[Any]

# Colours after Okabe & Ito (2008), which colour-blind readers tell apart. In the SVG each becomes a CSS variable,
# so the page can brighten it on a dark ground.
BLUE, VERMILLION, GREEN, PURPLE, INK, FAINT = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#222223", "#8f8f90"
_VARIABLES = {
    BLUE: "blue", VERMILLION: "vermillion", GREEN: "green", PURPLE: "purple", INK: "ink", FAINT: "faint"
}  # fmt: skip
_POINTS = 400  # most points a curve is drawn with
_LETTERS = 36  # that fit below an axis with room between the numbers
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
}


class Missing(Exception):
    """A figure cannot be drawn; the message says which data the run does not hold."""


class Picture(NamedTuple):
    """A drawn figure: the SVG element as text, and one or two sentences with its numbers."""

    svg: str
    caption: str


class Table(NamedTuple):
    """Numbers side by side: a column called "verdict" is coloured, and its word always shown."""

    columns: tuple[str, ...]
    rows: list[list[Any]]
    caption: str


def render(
    draw: Callable[..., None],
    name: str,
    *,
    panels: int = 1,
    share_x: bool = False,
    height: float | None = None,
    ratios: tuple[float, ...] | None = None,
) -> str:
    """SVG of what ``draw(axes)``, or ``draw(upper, lower)`` with two panels, puts on the axes.

    ``name`` makes ids within the SVG unique and the same in every run of the program; the height is in inches, and
    ``ratios`` are the heights of the panels against each other.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE | {"svg.hashsalt": name}):
        height = height or (3.3 if panels == 1 else 4.6)
        figure = Figure(figsize=(5.4, height), layout="constrained")
        draw(*figure.subplots(panels, 1, squeeze=False, sharex=share_x, height_ratios=ratios).ravel())
        figure.patch.set_visible(False)
        for axes in figure.axes:
            axes.patch.set_visible(False)
            for axis in (axes.xaxis, axes.yaxis):
                _number(axis)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return for_page(text.getvalue(), name)


def _number(axis: Any) -> None:
    """Write the numbers of a linear axis in full, as a common factor would lie under the legend, and few if long."""
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    if axis.get_scale() != "linear" or not isinstance(axis.get_major_formatter(), ScalarFormatter):
        return
    longest = max((len(f"{place:.7g}") for place in axis.get_majorticklocs()), default=0)
    if axis.axis_name == "x" and longest > 6:
        axis.set_major_locator(MaxNLocator(_LETTERS // longest))
    axis.set_major_formatter("{x:.7g}")


def for_page(svg: str, name: str) -> str:
    """Keep only the svg element, let it scale, put CSS variables in place of colours, and leave out what none needs."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    label = html.escape(name).replace("\\", r"\\")
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', rf'\1 role="img" aria-label="{label}"', svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"(font:[^;\"]*?)'DejaVu Sans'[^;\"]*", r"\1system-ui, sans-serif", svg)
    wanted = set(re.findall(r"#([\w.-]+)", svg))  # other ids, like "line2d_1", are the same in every figure of a page
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in wanted else "", svg)
    svg = re.sub(r' (d|x|y)="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), svg)  # 0.01 point
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return svg


def band(axes: "Axes", x: Array, values: Array, colour: str, label: str) -> None:
    """Draw values (samples, replicas) as their median with the band that holds the middle 90 % of replicas."""
    keep = np.isfinite(values).any(axis=1)
    every = max(1, -(-int(keep.sum()) // _POINTS))
    x, values = x[keep][::every], np.where(np.isfinite(values), values, np.nan)[keep][::every]
    if not len(x):
        raise Missing(f"no sample of {label} is finite: the run diverged")
    low, middle, high = np.nanpercentile(values, [5, 50, 95], axis=1)
    axes.plot(x, middle, color=colour, label=label)
    if values.shape[1] > 1:
        axes.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0)


def legend(axes: "Axes", columns: int = 2, replicas: int = 1) -> None:
    """Put the legend above the axes, where it covers no data; for a `band` of several replicas say what is drawn."""
    title = f"median and 5 to 95 % of {replicas} replicas" if replicas > 1 else None
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        borderpad=0.1,
        ncols=columns,
        handlelength=1.4,
        title=title,
        title_fontsize=9,
        alignment="left",
    )


def logarithmic(values: Array) -> bool:
    """Whether a logarithmic axis serves: all finite values positive, over more than a factor of 30."""
    finite = values[np.isfinite(values)]
    return bool(len(finite) and finite.min() > 0 and finite.max() > 30 * finite.min())
