"""Law: a minibatch force is an unbiased estimate of the force on all data, and reports tell of all data."""

import pytest
import torch
from systems import LinearNetwork, Z, deviation

import mdnet as md
import trajectories
from integrators import BAOAB, Splitting
from thermostats import Langevin

DRAWS = 400


@pytest.mark.parametrize("own", [False, True], ids=["shared data", "own data"])
@pytest.mark.parametrize("shared", [False, True], ids=["own batches", "shared batches"])
@pytest.mark.parametrize("replace", [False, True], ids=["distinct", "replaced"])
def test_the_mean_of_many_draws_is_the_force_on_all_data(replace, shared, own):
    index = torch.stack([torch.randperm(24)[:16] for _ in range(64)]) if own else None
    system = LinearNetwork(64, index=index).system
    q = torch.randn(1, 8, dtype=torch.float64).expand(64, 8)
    force = system.minibatch(5, replace=replace, shared=shared)
    u, f = system.force(q)
    draws = [force(q) for _ in range(DRAWS)]
    # every draw of every replica is independent of the others, or at least every draw is
    wrong_u, wrong_f = torch.stack([d[0] - u for d in draws]).mean(1), torch.stack([d[1] - f for d in draws]).mean(1)
    assert deviation(wrong_u[:, None], 0.0) < Z
    assert deviation(wrong_f, 0.0) < Z
    assert wrong_f.abs().max() > 0


def test_all_rows_without_replacement_are_the_full_force():
    system = LinearNetwork(3).system
    q = torch.randn(3, 8, dtype=torch.float64)
    torch.testing.assert_close(system.minibatch(24, replace=False)(q), system.force(q), rtol=1e-12, atol=1e-12)


def test_batches_differ_by_replica_unless_shared():
    system = LinearNetwork(4).system
    q = torch.randn(1, 8, dtype=torch.float64).expand(4, 8)
    own, shared = (system.minibatch(3, shared=shared)(q)[1] for shared in (False, True))
    assert not torch.allclose(own[0], own[1])
    torch.testing.assert_close(shared[0], shared[1])


def test_rows_without_replacement_differ():
    rows = LinearNetwork(8).system.minibatch(20, replace=False)._draw(8)
    assert all(len(set(row.tolist())) == 20 for row in rows)


def test_the_noise_falls_with_the_size_of_the_batch():
    """The variance of a mean of B rows is s^2/B with replacement, and s^2/B (n - B)/(n - 1) without."""
    system = LinearNetwork(4096).system
    q = torch.zeros(4096, 8, dtype=torch.float64)
    exact = system.force(q)[1]
    one = (system.minibatch(1)(q)[1] - exact).square()
    for replace, ratio in ((True, 1 / 6), (False, 1 / 6 * 18 / 23)):
        six = (system.minibatch(6, replace=replace)(q)[1] - exact).square()
        assert deviation(six - ratio * one, 0.0) < Z


@pytest.mark.parametrize("size", [0, 25])
def test_an_impossible_size_is_refused(size):
    with pytest.raises(ValueError, match=rf"size = {size}: .*at most all 24"):
        LinearNetwork(1).system.minibatch(size, replace=False)


def test_reports_are_of_all_data_and_a_resume_is_bitwise(tmp_path):
    def simulation(folder):
        system = LinearNetwork(4).system
        engine = Splitting(BAOAB, system.minibatch(4), 0.02, Langevin(1.0, friction=1.0))
        return system, md.Simulation(
            system, engine, positions=torch.zeros(4, 8), output=tmp_path / folder, seed=3,
            reporters=[md.Scalars(5), md.Frames(5)],
        )  # fmt: skip

    system, whole = simulation("whole")
    whole.run(40, progress=False)
    simulation("parts")[1].run(20, progress=False)
    parts = simulation("parts")[1].resume()
    parts.run(20, progress=False)
    assert torch.equal(whole.phase.q, parts.phase.q)
    with trajectories.open(tmp_path / "whole") as run:
        q = torch.as_tensor(run.positions[:])
        u = torch.as_tensor(run.observables["potential_energy"].values[:])
        batch = torch.as_tensor(run.observables["minibatch_energy"].values[:])
        assert run.parameters["dynamics"]["minibatch"] == "MinibatchForce(size=4, replace=True, shared=False)"
        assert not run.parameters["dynamics"]["canonical"]
    torch.testing.assert_close(u, torch.stack([system.energy(x) for x in q]))
    assert not torch.allclose(u, batch)


def test_another_batch_size_is_another_run(tmp_path):
    def simulation(size):
        system = LinearNetwork(1).system
        engine = Splitting(BAOAB, system.minibatch(size), 0.02, Langevin(1.0, friction=1.0))
        return md.Simulation(system, engine, output=tmp_path / "run")

    simulation(4).run(2, progress=False)
    with pytest.raises(md.ResumeError, match=r"minibatch: saved MinibatchForce\(size=4.*now MinibatchForce\(size=5"):
        simulation(5).resume()


def test_predictions_under_a_hot_minibatch_are_warned_of():
    system = LinearNetwork(1).system
    engine = Splitting(BAOAB, system.minibatch(4), 0.02, Langevin(1.0, friction=1.0))
    with pytest.warns(md.NonCanonicalWarning, match="AdaptiveLangevin"):
        md.Simulation(system, engine, reporters=[md.Predictions(system.inputs)])
