"""What is wrong with a run file in the words of the file: its place, its value, what is allowed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError

from mdnet.config.options import Choice, Section
from mdnet.config.sections import RunFile
from mdnet.spelling import unknown

_ALLOWED = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false",
    "list_type": "must be a list, as in [32, 32]",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
}
_NO_TABLE = ("model_type", "model_attributes_type", "dict_type")


class Place(NamedTuple):
    """Where in a file: its tables and key by name, the section there if it is one, and the choice open there."""

    path: list[str]
    section: type[Section] | None
    choice: Choice | None


def in_plain_words(error: ValidationError) -> list[str]:
    """Return one line for each error, such as "[thermostat] unknown key 'temprature'; did you mean ..."."""
    return [line for each in error.errors(include_url=False) for line in _told(each).splitlines()]


def _told(error: Any) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(error["loc"])
    path, _, choice = _place(error["loc"])
    if kind == "value_error":
        place = f"[{'.'.join(path)}] " if choice is not None else _table(path) if path else ""
        return f"{place}{context['error']}"
    if choice is not None and kind.startswith("union_tag"):
        word = context.get("tag")
        told = f"{choice.key} is missing; known: {', '.join(sorted(choice.makers))}"
        return f"[{'.'.join(path)}] {told if word is None else unknown(choice.key, word, choice.makers)}"
    if kind == "missing":
        return f"[{path[0]}] is missing" if len(path) == 1 else f"{_table(path)}{path[-1]} is missing"
    if choice is not None or kind in _NO_TABLE:
        return f"[{'.'.join(path)}] must be a table of keys and values, not {value!r}"
    if kind == "literal_error":
        return _table(path) + unknown(path[-1], str(value), re.findall(r"'([^']*)'", context["expected"]))
    allowed = _ALLOWED[kind].format(**context) if kind in _ALLOWED else error["msg"]
    return f"{_table(path)}{path[-1]} = {value!r} {allowed}"


def _unknown_key(location: Sequence[int | str]) -> str:
    path, section, _ = _place(location[:-1])
    key = str(location[-1])
    known = list((section or RunFile).model_fields)
    return f"[{'.'.join(path)}] {unknown('key', key, known)}" if path else unknown("table", key, known)


def _table(path: Sequence[str]) -> str:
    """The table that a key stands in; a table that stands alone is its own."""
    return f"[{'.'.join(path[:-1] or path)}] "


def _place(location: Sequence[int | str]) -> Place:
    """Follow pydantic's location through the tables; it names the word of a choice as a step of its own."""
    path: list[str] = []
    section: type[Section] | None = RunFile
    choice: Choice | None = None
    for step in location:
        if choice is not None:
            section, choice = choice.model(str(step)), None
            continue
        info = section.model_fields.get(str(step)) if section else None
        path.append(str(step))
        choice = next((each for each in info.metadata if isinstance(each, Choice)), None) if info else None
        kind = info.annotation if info else None
        kinds = [each for each in (kind, *get_args(kind)) if isinstance(each, type) and issubclass(each, Section)]
        section = kinds[0] if kinds else None
    return Place(path, section, choice)
