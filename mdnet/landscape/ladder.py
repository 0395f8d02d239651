"""Ladders of biased ensembles, p ~ L^-n or umbrellas: how to choose their rungs, and one call that runs them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from integrators import OBABO, Splitting
from mdnet.landscape.bias import BiasedForce, Line, Umbrella
from mdnet.landscape.coordinates import Coordinates
from mdnet.landscape.rungs import Levels, Metropolis, Rungs
from mdnet.landscape.starting import bring_inside
from mdnet.landscape.variables import Variable
from mdnet.simulation import Simulation, finish
from mdnet.system import ParticleSystem
from thermostats import Langevin
from trajectories import open as open_trajectory
from trajectories.landscape import ladder as offline
from trajectories.landscape.axes import Axis

_STIFF = 16.0  # standard deviations of a pilot's umbrella in the range


def ladder(
    system: ParticleSystem,
    variable: Variable,
    levels: Levels,
    axis: Axis,
    *,
    steps: int,
    equilibration: int,
    dt: float,
    friction: float,
    record: Sequence[Variable] = (),
    every: int = 5,
    exchange: int = 1,
    sample: int = 20,
    confined: bool = True,
    positions: Tensor | None = None,
    seed: int = 0,
    output: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> offline.Ladder:
    """Run walkers on the rungs of a ladder and return the samples of x and of what is recorded, by rung.

    `system`: rungs x copies replicas in a box; the copies are independent, for errors. `variable`: x, `levels`:
    Line(n (rungs, 1)) or Umbrella(centre (rungs, 1), stiffness). `axis`: the range of x, which walkers do not leave
    where `confined`. `steps` after `equilibration` are sampled every `sample` steps; they are OBABO steps of `dt` at
    temperature 1 with Langevin's `friction`, tested every `every` steps, and neighbours try to exchange after every
    `exchange` tests, 0 for never. `positions` (replicas, dof): by default fresh initialisations, brought to where
    their rung may be. `output`: a folder for the trajectory, of which a run is replaced with `overwrite`; else none.

    Raises ValueError for levels that do not fit the replicas, and where no walker gets to the range.
    """
    force = BiasedForce(system, [variable], Rungs(levels, system.replicas))
    if positions is None:
        positions = bring_inside(force, system.positions(seed), [axis], targets=_targets(levels, axis, system.replicas))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder if output is None else output)
        simulation = Simulation(
            system, Splitting(OBABO, force, dt, Langevin(force.temperature, friction)), positions=positions, seed=seed,
            actions=[Metropolis(every, exchange=exchange, window=axis if confined else None)],
            reporters=[Coordinates(sample, record)], output=place, overwrite=overwrite,
        )  # fmt: skip
        finish(simulation, equilibration + steps, progress=progress)
        with open_trajectory(place) as run:
            return offline.from_run(run, start=equilibration)


class Pilot(NamedTuple):
    """S' at places x, each (replicas,)."""

    x: NDArray[np.float64]
    slope: NDArray[np.float64]


def pilot(
    system: ParticleSystem,
    variable: Variable,
    axis: Axis,
    *,
    steps: int,
    dt: float,
    friction: float,
    every: int = 5,
    seed: int = 0,
) -> Pilot:
    """Return a first knowledge of S'(x) over a range, from one umbrella for each replica:

        S'(<x>) = k (<x> - c)

    to first order in the width of an umbrella, a 16th of the range. A first run, half of which counts, moves the
    centres c to where the <x> of a second run go through the range.
    """
    stiffness = (_STIFF / (axis.high - axis.low)) ** 2
    places = torch.linspace(axis.high, axis.low, system.replicas, dtype=torch.float64)
    centre = places
    for turn in range(2):
        levels = Umbrella(centre[:, None], stiffness)
        found = ladder(
            system, variable, levels, axis, steps=steps, equilibration=steps, dt=dt, friction=friction, every=every,
            confined=False, seed=seed + turn,
        )  # fmt: skip
        x = found.x[0].mean(-1)
        slope = stiffness * (x - centre.numpy())
        smooth = np.polynomial.Polynomial.fit(x, slope, 2)
        centre = places - torch.from_numpy(smooth(places.numpy())) / stiffness
    return Pilot(x, slope)


def exponents(x: ArrayLike, slope: ArrayLike, axis: Axis, *, spacing: float = 1.2, rungs: int | None = None) -> Tensor:
    """Return rising n (rungs, 1) whose modes, S'(x) = n, go through a range of x from its high end to its low one.

    `x`, `slope` (points,): S' where it is known, such as from a `pilot`; a parabola is laid through it. A mode has the
    width 1/sqrt(-S''), so that rungs with n' - n = spacing sqrt(-S'') exchange with a probability of about
    erfc(spacing/2), 40 % at 1.2. Where S' does not fall, rungs are spacing/(high - low) apart. `rungs`: that many of
    them instead, at equal distances in this sense.

    Raises ValueError for fewer than three points.
    """
    at, known = np.asarray(x, dtype=np.float64), np.asarray(slope, dtype=np.float64)
    if at.ndim != 1 or at.shape != known.shape or len(at) < 3:
        raise ValueError(f"x of the shape {at.shape} and slopes of {known.shape}: three or more points are needed")
    fit = np.polynomial.Polynomial.fit(at, known, 2)
    grid = np.linspace(axis.high, axis.low, 401)
    n = np.maximum.accumulate(fit(grid))
    width = 1 / np.sqrt(np.maximum(-fit.deriv()(grid), 1 / (axis.high - axis.low) ** 2))
    length = np.concatenate([[0.0], np.cumsum(np.diff(n) * 0.5 * (width[1:] + width[:-1]))])
    rungs = rungs or max(2, int(np.ceil(length[-1] / spacing)) + 1)
    return torch.from_numpy(np.interp(np.linspace(0, length[-1], rungs), length, n))[:, None]


def _targets(levels: Levels, axis: Axis, replicas: int) -> Tensor:
    """Where walkers begin (replicas,): at their umbrella, or evenly, the larger n the lower x."""
    if isinstance(levels, Line):
        order = levels.n[:, 0].argsort().argsort()
        rungs = axis.high - (order + 0.5) / len(order) * (axis.high - axis.low)
    else:
        rungs = levels.centre[:, 0].clamp(axis.low, axis.high - axis.width)
    return rungs.repeat(replicas // len(rungs))
