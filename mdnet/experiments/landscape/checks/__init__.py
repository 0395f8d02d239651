"""What must hold before a landscape is believed: walkers against entropies that are known exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

from mdnet.experiments.results import Check, Study
from mdnet.spelling import unknown

_PLACES = {
    "w1": "harmonic",
    "w2": "monte_carlo",
    "w3": "binary",
    "w4": "plane",
    "w8": "mechanics",
}
NAMES = tuple(_PLACES)


def check(name: str, seed: int = 0) -> Study | Sequence[Check]:
    """Return what the check of this name finds, a study or claims alone; raises ValueError for a name there is not."""
    if name not in _PLACES:
        raise ValueError(unknown("check", name, NAMES))
    found: Callable[[int], Study | Sequence[Check]] = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    return found(seed)
