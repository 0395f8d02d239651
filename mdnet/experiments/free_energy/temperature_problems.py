"""The two problems whose SGD is compared with Langevin dynamics: the toy in three dimensions, and digits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import dawsn

import mdnet as md
from mdnet.data.splitting import Part
from mdnet.experiments.free_energy import digits, toy
from mdnet.experiments.free_energy.models import Model

Floats = NDArray[np.float64]
Law = Callable[[Floats, float], Floats]
"""(energies, T) -> the share of e^{-U/T} on the unit sphere that is below each."""

_ROWS = 500  # of the digits: every step of Langevin dynamics goes over all


@dataclass(frozen=True)
class Span:
    """How long a run is: `frames` samples, `stride` steps apart, after `burn` steps."""

    burn: int
    frames: int
    stride: int

    @property
    def steps(self) -> int:
        """All steps."""
        return self.burn + self.frames * self.stride

    @property
    def looks(self) -> md.At:
        """The steps at which a sample is taken."""
        return md.At(range(self.burn + self.stride, self.steps + 1, self.stride))


@dataclass(frozen=True, eq=False)
class Problem:
    """A model, how long each kind of run is, and how its gradients are measured.

    SGD is sampled `looks` = (frames, stride) times up to the model's last step, and its entropy is taken there. `dt`
    is that of Langevin dynamics with |q| about 1 and a friction of one. `frames` of a run are measured, each with
    `draws` minibatches and probes; `step` is that of the differences from which curvature is taken. `ranks`: of the
    eigenvectors of H along which equipartition is looked at, from 1, the stiffest, at rates[`middle`]. `slow`: the
    smallest rate divided by this is that of one more run with isotropic noise. `law`: of U, where it is known.
    """

    model: Model
    looks: tuple[int, int]
    isotropic: Span
    langevin: Span
    dt: float
    frames: int
    draws: int
    step: float
    ranks: tuple[int, ...]
    middle: int
    slow: float
    law: Law | None = None

    @property
    def descent(self) -> Span:
        """SGD's run."""
        frames, stride = self.looks
        return Span(self.model.steps - frames * stride, frames, stride)

    def heated(self, temperature: Floats) -> md.ParticleSystem:
        """Return the particles at T (replicas,), with the prior of stiffness T D that keeps |q| near 1."""
        t = torch.as_tensor(temperature, dtype=torch.float64)[:, None]
        network, (inputs, targets) = self.model.network(), self.model.data()[0]
        dof = sum(each.numel() for each in network.parameters() if each.requires_grad)
        return md.ParticleSystem(
            network, self.model.loss, inputs, targets, replicas=len(t), dtype=self.model.dtype,
            prior=md.GaussianPrior(1 / dof, t),
        )  # fmt: skip


def toy_law(energy: Floats, temperature: float) -> Floats:
    """Return the share of e^{-U/T} on the sphere below U = U_min + (h/2)(1 - z^2), z uniform at infinite T."""
    half = toy.CURVATURE / 2
    c = half / temperature
    z = np.sqrt(np.clip(1 - (energy - toy.LEAST) / half, 0, 1))
    return np.asarray(1 - np.exp(c * (z**2 - 1)) * dawsn(sqrt(c) * z) / dawsn(sqrt(c)))


def _few_digits() -> tuple[Part, None]:
    inputs, targets = digits.MODELS["mlp", "up"].data()[0]
    return (inputs[:_ROWS], targets[:_ROWS]), None


PROBLEMS = {
    "toy": Problem(
        replace(
            toy.MODELS["toy", "up"], rates=(0.01, 0.02, 0.04, 0.08, 0.16, 0.32), seeds=32, steps=63_000, samples=400
        ),
        looks=(400, 150), isotropic=Span(0, 100, 150), langevin=Span(500, 200, 20),
        dt=0.2, frames=200, draws=4, step=1e-4, ranks=(1, 2), middle=3, slow=1.0, law=toy_law,
    ),
    "mlp": Problem(
        replace(
            digits.MODELS["mlp", "up"], data=_few_digits, rates=(0.01, 0.015, 0.022, 0.033, 0.05), seeds=4,
            steps=20_000, stride=12,
        ),
        looks=(100, 120), isotropic=Span(1_000, 50, 30), langevin=Span(1_500, 50, 50),
        dt=0.02, frames=30, draws=4, step=5e-3, ranks=(1, 2, 4, 8, 16, 32, 64), middle=2, slow=5.0,
    ),
}  # fmt: skip
