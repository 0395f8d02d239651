"""The kinds of values in a run file that are more than one plain type, and what is said of a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError
from torch import Tensor

from mdnet.tempering import geometric


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _are_numbers(value: object) -> bool:
    several = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else None
    return bool(several) and all(map(_is_number, several or ()))


def _are_by_layer(value: object) -> bool:
    return _is_number(value) or (isinstance(value, dict) and _are_numbers(value))


def _only(what: str, allowed: Callable[[object], bool]) -> BeforeValidator:
    def check(value: object) -> object:
        if not allowed(value):
            raise PydanticCustomError("kind", "must be {what}", {"what": what})
        return value

    return BeforeValidator(check)


PER_REPLICA = _only(
    "a finite number, or a list with one a replica",
    lambda x: _is_number(x) or (isinstance(x, list) and _are_numbers(x)),
)
Count = Annotated[int, Field(ge=1)]
"""One or more."""

Cadence = Annotated[int, Field(ge=0)]
"""Steps between two reports; 0 for none."""

Numbers = Annotated[Any, PER_REPLICA]
"""A number, or a list with one a replica."""

Radius = Annotated[Any, _only("a positive number, or 'start'", lambda x: x == "start" or _is_number(x))] | None
"""The radius of a sphere, or "start" for that of the starting point."""


def _spread(value: object) -> object:
    """A ladder from {low, high, rungs}."""
    if isinstance(value, dict) and set(value) == {"low", "high", "rungs"}:
        return geometric(**value).tolist()
    if not (isinstance(value, list) and _are_numbers(value)):
        what = "a list of temperatures, or { low = 0.001, high = 0.01, rungs = 8 }"
        raise PydanticCustomError("kind", "must be {what}", {"what": what})
    return value


Ladder = Annotated[list[float], BeforeValidator(_spread)]
"""Temperatures, or the ends of a geometric ladder."""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


Sizes = Annotated[
    Any,
    _only(
        "1 or more, or a list with one such whole number a replica",
        lambda x: _is_count(x) or (isinstance(x, list) and all(map(_is_count, x))),
    ),
    PER_REPLICA,
]
"""A number of rows, or a list with one a replica."""

Steps = Annotated[
    Any, _only("true, false, or a number of steps", lambda x: isinstance(x, bool) or (isinstance(x, int) and x > 0))
]
"""Whether something goes along, or its own number of steps between two reports."""

_LAYERS = "a number, or a table with numbers by layer"
ByLayer = Annotated[Any, _only(_LAYERS, _are_by_layer)]
"""A number, or numbers by parameter tensor or module name."""

SpreadByLayer = Annotated[Any, _only(f"'fan_in', {_LAYERS}", lambda x: x == "fan_in" or _are_by_layer(x))]
"""The same, or "fan_in"."""

Rows = Annotated[Any, _only("a number of rows, or a fraction of them", _is_number)]
"""A number of rows, or a fraction."""

Scale = Annotated[Any, _only("a number, or 'n' for the number of training rows", lambda x: x == "n" or _is_number(x))]
"""A number, or "n"."""


def tensor(value: float | list[float]) -> float | Tensor:
    """Return a number as it is, and a list with one a replica as (replicas, 1) float64."""
    return torch.tensor(value, dtype=torch.float64)[:, None] if isinstance(value, list) else value
