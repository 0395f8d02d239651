"""Law: the heat capacity is the fluctuation of the energy and the slope of its mean, and both are exact."""

import math

import numpy as np
import pytest
from systems import LinearNetwork, Z
from test_statistics import autoregressive

from trajectories import thermodynamics
from trajectories.thermodynamics import Ladder

LEVELS = np.geomspace(0.5, 4.0, 6)


@pytest.fixture
def rng(seed, request):
    return np.random.default_rng([seed, len(request.node.name)])


def sampled(rng, shape, replicas=20, samples=200, levels=LEVELS, offset=0.0):
    return Ladder(levels, [offset + rng.gamma(shape, t, (samples, replicas)) for t in levels])


@pytest.mark.parametrize("replicas", [1, 20])
@pytest.mark.parametrize(("shape", "offset"), [(12 / 2, 0.0), (12 / 4, 0.0), (8 / 2, 17.0)])
def test_mean_energy_and_heat_capacity_are_exact(rng, shape, offset, replicas):
    """Twelve harmonic modes, twelve quartic ones, and a linear network of eight weights: C = N/2, N/4 and N/2."""
    ladder = sampled(rng, shape, replicas, 4000 // replicas, offset=offset)
    mean, found = thermodynamics.mean_energy(ladder), thermodynamics.heat_capacity(ladder)
    assert str(mean).count("\n") == str(found).count("\n") == len(ladder.temperatures)
    assert (np.abs(mean.value - offset - shape * LEVELS) < Z * mean.error).all()
    assert (np.abs(found.fluctuation - shape) < Z * found.fluctuation_error).all()
    assert (np.abs(found.derivative - shape) < Z * found.derivative_error).all()
    assert (found.fluctuation_error < 0.1 * shape).all()
    assert (np.abs(found.fluctuation - 1.7 * shape) > Z * found.fluctuation_error).all(), "twice the error would show"
    assert np.abs(found.z).max() < Z


def test_the_linear_network_has_half_a_unit_a_weight(rng):
    network = LinearNetwork(1)
    ladder = sampled(rng, len(network.m) / 2, offset=network.u0)
    found = thermodynamics.mean_energy(ladder)
    exact = [network.mean_energy(t) for t in LEVELS.tolist()]
    assert (np.abs(found.value - exact) < Z * found.error).all()


def two_levels(rng, temperature, gap, spins, shape):
    """Energies of spins with two levels: a bump in the heat capacity, no straight line in <E>."""
    chance = 1 / (1 + math.exp(gap / temperature))
    return gap * rng.binomial(spins, chance, shape).astype(float)


def test_a_bump_in_the_heat_capacity_is_seen_by_both(rng):
    levels, gap, spins = np.geomspace(0.2, 2.0, 14), 1.0, 40
    found = thermodynamics.heat_capacity(Ladder(levels, [two_levels(rng, t, gap, spins, (500, 20)) for t in levels]))
    x = gap / levels
    exact = spins * x**2 * np.exp(x) / (1 + np.exp(x)) ** 2
    inside = slice(1, -1)
    assert (np.abs(found.fluctuation - exact) < Z * found.fluctuation_error)[inside].all()
    assert (np.abs(found.derivative - exact) < Z * found.derivative_error)[inside].all()
    assert np.abs(found.z[inside]).max() < Z
    assert exact.max() > 1.5 * exact[-1], "there is a bump to see"


def test_a_thermostat_that_suppresses_fluctuations_is_found_out(rng):
    narrow = [t * 6 + 0.6 * (rng.gamma(6.0, t, (200, 20)) - 6 * t) for t in LEVELS]
    found = thermodynamics.heat_capacity(Ladder(LEVELS, narrow))
    assert (found.derivative[:-1] > 5).all()
    assert found.z.min() < -Z


def test_errors_are_the_scatter_of_repetitions(rng):
    """Of one correlated replica at three temperatures."""
    levels, found = np.array([1.0, 1.5, 2.2]), []
    for _ in range(60):
        series = [6 * t + t * math.sqrt(6) * autoregressive(rng, (1500,), 0.7) for t in levels]
        one = thermodynamics.heat_capacity(Ladder(levels, series))
        found.append([one.fluctuation[1], one.fluctuation_error[1], one.derivative[1], one.derivative_error[1]])
    fluctuation, its_error, slope, other_error = np.array(found).T
    assert 0.7 < math.sqrt(np.square(its_error).mean()) / fluctuation.std(ddof=1) < 1.4
    assert 0.7 < math.sqrt(np.square(other_error).mean()) / slope.std(ddof=1) < 1.4


def test_too_few_temperatures_or_samples_are_refused(rng):
    with pytest.raises(ValueError, match="needs 3 temperatures"):
        thermodynamics.heat_capacity(sampled(rng, 6.0, levels=np.array([1.0, 2.0])))
    with pytest.raises(ValueError, match="finite temperatures"):
        thermodynamics.heat_capacity(Ladder(np.array([1, 2, np.inf]), [rng.normal(size=50)] * 3))
    with pytest.raises(ValueError, match="a rung holds 3 samples"):
        thermodynamics.heat_capacity(Ladder(LEVELS, [rng.normal(size=3)] * 6))
