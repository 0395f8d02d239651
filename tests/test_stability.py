"""Law: an unstable step is told from the first steps, with the frequency behind it, and a stable one never is."""

import pytest
import torch
from systems import LinearNetwork

import mdnet as md
from integrators import BAOAB, OBABO, OMELYAN, SCHEMES, VERLET, YOSHIDA4, Splitting, outer
from mdnet.stability import largest_frequency
from thermostats import Langevin, NoBath

W = LinearNetwork(1).largest_frequency()


def test_power_iteration_finds_the_largest_frequency():
    network = LinearNetwork(3)
    found = largest_frequency(network.system, network.system.positions(seed=1), iterations=200)
    torch.testing.assert_close(found, torch.full((3,), W, dtype=torch.float64), rtol=1e-4, atol=0)


def run(scheme, phase, *, thermostat=None, steps=300, dtype=torch.float64):
    """Run at w dt = phase."""
    network = LinearNetwork(4, dtype=dtype)
    engine = Splitting(scheme, network.system.force, phase / W, thermostat)
    simulation = md.Simulation(network.system, engine, temperature=1.0)
    simulation.run(steps, progress=False)
    return simulation


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("phase", [2.05, 2.5, 10.0, 1000.0])
@pytest.mark.parametrize("scheme", [VERLET, BAOAB, OBABO], ids=str)
def test_an_unstable_step_is_named_with_its_frequency(scheme, phase, dtype):
    thermostat = Langevin(1.0, friction=0.1) if scheme.has_bath else None
    with pytest.raises(md.DivergenceError) as told:
        run(scheme, phase, thermostat=thermostat, dtype=dtype)
    assert f"w = {W:.3g}"[:6] in str(told.value)
    assert "allows dt < " in str(told.value)


@pytest.mark.parametrize("scheme", [OMELYAN, YOSHIDA4, outer(OMELYAN)], ids=str)
def test_every_scheme_has_a_limit_of_its_own(scheme):
    thermostat = NoBath() if scheme.has_bath else None
    assert run(scheme, 0.97 * scheme.stability, thermostat=thermostat).step == 300
    with pytest.raises(md.DivergenceError, match=r"is unstable: .*allows dt <"):
        run(scheme, 1.05 * scheme.stability, thermostat=thermostat)


@pytest.mark.parametrize("phase", [0.1, 1.0, 1.9])
def test_a_stable_step_is_never_accused(phase):
    assert run(VERLET, phase).step == 300
    assert run(BAOAB, phase, thermostat=Langevin(0.0, friction=0.1)).step == 300


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=str)
def test_the_limit_of_a_scheme_is_where_an_oscillator_blows_up(scheme):
    def grows(phase):
        a, b, c, d = scheme.turn(phase)
        matrix = torch.tensor([[a, b], [c, d]], dtype=torch.float64)
        return not torch.linalg.matrix_power(matrix, 100_000).abs().max() < 1e6

    assert grows(scheme.stability + 0.002)
    assert not grows(scheme.stability - 0.002)


def test_a_divergence_for_other_reasons_is_not_blamed_on_the_frequency():
    """A minimum far below the start: the energy falls a lot, and nothing is wrong."""
    network = LinearNetwork(2)
    engine = Splitting(VERLET, network.system.force, 0.1 / W)
    q = 1000.0 + network.system.positions()
    simulation = md.Simulation(network.system, engine, positions=q)
    assert simulation.run(200, progress=False) == "finished"
