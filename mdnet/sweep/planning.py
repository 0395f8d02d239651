"""What a sweep is to run: every combination validated before anything runs, with all errors told at once."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdnet import config
from mdnet.config import ConfigError, RunFile
from mdnet.sweep import grid

_FREE = ("run.steps", "run.wall_clock", "run.checkpoint_every", "run.threads")  # what a run may change on its way
_TOLD = 3  # combinations named for one error


@dataclass(frozen=True)
class Planned:
    """One run that is wanted: the name of its folder, the values that are swept over, and the whole run file."""

    name: str
    values: dict[str, Any]
    runfile: RunFile


def plan(file: Path, over: grid.Over, overrides: Sequence[str] = ()) -> list[Planned]:
    """Return the runs of a sweep in the order of its grid.

    Raises ConfigError for a grid that is none, and with all that is wrong with any combination.
    """
    combinations = grid.product(over)
    _refuse_both(combinations[0], overrides)
    planned: list[Planned] = []
    errors: dict[str, list[str]] = {}
    for name, values in zip(grid.names(combinations), combinations, strict=True):
        try:
            planned.append(one(file, name, values, overrides))
        except ConfigError as error:
            errors.setdefault(str(error), []).append(name)
    if errors:
        wrong = len(combinations) - len(planned)
        lines = [f"{_list(names)}:\n  {text}" for text, names in errors.items()]
        raise ConfigError(
            "\n".join([f"{wrong} of {len(combinations)} combinations cannot run; none was begun", *lines])
        )
    return planned


def one(file: Path, name: str, values: grid.Values, overrides: Sequence[str] = ()) -> Planned:
    """Return the run of one combination; raises ConfigError with all that is wrong with it."""
    return Planned(name, values, config.load(file, [*overrides, *grid.overrides(values)]))


def base(file: Path, keys: Sequence[str], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return the values of a run file, by dotted key, that make a sweep this one: neither swept over nor free."""
    flat = grid.flatten(tomllib.loads(file.read_text(encoding="utf-8")))
    for override in overrides:
        key, _, text = override.partition("=")
        place = ".".join(part.strip() for part in key.split("."))
        flat = {each: value for each, value in flat.items() if not each.startswith(f"{place}.")}
        flat |= grid.flatten({place: grid.read(text)})
    left_out = (*keys, *_FREE)
    return {k: v for k, v in flat.items() if not any(k == key or k.startswith(f"{key}.") for key in left_out)}


def _refuse_both(values: grid.Values, overrides: Sequence[str]) -> None:
    given = {".".join(map(str.strip, override.partition("=")[0].split("."))) for override in overrides}
    if both := sorted(given & values.keys()):
        raise ConfigError(f"{', '.join(both)}: set (--set) and swept over (--over); leave one of them out")


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return "; ".join(names[:_TOLD]) + more
