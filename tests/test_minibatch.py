"""Law: a minibatch force is an unbiased estimate of the force on all data, and reports tell of all data."""

import pytest
import torch
from systems import LinearNetwork, Z, deviation
from torch import nn

import mdnet as md
import trajectories
from integrators import BAOAB, SGD, Splitting
from mdnet import config
from mdnet.distributed.draws import ByRow
from mdnet.distributed.parts import method_part, system_part
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
    rows = LinearNetwork(8).system.minibatch(20, replace=False).draw(8)
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


SIZES = [2, 6, 12, 12, 3, 1]


@pytest.mark.parametrize("own", [False, True], ids=["shared data", "own data"])
@pytest.mark.parametrize("replace", [False, True], ids=["distinct", "replaced"])
def test_every_replica_has_a_size_of_its_own(replace, own):
    """Law: replica r sees size[r] rows, each as often as the others: force and energy are those on these rows alone."""
    index = torch.stack([torch.randperm(24)[:16] for _ in SIZES]) if own else None
    system = LinearNetwork(len(SIZES), index=index).system
    force = system.minibatch(SIZES, replace=replace)
    assert force.size == 12
    q = torch.randn(6, 8, dtype=torch.float64)
    before = torch.get_rng_state()
    rows = force.draw(6)
    assert rows.shape == (6, 12)
    torch.set_rng_state(before)
    u, f = force(q)
    for r, size in enumerate(SIZES):
        first = rows[r, :size]
        assert torch.equal(rows[r], first.repeat(12 // size))
        assert replace or len(set(first.tolist())) == size
        x, y = (system.inputs[r], system.targets[r]) if own else (system.inputs, system.targets)
        exact = md.ParticleSystem(
            system.network, system.loss, x[first], y[first], scale=system.scale, prior=system.prior,
            dtype=torch.float64,
        ).force(q[r : r + 1])  # fmt: skip
        torch.testing.assert_close((u[r : r + 1], f[r : r + 1]), exact, rtol=1e-11, atol=1e-11)


def test_the_statistics_of_a_norm_are_those_of_the_rows_seen():
    """Law: BatchNorm over rows that are repeated is BatchNorm over the rows."""
    network = md.networks.scale_invariant_mlp(4, 3, hidden=(5,))
    x, y = torch.randn(20, 4, dtype=torch.float64), torch.arange(20) % 3
    options = {"dtype": torch.float64, "loss": torch.nn.functional.cross_entropy}
    system = md.ParticleSystem(network, inputs=x, targets=y, replicas=2, **options)
    force = system.minibatch(torch.tensor([5, 15]))
    q = system.positions(seed=1)
    before = torch.get_rng_state()
    rows = force.draw(2)[0, :5]
    torch.set_rng_state(before)
    alone = md.ParticleSystem(network, inputs=x[rows], targets=y[rows], **options).force(q[:1])
    torch.testing.assert_close(tuple(each[:1] for each in force(q)), alone, rtol=1e-9, atol=1e-9)


def test_the_noise_of_every_replica_is_that_of_its_size():
    """Law: the variance of the force is s^2/B of the replica's own B."""
    system = LinearNetwork(4096).system
    q = torch.zeros(4096, 8, dtype=torch.float64)
    squares = (system.minibatch([1, 4] * 2048)(q)[1] - system.force(q)[1]).square()
    assert deviation(squares[1::2] - squares[::2] / 4, 0.0) < Z


@pytest.mark.parametrize(
    ("size", "options", "said"),
    [
        ([4, 6, 12, 12], {"replace": False, "shared": True}, "a batch that replicas share has one size"),
        ([4, 5, 9, 12], {}, r"size: \[5, 9\] do not divide the largest, 12; the nearest that do are \[4, 6\]"),
        ([0, 4, 4, 4], {}, "one row or more"),
        ([1, 1, 1, 25], {"replace": False}, "at most all 24"),
        ([2, 4], {}, "must be a whole number, or 4 of them"),
        (2.5, {}, "size = 2.5 must be a whole number"),
        ("8", {}, "size = 8 must be a whole number"),
        (10**30, {}, "must be a whole number"),
        (torch.ones(4, 1, dtype=torch.int64), {}, "must be a whole number, or 4 of them"),
    ],
)
def test_impossible_sizes_are_refused(size, options, said):
    with pytest.raises(ValueError, match=said):
        LinearNetwork(4).system.minibatch(size, **options)


@pytest.mark.parametrize("size", [1, [1, 3, 6]])
def test_a_single_row_is_no_batch_for_a_norm(size):
    """One row repeated has no variance: the force would be rounding over eps."""
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False))
    system = md.ParticleSystem(network, nn.functional.mse_loss, torch.randn(9, 4), torch.randn(9, 3), replicas=3)
    with pytest.raises(ValueError, match="BatchNorm has statistics of two rows or more"):
        system.minibatch(size)


