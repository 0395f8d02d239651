"""The work that is timed: four networks with their data, and the pairs of scheme and thermostat that move them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

import mdnet as md
from integrators import BAOAB, OBABO, VERLET, Scheme, Splitting, Thermostat, outer
from mdnet.routes.choice import Route
from mdnet.system import Loss
from thermostats import Bussi, Langevin, NoseHooverChain

TEMPERATURE, FRICTION, TAU = 0.05, 5.0, 0.2  # of every bath here
Data = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Case:
    """A network, its data and its loss, and how many replicas are timed unless others are asked for."""

    title: str
    network: Callable[[], nn.Module]
    data: Callable[[], Data]
    loss: Loss
    replicas: tuple[int, ...] = (1,)
    dt: float = 0.002

    def system(self, replicas: int, route: Route, prior: md.GaussianPrior | None = None) -> md.ParticleSystem:
        """Make the particle system on all rows of the data."""
        torch.manual_seed(0)
        inputs, targets = self.data()
        return md.ParticleSystem(
            self.network(), self.loss, inputs, targets, replicas=replicas, prior=prior, route=route
        )


def sine() -> Data:
    """101 points of a sine."""
    x = torch.linspace(-1, 1, 101)[:, None]
    return x, torch.sin(2 * torch.pi * x)


def digits() -> Data:
    """All 1797 handwritten digits of 8 x 8 pixels."""
    dataset = md.data.load("digits")
    return dataset.inputs.flatten(1), dataset.targets


def images() -> Data:
    """32 rows of random numbers with the shape of CIFAR-10: a time does not depend on what an image shows."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(32, 3, 32, 32, generator=generator), torch.arange(32) % 10


def drawn(rows: int) -> Data:
    """Random numbers with the shape of the digits."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, 64, generator=generator), torch.arange(rows) % 10


def wide(width: int, rows: int) -> Case:
    """Return the case of one hidden layer: 64-width-10 has 75 width + 10 parameters."""
    return Case(
        f"64-{width}-10", lambda: md.networks.mlp(64, 10, (width,)), lambda: drawn(rows), functional.cross_entropy
    )


CASES = {
    "a": Case(
        "1-20-20-1 tanh, 101 points, mean squared error",
        lambda: md.networks.mlp(1, 1, (20, 20)), sine, functional.mse_loss, (1, 64, 1024, 4096),
    ),
    "b": Case(
        "64-64-10 tanh, 1797 digits, cross entropy",
        lambda: md.networks.mlp(64, 10, (64,)), digits, functional.cross_entropy, (1, 64),
    ),
    "c": Case(
        "ConvNet, 32 images of 3 x 32 x 32, cross entropy",
        lambda: md.networks.convnet((3, 32, 32), 10), images, functional.cross_entropy,
    ),
    "d": Case(
        "ResNet, 32 images of 3 x 32 x 32, cross entropy",
        lambda: md.networks.resnet((3, 32, 32), 10), images, functional.cross_entropy,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A scheme with a thermostat."""

    title: str
    scheme: Scheme
    thermostat: Callable[[float], Thermostat]  # of a friction, where it has one

    def integrator(self, system: md.ParticleSystem, dt: float, friction: float = FRICTION) -> Splitting:
        """Make the integrator of a system."""
        return Splitting(self.scheme, system.force, dt, self.thermostat(friction))


PAIRS = {
    "nhc": Pair("outer(VERLET) + Nose-Hoover chain", outer(VERLET), lambda _: NoseHooverChain(TEMPERATURE, TAU)),
    "baoab": Pair("BAOAB + Langevin", BAOAB, lambda friction: Langevin(TEMPERATURE, friction)),
    "obabo": Pair("OBABO + Langevin", OBABO, lambda friction: Langevin(TEMPERATURE, friction)),
    "bussi": Pair("OBABO + Bussi", OBABO, lambda _: Bussi(TEMPERATURE, TAU)),
}
