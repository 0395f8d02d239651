"""Several heat baths, each on a group of parameters of its own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

import torch
from torch import Tensor


class Bath(Protocol):
    """What every thermostat of this package is."""

    def bath(self, p: Tensor) -> tuple[Tensor, ...]:
        """Return its variables for momenta like p (replicas, dof)."""

    def __call__(self, p: Tensor, m: Tensor, bath: tuple[Tensor, ...], dt: Tensor) -> None:
        """Act on p (replicas, dof) with masses m (dof,) for the time dt, in place."""


@dataclass(frozen=True, repr=False)
class Several:
    """baths[i] acts on sizes[i] consecutive parameters, the first on the first: GROMACS's temperature-coupling groups.

    `sizes` are sums of system.sizes, such as those of a layer's weight and bias: Several((Langevin(0.1, 1.0),
    NoseHooverChain(0.1, 0.5)), sizes=(sum(system.sizes[:2]), sum(system.sizes[2:]))).
    Where all that have a temperature have the same, `temperature` is one tensor shared by all, so that a
    schedule acts on each; where they differ it is None: no schedule, and no set temperature to compare with.
    Canonical where all baths are, at one temperature. Each bath is a copy of the one given.

    Raises ValueError where there are not as many sizes as baths, for a size below one, and for temperatures of
    different numbers of replicas.
    """

    baths: tuple[Bath, ...]
    sizes: tuple[int, ...]
    temperature: Tensor | None
    variables: tuple[int, ...]  # how many each bath has

    def __init__(self, baths: Sequence[Bath], sizes: Sequence[int]) -> None:
        if len(baths) != len(sizes) or not baths or min(sizes) < 1:
            raise ValueError(
                f"sizes = {tuple(sizes)} for {len(baths)} baths: give each bath the number of parameters it acts "
                "on, one or more, in their order"
            )
        copies, temperature = tuple(copy.copy(bath) for bath in baths), _common(baths)
        for bath in copies:
            if temperature is not None and getattr(bath, "temperature", None) is not None:
                object.__setattr__(bath, "temperature", temperature)
        variables = tuple(_variables(bath, size) for bath, size in zip(copies, sizes, strict=True))
        values = {"baths": copies, "sizes": tuple(sizes), "temperature": temperature, "variables": variables}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def canonical(self) -> bool:
        """Whether all baths are, and have one temperature."""
        return self.temperature is not None and all(getattr(bath, "canonical", False) for bath in self.baths)

    @property
    def compensates(self) -> bool:
        """Whether all baths compensate for the heat of a noisy force."""
        return all(getattr(bath, "compensates", False) for bath in self.baths)

    def bath(self, p: Tensor) -> tuple[Tensor, ...]:
        """Return the variables of all baths, in their order, for momenta like p (replicas, dof).

        Raises ValueError where `sizes` do not add up to the number of parameters.
        """
        if sum(self.sizes) != p.shape[-1]:
            raise ValueError(
                f"sizes = {self.sizes} add up to {sum(self.sizes)}, but there are {p.shape[-1]} parameters"
            )
        columns = torch.split(p, list(self.sizes), -1)
        return tuple(x for bath, part in zip(self.baths, columns, strict=True) for x in bath.bath(part))

    def __call__(self, p: Tensor, m: Tensor, bath: tuple[Tensor, ...], dt: Tensor) -> None:
        """Let each bath act on its columns of p (replicas, dof) with masses m (dof,) for the time dt, in place."""
        for each, columns, own in self._parts(bath):
            each(p[..., columns], m[columns], own, dt)

    @property
    def energy(self) -> Callable[[tuple[Tensor, ...]], Tensor]:
        """The function of the variables that gives the energy all baths took, (replicas,) float64.

        Raises AttributeError, as for any attribute that is not there, where a bath has no such function.
        """
        self._need("energy", self.baths)
        return self._energy

    @property
    def reverse(self) -> Callable[[tuple[Tensor, ...]], None]:
        """The function that turns the momenta of all baths round, in their variables.

        Raises AttributeError, as for any attribute that is not there, where a bath with variables has none.
        """
        self._need("reverse", [bath for bath, count in zip(self.baths, self.variables, strict=True) if count])
        return self._reverse

    def mirror(self, bath: tuple[Tensor, ...], sign: Tensor) -> None:
        """Turn what is odd in a coordinate by sign (replicas, dof), +1 or -1."""
        for each, columns, own in self._parts(bath):
            if turn := getattr(each, "mirror", None):
                turn(own, sign[..., columns])

    def rescale(self, bath: tuple[Tensor, ...], factor: Tensor) -> None:
        """Bring the baths' own momenta to a temperature factor^2 as high, factor (replicas, 1)."""
        for each, _, own in self._parts(bath):
            if scale := getattr(each, "rescale", None):
                scale(own, factor)

    def select(self, bath: tuple[Tensor, ...], rows: Tensor) -> None:
        """Put the variables of replica rows[r] where replica r is, rows (replicas,)."""
        for each, _, own in self._parts(bath):
            if pick := getattr(each, "select", None):
                pick(own, rows)
                continue
            for variable in own:
                if variable.is_floating_point() and variable.ndim > 1 and len(variable) == len(rows):
                    variable.copy_(variable[rows])

    def _reverse(self, bath: tuple[Tensor, ...]) -> None:
        for each, _, own in self._parts(bath):
            if own:
                each.reverse(own)

    def _need(self, name: str, baths: Sequence[Bath]) -> None:
        for bath in baths:
            if not hasattr(bath, name):
                raise AttributeError(f"{type(bath).__name__} has no {name}, so several baths with it have none")

    def _energy(self, bath: tuple[Tensor, ...]) -> Tensor:
        return torch.stack([each.energy(own) for each, _, own in self._parts(bath)]).sum(0)

    def _parts(self, bath: tuple[Tensor, ...]) -> Iterator[tuple[Any, slice, tuple[Tensor, ...]]]:
        """Each bath with its columns and its variables."""
        ends, last = accumulate(self.sizes), accumulate(self.variables)
        for each, size, end, count, stop in zip(self.baths, self.sizes, ends, self.variables, last, strict=True):
            yield each, slice(end - size, end), bath[stop - count : stop]

    def __repr__(self) -> str:
        return f"Several({self.baths}, sizes={self.sizes})"


def _common(baths: Sequence[Bath]) -> Tensor | None:
    """A new tensor of the temperature that all baths with one share; None where they differ or none has one."""
    given = [t for bath in baths if (t := getattr(bath, "temperature", None)) is not None]
    if not given:
        return None
    widest: Tensor = max(given, key=Tensor.numel)
    if any(t.ndim and t.shape != widest.shape for t in given):
        shapes = [tuple(t.shape) for t in given]
        raise ValueError(f"temperatures of shapes {shapes}: give all for the same number of replicas, or one number")
    return widest.clone() if all(bool((t == widest).all()) for t in given) else None


def _variables(bath: Bath, size: int) -> int:
    """How many variables a bath has for so many parameters, found out without touching the random numbers."""
    temperature = getattr(bath, "temperature", None)
    replicas = len(temperature) if temperature is not None and temperature.ndim else 1
    with torch.random.fork_rng(devices=[]):
        return len(bath.bath(torch.zeros(replicas, size, dtype=torch.float64)))
