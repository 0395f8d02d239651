"""Tables of comma-separated values, plain or gzipped, as numbers: text columns become one column a category."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Columns:
    """Numbers (n, columns) float64 with the names of the columns; a category's is COLUMN=VALUE."""

    values: Tensor
    names: tuple[str, ...]


def read_table(
    path: Path,
    target: str,
    *,
    only: Collection[str] = (),
    without: Collection[str] = (),
    categories: Collection[str] = (),
) -> tuple[Columns, Tensor]:
    """Read a table with a heading; return its input columns and the target column (n, 1) float64.

    A column of numbers is taken as it is; a column of text, and one named in `categories`, becomes one
    column of zeros and ones for each of its values, in the order of the alphabet. `only`: the input columns
    to take, all by default; `without`: columns to leave out.

    Raises ValueError for a missing column, rows of unequal length, a column that mixes numbers and text (naming
    the row), and numbers that are not finite.
    """  # fmt: skip
    table = _read(path)
    wanted = [name for name in only or table if name not in (target, *without)]
    missing = [name for name in (target, *wanted, *categories) if name not in table]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]!r}; it has {', '.join(table)}")
    parts = [_encode(path, name, table[name], name in categories) for name in wanted]
    inputs = Columns(torch.cat([part.values for part in parts], 1), tuple(n for part in parts for n in part.names))
    return inputs, _encode(path, target, table[target], False).values


def _read(path: Path) -> Mapping[str, Sequence[str]]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    heading, *rows = [row for row in csv.reader(io.StringIO(content.decode("utf-8"), newline="")) if row] or [[]]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(heading):
            raise ValueError(f"{path}: data row {number} has {len(row)} values, the heading has {len(heading)}")
    if not rows:
        raise ValueError(f"{path} holds no data rows under a heading")
    return dict(zip(heading, zip(*rows, strict=True), strict=True))


def _encode(path: Path, name: str, cells: Sequence[str], as_categories: bool) -> Columns:
    numbers = [_number(cell) for cell in cells]
    found = sum(number is not None for number in numbers)
    if found == 0 or as_categories:
        known = sorted(set(cells))
        codes = torch.tensor([known.index(cell) for cell in cells])
        ones = torch.nn.functional.one_hot(codes, len(known)).double()
        return Columns(ones, tuple(f"{name}={value}" for value in known))
    if found < len(cells):
        row = numbers.index(None)
        raise ValueError(
            f"{path}: column {name!r} holds numbers, but {cells[row]!r} in data row {row + 1}; remove or impute it, "
            f"or read the column as text with categories=[{name!r}]"
        )
    return Columns(torch.tensor(numbers, dtype=torch.float64)[:, None], (name,))


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if isfinite(number) else None
