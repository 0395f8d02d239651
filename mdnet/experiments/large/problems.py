"""The problems that are too large for full batches: images and translation, their networks, epochs and settings."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

import mdnet as md
from mdnet.data import DataSet
from mdnet.data.splitting import Part
from mdnet.data.translation import PAD, Translations
from mdnet.experiments.problems import HELD_OUT
from mdnet.routes.choice import Route
from mdnet.spelling import unknown
from mdnet.system import Loss
from mdnet.transformer import Transformer, token_loss


@dataclass(frozen=True)
class Large:
    """What is learnt by which network, and how: U is the mean loss, k_B = 1; an epoch is as many rows as there are.

    `network`: (data set, dropout) -> module. `temperatures` and `dropouts`: the values that are tried on held-out rows.
    `shares`: of the epochs for Adam, for heating and for sampling.
    """

    data: str
    network: Callable[[DataSet, float], nn.Module]
    published: str  # what is known of the paper's run
    published_rows: int | None = None
    loss: Loss = functional.cross_entropy
    rows: int | None = None  # training rows, all by default
    epochs: float = 20
    batch: int = 100
    rate: float = 1e-3  # of Adam
    temperatures: tuple[float, ...] = (1e-5, 3e-5, 1e-4)
    dropouts: tuple[float, ...] = (0.05, 0.15, 0.3)
    shares: tuple[float, float, float] = (0.4, 0.15, 0.45)
    stages: int = 5  # in which T is raised
    dt: float = 0.2
    friction: float = 0.3
    tau: float = 0.5  # of the friction that adapts to the noise of minibatches
    members: int = 40  # predictions of an ensemble
    networks: int = 4  # that are stopped early, and share the epochs


def _convnet(channels: tuple[int, ...]) -> Callable[[DataSet, float], nn.Module]:
    return lambda data, dropout: dropping(md.networks.convnet(data.shape, data.outputs, channels), dropout)


def _transformer(data: DataSet, dropout: float) -> nn.Module:
    if not isinstance(data, Translations):
        raise ValueError(f"data set {data.name!r} has no sentences to translate; take 'english-portuguese'")
    return Transformer(data.classes, data.length, dropout=dropout)


PROBLEMS: Mapping[str, Large] = {
    "mnist": Large(
        "mnist", _convnet((8, 16)), "60,000 training rows; network and epochs are not told", 60_000, rows=10_000,
    ),
    "cifar10": Large(
        "cifar10", _convnet((16, 32, 64)), "20 epochs on 50,000 training rows", 50_000,
        temperatures=(3e-6, 1e-5, 3e-5),
    ),
    "translation": Large(
        "english-portuguese", _transformer, "another corpus and a larger transformer", loss=token_loss,
        epochs=16, batch=50, rate=2e-3, temperatures=(3e-6, 1e-5, 3e-5), dt=0.4, friction=0.2,
    ),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class LargeTask:
    """A problem with its rows drawn; seeds differ in start and noise, and share the rows.

    A point is a test row, or a token of one: what is scored.
    """

    name: str
    problem: Large
    train: Part
    test: Part
    network: Callable[[float], nn.Module]  # of a dropout
    classes: int
    seeds: int
    seed: int
    device: torch.device

    @property
    def truth(self) -> Tensor:
        """The classes of the test points (points,)."""
        labels = self.test[1].flatten()
        return labels[self._points]

    @property
    def _points(self) -> Tensor:
        labels = self.test[1]
        return labels.flatten() != PAD if labels.ndim > 1 else torch.ones_like(labels, dtype=torch.bool)

    def at_points(self, outputs: Tensor) -> Tensor:
        """Return the logits (replicas, points, classes) of outputs (replicas, rows, ..., classes)."""
        return outputs.flatten(1, -2)[:, self._points]

    def particles(self, copies: int = 1, *, restraint: float | Tensor = 0.0) -> md.ParticleSystem:
        """Return `copies` replicas of every seed, with a normal prior of variance 1/fan_in at the temperature given."""
        prior = md.GaussianPrior("fan_in", temperature=restraint)
        route: Route = "module" if self.device.type == "cpu" else "auto"
        return md.ParticleSystem(
            self.network(0.0), self.problem.loss, *self.train, replicas=self.seeds * copies, prior=prior, route=route,
            device=self.device,
        )  # fmt: skip

    def steps(self, epochs: float) -> int:
        """Return how many minibatches are as many rows as so many epochs have, one or more."""
        return max(1, round(epochs * len(self.train[0]) / self.problem.batch))

    def held_out(self, share: float = HELD_OUT) -> LargeTask:
        """Return the task of predicting a `share` of the training rows from the others; no test row is seen."""
        x, y = self.train
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(self.seed)).to(x.device)
        left, others = order.tensor_split([round(share * len(x))])
        return replace(self, train=(x[others], y[others]), test=(x[left], y[left]))


def prepare(
    name: str, *, seeds: int, seed: int, rows: int | None = None, epochs: float | None = None, device: str | None = None
) -> LargeTask:
    """Load and divide the data of a problem, with other numbers of training rows and epochs where they are given.

    Raises ValueError for an unknown problem and for less than one epoch, FileNotFoundError without its data.
    """
    if name not in PROBLEMS:
        raise ValueError(unknown("problem", name, PROBLEMS))
    own = PROBLEMS[name]
    chosen = replace(own, rows=rows or own.rows, epochs=own.epochs if epochs is None else epochs)
    if not chosen.epochs >= 1:
        raise ValueError(f"epochs = {epochs}: one or more are needed, to be shared by Adam, heating and sampling")
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    data = md.data.load(chosen.data)
    split = md.data.split(data, chosen.rows, seed=seed, standardise=data.inputs.is_floating_point())
    train, test = ((x.to(place), y.to(place)) for x, y in (split.train, split.test))
    row = replace(data, inputs=data.inputs[:1].clone(), targets=data.targets[:1].clone(), training_rows=None)

    def network(dropout: float) -> nn.Module:
        return chosen.network(row, dropout)  # a set of one row, so that not all of them stay in memory

    return LargeTask(name, chosen, train, test, network, data.classes, seeds, seed, place)


def dropping(network: nn.Sequential, dropout: float) -> nn.Sequential:
    """Return a copy of a convolutional network with dropout after each mean over pixels, none at all at zero."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, module in copy.deepcopy(network).named_children():
        layers[name] = module
        if dropout and isinstance(module, nn.AvgPool2d):
            layers[f"{name}_dropout"] = nn.Dropout(dropout)
    return nn.Sequential(layers)
