"""A landscape in a few lines: S, its slope, temperature, equilibrium and ridge at levels of x."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trajectories.landscape.axes import Floats
from trajectories.landscape.curve import Curve
from trajectories.landscape.landscape import Landscape
from trajectories.landscape.metric import equilibrium, ridge
from trajectories.landscape.microcanonical import Microcanonical, microcanonical

_LEVELS = 10


def summary(landscape: Landscape, levels: Sequence[float] | None = None, *, window: int = 11) -> dict[str, Floats]:
    """Return columns (levels,) by name, with standard errors over copies, nan where nothing tells.

    x; S less its largest; S' = dS/dx; T = 1/S'(L) with x = ln L, where the name of x begins with "ln"; the equilibrium
    and the ridge of y where there is one. `levels`: by default ten, evenly over the bins that all copies know. Slopes
    take `window` such bins; where there is none, all columns are nan over the whole axis.
    Raises ValueError for levels beyond these bins.
    """
    one = landscape.marginal() if len(landscape.axes) == 2 else landscape
    axis, logarithm = one.axes[0], one.axes[0].name.startswith("ln")
    known = one.common if one.common.any() else np.ones(axis.bins, dtype=bool)
    x, nothing = axis.centres[known], np.full((one.copies, int(known.sum())), np.nan)
    entropy = one.aligned()[:, known] - one.mean().max() if one.common.any() else nothing
    slopes = Microcanonical(Curve(x, nothing), Curve(x, nothing), logarithm)
    if one.common.sum() >= window:
        slopes = microcanonical(one, window=window, logarithm=logarithm)
    at = np.linspace(x[0], x[-1], _LEVELS) if not levels else np.sort(np.asarray(levels, dtype=np.float64))
    columns = {axis.text: at}
    columns |= _both("S", Curve(x, entropy).at(at))
    columns |= _both("S'", slopes.slope.at(at))
    beta = slopes.beta.at(at)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns["T"] = 1 / beta.mean
        columns["± T"] = np.full(len(at), np.nan) if beta.error is None else beta.error / np.square(beta.mean)
    if len(landscape.axes) == 2:
        y = landscape.axes[1].text
        columns |= _both(f"<{y}>", equilibrium(landscape).at(at)) | _both("ridge", ridge(landscape).at(at))
    return columns


def _both(name: str, curve: Curve) -> dict[str, Floats]:
    error = np.full(len(curve.x), np.nan) if curve.error is None else curve.error
    return {name: curve.mean, f"± {name}": error}
