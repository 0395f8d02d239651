"""Fluctuation and dissipation of stationary SGD on digits: the pull towards the origin beside what noise puts in."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import trajectories
from integrators import SGD, Integrator, Phase
from mdnet.cadence import At, before
from mdnet.covariance import covariance_factors
from mdnet.data import load, split
from mdnet.experiments.results import Check
from mdnet.networks import mlp
from mdnet.simulation import Simulation, finish
from mdnet.system import ParticleSystem
from trajectories.sgd import Values, over_seeds

Array = NDArray[Any]
RATES = (0.01, 0.02, 0.05, 0.1, 0.3, 1.0)
BATCH, DECAY, ROWS, SEEDS = 1, 0.1, 400, 12
PIXELS, CLASSES, HIDDEN = 64, 10, (16,)
CLAIMED, WITHIN = 0.05, 0.05  # the largest rate at which the law is claimed, and how near
_SETTLE, _TIME = 60.0, 600.0  # before the looks, and over all of them; steps times rate
_LEAST = 6000  # steps over all looks
_OFTEN, _SELDOM = 1200, 40  # looks at the force, and at the covariance of rows
_KEPT = ("virial", "force_squared", "noise_trace", "pull", "weights")


def softmax() -> nn.Module:
    """Return softmax regression, a linear network."""
    return nn.Linear(PIXELS, CLASSES)


def perceptron() -> nn.Module:
    """Return a small network with one hidden layer."""
    return mlp(PIXELS, CLASSES, HIDDEN)


class Balance:
    """What SGD with a weight decay alpha dissipates, each (replicas,) float64:

        virial theta.f,     force_squared |f|^2,     f = grad U + alpha theta

    of all rows. `decay`: alpha. `every`: when to look.
    """

    def __init__(self, decay: float, every: At) -> None:
        self.decay, self.every = decay, every

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """Remember the system."""
        self.system = system

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Return virial and square of the force."""
        force = self.force(phase)
        return {"virial": (phase.q * force).sum(-1), "force_squared": force.square().sum(-1)}

    def force(self, phase: Phase) -> Tensor:
        """Return f (replicas, dof) float64."""
        pull: Tensor = self.decay * phase.q.double() - self.system.force(phase.q)[1].double()
        return pull


