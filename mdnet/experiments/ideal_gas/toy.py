"""The exact gas: a direction on the sphere in the field mu, L = 1 + mu.w/|w|, and isotropic noise of sigma = 1."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional

from integrators import Force
from mdnet import networks
from mdnet.experiments.ideal_gas.method import Array, Gas
from mdnet.reporters import Frames
from mdnet.system import ParticleSystem
from mdnet.tangent_noise import TangentNoise

DIMENSION, SIGMA = 3, 1.0
_SIDE = math.sqrt(1.5)


def system(replicas: int) -> ParticleSystem:
    """Return L = 1 + mu.w/|w| with |mu| = 1 as least squares of the linear map x.w/|w|:

    (1/3) sum_i (a w_i/|w| + a mu_i)^2 = (2 a^2/3)(1 + mu.w/|w|),  which is L for a^2 = 3/2.
    """
    field = torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64)
    inputs = _SIDE * torch.eye(DIMENSION, dtype=torch.float64)
    network = networks.unit_linear(DIMENSION, 1)
    return ParticleSystem(network, functional.mse_loss, inputs, -_SIDE * field, replicas=replicas, dtype=torch.float64)


def force(system: ParticleSystem) -> Force:
    """Return its gradient with isotropic noise in the tangent plane, E|noise|^2 = sigma^2 (D - 1)/|w|^2."""
    return TangentNoise(system.force, SIGMA)


def energy(temperature: Array) -> Array:
    """Return <L> = 1 + T - coth(1/T) of the canonical law exp(-L/T) on the sphere."""
    exact: Array = 1 + temperature - 1 / np.tanh(1 / temperature)
    return exact


def entropy(temperature: Array) -> Array:
    """Return the entropy of the direction, S = ln(4 pi T sinh(1/T)) + (<L> - 1)/T."""
    log_sinh = 1 / temperature + np.log1p(-np.exp(-2 / temperature)) - math.log(2)
    exact: Array = np.log(4 * math.pi * temperature) + log_sinh + (energy(temperature) - 1) / temperature
    return exact


def thermometer(mean_energy: Array) -> Array:
    """Return the temperature at which the canonical <L> is the given one; it must lie in (0, 1)."""
    from scipy.optimize import brentq

    def root(wanted: float) -> float:
        return float(brentq(lambda t: float(energy(np.array(t))) - wanted, 1e-3 * wanted, 1e3))

    found: Array = np.vectorize(root, otypes=[np.float64])(mean_energy)
    return found


TOY = Gas(
    name="toy",
    title="a direction in a field, D = 3, isotropic noise",
    system=system,
    force=force,
    sees=Frames,
    effective=(0.01, 0.0158, 0.025, 0.0396, 0.0627),
    radii=(0.5, 0.7, 1.0, 1.4, 2.0),
    noise=SIGMA**2 * (DIMENSION - 1),
    seeds=8,
    burn=4_000,
    stride=20,
    looks=1_500,
    batches=1,
)
