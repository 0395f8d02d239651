"""The toy on a sphere in three dimensions: l_i = (w.x_i)^2/|w|^2, whose laws are known in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import pi, sqrt, tan

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import mse_loss

from mdnet.data.splitting import Part
from mdnet.experiments.free_energy.models import Model
from mdnet.networks import unit_linear
from trajectories.sgd import Quadratic, quadratic_minimum

START = (-0.8, 0.6, 0.1)
UP = ((1.0, 0.0, 0.2), (-0.5, sqrt(0.75), 0.2), (-0.5, -sqrt(0.75), 0.2))
OP = ((sqrt(0.75), 0.5, 0.0), (sqrt(0.75), -0.5, 0.0))
LEAST = 0.04 / 1.04  # U at the two minima of UP, +-(0, 0, 1)
CURVATURE = 1.0 / 1.04 - 2 * LEAST  # h, of U on the sphere there: the same in both directions
NOISE = 2 * LEAST * (1 - LEAST)  # sigma^2 of a component of the gradient of one row there
SNR_LIMIT = tan(pi / 6)  # of OP at the bottom of its loss
STABLE = 0.41  # the largest rate for which OP is claimed to reach zero


def exact(rates: Sequence[float]) -> Quadratic:
    """Return what is known of UP at its minimum: U - U_min, T and SNR at small rates, exact where U is quadratic.

    A row's gradient there is 2 (w.x_i) (x_i - (w.x_i) w), of the square 4 a (1 - a), a = U_min, half of it in each of
    the two directions; the curvature is that of U = H_xx x^2 + H_yy y^2 + H_zz (1 - x^2 - y^2).
    """
    return quadratic_minimum(rates, CURVATURE, NOISE, 2)


def temperatures(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return T of `exact` (n,), nan from the rate on at which descent in a parabola of this curvature diverges."""
    found, known = np.full(len(rates), np.nan), rates * CURVATURE < 2
    if known.any():
        found[known] = exact(rates[known].tolist()).temperature
    return found


def _data(rows: tuple[tuple[float, ...], ...]) -> tuple[Part, None]:
    """The rows on the unit sphere; the targets are zero, so that the squared error of w.x/|w| is the toy's loss."""
    inputs = torch.tensor(rows, dtype=torch.float64)
    return (inputs / inputs.norm(dim=1, keepdim=True), torch.zeros(len(rows), 1, dtype=torch.float64)), None


def _up() -> tuple[Part, None]:
    return _data(UP)


def _op() -> tuple[Part, None]:
    return _data(OP)


def _network() -> nn.Sequential:
    return unit_linear(3, 1)


_COMMON = Model(
    "toy", "up", "The toy on a sphere, no weight at which all rows have zero loss",
    _network, _up, np.geomspace(0.01, 0.11, 9).tolist(), 50_000, 1, 16, loss=mse_loss, samples=300, stride=150,
    settled=300, last=300, start=START, dtype=torch.float64, frames=True,
    published="50,000 steps from (-.8, .6, .1), batch 1",
    note="300 iterates, 150 steps apart, instead of consecutive ones: at small rates consecutive ones have not yet "
    "been where the stationary law is.",
)  # fmt: skip
MODELS = {
    ("toy", "up"): _COMMON,
    ("toy", "op"): replace(
        _COMMON, regime="op", title="The toy on a sphere, with weights at which all rows have zero loss", data=_op,
        rates=np.geomspace(0.01, STABLE, 9).tolist(), samples=100, stride=1, k=20, entropies=24, settled=0, last=50,
        note="",
    ),
}  # fmt: skip
LONG = replace(MODELS["toy", "up"], steps=200_000, samples=1000, settled=1000, last=1000, points=50, frames=False)
"""UP for as long as a thousand iterates, 150 steps apart, want: what the laws of its temperature are tested on."""
