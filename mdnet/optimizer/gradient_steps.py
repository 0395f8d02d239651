"""BAOAB of a list of tensors by one gradient a step: what an optimizer does with a group of parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from integrators import Thermostat
from thermostats.parameters import maxwell

State = dict[Tensor, dict[str, Any]]
"""What an optimizer holds by parameter: its `momentum`, and `due`, the step whose closing half kick is to come."""


@dataclass
class GradientSteps:
    """The dynamics of one group of parameters, of unit mass, with a bath of its own.

    `variables` of the thermostat, `moving`: the indices of the parameters that these are for, `temperature`: the last.
    """

    thermostat: Thermostat
    variables: tuple[Tensor, ...] = ()
    moving: list[int] = field(default_factory=list)
    temperature: float | None = None

    def advance(self, group: dict[str, Any], state: State) -> None:
        """Move the parameters that have a gradient by one step, in place.

        The gradient's kick closes the former step and opens this one; drift, bath and drift follow. Where the
        temperature leaves zero, and for parameters that did not move yet, momenta are drawn from Maxwell's law.
        """
        moving = [i for i, x in enumerate(group["params"]) if x.grad is not None]
        if not moving:
            return
        params, dt = [group["params"][i] for i in moving], float(group["lr"])
        self._heat(float(group["temperature"]), group["params"], state)
        self._draw([x for x in params if not state.get(x)], state)
        for x in params:
            self._kick(x, state[x], group, dt)
            x.add_(state[x]["momentum"], alpha=dt / 2)
        p = torch.cat([state[x]["momentum"].reshape(-1) for x in params])[None]  # (1, dof)
        if moving != self.moving:
            self.variables, self.moving = self.thermostat.bath(p), moving
        self.thermostat(p, _masses(p), self.variables, torch.full((), dt, dtype=torch.float64, device=p.device))
        for x, part in zip(params, _parts(p, params), strict=True):
            x.add_(state[x]["momentum"].copy_(part), alpha=dt / 2)

    def state(self) -> dict[str, Any]:
        """Return all that load() needs: numbers and tensors."""
        return {"variables": list(self.variables), "moving": self.moving, "temperature": self.temperature}

    def load(self, state: dict[str, Any], device: torch.device) -> None:
        """Put back what state() returned."""
        self.variables = tuple(x.to(device, copy=True) for x in state["variables"])
        self.moving, self.temperature = list(state["moving"]), state["temperature"]

    def _heat(self, temperature: float, params: list[Tensor], state: State) -> None:
        """Set the temperature; where it leaves zero, forget the momenta and the former step."""
        if self.temperature == 0 < temperature:
            for x in params:
                state.pop(x, None)
        self.temperature = temperature
        target: Tensor | None = getattr(self.thermostat, "temperature", None)
        if target is not None:
            target.fill_(temperature)

    def _draw(self, params: list[Tensor], state: State) -> None:
        if not params:
            return
        p = params[0].new_zeros(1, sum(x.numel() for x in params))
        p = maxwell(p, _masses(p), torch.full((), self.temperature or 0.0, dtype=torch.float64, device=p.device))
        for x, part in zip(params, _parts(p, params), strict=True):
            state[x] = {"momentum": torch.empty_like(x).copy_(part), "due": 0.0}

    def _kick(self, x: Tensor, own: dict[str, Any], group: dict[str, Any], dt: float) -> None:
        assert x.grad is not None
        gradient = -x.grad if group["maximize"] else x.grad
        if group["weight_decay"]:
            gradient = gradient.add(x, alpha=float(group["weight_decay"]))
        own["momentum"].sub_(gradient, alpha=(own["due"] + dt) / 2)
        own["due"] = dt


def _parts(p: Tensor, params: list[Tensor]) -> list[Tensor]:
    """The parts of p (1, dof) in the shapes of the parameters."""
    parts = torch.split(p[0], [x.numel() for x in params])
    return [part.view_as(x) for part, x in zip(parts, params, strict=True)]


def _masses(p: Tensor) -> Tensor:
    return p.new_ones(()).expand(p.shape[-1])
