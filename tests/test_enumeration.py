"""Law: enumeration meets every state of a discrete network once, and counts what each of them has."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch.nn.functional import mse_loss

import mdnet as md
from mdnet.landscape import Axis, Mean
from mdnet.landscape.enumeration import (
    accuracy_of_signs,
    binary_network,
    enumerate_density,
    exact,
    of_counts,
    states,
    teach,
)


def problem(sizes, seed=0, activation="sign", replicas=1):
    """A binary network in a box on a teacher's corners, its accuracies, and their axes."""
    network = binary_network(sizes, activation)
    data = teach(network, sizes[0], seed)
    system = md.ParticleSystem(network, mse_loss, data.inputs, data.targets, replicas=replicas, prior=md.Box(1.0))
    test = {"inputs": data.test_inputs, "targets": data.test_targets}
    train = Mean(system, "train", metric=accuracy_of_signs)
    axes = [of_counts(name, 2 ** (sizes[0] - 1)) for name in ("train", "test")]
    return system, [train, Mean(system, "test", metric=accuracy_of_signs, **test)], axes


@pytest.mark.parametrize("values", [(-1.0, 1.0), (-1.0, 0.0, 1.0)])
@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_every_state_comes_once(values, chunk):
    """Law: the states are all words of the values, in the order of the words, whatever the chunk."""
    system, _, _ = problem((2, 2, 1))
    found = torch.cat(list(states(system, values, chunk)))
    assert found.tolist() == [list(word) for word in product(values, repeat=6)]
    assert found.dtype == system.dtype


def test_counts_are_those_of_one_state_after_the_other():
    """Law: the joint table is what one finds by asking each network alone."""
    system, variables, axes = problem((3, 2, 1), seed=3)
    by_hand = np.zeros((5, 5), dtype=int)
    for word in product((-1.0, 1.0), repeat=8):
        q = torch.tensor([word])
        x, y = (round(4 * float(variable.value(q))) for variable in variables)
        by_hand[x, y] += 1
    assert (enumerate_density(system, variables, axes, chunk=100) == by_hand).all()
    assert (enumerate_density(system, variables[:1], axes[:1]) == by_hand.sum(1)).all()


def test_the_published_size_has_its_symmetries():
    """Law: counts of 5-3-1 are multiples of 2^3, its units being mirrored, and as odd functions have a mirror image."""
    system, variables, axes = problem((5, 3, 1), seed=1)
    counts = enumerate_density(system, variables, axes)
    assert counts.sum() == 2**18
    assert (counts % 8 == 0).all()
    assert (counts == counts[::-1, ::-1]).all()
    assert counts[16, 16] >= 8


def test_the_landscape_holds_the_shares():
    """S is the logarithm of the share of the counted states, -inf where there is none."""
    counts = np.array([1, 0, 3])
    found = exact([Axis("x", 0.0, 3.0, 3)], counts)
    assert np.allclose(np.exp(found.entropy), [[0.25, 0.0, 0.75]])
    assert (found.method, found.visits) == ("exact", None)


def test_states_beyond_the_axes_are_in_no_bin():
    system, variables, axes = problem((3, 2, 1))
    whole = enumerate_density(system, variables[:1], axes[:1])
    upper = enumerate_density(system, variables[:1], [axes[0].part(2, 3)])
    assert (upper == whole[2:]).all()


def test_a_teacher_is_learnable_and_its_rows_are_all_corners():
    """Law: some network of the same kind says what the teacher says, everywhere; half of the corners are for test."""
    data = teach(binary_network((4, 3, 1), "tanh"), 4, seed=2)
    corners = torch.cat([data.inputs, data.test_inputs])
    assert len(data.inputs) == len(data.test_inputs) == 8
    assert len(corners.unique(dim=0)) == 16
    system, variables, axes = problem((4, 3, 1), seed=2, activation="tanh")
    assert enumerate_density(system, variables, axes)[8, 8] >= 1


def test_what_cannot_be_enumerated_is_refused():
    system, variables, axes = problem((7, 4, 1))  # 32 weights
    with pytest.raises(ValueError, match=r"2\^32 states .* allowed are 2\^30"):
        states(system)
    with pytest.raises(ValueError, match="too many"):
        enumerate_density(system, variables[:1], axes[:1])
    with pytest.raises(ValueError, match="different values"):
        states(system, (1.0, 1.0))
    with pytest.raises(ValueError, match="different values"):
        states(system, chunk=0)
    with pytest.raises(ValueError, match="one axis for each variable"):
        enumerate_density(system, variables, axes[:1])
    with pytest.raises(ValueError, match="'sign' or 'tanh'"):
        binary_network((5, 3, 1), "relu")
    with pytest.raises(ValueError, match="two sizes or more"):
        binary_network((5,))
