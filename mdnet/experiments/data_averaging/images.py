"""The residual network of data averaging on CIFAR-10, as published and shortened to minutes."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
from torch import nn
from torch.nn.functional import avg_pool2d

from mdnet.data import load
from mdnet.data.sources import FOLDER
from mdnet.data.splitting import Part
from mdnet.experiments.data_averaging.models import Model
from mdnet.networks import preact_resnet

SIDE, CLASSES, ROWS = 32, 10, 60_000  # of CIFAR-10: pixels of an image's edge, classes, images in all


def cifar(side: int = SIDE, whole: bool = False) -> Part:
    """Return the images (n, 3, side, side) of CIFAR-10, training and test images merged, and their labels (n,).

    Each channel has mean 0 and standard deviation 1 over all of them, so that no data set brings a scale of its own.
    `side`: pixels of an edge, each the mean over a square of the published 32 x 32. `whole`: all 60,000, or an error.
    From the folder MDNET_DATA. Raises FileNotFoundError where the images, or with `whole` some of them, are not there.
    """
    return _cifar(side, whole, os.environ.get(FOLDER))


@lru_cache(maxsize=1)  # a study asks for its rows once for each temperature
def _cifar(side: int, whole: bool, folder: str | None) -> Part:
    dataset = load("cifar10")
    if whole and len(dataset) < ROWS:
        raise FileNotFoundError(
            f"the published form divides all {ROWS} images of CIFAR-10 anew, and {dataset.source} has {len(dataset)}; "
            "put cifar-10-batches-py, the python version of https://www.cs.toronto.edu/~kriz/cifar.html, into the "
            f"folder that {FOLDER} names, now {folder}, or take the shortened form"
        )
    inputs = dataset.inputs if side == SIDE else avg_pool2d(dataset.inputs, SIDE // side)
    mean, sd = inputs.mean((0, 2, 3), keepdim=True), inputs.std((0, 2, 3), keepdim=True)
    return (inputs - mean) / sd, dataset.targets


def _published() -> nn.Sequential:
    return preact_resnet((3, SIDE, SIDE), CLASSES)


def _narrow() -> nn.Sequential:
    return preact_resnet((3, SIDE // 2, SIDE // 2), CLASSES, (8, 16, 32), 1)


_GRID = (
    (0.0075, 1000), (0.03, 2000), (0.0075, 250), (0.1, 2000), (0.01, 100), (0.1, 500), (0.01, 25), (0.1, 125),
    (0.032, 20), (0.1, 50), (0.0625, 20), (0.1, 20),
)  # fmt: skip
"""(rate, batch) of each temperature, 7.5e-6 to 5e-3: neighbours differ in both, so that a smooth curve is one in T."""

_PAPER = (
    "ResNet18 with 2,796,202 parameters, rates .0075 to .1, batches 20 to 2000, 3 or more data sets a temperature, "
    "decay 5e-4, 300 to 1200 epochs, medians of the last 50; T_opt about 2e-4 with a test accuracy over 94 %"
)
PUBLISHED = {
    "resnet": Model(
        "resnet", "ResNet18 of 32 to 256 channels on CIFAR-10 (2,796,202 parameters)", _published,
        partial(cifar, whole=True), [rate for rate, _ in _GRID], [batch for _, batch in _GRID], 50_000, 10_000,
        splits=3, epochs=300, last=50, together=False, block=1000, published=_PAPER,
        note="As published: the pre-activation form, without a norm at its end, is the one that has this number of "
        "parameters. Three things are ours: which rate goes with which batch, images that are not augmented, and "
        "BatchNorm with the statistics of each batch, and of blocks of 1000 images for the metrics, in place of "
        "running means. For a GPU, some hours a temperature.",
    )
}  # fmt: skip
"""The published network, epochs and ranges of rate and batch; it wants all of CIFAR-10 and a GPU."""

MODELS = {
    "resnet": replace(
        PUBLISHED["resnet"], network=_narrow, data=partial(cifar, SIDE // 2), train=1000, test=1000,
        title="Shortened: a residual network of 8, 16 and 32 channels on 1000 CIFAR-10 images of 16 x 16 pixels "
        "(19,794 parameters)",
        rates=np.geomspace(0.0075, 0.1, 5).tolist(), batch=20, epochs=None, exposure=40.0, early=6, last=20,
        note="Shortened to minutes on two cores: a narrower and shallower net on fewer and smaller images, the "
        "published rates at batch 20 alone, and equal rate x steps of 40 in place of 300 epochs: no temperature is "
        "stationary then, the training loss still falls. No number of it is the paper's.",
    )
}  # fmt: skip
"""The same on few small images, for minutes on two cores or a GPU: what a model's name means unless PUBLISHED is."""
