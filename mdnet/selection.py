"""Which parameter tensors a trajectory keeps, taken out of the flat vector on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from mdnet.flatten import Entry, ParameterTable
from mdnet.spelling import unknown


class Selection:
    """The parameter tensors whose names are given or fit a pattern such as "*.bias", in the order of the table.

    `entries`: the kept tensors, with their offsets in the shorter vector. Raises ValueError for a name or pattern
    that fits none.
    """

    def __init__(self, table: ParameterTable, patterns: Sequence[str]) -> None:
        names = [entry.name for entry in table.entries]
        if isinstance(patterns, str) or not patterns:
            raise ValueError(f"tensors = {patterns!r} must list names or patterns, such as ('0.weight', '*.bias')")
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ValueError(unknown("parameter tensor", pattern, names))
        kept = [entry for entry in table.entries if any(fnmatchcase(entry.name, pattern) for pattern in patterns)]
        self.entries: list[Entry] = []
        self.dof = 0
        for entry in kept:
            self.entries.append(entry._replace(offset=self.dof))
            self.dof += entry.size
        self._spans = list(_joined(kept))

    def __call__(self, x: Tensor) -> Tensor:
        """Return the kept coordinates of x (..., dof) as a new tensor (..., kept dof)."""
        return torch.cat([x[..., begin:end] for begin, end in self._spans], dim=-1)


def _joined(entries: Sequence[Entry]) -> Iterator[tuple[int, int]]:
    """First and last coordinate of each run of tensors that lie side by side."""
    begin, end = entries[0].offset, entries[0].offset
    for entry in entries:
        if entry.offset != end:
            yield begin, end
            begin = entry.offset
        end = entry.offset + entry.size
    yield begin, end
