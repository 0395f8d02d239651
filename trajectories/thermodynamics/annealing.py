"""Runs of population annealing, offline: ln Z by temperature, and how many families are left."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trajectories.errors import NotRecorded
from trajectories.storage.reader import Trajectory
from trajectories.thermodynamics import tempering

Array = NDArray[Any]
Floats = NDArray[np.float64]


class Stages(NamedTuple):
    """What a population annealing run tells at each of its temperatures after the first."""

    ladder: Floats  # (stages,) temperatures, falling
    log_z: Floats  # (stages,) ln Z(T) - ln Z(first T), mean over populations
    error: Floats  # (stages,) standard error from 2 populations or more, else nan
    families: Floats  # (stages,) families left, mean over populations
    rho: Floats  # (stages,) mean square family size over the mean size, 1 where nothing was copied


def stages(run: Trajectory) -> Stages:
    """Read a run of population annealing.

    Raises:
        NotRecorded: the run holds no "tempering/log_z" and "tempering/family", or no /parameters/tempering/ladder.

    Reference: Wang, Machta, Katzgraber, Phys. Rev. E 92, 063307 (2015).
    """
    settings = tempering.parameters(run)
    if "ladder" not in settings:
        raise NotRecorded(f"{run.path} holds no /parameters/tempering/ladder")
    log_z, family = (run.observables[f"tempering/{name}"].values for name in ("log_z", "family"))
    populations = int(settings.get("populations", 1))
    falls, replicas = log_z.shape
    each = log_z[:, :: replicas // populations]  # (stages, populations)
    error = each.std(axis=1, ddof=1) / math.sqrt(populations) if populations > 1 else np.full(falls, math.nan)
    sizes = np.stack([np.bincount(row, minlength=replicas) for row in family])  # (stages, replicas)
    return Stages(
        ladder=np.asarray(settings["ladder"], dtype=np.float64)[1 : falls + 1],
        log_z=each.mean(axis=1),
        error=error,
        families=(sizes > 0).sum(axis=1) / populations,
        rho=np.square(sizes).sum(axis=1) / replicas,
    )
