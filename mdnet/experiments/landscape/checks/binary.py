"""W3: walkers that flip weights find how many of the 2^18 states of a binary network have each accuracy."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import mse_loss

from mdnet.experiments.results import Check
from mdnet.landscape import BiasedForce, Mean, OneOverT, Table, Variable, WangLandau
from mdnet.landscape.enumeration import (
    accuracy_of_signs,
    binary_network,
    enumerate_density,
    exact,
    of_counts,
    teach,
)
from mdnet.landscape.monte_carlo import MonteCarlo, walk_inside
from mdnet.landscape.moves import Flip
from mdnet.priors import Box
from mdnet.reporters import Scalars
from mdnet.simulation import Simulation, finish
from mdnet.system import ParticleSystem
from trajectories.landscape.axes import Axis
from trajectories.landscape.joining import join
from trajectories.landscape.landscape import Landscape

SIZES, INPUTS, ROWS = (5, 3, 1), 5, 16  # half of the 32 corners for training, half for test
OFF = 0.1  # that ln Omega may be off in a bin
PEAK, EXCHANGE = 0.003, 10  # the weight of a visit at first; visits between attempts to exchange windows
LEARN, COUNT = 1_000, 3_000  # moves of a walker while it learns, and with the table frozen, of which two thirds count


def w3(seed: int = 0) -> list[Check]:
    """Return how far ln Omega is from enumeration: of the training accuracy, jointly with the test's, in windows."""
    settings = {"one window": (1, 1), "train and test": (2, 1), "three windows that exchange": (1, 3)}
    checks = []
    for name, (many, windows) in settings.items():
        true = enumerated(many, seed)
        worst = deviation(sampled(many, windows, seed), true)
        populated = int(np.isfinite(true.entropy).sum())
        checks.append(
            Check(
                f"Binary network 5-3-1, {name}: ln Omega by Monte Carlo less that of all 2^18 states",
                f"within {OFF} in each of {populated} populated bins",
                f"{worst:.3f} at most",
                worst <= OFF,
            )
        )
    return checks


def problem(replicas: int, seed: int) -> tuple[ParticleSystem, list[Variable], list[Axis]]:
    """Return a 5-3-1 network of signs on what one like it says, its training and test accuracy, and their axes."""
    network = binary_network(SIZES)
    data = teach(network, INPUTS, seed)
    system = ParticleSystem(network, mse_loss, data.inputs, data.targets, replicas=replicas, prior=Box(1.0))
    rows = {"train accuracy": (data.inputs, data.targets), "test accuracy": (data.test_inputs, data.test_targets)}
    variables: list[Variable] = [
        Mean(system, name, metric=accuracy_of_signs, inputs=inputs, targets=targets)
        for name, (inputs, targets) in rows.items()
    ]
    return system, variables, [of_counts(name, ROWS) for name in rows]


def enumerated(many: int, seed: int = 0) -> Landscape:
    """Return the landscape of the first, or of both accuracies by counting all states."""
    system, variables, axes = problem(1, seed)
    return exact(axes[:many], enumerate_density(system, variables[:many], axes[:many]))


def sampled(
    many: int, windows: int, seed: int, *, learn: int = LEARN, count: int = COUNT, walkers: int = 4096
) -> Landscape:
    """Return the same landscape from walkers that flip one weight at a time, in so many windows."""
    system, variables, axes = problem(walkers, seed)
    variables, axes = variables[:many], axes[:many]
    table = Table(axes, walkers, windows=windows, sigma=0)
    force = BiasedForce(system, variables, table)
    action = WangLandau(
        OneOverT(PEAK, 1, learn // 4), learn, exchange=EXCHANGE if windows > 1 else 0, settle=count // 3
    )
    noise = torch.Generator().manual_seed(seed)
    anywhere = torch.randint(2, (walkers, system.dof), generator=noise) * 2.0 - 1
    simulation = Simulation(
        system, MonteCarlo(force, Flip()), positions=walk_inside(force, anywhere, Flip(), seed=seed), seed=seed,
        actions=[action], reporters=[Scalars(learn + count)],
    )  # fmt: skip
    finish(simulation, learn + count, progress=False)
    visits, weights = action.counts.visits.numpy(), action.counts.weights.numpy()
    with np.errstate(divide="ignore"):
        tables = table.entropy.numpy() + np.log(weights)
    firsts = [round((part.low - axes[0].low) / axes[0].width) for part in table.parts]
    whole = join(tables, firsts, axes[0].bins, visits)
    return Landscape(tuple(axes), whole[None], method="Wang-Landau Monte Carlo")


def deviation(found: Landscape, true: Landscape) -> float:
    """Return the largest |ln Omega - exact| by bin; inf where a populated bin was missed, or another met."""
    one, other = found.entropy, true.entropy
    if not (np.isfinite(one) == np.isfinite(other)).all():
        return float("inf")
    populated = np.isfinite(other)
    return float(np.abs(one[populated] - other[populated]).max())
