"""Tensors of any types as the rows of one table of bytes, so that a report is one message."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def packed(values: Sequence[Tensor]) -> Tensor:
    """Return values, each (rows, ...), as bytes (rows, bytes of a row) on the CPU."""
    return torch.cat([_bytes(value) for value in values], 1)


def unpacked(table: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Return the values that bytes (rows, bytes of a row) hold, with the types and further dimensions of `like`."""
    widths = [value[:1].numel() * value.element_size() for value in like]
    return [
        part.clone().view(-1).view(value.dtype).view(len(table), *value.shape[1:])
        for part, value in zip(torch.split(table, widths, 1), like, strict=True)
    ]


def padded(table: Tensor, rows: int) -> Tensor:
    """Return a table with so many rows, zeros at its end."""
    return torch.cat([table, table.new_zeros(rows - len(table), table.shape[1])])


def _bytes(value: Tensor) -> Tensor:
    flat = value.detach().cpu().contiguous().view(-1)
    return flat.view(torch.uint8).view(len(value), -1)
