"""Named parameters <-> one flat vector, and the table that undoes it (a parameter tensor is a layer)."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Entry(NamedTuple):
    """One parameter tensor: its name, its shape and where it starts in the flat vector."""

    name: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """How many parameters it has."""
        return prod(self.shape)


class ParameterTable:
    """The trainable parameter tensors of a module, in order, as one vector of `dof` numbers.

    Frozen parameters (requires_grad=False) are left out; tied ones count once.
    Raises ValueError where nothing is left.
    """

    def __init__(self, module: nn.Module) -> None:
        self.entries: list[Entry] = []
        self.dof = 0
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                self.entries.append(Entry(name, tuple(parameter.shape), self.dof))
                self.dof += parameter.numel()
        if self.dof == 0:
            kind = type(module).__name__
            raise ValueError(
                f"the network ({kind}) has no trainable parameters, so there are no particles; "
                "give it layers with weights, or set requires_grad=True on some"
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of parameters of each tensor."""
        return tuple(entry.size for entry in self.entries)

    def flatten(self, module: nn.Module) -> Tensor:
        """Return the module's parameters as one vector (dof,)."""
        named = dict(module.named_parameters())
        return torch.cat([named[entry.name].detach().flatten() for entry in self.entries])

    def unflatten(self, q: Tensor) -> dict[str, Tensor]:
        """Return q (..., dof) as views {name: (..., *shape)}."""
        parts = torch.split(q, list(self.sizes), dim=-1)
        return {e.name: x.reshape((*q.shape[:-1], *e.shape)) for e, x in zip(self.entries, parts, strict=True)}

    def per_parameter(self, values: Mapping[str, float]) -> Tensor:
        """Return a value for every parameter (dof,) from values by tensor name or module name, float64.

        Raises ValueError for a name that fits no tensor, and for a tensor that no name fits.
        """
        vector = torch.full((self.dof,), float("nan"), dtype=torch.float64)
        for name, value in values.items():
            fits = [e for e in self.entries if e.name == name or e.name.startswith(f"{name}.")]
            if not fits:
                raise ValueError(f"{name!r} names no parameter tensor; there are {[e.name for e in self.entries]}")
            for entry in fits:
                vector[entry.offset : entry.offset + entry.size] = value
        missing = [e.name for e in self.entries if torch.isnan(vector[e.offset : e.offset + e.size]).any()]
        if missing:
            raise ValueError(f"no value is given for the parameter tensors {missing}; name them, or their module")
        return vector

    def fan_in(self) -> Tensor:
        """Return the fan-in of every parameter's layer (dof,): a bias has the fan-in of its module's weight.

        A tensor of two or more dimensions has numel/shape[0]; a lone vector or scalar counts as 1.
        """
        by_module = {
            entry.name.rpartition(".")[0]: entry.size / entry.shape[0]
            for entry in self.entries
            if len(entry.shape) >= 2
        }
        parts = []
        for entry in self.entries:
            own = entry.size / entry.shape[0] if len(entry.shape) >= 2 else None
            fan = own or by_module.get(entry.name.rpartition(".")[0], 1.0)
            parts.append(torch.full((entry.size,), fan, dtype=torch.float64))
        return torch.cat(parts)
