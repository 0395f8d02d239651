"""Nested settings to HDF5 groups and back: what was run, stored beside what came out."""

import json
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from trajectories.errors import InvalidRow

_JSON = "json"  # attribute of a string that holds JSON: lists HDF5 has no type for


def write(group: h5py.Group, parameters: Mapping[str, Any]) -> None:
    """Store a nested mapping of str, int, float, bool, lists and numpy arrays; None is left out.

    Lists of equal numbers or strings become arrays; other lists (ragged, mixed, of mappings) become JSON text.

    Raises:
        InvalidRow: a key that HDF5 cannot hold, or a value of another type.
    """
    for key, value in parameters.items():
        if not isinstance(key, str) or not key or "/" in key or key == ".":
            raise InvalidRow(f"parameter name {key!r} under {group.name}: use non-empty text without '/'")
        if value is None:
            continue
        if isinstance(value, Mapping):
            write(group.create_group(key), value)
        else:
            _write_value(group, key, value)


def _write_value(group: h5py.Group, key: str, value: Any) -> None:
    where = f"{group.name}/{key}"
    if isinstance(value, str):
        group.create_dataset(key, data=value, dtype=h5py.string_dtype())
    elif isinstance(value, bool | int | float | np.generic) or _is_numeric(value):
        group.create_dataset(key, data=value)
    elif isinstance(value, list | tuple) and value and all(isinstance(item, str) for item in value):
        group.create_dataset(key, data=list(value), dtype=h5py.string_dtype())
    elif isinstance(value, list | tuple):
        try:
            text = json.dumps(value)
        except TypeError as error:
            raise InvalidRow(f"parameter {where}: {error}; use text, numbers, lists or mappings") from error
        group.create_dataset(key, data=text, dtype=h5py.string_dtype()).attrs[_JSON] = True
    else:
        kind = type(value).__name__
        raise InvalidRow(
            f"parameter {where} is a {kind}; allowed are str, int, float, bool, list, mapping, numpy array: "
            "convert it, with str(...) for instance"
        )


def _is_numeric(value: Any) -> bool:
    """Whether HDF5 has a type for it: a numpy array of numbers, or a list that makes one."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biufc"
    if not isinstance(value, list | tuple) or not value:
        return False
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):  # ragged
        return False
    kinds = {type(item) for item in value}
    return array.dtype.kind in "biuf" and (kinds <= {int, float} or len(kinds) == 1)


def read(group: h5py.Group) -> dict[str, Any]:
    """Read back what `write` stored: text as str, numbers as Python numbers, lists of numbers as arrays."""
    return {key: read(item) if isinstance(item, h5py.Group) else _read_value(item) for key, item in group.items()}


def _read_value(item: h5py.Dataset) -> Any:
    if h5py.check_string_dtype(item.dtype) is not None:
        text = item.asstr()[()]
        if item.attrs.get(_JSON, False):
            return json.loads(text)
        return text if isinstance(text, str) else [str(entry) for entry in text]
    value = item[()]
    return value.item() if item.shape == () else value


def flatten(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mapping to one level, keys joined by dots: {"a": {"b": 1}} becomes {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in parameters.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def shorten(value: Any, limit: int = 80) -> str:
    """One line for a table: a long text is cut, a large array is named by its shape."""
    if isinstance(value, np.ndarray):
        value = value.tolist() if value.size <= 8 else f"array {value.shape} of {value.dtype}"
    line = " ".join(str(value).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
