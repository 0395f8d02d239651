"""Run files from and to TOML, with all errors of a file told at once in plain words."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mdnet.config.errors import in_plain_words
from mdnet.config.sections import RunFile

FILE_NAME = "run.toml"
"""The name of the run file in a run's folder."""
Tables = dict[str, Any]


class ConfigError(ValueError):
    """A run file that cannot be used; the message names every place and its remedy."""


def load(path: str | Path, overrides: Sequence[str] = ()) -> RunFile:
    """Read a run file; `overrides` such as "run.steps=100" replace or add single values, written as in TOML.

    Raises ConfigError with all that is wrong: no such file, no TOML, unknown keys, wrong types and values.
    """
    path = Path(path)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the run file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    for override in overrides:
        _replace(tables, override)
    try:
        return RunFile.model_validate(tables)
    except ValidationError as error:
        told = in_plain_words(error)
        count = f"{len(told)} errors" if len(told) > 1 else "an error"
        raise ConfigError("\n  ".join([f"{path} has {count}:", *told])) from None


def store(runfile: RunFile, folder: Path) -> Path:
    """Write a run file with every value in force, defaults too, as folder/run.toml; `load` gives it back.

    Raises ConfigError where it cannot be written; one that is there already then stays.
    """
    path = folder / FILE_NAME
    temporary = path.with_suffix(".tmp")
    text = "\n".join(_toml(runfile.model_dump(exclude_none=True))).lstrip() + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}; check the permissions of the folder and the space on its disk, or "
            "choose another folder (--out)"
        ) from error
    return path


def _replace(tables: Tables, override: str) -> None:
    place, equals, text = override.partition("=")
    *path, key = [part.strip() for part in place.split(".")]
    if not equals or not all([*path, key]):
        raise ConfigError(f"override {override!r} is not KEY=VALUE, as in run.steps=1000")
    table = tables
    for part in path:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"override {override!r}: {part} is a value, not a table")
    table[key] = _value(text.strip())


def _value(text: str) -> Any:
    """Read a value as TOML does; what is no TOML value is text, so that network.name=mlp needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _toml(table: Mapping[str, Any], name: str = "") -> Iterator[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    if name and (plain or not table):
        yield f"\n[{name}]"
    for key, value in plain.items():
        yield f"{_key(key)} = {json.dumps(value, ensure_ascii=False)}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _toml(value, f"{name}.{_key(key)}" if name else _key(key))


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)
