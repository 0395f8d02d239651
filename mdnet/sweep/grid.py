"""The grid of a sweep: values as they are written on a command line, their combinations, and a name for each."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mdnet.config import ConfigError

Over = Mapping[str | tuple[str, ...], Iterable[Any]]
"""Values by key, as in {"run.seed": range(8)}; a tuple of keys has tuples of values, for keys that vary together."""
Values = dict[str, Any]  # by dotted key: one combination

_RANGE = re.compile(r"(-?\d+):(-?\d+)(?::(-?\d+))?")
_PAIRS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
_SAFE = r"A-Za-z0-9_.+-"  # what file systems and shells take as it is
_EXACT = 2**53  # below, a float that is whole is an int
_LONGEST = 200  # letters in the name of a folder; most file systems allow 255


def parse(options: Sequence[str]) -> dict[str | tuple[str, ...], list[Any]]:
    """Read "run.seed=0:8", "integrator.dt=0.01,0.02" and, for keys that vary together, "a.b,c.d=1,2;3,4".

    Raises ConfigError for what is not of this form, and for a key that is given twice.
    """
    found: dict[str | tuple[str, ...], list[Any]] = {}
    for option in options:
        place, equals, text = option.partition("=")
        keys = tuple(key.strip() for key in place.split(","))
        if not equals or not text.strip() or not all(part for key in keys for part in key.split(".")):
            raise ConfigError(f"--over {option!r} is not KEY=VALUES, as in run.seed=0:8 or integrator.dt=0.01,0.02")
        key = keys if len(keys) > 1 else keys[0]
        if key in found:
            raise ConfigError(f"--over gives {place} twice; give all its values at once")
        found[key] = _together(text) if len(keys) > 1 else several(text)
    return found


def several(text: str) -> list[Any]:
    """Read values as a command line has them: "0.01,0.02", and ranges "0:8" or "0:100:10".

    Raises ConfigError for a range without a number.
    """
    values: list[Any] = []
    for part in _split(text, ","):
        span = _RANGE.fullmatch(part)
        if span is None:
            values.append(read(part))
            continue
        start, stop, step = int(span[1]), int(span[2]), int(span[3] or 1)
        if step == 0 or not range(start, stop, step):
            raise ConfigError(f"the range {part} holds no number; FIRST:END or FIRST:END:STEP ends before END")
        values += range(start, stop, step)
    return values


def product(over: Over) -> list[Values]:
    """Return all combinations of the values, the last key changing fastest.

    Raises ConfigError for a key or a value that is there twice, for no values, and for keys that vary together and
    have another number of values.
    """
    axes = [_axis((key,) if isinstance(key, str) else key, list(values)) for key, values in over.items()]
    if not axes:
        raise ConfigError("there is nothing to sweep over: give values of a key, as in --over run.seed=0:8")
    keys = [key for axis in axes for key in axis[0]]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise ConfigError(f"{', '.join(twice)}: swept over twice; give all values of a key at once")
    return [{k: v for part in parts for k, v in part.items()} for parts in itertools.product(*axes)]


def spell(value: Any) -> str:
    """Write a value as TOML does, and a whole number always without a point, so that 1.0 and 1 are one.

    Raises ConfigError for what TOML has no word for.
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {spell(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(spell, value))}]"
    if not isinstance(value, bool | int | float | str):
        raise ConfigError(f"{value!r} is no value of a run file; give a number, text, true or false, a list or a table")
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    return json.dumps(value, ensure_ascii=False)


def overrides(values: Values) -> list[str]:
    """Return a combination as `config.load` takes it: ["run.seed=3", ...]."""
    return [f"{key}={spell(value)}" for key, value in values.items()]


def flatten(tables: Mapping[str, Any], place: str = "") -> Values:
    """Return nested tables as one, by dotted keys; an empty table is a value.

    Raises ConfigError for a key that is there twice, as a dotted one and in a table.
    """
    flat: Values = {}
    for key, value in tables.items():
        below = isinstance(value, Mapping) and value
        for name, one in (flatten(value, f"{place}{key}.") if below else {f"{place}{key}": value}).items():
            if name in flat:
                raise ConfigError(f"{name} is given twice; give it once, with all its values")
            flat[name] = one
    return flat


def names(combinations: Sequence[Values]) -> list[str]:
    """Return a folder's name for each combination, "temperature=0.01,seed=3": safe, unique, and of its values alone.

    Raises ConfigError for a combination that is there twice.
    """
    short = _shorten(list(combinations[0]))
    found = [_bounded(",".join(f"{short[k]}={_word(v)}" for k, v in values.items())) for values in combinations]
    folded = [name.casefold() for name in found]  # some file systems know no capitals
    if twice := [name for name in found if folded.count(name.casefold()) > 1]:
        raise ConfigError(f"{twice[0]} is there twice (capitals do not count); give each value of a key once")
    return found


def read(text: str) -> Any:
    """Read a value as TOML does; what is no TOML value is text, so that BAOAB needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _together(text: str) -> list[Any]:
    return [tuple(read(part) for part in _split(group, ",")) for group in _split(text, ";")]


def _split(text: str, mark: str) -> list[str]:
    """Split at a mark outside of brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote or letter in "\"'":
            quote = "" if letter == quote else quote or letter
        depth += 0 if quote else _PAIRS.get(letter, 0)
        if letter == mark and not quote and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _axis(keys: tuple[str, ...], values: list[Any]) -> list[Values]:
    if not values:
        raise ConfigError(f"{', '.join(keys)}: there are no values to sweep over")
    if len(keys) == 1:
        return [{keys[0]: _plain(value)} for value in values]
    if len(set(keys)) < len(keys):
        raise ConfigError(f"{', '.join(keys)} vary together, and a key is there twice; give each once")
    for value in values:
        if not isinstance(value, list | tuple) or len(value) != len(keys):
            raise ConfigError(
                f"{', '.join(keys)} vary together, so each of their values is {len(keys)} values, not {value!r}; "
                "separate them by commas, and one from the next by a semicolon"
            )
    return [dict(zip(keys, map(_plain, value), strict=True)) for value in values]


def _plain(value: Any) -> Any:
    """A number of numpy or torch as one of Python."""
    return value.item() if hasattr(value, "item") else value


def _shorten(keys: Sequence[str]) -> dict[str, str]:
    """The shortest end of each dotted key that no other key has."""
    short = {}
    for key in keys:
        parts = key.split(".")
        ends = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        others = [f".{other}" for other in keys if other != key]
        short[key] = next((end for end in ends if not any(other.endswith(f".{end}") for other in others)), key)
    return {key: re.sub(f"[^{_SAFE}]+", "-", end) for key, end in short.items()}


def _word(value: Any) -> str:
    """A value as a part of a name: as it is where that is safe and says all, else with six digits of its digest."""
    text = value if isinstance(value, str) else spell(value)
    if re.fullmatch(f"[{_SAFE}]{{1,40}}", text) and (not isinstance(value, str) or read(text) == value):
        return text
    safe = re.sub(f"[^{_SAFE}]+", "-", text).strip("-.")[:40]
    return f"{safe}-{_digest(spell(value))}".lstrip("-")


def _bounded(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}-{_digest(name)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
