"""The toy's way on its sphere, in three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.axes3d import Axes3D

from mdnet.experiments.free_energy.analysis import Found
from mdnet.experiments.results import Plot
from mdnet.figures import LINES
from trajectories.report.drawing import FAINT, INK, STYLE


def sphere(several: Sequence[tuple[str, Found]]) -> Plot:
    """Draw the toy's way on the sphere of the first seed at the smallest, a middle and the largest rate."""
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(4.3 * len(several), 4.4), layout="constrained")
        for place, (name, found) in enumerate(several):
            axes = figure.add_subplot(1, len(several), place + 1, projection="3d")
            _globe(axes)
            axes.grid(visible=False)
            for number, i in enumerate((0, len(found.rates) // 2, len(found.rates) - 1)):
                _way(axes, found, i, number)
            axes.set_title(name)
            axes.view_init(elev=35, azim=55)
            axes.set_box_aspect((1, 1, 0.75))
            axes.legend(loc="upper center", ncols=3, bbox_to_anchor=(0.5, 1.02), handlelength=1.0, columnspacing=0.8)
    caption = (
        "w/|w| of one seed at the log-spaced looks, joined by lines until step 300, and where it is later as dots; the "
        "cross is the start. UP stays in a cloud about the pole whose size grows with the rate, OP goes into a point."
    )
    return Plot("The toy on its sphere", figure, caption)


def _globe(axes: Axes3D) -> None:
    """The upper half of the unit sphere as a net of thin lines."""
    angle = np.linspace(0, 2 * np.pi, 60)
    for height in (0.0, 0.35, 0.65, 0.88):
        r = np.sqrt(1 - height**2)
        axes.plot(r * np.cos(angle), r * np.sin(angle), np.full(60, height), color=FAINT, linewidth=0.5, alpha=0.6)
    rise = np.linspace(0, np.pi / 2, 30)
    for turn in angle[:-1:5]:
        axes.plot(np.cos(turn) * np.cos(rise), np.sin(turn) * np.cos(rise), np.sin(rise), color=FAINT, linewidth=0.5,
                  alpha=0.6)  # fmt: skip
    axes.set_xlabel("w₁")
    axes.set_ylabel("w₂")
    axes.set_zlabel("w₃")
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_ticks([-1, 0, 1] if axis is not axes.zaxis else [0, 1])


def _way(axes: Axes3D, found: Found, rate: int, number: int) -> None:
    if found.paths is None:
        return
    colour, mark, _ = LINES[number]
    x, y, z = found.paths[:, rate, 0].T
    early = found.frames <= 300
    axes.plot(x[early], y[early], z[early], color=colour, linewidth=1.0, label=f"η = {found.rates[rate]:.2g}")
    axes.plot(x[~early], y[~early], z[~early], color=colour, marker=mark, markersize=1.6, linestyle="none", alpha=0.6)
    axes.plot(x[:1], y[:1], z[:1], color=INK, marker="x", markersize=7, linestyle="none")