class Noise(Balance):
    """What takes longer to compute: noise_trace Tr D (replicas,), pull f and weights theta (replicas, dof)."""

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Return the trace of the rows' gradients' covariance, the force and where it is."""
        trace = torch.stack([a.square().sum() for a in covariance_factors(self.system, phase.q)])
        return {"noise_trace": trace, "pull": self.force(phase), "weights": phase.q.double()}


@dataclass(frozen=True, eq=False)
class Dissipation:
    """The balance of stationary SGD by rate and seed, means over looks, (rates, seeds).

        2 <theta.f> = T <Tr D> + rate <|f|^2>,     T = rate/batch,     <f> = 0

    for <|theta|^2> is the same before and after a step. `pull` and
    `weights` (rates, seeds, dof): <f> and <theta>.
    """

    rates: Array
    batch: int
    virial: Array
    force_squared: Array
    noise_trace: Array
    pull: Array
    weights: Array

    @property
    def noise(self) -> Array:
        """T <Tr D>."""
        return np.asarray(self.rates[:, None] / self.batch * self.noise_trace)

    @property
    def discrete(self) -> Array:
        """What the length of a step adds, rate <|f|^2>."""
        return np.asarray(self.rates[:, None] * self.force_squared)

    def ratio(self, *, discrete: bool) -> Values:
        """Return 2 <theta.f> over what fluctuates (rates,), with or without what the length of a step adds."""
        return over_seeds(2 * self.virial / (self.noise + (self.discrete if discrete else 0.0)))

    def imbalance(self) -> Array:
        """Return |<f>|^2/|alpha <theta>|^2 (rates,), 0 where the pull of the decay and the mean gradient cancel.

        From products of different seeds, so that it is unbiased; grad U alone in place of f gives 1 where they cancel.
        """
        return np.asarray(_pairs(self.pull) / _pairs(DECAY * self.weights))


def measure(
    network: Callable[[], nn.Module] = softmax,
    *,
    seed: int = 0,
    rates: Sequence[float] = RATES,
    seeds: int = SEEDS,
    longer: float = 1.0,
    folder: Path | None = None,
    progress: bool = False,
) -> Dissipation:
    """Run SGD on digits at all rates, each for the same time (steps x rate) or longer, and return its balance.

    Each rate is one run of `seeds` replicas with starts of their own. `longer`: a factor on what is looked at.
    `folder`: where trajectories stay; by default they are removed.
    """
    rows = split(load("digits"), ROWS, seed=0).train
    found: dict[str, list[Array]] = {}
    with tempfile.TemporaryDirectory() as spare:
        for i, rate in enumerate(rates):
            system = ParticleSystem(network(), cross_entropy, *rows, replicas=seeds)
            counted = round(longer * max(_TIME / rate, _LEAST))
            steps = round(_SETTLE / rate) + counted
            often, seldom = (
                before([steps], looks, counted // looks)
                for looks in (max(1, round(longer * most)) for most in (_OFTEN, _SELDOM))
            )
            simulation = Simulation(
                system, SGD(system.minibatch(BATCH), rate, weight_decay=DECAY), positions=system.positions(seed + i),
                seed=seed + i, output=(place := (folder or Path(spare)) / f"rate-{rate:g}"),
                reporters=[Balance(DECAY, often), Noise(DECAY, seldom)],
                parameters={"sweep": {"rate": [rate] * seeds, "seed": list(range(seeds)), "decay": DECAY}},
            )  # fmt: skip
            finish(simulation, steps, progress=progress)
            with trajectories.open(place) as run:
                for name in _KEPT:
                    found.setdefault(name, []).append(np.asarray(run.observables[name].values).mean(axis=0))
    return Dissipation(np.array(rates), BATCH, **{name: np.stack(values) for name, values in found.items()})


def checks(found: Dissipation) -> list[Check]:
    """Return G3: the law at small rates, the mean force, and what the length of a step adds at the largest rate."""
    small = found.rates <= CLAIMED
    rates = f"rate ≤ {CLAIMED:g}"
    whole, bare = found.ratio(discrete=True), found.ratio(discrete=False)
    rest = found.imbalance()[small]
    last = f"{bare.value[-1]:.3f} ± {bare.error[-1]:.3f}, with it {whole.value[-1]:.3f} ± {whole.error[-1]:.3f}"
    return [
        _within(f"G3: 2⟨θ·f⟩ / (T⟨Tr D⟩), softmax, {rates}", bare, small),
        _within(f"G3: the same with rate ⟨|f|²⟩ added, {rates}", whole, small),
        Check(f"G3: |⟨f⟩|² / |α⟨θ⟩|², {rates}", f"0 within {WITHIN:g}; the gradient alone 1",
              f"{rest.min():+.1e} to {rest.max():+.1e}", bool(np.abs(rest).max() <= WITHIN)),
        Check(f"control: 2⟨θ·f⟩ / (T⟨Tr D⟩) at rate {found.rates[-1]:g}", "above 1 without the length of a step",
              last, bool(bare.value[-1] - 1 > 3 * bare.error[-1] and abs(float(whole.z(1.0)[-1])) < 5)),
    ]  # fmt: skip


def of_network(found: Dissipation) -> Check:
    """Return whether the law holds on a network with a hidden layer, at all rates that were run."""
    return _within(
        f"2⟨θ·f⟩ / (T⟨Tr D⟩ + rate ⟨|f|²⟩), 64-{HIDDEN[0]}-10, rates to {found.rates[-1]:g}",
        found.ratio(discrete=True), np.ones(len(found.rates), dtype=bool),
    )  # fmt: skip


def _within(name: str, ratio: Values, rates: NDArray[np.bool_]) -> Check:
    value, error = ratio.value[rates], ratio.error[rates]
    told = ", ".join(f"{x:.3f} ± {e:.3f}" for x, e in zip(value, error, strict=True))
    return Check(name, f"1 within {WITHIN:.0%}", told, bool(np.abs(value - 1).max() <= WITHIN))


def _pairs(vectors: Array) -> Array:
    """The mean product of the vectors of two different seeds: (rates, seeds, dof) -> (rates,)."""
    seeds = vectors.shape[1]
    both, own = np.square(vectors.sum(axis=1)).sum(axis=-1), np.square(vectors).sum(axis=(1, 2))
    return np.asarray((both - own) / (seeds * (seeds - 1)))
