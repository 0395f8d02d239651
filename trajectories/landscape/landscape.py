"""The entropy S(x) or S(x, y) of collective variables on a grid, from one or several independent tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trajectories.landscape.axes import Axis, Floats, check_axes
from trajectories.landscape.curve import over_copies


@dataclass(frozen=True, eq=False)
class Landscape:
    """S up to a constant, k_B = 1, in the bins of one or two axes, x first.

    `entropy` (copies, *bins): one table for each independent copy, -inf where none came; the constant of each copy is
    such that its logarithm of the sum of e^S over all bins is zero, so that e^S is the share of the states: any other
    constant is taken away. `visits` (copies, *bins): how often a bin was counted; None where S came by another way
    than counting. `method`: how it was found, in a word, for figures.

    Raises ValueError for shapes that do not fit the axes, for S that is nan or +inf, and a copy that is -inf all over.
    """

    axes: tuple[Axis, ...]
    entropy: Floats
    visits: Floats | None = None
    method: str = ""

    def __post_init__(self) -> None:
        axes = tuple(self.axes)
        check_axes(axes)
        shape = tuple(axis.bins for axis in axes)
        entropy = np.asarray(self.entropy, dtype=np.float64)
        visits = None if self.visits is None else np.asarray(self.visits, dtype=np.float64)
        if len(axes) > 2 or entropy.shape[1:] != shape or not len(entropy):
            raise ValueError(f"S is {entropy.shape} on axes of {shape} bins: it is (copies, *bins) of one or two axes")
        if visits is not None and visits.shape != entropy.shape:
            raise ValueError(f"visits are {visits.shape}, S is {entropy.shape}: they are of one shape")
        if not (entropy < np.inf).all():
            raise ValueError("S is nan or +inf in a bin; where no state was found it is -inf")
        total = log_sum(entropy, tuple(range(1, entropy.ndim)))
        if not np.isfinite(total).all():
            raise ValueError(f"copy {int(np.argmin(total))} is -inf in all bins: no state of it was found")
        entropy = entropy - total.reshape(-1, *[1] * len(axes))
        for name, value in (("axes", axes), ("entropy", entropy), ("visits", visits)):
            object.__setattr__(self, name, value)

    @property
    def copies(self) -> int:
        """How many independent tables there are."""
        return len(self.entropy)

    @property
    def common(self) -> NDArray[np.bool_]:
        """Which bins all copies know (*bins)."""
        return np.asarray(np.isfinite(self.entropy).all(axis=0))

    def aligned(self) -> Floats:
        """Return S (copies, *bins) with the constants for which the copies agree best where all have been.

        Each copy's mean over these bins is that of all copies; of two variables whose copies share no bin of both, the
        mean of S(x). Raises ValueError where copies share no bin.
        """
        common, known = self.common, self.entropy
        if not common.any() and len(self.axes) > 1:
            marginal = self.marginal()
            common, known = marginal.common, marginal.entropy
        if not common.any():
            raise ValueError(f"the {self.copies} copies have no bin in common: count longer, or make wider bins")
        means = known[:, common].mean(axis=1)
        return np.asarray(self.entropy + (means.mean() - means).reshape(-1, *[1] * len(self.axes)))

    def mean(self) -> Floats:
        """Return S (*bins), the mean over aligned copies where all have been.

        Where some have not been, it is the logarithm of the mean e^S, these counting as zero; -inf where none has.
        """
        each = self.aligned()
        with np.errstate(invalid="ignore"):
            here = np.isfinite(each).all(axis=0)
            return np.asarray(np.where(here, each.mean(axis=0), log_sum(each, 0) - np.log(len(each))))

    def error(self) -> Floats | None:
        """Return the standard error (*bins) of the mean over copies, nan where one has not been; None of one copy.

        It is that of S less its own mean over the bins, as the constant of S has no meaning.
        """
        each = self.aligned()
        return over_copies(np.where(np.isfinite(each), each, np.nan))

    def marginal(self, axis: int = 0) -> Landscape:
        """Return S of one axis alone, by default of x: S(x) = ln sum_y e^{S(x, y)}."""
        if axis not in range(len(self.axes)):
            raise ValueError(f"axis {axis} of {len(self.axes)}: they count from 0")
        others = tuple(k + 1 for k in range(len(self.axes)) if k != axis)
        visits = None if self.visits is None else self.visits.sum(axis=others)
        return Landscape((self.axes[axis],), log_sum(self.entropy, others), visits, self.method)

    def coarse(self, factor: int | Sequence[int]) -> Landscape:
        """Return it in bins `factor` times as wide, a number or one an axis: S = ln sum e^S of the bins put together.

        Raises ValueError unless the factors divide the bins.
        """
        factors = [factor] * len(self.axes) if isinstance(factor, int) else list(factor)
        bins = [axis.bins for axis in self.axes]
        if len(factors) != len(bins) or any(f < 1 or n % f or n // f < 2 for f, n in zip(factors, bins, strict=True)):
            raise ValueError(f"factors {factors} for {bins} bins: each divides its bins, of which two or more are left")
        shape = [len(self.entropy), *(n for f, b in zip(factors, bins, strict=True) for n in (b // f, f))]
        inner = tuple(range(2, len(shape), 2))
        axes = tuple(axis._replace(bins=axis.bins // f) for axis, f in zip(self.axes, factors, strict=True))
        visits = None if self.visits is None else self.visits.reshape(shape).sum(axis=inner)
        return Landscape(axes, log_sum(self.entropy.reshape(shape), inner), visits, self.method)

    def copy(self, number: int) -> Landscape:
        """Return one of the copies alone."""
        rows = slice(number, number + 1) if number >= 0 else slice(number, number + 1 or None)
        return replace(self, entropy=self.entropy[rows], visits=None if self.visits is None else self.visits[rows])

    def in_exponential(self) -> Floats:
        """Return S (copies, bins) in L where x = ln L is its one axis, at L = e^x: S_L = S_x - x, up to a constant."""
        if len(self.axes) != 1:
            raise ValueError("S in L is of one axis, ln L: take the marginal() first")
        return self.entropy - self.axes[0].centres

    def save(self, path: str | Path) -> None:
        """Write it as .npz, which `load` and numpy read."""
        arrays: dict[str, Any] = {"entropy": self.entropy}
        if self.visits is not None:
            arrays["visits"] = self.visits
        arrays |= {f"centres_{k}": axis.centres for k, axis in enumerate(self.axes)}
        settings = {"axes": [axis.as_dict() for axis in self.axes], "method": self.method}
        with Path(path).open("wb") as file:
            np.savez_compressed(file, settings=np.array(json.dumps(settings)), **arrays)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote; raises ValueError for another file."""
        with np.load(path, allow_pickle=False) as file:
            if not {"settings", "entropy"} <= set(file.files):
                raise ValueError(f"{path} holds {file.files}, no landscape: write one with Landscape.save")
            settings = json.loads(str(file["settings"]))
            axes = tuple(Axis(**axis) for axis in settings["axes"])
            visits = file["visits"] if "visits" in file.files else None
            return cls(axes, file["entropy"], visits, settings["method"])


def log_sum(values: Floats, axes: int | tuple[int, ...]) -> Floats:
    """Return ln sum e^values over axes, -inf where all are; over no axis, the values themselves."""
    if axes == ():
        return values
    top = values.max(axis=axes, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(values - top).sum(axis=axes)) + top.squeeze(axes))
