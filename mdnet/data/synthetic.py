"""Data sets made by a formula, whose truth is therefore known."""

from __future__ import annotations

import torch

from mdnet.data.dataset import DataSet

_TRUTH_ROWS = 201


def sine(rows: int = 40, *, noise: float = 0.3, seed: int = 0) -> DataSet:
    """Return y = sin(2 pi x) + noise N(0, 1) on an even grid of `rows` points in [-1, 1].

    Its test set is the truth: sin(2 pi x) without noise on an even grid of 201 points, so that a test loss
    is the error to the truth. `seed`: of the noise. Raises ValueError for fewer than two rows or noise < 0.
    """
    if rows < 2 or not noise >= 0:
        raise ValueError(f"rows = {rows}, noise = {noise}: there must be two rows or more, and noise not negative")
    generator = torch.Generator().manual_seed(seed)
    grid, fine = torch.linspace(-1, 1, rows), torch.linspace(-1, 1, _TRUTH_ROWS)
    noisy = torch.sin(2 * torch.pi * grid) + noise * torch.randn(rows, generator=generator)
    return DataSet(
        "sine",
        inputs=torch.cat([grid, fine])[:, None],
        targets=torch.cat([noisy, torch.sin(2 * torch.pi * fine)])[:, None],
        kind="regression",
        source=f"sin(2 pi x) on {rows} points, noise {noise}, seed {seed}; test: the truth",
        features=("x",),
        training_rows=rows,
    )
