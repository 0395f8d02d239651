"""The convolutional networks of the free-energy paper on CIFAR-10, as published and shortened to minutes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from mdnet.data import load, split
from mdnet.data.sources import FOLDER
from mdnet.data.splitting import Part
from mdnet.experiments.free_energy.models import Model
from mdnet.force import BatchForce, Evaluation, LossAndGradient
from mdnet.networks import preact_resnet18, scale_invariant_convnet
from mdnet.routes.choice import Route
from mdnet.routes.chunks import Sizes, means_in_chunks
from mdnet.routes.memory import VARIABLE, default_budget
from mdnet.system import ParticleSystem

SIDE, CLASSES, ROWS = 32, 10, 50_000  # of CIFAR-10: pixels of an image's edge, classes, training images
_QUEUE = 3  # times the memory of an evaluation: what the snapshots may take, three quarters of the machine's


class InBlocks(BatchForce):
    """The force on all data, and U, as means over fixed blocks of `rows` rows, the last of them what is left:

        U(q) = scale sum_b (n_b/n) mean_loss_b(q) + prior(q),      f = -dU/dq

    BatchNorm takes the statistics of each block, so that memory is that of a block, and the numbers do not depend on
    the machine's. They differ from those with the statistics of all rows, the less the larger a block: of ConvNet(8) on
    10,000 images of CIFAR-10, U by up to 6e-4 of itself for blocks of 2,500, by 1e-2 for the 128 rows of a minibatch.

    It replaces the `force` of a system whose replicas share their data. Raises ValueError for fewer than two rows.
    """

    def __init__(self, system: ParticleSystem, rows: int) -> None:
        if rows < 2:
            raise ValueError(f"block = {rows}: BatchNorm has statistics of two rows or more")
        super().__init__(system, per_replica=False, route="module" if system.route == "module" else "eager")
        self.rows = rows
        self._gradient, self._losses = self._cut(self._gradient), self._cut(self._losses)

    def _cut(self, whole: LossAndGradient) -> LossAndGradient:
        def in_blocks(q: Tensor, inputs: Tensor, targets: Tensor) -> Evaluation:
            return means_in_chunks(whole, q, inputs, targets, Sizes(len(q), self.rows), per_replica=False)

        return in_blocks


@dataclass(frozen=True, eq=False)
class ImageModel(Model):
    """A model on images: U, its gradient and the signal in the noise are means over blocks of `block` rows, InBlocks.

    `route`: how a CPU computes forces; a GPU chooses for itself. The queue of snapshots is `samples` x replicas x dof
    numbers of four bytes in the memory of the CPU, see GraphEntropy.
    """

    block: int = 5000
    route: Route = "module"

    def system(self, replicas: int, device: str = "cpu") -> ParticleSystem:
        """Return so many networks on the training images; raises ValueError where their snapshots have no room."""
        inputs, targets = self.data()[0]
        route = self.route if torch.device(device).type == "cpu" else "auto"
        system = ParticleSystem(
            self.network(), self.loss, inputs, targets, replicas=replicas, dtype=self.dtype, device=device, route=route
        )
        self._refuse_long_queue(replicas, system.dof)
        system.force = InBlocks(system, self.block)
        return system

    def _refuse_long_queue(self, replicas: int, dof: int) -> None:
        each, room = self.samples * dof * 4, _QUEUE * default_budget(torch.device("cpu"))
        if replicas * each > room:
            raise ValueError(
                f"{self.title}: the entropy queues {self.samples} snapshots of {replicas} replicas, "
                f"{replicas * each / 1e9:.3g} GB, and there is room for {room / 1e9:.3g}; run {int(room / each)} "
                f"(rates x seeds) at a time in folders of their own, or raise {VARIABLE}, a third of that room in bytes"
            )


def cifar(rows: int | None = None, side: int = SIDE, test: int | None = None) -> tuple[Part, Part]:
    """Return training and test images (n, 3, side, side) of CIFAR-10, each channel standardised, and labels (n,).

    `rows`: how many train, drawn at random; None for all of the published 50,000. `side`: pixels of an edge, the mean
    over squares of the published 32 x 32. `test`: how many test, by default all. From the folder MDNET_DATA.

    Raises FileNotFoundError where the images, or for None some of them, are not there.
    """
    return _cifar(rows, side, test, os.environ.get(FOLDER))


@lru_cache(maxsize=1)  # a sweep asks for its system and again for its reporters
def _cifar(rows: int | None, side: int, test: int | None, folder: str | None) -> tuple[Part, Part]:
    dataset = load("cifar10")
    if rows is None and (dataset.training_rows or 0) < ROWS:
        raise FileNotFoundError(
            f"the published form trains on all {ROWS} images of CIFAR-10, and {dataset.source} has "
            f"{dataset.training_rows}; put cifar-10-batches-py, the python version of "
            f"https://www.cs.toronto.edu/~kriz/cifar.html, into the folder that {FOLDER} names, now {folder}, or take "
            "the shortened form"
        )
    if side != SIDE:
        dataset = replace(dataset, inputs=avg_pool2d(dataset.inputs, SIDE // side))
    parts = split(dataset, rows, test=test, seed=0)
    return parts.train, parts.test


def _convnet(channels: int, side: int = SIDE) -> Callable[[], nn.Module]:
    return partial(scale_invariant_convnet, (3, side, side), CLASSES, channels)


def _resnet(channels: int, side: int = SIDE) -> Callable[[], nn.Module]:
    return partial(preact_resnet18, (3, side, side), CLASSES, channels)


_SAMPLED = (
    "The last 100 looks, half of them with an entropy, span the time of the paper's last 50. U and its gradient are "
    "means over fixed blocks of {block} images, each with its own statistics of BatchNorm; the paper takes those of "
    "all images at once, which changes U by less than 1e-3 of itself (InBlocks)"
)
_PAPER = (
    "22 rates from 1e-4 to 0.1, 1.6e6 iterations, batch 128 with replacement, about 200 log-spaced looks of which the "
    "last 50 make the stationary values, 1000 consecutive iterates and 50 neighbours"
)
_CONVNET = ImageModel(
    "convnet", "up", "ConvNet(8) on CIFAR-10 (D = 24,408)", _convnet(8), cifar,
    np.geomspace(1e-4, 1e-1, 22).tolist(), 1_600_000, 128, 2, entropies=103, last=100,
    published=f"{_PAPER}; T = 3.9e-3 eta^0.85",
    note=f"As published. {_SAMPLED.format(block=5000)}. For a GPU; its 44 replicas queue 4.3 GB of snapshots.",
)  # fmt: skip
PUBLISHED = {
    ("convnet", "up"): _CONVNET,
    ("convnet", "op"): replace(
        _CONVNET, regime="op", title="ConvNet(64) on CIFAR-10 (D = 1,550,016)", network=_convnet(64), seeds=1,
        block=2500, published=f"{_PAPER}; U jumps from 3e-5 to 0.4 between eta = 5.6e-4 and 1e-3, "
        "T = 2.5e-4 eta^0.86 above, and T -> 0 below",
        note=f"As published. {_SAMPLED.format(block=2500)}. For a GPU of 80 GB; the gradient on a block takes 13 of "
        "them, and each rate queues 6.2 GB of snapshots: a machine of 128 GB takes 15 rates at a time.",
    ),
    ("resnet", "up"): replace(
        _CONVNET, name="resnet", title="PreAct ResNet-18(4) on CIFAR-10 (D = 43,692)", network=_resnet(4),
        published=_PAPER,
        note=f"As published. {_SAMPLED.format(block=5000)}. For a GPU; its 44 replicas queue 7.7 GB of snapshots.",
    ),
}  # fmt: skip
"""The published networks, rates and iterations; they want all of CIFAR-10 and a GPU. No width is known of resnet OP."""

_SMALL = replace(
    _CONVNET, title="Shortened: ConvNet(2) on 2,000 CIFAR-10 images of 8 x 8 pixels (D = 1566)",
    network=_convnet(2, 8), data=partial(cifar, 2000, 8, 1000), route="eager",
    rates=np.geomspace(5e-3, 0.1, 5).tolist(), steps=4000, batch=32, seeds=8, entropies=1, points=40, settled=20,
    last=20,
    note="Shortened to minutes on two cores: a narrower net on fewer and smaller images, 5 rates from 5e-3 to 0.1, "
    "4000 iterations with batch 32. So few rates hardly tell F of other seeds from F with S permuted, and rates closer "
    "to each other do not tell a convex U(S) from noise; no number of it is the paper's.",
)  # fmt: skip
MODELS = {
    ("convnet", "up"): _SMALL,
    ("convnet", "op"): replace(
        _SMALL, regime="op", title="Shortened: ConvNet(8) on 500 CIFAR-10 images of 16 x 16 pixels (D = 24,408)",
        network=_convnet(8, 16), data=partial(cifar, 500, 16, 1000), route="module",
        rates=np.geomspace(1e-3, 10**-1.5, 5).tolist(), steps=2000, seeds=2, samples=500, stride=2, entropies=8,
        points=40, settled=0, last=10, published=PUBLISHED["convnet", "op"].published,
        note="Shortened to minutes on two cores: the published UP width, here overparameterised, on few and smaller "
        "images, 5 rates from 1e-3 to 0.03, 2000 iterations with batch 32, 500 iterates two steps apart; no number of "
        "it is the paper's.",
    ),
    ("resnet", "up"): replace(
        _SMALL, name="resnet", network=_resnet(2, 8), rates=np.geomspace(3e-3, 0.04, 5).tolist(), steps=7000, seeds=3,
        title="Shortened: PreAct ResNet-18(2) on 2,000 CIFAR-10 images of 8 x 8 pixels (D = 10,950)", published=_PAPER,
        note="Shortened to minutes on two cores: a narrower net on fewer and smaller images, 5 rates from 3e-3 to "
        "0.04, 7000 iterations with batch 32: too few for what is checked, as the entropy at the higher rates is "
        "almost that of the whole sphere, and lower ones are not stationary yet; no number of it is the paper's.",
    ),
}  # fmt: skip
"""The same on few small images, for minutes on two cores or a GPU: what a model's name means unless PUBLISHED is."""
