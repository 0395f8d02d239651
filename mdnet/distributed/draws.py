"""Random numbers by row: a part of the replicas draws from torch's generator what it would among all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from integrators import Integrator, Isokinetic, Splitting
from thermostats import (
    GJF,
    GLE,
    AdaptiveLangevin,
    Andersen,
    Berendsen,
    Decoherence,
    Langevin,
    NoBath,
    NoseHooverChain,
    NoseHooverLangevin,
    Several,
    VelocityRescaling,
)

_SHAPED = {torch.randn, torch.rand, torch.randint}
_LIKE: dict[Callable[..., Any], Callable[..., Any]] = {torch.randn_like: torch.randn, torch.rand_like: torch.rand}
_IN_PLACE = {Tensor.normal_, Tensor.uniform_, Tensor.exponential_}
_OTHERS = {torch.bernoulli, torch.multinomial, torch.poisson, torch.normal, torch.randint_like, Tensor.bernoulli_}
_BY_COUNT = (
    GJF, GLE, AdaptiveLangevin, Andersen, Berendsen, Decoherence, Langevin, NoBath, NoseHooverChain,
    NoseHooverLangevin, VelocityRescaling,
)  # fmt: skip


class ByRow(TorchFunctionMode):
    """Draws what has the replicas for its first dimension, `rows` of `replicas`, for all of them, and takes the rows.

    So the generator ends in the same state on every rank, whatever rows it has. Whole numbers in one dimension, such
    as keys, and all that has another first dimension, are the same for all replicas. Raises ValueError for a kind of
    random number that it cannot divide.
    """

    def __init__(self, rows: slice, replicas: int) -> None:
        super().__init__()
        self.rows, self.replicas, self.count = rows, replicas, rows.stop - rows.start

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, a random one for all replicas."""
        named = dict(kwargs or {})
        if named.get("generator") is not None:
            return func(*args, **named)
        if func in _LIKE and self._divided(args[0].shape):
            made = {"dtype": args[0].dtype, "device": args[0].device} | named
            return self._own(_LIKE[func](self._whole(args[0].shape), **made))
        if func in _SHAPED:
            return self._shaped(func, args, named)
        if func in _IN_PLACE and self._divided(args[0].shape):
            every = args[0].new_empty(self._whole(args[0].shape))
            return args[0].copy_(self._own(func(every, *args[1:], **named)))
        if func is torch._standard_gamma and self._divided(args[0].shape):
            return self._own(func(_same(args[0]).expand(self._whole(args[0].shape)).contiguous()))
        if func in _OTHERS:
            raise ValueError(
                f"torch.{func.__name__} cannot be divided over ranks; draw with torch.randn_like, rand_like, normal_, "
                "uniform_ or randint, or with thermostats.noise, or run in one process"
            )
        return func(*args, **named)

    def _shaped(self, func: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """torch.randn(2, 3), torch.randn((2, 3)), torch.randint(low, high, (2, 3)): the shape is found among these."""
        bounds = next((i for i, x in enumerate(args) if isinstance(x, tuple | list)), 0)
        shape = args[bounds] if args and isinstance(args[bounds], tuple | list) else args[bounds:]
        if not self._divided(shape) or (func is torch.randint and len(shape) < 2):
            return func(*args, **named)
        return self._own(func(*args[:bounds], self._whole(shape), **named))

    def _divided(self, shape: Any) -> bool:
        return len(shape) > 0 and shape[0] == self.count

    def _whole(self, shape: Any) -> tuple[int, ...]:
        return (self.replicas, *shape[1:])

    def _own(self, values: Tensor) -> Tensor:
        return values[self.rows].clone()


def by_count(integrator: Integrator) -> bool:
    """Whether all random numbers of a method come from thermostats.noise, so that no rank draws those of others."""
    if type(integrator) not in (Splitting, Isokinetic) or integrator.stochastic:
        return False
    thermostat = integrator.thermostat  # type: ignore[attr-defined]
    baths = thermostat.baths if isinstance(thermostat, Several) else (thermostat,)
    return all(bath is None or type(bath) in _BY_COUNT for bath in baths)


def _same(values: Tensor) -> Tensor:
    """The one value that all have; raises ValueError where they differ."""
    if not (values == values.flatten()[0]).all():
        raise ValueError("gamma numbers whose shape differs by replica cannot be divided over ranks")
    return values[:1]
