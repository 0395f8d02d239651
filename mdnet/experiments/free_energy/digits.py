"""Digits by a scale-invariant network: too small for its noisy labels (UP), or large enough for all rows (OP)."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from torch import nn

from mdnet.data import label_noise, load, split
from mdnet.data.splitting import Part
from mdnet.experiments.free_energy.models import Model
from mdnet.networks import scale_invariant_mlp

NOISE = 0.1  # the share of the training labels of UP that is drawn anew
PIXELS, CLASSES = 64, 10
UP_WIDTH, OP_WIDTH, OP_ROWS = 6, 48, 500


@cache
def _data(rows: int | None, noise: float) -> tuple[Part, Part]:
    """The training rows, their labels in part replaced, and the test rows with their own."""
    parts = split(load("digits"), rows, seed=0)
    (inputs, targets), test = parts.train, parts.test
    return (inputs, label_noise(targets, noise, CLASSES, seed=0)), test


def _up() -> tuple[Part, Part]:
    return _data(None, NOISE)


def _op() -> tuple[Part, Part]:
    return _data(OP_ROWS, 0.0)


def _small() -> nn.Sequential:
    return scale_invariant_mlp(PIXELS, CLASSES, (UP_WIDTH, UP_WIDTH))


def _wide() -> nn.Sequential:
    return scale_invariant_mlp(PIXELS, CLASSES, (OP_WIDTH, OP_WIDTH))


_PUBLISHED = "convolutional networks on CIFAR-10, batch 128; this small problem is not in the paper"
_UP = Model(
    "mlp", "up", f"Digits with {NOISE:.0%} label noise, 64-6-6-10 (D = 420)", _small, _up,
    np.geomspace(0.015, 0.2, 12).tolist(), 100_000, 32, 16, eps=0.01, published=_PUBLISHED,
    note="12 rates, so that 10 have a neighbour on either side.",
)  # fmt: skip
THINNED = replace(_UP, steps=50_000, seeds=8, stride=25, settled=100, last=100, points=50)
"""The same with iterates from half of the run, which see more than the surroundings of the last one."""
MODELS = {
    ("mlp", "up"): _UP,
    ("mlp", "op"): replace(
        _UP, regime="op", title=f"{OP_ROWS} digits, 64-48-48-10 (D = 5376)", network=_wide, data=_op,
        rates=np.geomspace(10**-2.5, 0.1, 7).tolist(), steps=20_000, seeds=4, samples=300,
        entropies=12, last=20,
        note="With the true labels: with 10 % label noise the loss still falls after 40,000 steps at 6e-3, and rises "
        "gradually above.",
    ),
}  # fmt: skip
