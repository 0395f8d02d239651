"""Images: digits by small convolutional networks, and cats against dogs by a residual one; each also shortened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, cross_entropy

from mdnet.data import load
from mdnet.experiments.landscape.networks import layer_norm_resnet, three_blocks
from mdnet.experiments.landscape.task import Baseline, Split, Task, Walk, by_outputs

Data = Callable[[int, int], Split]

_GREY = 255.0  # raw pixels are 0 to 255
_CAT, _DOG = 3, 5  # labels of CIFAR-10


def digits(points: int, seed: int = 1) -> Split:
    """Return raw pixels (n, 1, 28, 28), 0 to 255, of `points` training images of MNIST, the first half to train on.

    Seed 1 draws the published images where the set holds all 60,000 of them. Raises FileNotFoundError saying what to
    get where there is no MNIST, and ValueError for more points than there are.
    """
    mnist = load("mnist")
    rows = mnist.training_rows
    return _drawn(_GREY * mnist.inputs[:rows], mnist.targets[:rows], points, seed)


def cats_and_dogs(points: int, seed: int = 1) -> Split:
    """Return raw pixels (n, 3, 32, 32) of cats (0) and dogs (1) from the training images of CIFAR-10, half to train on.

    Seed 1 draws the published images where the set holds all 10,000 of them. Raises as `digits` does.
    """
    cifar = load("cifar10")
    rows = cifar.training_rows
    images, labels = cifar.inputs[:rows], cifar.targets[:rows]
    chosen = (labels == _CAT) | (labels == _DOG)
    return _drawn(_GREY * images[chosen], (labels[chosen] == _DOG).long(), points, seed)


def draw(rows: int, points: int, seed: int) -> Tensor:
    """Return the numbers of `points` of the rows: the last of a random permutation by numpy's RandomState.

    So scikit-learn's train_test_split draws them, and the published rows are seed 1's. Raises ValueError for numbers
    that are not even or more than there are.
    """
    if points < 2 or points % 2 or points > rows:
        raise ValueError(f"points = {points} must be even, for half of them are test points, and at most all {rows}")
    return torch.from_numpy(np.random.RandomState(seed).permutation(rows)[rows - points :])


def _drawn(images: Tensor, labels: Tensor, points: int, seed: int) -> Split:
    rows, half = draw(len(images), points, seed), points // 2
    return Split(images[rows[:half]], labels[rows[:half]], images[rows[half:]], labels[rows[half:]])


def averaged(data: Data, side: int) -> Data:
    """Return the same images with the means of side x side pixels in place of each pixel."""

    def smaller(points: int, seed: int = 1) -> Split:
        found = data(points, seed)
        return found._replace(inputs=avg_pool2d(found.inputs, side), test_inputs=avg_pool2d(found.test_inputs, side))

    return smaller


MNIST = Task(
    name="mnist",
    title="Digits of MNIST: three blocks of convolutions, W channels",
    network=three_blocks,
    data=digits,
    loss=cross_entropy,
    box=by_outputs(2),
    sharpness=5.0,
    low=-7.0,
    high=2.0,
    y_low=0.0,
    y_high=1.0,
    cells=((2, 500), (3, 500), (4, 500)),
    baseline=Baseline(batch=10, rate=2e-3, epochs=1_000),
    short=Walk(dt=0.003, friction=1.0, walkers=8, learn=1_000, count=500),
    full=Walk(dt=3e-6, friction=10.0, walkers=8, learn=20_000_000, count=10_000_000),
    needs="a GPU and a day for each width",
    route="eager",
)
MNIST_SHORT = replace(
    MNIST,
    name="mnist-shortened",
    title="Digits of MNIST, shortened: 100 images of 14 x 14 pixels in place of 500 of 28 x 28",
    network=lambda width: three_blocks(width, pixels=14),
    data=averaged(digits, 2),
    cells=((2, 100),),
    low=0.4,
    high=1.0,
    short=Walk(dt=0.01, friction=1.0, walkers=16, learn=1_000, count=800, peak=1.0),
    needs="",
)
CIFAR = replace(
    MNIST,
    name="cifar",
    title="Cats and dogs of CIFAR-10: a residual network with LayerNorm, W channels in the first of four blocks",
    network=lambda width: layer_norm_resnet((width, 2 * width, 4 * width, 8 * width)),
    data=cats_and_dogs,
    sharpness=7.0,
    low=-6.0,
    high=1.0,
    cells=((6, 5000),),
    baseline=Baseline(batch=50, rate=2e-3, epochs=200),
    short=Walk(dt=0.003, friction=1.0, walkers=4, learn=500, count=250),
    full=Walk(dt=2e-5, friction=5.0, walkers=4, learn=4_000_000, count=2_000_000),
    needs="the full CIFAR-10, a GPU and some days",
)
CIFAR_SHORT = replace(
    CIFAR,
    name="cifar-shortened",
    title="Cats and dogs of CIFAR-10, shortened: 40 images of 8 x 8 pixels in place of 5000 of 32 x 32, W = 2 for 6",
    network=lambda width: layer_norm_resnet((width, 2 * width, 4 * width, 8 * width), pixels=8),
    data=averaged(cats_and_dogs, 4),
    cells=((2, 40),),
    low=-0.7,
    high=0.1,
    baseline=Baseline(batch=10, rate=2e-3, epochs=200),
    short=Walk(dt=0.004, friction=1.0, walkers=16, learn=1_000, count=800, peak=1.0),
    needs="",
)
