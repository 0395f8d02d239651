"""A network as a gas: the scale-invariant 64-8-8-10 on digits, whose noise is that of minibatches of 32."""

from __future__ import annotations

from functools import cache

from torch import Tensor
from torch.nn import functional

from integrators import Force
from mdnet import data, networks
from mdnet.cadence import At
from mdnet.experiments.ideal_gas.method import Gas
from mdnet.reporters import Reporter
from mdnet.snapshots import GraphEntropy
from mdnet.system import ParticleSystem

HIDDEN, BATCH, ROWS, NOISE = (8, 8), 32, 1000, 0.1
DIMENSION = 576


@cache
def rows() -> tuple[Tensor, Tensor]:
    """Return 1000 standardised digits, a tenth of their labels replaced at random, the same in every run."""
    digits = data.load("digits")
    inputs, labels = data.split(digits, ROWS, seed=0).train
    return inputs, data.label_noise(labels, NOISE, 10, seed=0)


def system(replicas: int) -> ParticleSystem:
    """Return the network's 576 weights as particles; the last layer is frozen."""
    inputs, labels = rows()
    network = networks.scale_invariant_mlp(inputs.shape[1], 10, hidden=HIDDEN)
    return ParticleSystem(network, functional.cross_entropy, inputs, labels, replicas=replicas)


def force(system: ParticleSystem) -> Force:
    """Return the gradient on 32 rows drawn with replacement, each replica its own."""
    return system.minibatch(BATCH)


def sees(looks: At) -> Reporter:
    """Return the entropy of the iterates at all looks, but for a constant, as that of D - 1 coordinates.

    It scales exactly, S(a w) = S(w) + (D - 1) ln a, and equal laws of the direction have equal entropies whatever the
    bias; differences between laws are biased at D = 576, where no estimate from neighbours can be had.
    """
    stride = looks.steps[1] - looks.steps[0]
    return GraphEntropy([looks.steps[-1]], samples=len(looks.steps), stride=stride, dimension=DIMENSION - 1)


DIGITS = Gas(
    name="digits",
    title="scale-invariant 64-8-8-10 on digits, batch 32",
    system=system,
    force=force,
    sees=sees,
    effective=(0.005, 0.009, 0.016, 0.028),
    radii=(0.5, 1.0, 2.0),
    noise=None,
    seeds=6,
    burn=4_000,
    settle=8_000,
    stride=20,
    looks=300,
)
