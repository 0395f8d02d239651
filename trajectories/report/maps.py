"""Maps of a quantity over two variables: cells of few colours as plain paths, and lines that stand out on them."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trajectories.landscape.landscape import Landscape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[Any]

_SHADES = 28  # most colours of a map: told apart beside each other, and a bar of so many stays a vector drawing
_ENDS = (0.12, 0.97)  # of the colours: the outermost would vanish on a dark or a bright page
_CELLS = 160  # most bins of an axis that are drawn one by one
CASING = "#000000"  # around lines on a map, whatever the page


def coloured(axes: "Axes", x_edges: Array, y_edges: Array, values: Array, label: str) -> None:
    """Draw values (x bins, y bins) in colours from dark (low) to bright (high), with a bar; what is not finite: blank.

    The axes show all of x, and y where there are values. Cells of one shade are one path of rectangles, as a page that
    asks for nothing shows no embedded picture.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import PathPatch
    from matplotlib.ticker import MaxNLocator

    finite = np.isfinite(values)
    low, high = values[finite].min(), values[finite].max()
    levels = np.asarray(MaxNLocator(_SHADES).tick_values(low, high if high > low else low + 1))
    shade = np.where(finite, np.searchsorted(levels, values, side="right") - 1, -1).clip(-1, len(levels) - 2)
    colours = ListedColormap(colormaps["cividis"](np.linspace(*_ENDS, len(levels) - 1)).tolist())
    for one in np.unique(shade[finite]):
        patch = PathPatch(_rectangles(x_edges, y_edges, shade == one), fc=colours(int(one)), lw=0, antialiased=False)
        axes.add_patch(patch)
    full = np.flatnonzero(finite.any(axis=0))
    axes.set(xlim=(x_edges[0], x_edges[-1]), ylim=(y_edges[full[0]], y_edges[full[-1] + 1]))
    mapped = ScalarMappable(BoundaryNorm(levels.tolist(), colours.N), colours)
    bar = axes.get_figure(root=True).colorbar(mapped, ax=axes, label=label, spacing="proportional", aspect=25)  # type: ignore[union-attr]
    bar.solids.set_edgecolor("face")  # type: ignore[union-attr]
    bar.locator = MaxNLocator(6)
    bar.minorticks_off()
    bar.update_ticks()


def widened(axes: "Axes", x: Array, y: Array) -> None:
    """Let the axes show y (points,) as well, where x lies in what they show."""
    low, high = axes.get_ylim()
    left, right = axes.get_xlim()
    shown = y[(x >= left) & (x <= right) & np.isfinite(y)]
    if len(shown):
        room = 0.03 * (max(high, shown.max()) - min(low, shown.min()))
        axes.set_ylim(min(low, shown.min() - room), max(high, shown.max() + room))


def coarsened(found: Landscape) -> Landscape:
    """Put bins together where there are more than a map shows, as far as their number can be divided."""
    factors = []
    for axis in found.axes:
        least = -(-axis.bins // _CELLS)
        factors.append(next((f for f in range(least, 4 * least) if axis.bins % f == 0), 1))
    return found.coarse(factors)


def cased(width: float = 3.2) -> list[Any]:
    """Path effects that put a dark casing of this width in points around a line."""
    from matplotlib.patheffects import Normal, Stroke

    return [Stroke(linewidth=width, foreground=CASING), Normal()]


def _rectangles(x_edges: Array, y_edges: Array, wanted: Array) -> Any:
    """The path of the wanted cells (x bins, y bins); neighbours along y are one rectangle."""
    from matplotlib.path import Path

    column = np.zeros((len(wanted), 1), dtype=np.int8)
    steps = np.diff(wanted.astype(np.int8), axis=1, prepend=column, append=column)
    i, bottom = np.nonzero(steps == 1)
    top = np.nonzero(steps == -1)[1]
    left, right, low, high = x_edges[i], x_edges[i + 1], y_edges[bottom], y_edges[top]
    corners = np.stack([left, low, left, high, right, high, right, low, left, low], -1).reshape(-1, 2)
    codes = np.tile([Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY], len(i))
    return Path(corners, codes)
