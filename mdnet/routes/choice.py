"""Which route a system takes: what was asked for, or what the program chooses, and why."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from mdnet.routes.native.library import compiler
from mdnet.routes.native.reading import Unfit, chain
from mdnet.spelling import unknown

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem

Route = Literal["auto", "eager", "module", "compiled", "native"]
ROUTES: tuple[Route, ...] = get_args(Route)
VARIABLE = "MDNET_ROUTE"
ASKED = "asked for"


class Choice(NamedTuple):
    """A route and the reason for it, in a few words."""

    route: Route
    why: str


def choose(system: ParticleSystem, route: Route) -> Choice:
    """Return the route that is asked for, where "auto" means what MDNET_ROUTE says, by default the program's choice.

    Raises ValueError for an unknown one.
    """
    why = ASKED
    if route == "auto":
        route, why = os.environ.get(VARIABLE, "auto"), f"{VARIABLE} says so"  # type: ignore[assignment]
    if route not in ROUTES:
        raise ValueError(unknown("route", route, ROUTES))
    if route == "module" and system.precision != "float32":
        raise ValueError(f"route = 'module' knows float32 only, not precision = {system.precision!r}; take 'compiled'")
    if route not in ("auto", "native"):
        return Choice(route, why)
    try:
        _native(system)
    except Unfit as unfit:
        if route == "native":
            raise ValueError(f"route = 'native': {unfit}; take route = 'auto'") from unfit
        return Choice("compiled" if _compiles(system) else "eager", f"no native code: {unfit}")
    return Choice("native", "a dense network on a CPU" if route == "auto" else why)


def _compiles(system: ParticleSystem) -> bool:
    """Whether torch.compile has what it needs: a C++ compiler on a CPU, and Triton on a GPU."""
    return compiler() is not None if system.device.type == "cpu" else find_spec("triton") is not None


def _native(system: ParticleSystem) -> None:
    """Raise Unfit with the reason where there is no native code for a system."""
    if system.precision != "float32":
        raise Unfit(f"it knows no precision {system.precision!r}")
    if compiler() is None:
        raise Unfit("there is no C++ compiler (g++, or what CXX names)")
    chain(system, system.inputs.shape[0 if system.shares_data else 1])
    if not system.targets.is_floating_point() and bool((system.targets < 0).any()):
        raise Unfit("there are labels below zero, rows that the loss leaves out")
