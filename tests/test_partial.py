"""Law: the parts of a force add up to it, and multiple time steps sample the posterior through them."""

import pytest
import torch
from systems import LinearNetwork, Z, deviation

import mdnet as md
from integrators import BAOAB, MultipleTimeSteps, Splitting
from thermostats import Langevin


@pytest.mark.parametrize("own", [False, True], ids=["shared data", "own data"])
@pytest.mark.parametrize("rows", [None, torch.arange(0, 16, 4)], ids=["prior", "subset"])
def test_the_parts_add_up(rows, own):
    index = torch.stack([torch.randperm(24)[:16] for _ in range(3)]) if own else None
    system = LinearNetwork(3, index=index).system
    q = torch.randn(3, 8, dtype=torch.float64)
    fast, slow = system.split(rows)
    (u, f), (v, g) = fast(q), slow(q)
    torch.testing.assert_close((u + v, f + g), system.force(q), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(f, system.force(q)[1])


def test_a_subset_is_the_system_of_these_rows():
    rows, q = torch.tensor([1, 5, 6]), torch.randn(2, 8, dtype=torch.float64)
    whole = LinearNetwork(2).system
    few = LinearNetwork(2, index=rows.repeat(2, 1)).system
    torch.testing.assert_close(whole.split(rows)[0](q), few.force(q), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rows", [None, torch.arange(0, 24, 2)], ids=["prior", "subset"])
def test_multiple_time_steps_sample_the_posterior(rows):
    network = LinearNetwork(256)
    fast, slow = network.system.split(rows)
    inner = Splitting(BAOAB, fast, 0.1 / network.largest_frequency(), Langevin(1.0, friction=2.0))
    engine = MultipleTimeSteps(inner, slow, repeats=3)
    simulation = md.Simulation(network.system, engine, positions=torch.zeros(256, 8))
    simulation.run(300, progress=False)
    kept = []
    for _ in range(40):
        simulation.run(15, progress=False)
        kept.append(simulation.phase.q - network.mean)
    rest = torch.stack(kept)
    assert deviation(rest.mean(0), 0.0) < Z
    assert deviation((rest[..., :, None] * rest[..., None, :]).mean(0), network.covariance()) < Z


@pytest.mark.parametrize("rows", [torch.tensor([24]), torch.tensor([0.0]), torch.zeros(0, dtype=torch.int64)])
def test_rows_that_are_not_there_are_refused(rows):
    with pytest.raises(ValueError, match=r"rows are .* from 0 to 23"):
        LinearNetwork(1).system.split(rows)


def test_a_missing_prior_is_no_part():
    system = md.ParticleSystem(torch.nn.Linear(1, 1), torch.nn.functional.mse_loss, torch.ones(2, 1), torch.ones(2, 1))
    with pytest.raises(ValueError, match="no Gaussian prior"):
        system.split()
