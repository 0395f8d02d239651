"""A table of numbers as rich prints it and as JSON keeps it, with the machine and the versions they were taken on."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mdnet.console import say, tabulate

Value = float | int | str | None
_PACKAGES = ("mdnet", "torch", "numpy", "scipy", "numba", "h5py")


@dataclass(frozen=True)
class Table:
    """Rows of named values; `columns`: the heading, with its unit, of each name that the screen shows.

    What a row has to say as its "note" is printed as a line below.
    """

    name: str
    title: str
    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, Value]]

    def show(self) -> None:
        """Print it."""
        rows = [[shown(row.get(name)) for name in self.columns] for row in self.rows]
        tabulate(self.title, list(self.columns.values()), rows)
        for row in self.rows:
            if note := row.get("note"):
                say(str(note))


def grouped(rows: Sequence[Mapping[str, Value]], title: str) -> list[Table]:
    """Return a table for each value of "table" in the rows, in their order, with all other names as headings."""
    names = dict.fromkeys(str(row["table"]) for row in rows)
    tables = []
    for name in names:
        own = [{key: value for key, value in row.items() if key != "table"} for row in rows if row["table"] == name]
        headings = dict.fromkeys(key for row in own for key in row if key != "note")
        tables.append(Table(name, f"{name}: {title}", {key: key for key in headings}, own))
    return tables


def shown(value: Value) -> str:
    """Return a value as the screen has it: numbers to three digits, 12.3k and 1.23M; nothing as a dash."""
    if value is None:
        return "–"
    if isinstance(value, str | int):
        return str(value)
    for unit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{_three(value / unit)}{suffix}"
    return _three(value)


def document(tables: Sequence[Table], rounds: int) -> dict[str, Any]:
    """Return all tables as JSON has them, with the command, the machine and the versions."""
    return {
        "command": " ".join(["mdnet", *sys.argv[1:]]),
        "rounds": rounds,
        "machine": machine(),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES},
        "tables": [asdict(table) for table in tables],
    }


def machine() -> dict[str, Value]:
    """Return what is known of the processor and the operating system."""
    return {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform()}


def write(tables: Sequence[Table], rounds: int, file: str) -> None:
    """Write the JSON to a file, or to the screen for "-"; raises ValueError for a number that JSON does not have."""
    text = json.dumps(document(tables, rounds), indent=2, allow_nan=False)
    if file == "-":
        print(text)
        return
    Path(file).write_text(text + "\n", encoding="utf-8")
    say(f"written: {file}")


def _three(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _processor() -> str:
    """The model's name; platform.processor() says little on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
