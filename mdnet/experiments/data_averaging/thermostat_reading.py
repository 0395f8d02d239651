"""What the runs of SGD and of thermostats tell: their steady losses, and temperatures, by temperature and data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

import trajectories
from mdnet.experiments.data_averaging.models import Floats, Model
from trajectories.averaging import Curve, steady

DESCENT, LANGEVIN, AGAIN, CHAIN = "SGD", "Langevin", "Langevin again", "Nose-Hoover chain"


@dataclass(frozen=True, eq=False)
class Steady:
    """The steady state of one method at n temperatures on the same data sets; all tables (n, splits).

    `halves` (2, n, splits): the gap of the first and of the second half of the looks. `kinetic`: 2 K/D halfway through
    a step, nan of SGD. `slope` and `laplacian`: <|grad U|^2> and <laplacian U>. `spread`: <|theta|^2>/D. `matched`: the
    temperature whose isotropic noise has the trace of SGD's, (rate/2) E|g_B - g|^2/D; of a thermostat its own.
    """

    curve: Curve
    halves: Floats
    kinetic: Floats
    slope: Floats
    laplacian: Floats
    spread: Floats
    matched: Floats

    @property
    def configurational(self) -> Floats:
        """<|grad U|^2>/<laplacian U>, which is T in a canonical state."""
        return np.asarray(self.slope / self.laplacian)


def folder_of(name: str) -> str:
    """Return the name of a method's folder."""
    return name.lower().replace(" ", "-")


def read(place: Path, model: Model, temperatures: Floats, dof: int) -> Steady:
    """Return the steady state of a run: medians over its looks without spikes, and means of what is thermal."""
    n = len(temperatures)
    with trajectories.open(place) as run:
        at = {name: run.observables[name] for name in run.observables}
        tables = {name: np.asarray(one.values).reshape(-1, n, model.splits) for name, one in at.items()}
        steps = np.asarray(at["train/loss"].steps)

    def settled(name: str, rows: slice = slice(None)) -> Floats:
        spikes: Literal["up", "down"] = "down" if name.endswith("accuracy") else "up"
        return steady(steps[rows], tables[name][rows], len(steps[rows]), spikes=spikes)

    middle = len(steps) // 2
    halves = [settled("test/loss", rows) - settled("train/loss", rows) for rows in (slice(middle), slice(middle, None))]
    own = np.repeat(temperatures[:, None], model.splits, axis=1)
    stochastic = "noise_squared" in tables
    rates = np.asarray(model.rates)[:, None]
    return Steady(
        Curve(temperatures, *(settled(f"{p}/{m}") for m in ("loss", "accuracy") for p in ("train", "test"))),
        np.stack(halves),
        np.full_like(own, np.nan) if stochastic else tables["half_step_temperature"].mean(axis=0),
        tables["gradient_squared"].mean(axis=0), tables["laplacian"].mean(axis=0),
        np.square(tables["radius"]).mean(axis=0) / dof,
        rates / 2 * tables["noise_squared"].mean(axis=0) / dof if stochastic else own,
    )  # fmt: skip
