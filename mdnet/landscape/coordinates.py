"""The reporter of collective variables: where the walkers of a biased force are."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from integrators import Integrator, Phase
from mdnet.cadence import cadence
from mdnet.landscape.bias import BiasedForce
from mdnet.landscape.rungs import Rungs
from mdnet.landscape.variables import Variable
from mdnet.system import ParticleSystem
from trajectories.landscape.ladder import observable


class Coordinates:
    """Reports "coordinate/NAME" (replicas,) float64: the biased force's variables, as it evaluated them, and more.

    NAME is that of the variable with "_" for what an observable cannot have, such as "coordinate/ln_L_train".

    `variables`: further ones, evaluated for the report. Where the bias is a ladder's, "ladder/rung" (replicas,) tells
    which rung each walker is on. `every`: steps between reports. Raises ValueError for a force without bias, and for
    two variables of one name.
    """

    def __init__(self, every: int = 20, variables: Sequence[Variable] = ()) -> None:
        self.every, self.variables = cadence(every), tuple(variables)

    @property
    def settings(self) -> dict[str, Any]:
        """What the file remembers under /parameters/reporters."""
        return {"every": self.every, "variables": [each.name for each in self.variables]}

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """Take the force from the integrator."""
        force = getattr(integrator, "force", None)
        if not isinstance(force, BiasedForce):
            raise ValueError(f"Coordinates needs an integrator with a BiasedForce, not {force!r}")
        names = [observable(each.name) for each in (*force.variables, *self.variables)]
        if len(set(names)) < len(names):
            raise ValueError(f"the variables {names} need names of their own; those of the force are reported anyway")
        self.force = force

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Return the variables at the phase."""
        force = self.force
        report = {observable(each.name): force.x[:, k].clone() for k, each in enumerate(force.variables)}
        report |= {observable(each.name): each.value(phase.q) for each in self.variables}
        return report | {"ladder/rung": force.bias.rung.clone()} if isinstance(force.bias, Rungs) else report

    def part(self, rows: slice) -> Coordinates:
        """Return the reporter of these replicas, where a run is divided."""
        own = copy.copy(self)
        own.variables = tuple(each.part(rows) for each in self.variables)
        return own