def test_sizes_are_those_of_the_systems_replicas():
    system = LinearNetwork(4).system
    force = system.minibatch([2, 4, 4, 4])
    with pytest.raises(ValueError, match="3 replicas, but the sizes of their minibatches are 4"):
        force(torch.zeros(3, 8, dtype=torch.float64))
    assert str(force) == "MinibatchForce(size=[2, 4, 4, 4], replace=True, shared=False)"
    assert str(system.minibatch([4, 4, 4, 4])) == str(system.minibatch(4))


@pytest.mark.parametrize("replace", [False, True], ids=["distinct", "replaced"])
@pytest.mark.parametrize("rows", [slice(0, 2), slice(2, 5)], ids=str)
def test_a_part_of_the_replicas_draws_the_rows_it_would_among_all(rows, replace):
    """Law: a rank's replicas keep their sizes, and draw what they would in one process."""
    whole = LinearNetwork(5).system
    engine = SGD(whole.minibatch([2, 1, 4, 12, 6], replace=replace), 0.1)
    own = system_part(whole, rows, slice(0, 24))
    before = torch.get_rng_state()
    every, after = engine.force.draw(5), torch.get_rng_state()
    torch.set_rng_state(before)
    with ByRow(rows, 5):
        drawn = method_part(engine, whole, own, rows).force.draw(rows.stop - rows.start)
    assert torch.equal(drawn, every[rows])
    assert torch.equal(torch.get_rng_state(), after)


def test_a_run_file_lists_sizes(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(
        '[network]\nname = "scale-invariant-mlp"\nhidden = [4]\n[data]\nname = "digits"\n[system]\nreplicas = 3\n'
        '[minibatch]\nsize = [8, 16, 32]\n[integrator]\nmethod = "sgd"\ndt = [0.1, 0.2, 0.4]\neffective = true\n'
        "weight_decay = 0.001\n[run]\nsteps = 2\n[report]\npredictions = 0\n"
    )
    simulation = config.build(config.load(file), progress=False)
    assert simulation.integrator.force.sizes.tolist() == [8, 16, 32]
    assert simulation.integrator.effective
    simulation.run(2, progress=False)
    for wrong, said in (
        ("[8, 16]", "size lists 2 values, but there are 3 replicas"),
        ("[8, 0, 16]", "must be 1 or more"),
        ("2.5", "must be 1 or more"),
    ):
        with pytest.raises(config.ConfigError, match=said):
            config.load(file, [f"minibatch.size={wrong}"])


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
        system = LinearNetwork(2).system
        engine = Splitting(BAOAB, system.minibatch(size), 0.02, Langevin(1.0, friction=1.0))
        return md.Simulation(system, engine, output=tmp_path / "run")

    simulation(4).run(2, progress=False)
    with pytest.raises(md.ResumeError, match=r"minibatch: saved MinibatchForce\(size=4.*now MinibatchForce\(size=5"):
        simulation(5).resume()
    with pytest.raises(md.ResumeError, match=r"minibatch: saved MinibatchForce\(size=4.*size=\[2, 4\]"):
        simulation([2, 4]).resume()


def test_predictions_under_a_hot_minibatch_are_warned_of():
    system = LinearNetwork(1).system
    engine = Splitting(BAOAB, system.minibatch(4), 0.02, Langevin(1.0, friction=1.0))
    with pytest.warns(md.NonCanonicalWarning, match="AdaptiveLangevin"):
        md.Simulation(system, engine, reporters=[md.Predictions(system.inputs)])
