"""When reporters look: every so many steps, at given ones, and what snapshots and noise tell of a run."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import mdnet as md
import trajectories
from integrators import SGD, VERLET, Splitting
from mdnet.cadence import NEVER, At, before, is_due, log_spaced, until
from mdnet.distributed.draws import ByRow
from trajectories.entropy import knn_graph


def _digits(replicas: int = 3, rows: int = 60) -> md.ParticleSystem:
    generator = torch.Generator().manual_seed(torch.initial_seed() % 2**31)
    inputs, targets = torch.randn(rows, 5, generator=generator), torch.randint(3, (rows,), generator=generator)
    net = torch.nn.Linear(5, 3)
    torch.nn.init.normal_(net.weight, generator=generator)
    torch.nn.init.zeros_(net.bias)
    return md.ParticleSystem(net, cross_entropy, inputs, targets, replicas=replicas)


def _run(system: md.ParticleSystem, *reporters: object, steps: int = 40, **options: object) -> md.Simulation:
    method = SGD(system.minibatch(8), dt=0.1)
    simulation = md.Simulation(system, method, reporters=reporters, seed=3, **options)  # type: ignore[arg-type]
    simulation.run(steps, progress=False)
    return simulation


def test_given_steps_are_told_apart_from_all_others() -> None:
    """Law: a step is due exactly where it was given, and `until` leads to the next one."""
    some = At([7, 0, 3, 3])
    assert some.steps == (0, 3, 7)
    assert [step for step in range(10) if is_due(some, step)] == [0, 3, 7]
    assert [until(some, step) for step in (0, 2, 3, 6)] == [3, 1, 4, 1]
    assert until(some, 7) == NEVER
    assert [until(4, step) for step in (0, 3, 4)] == [4, 1, 4]
    assert (some | At([5])).steps == (0, 3, 5, 7)
    assert before([10], 3, 2).steps == (6, 8, 10)


def test_logarithmic_steps_run_from_the_first_to_the_last() -> None:
    """Law: neighbours of late steps have the same ratio; step 0 and both ends are among them."""
    steps = log_spaced(10_000, 9).steps
    assert steps[:2] == (0, 1)
    assert steps[-1] == 10_000
    assert [b / a for a, b in pairwise(steps[4:])] == pytest.approx([10**0.5] * 5, rel=0.02)


@pytest.mark.parametrize(("make", "why"), [
    (lambda: At([]), "one or more"), (lambda: At([-1, 4]), "below zero"), (lambda: log_spaced(1), "0 < first < last"),
    (lambda: before([5], 0), "below one|one or more"), (lambda: md.Scalars(0), "every = 0"),
    (lambda: md.Frames(At([1, 2]), force=3), "given as steps"),
    (lambda: md.GraphEntropy([100], samples=50, k=50), "neighbour"),
    (lambda: md.GraphEntropy([100], samples=52, stride=2), "fewer than 52 iterates"),
    (lambda: md.GraphEntropy([1000, 1005], samples=50, stride=10, k=4), "steps 1000 and 1005: .* a multiple of 10"),
    (lambda: md.GraphEntropy([100], samples=50, k=4, dimension=0), "dimension = 0"),
    (lambda: md.NoiseLevel(batches=0), "batches = 0"), (lambda: At([1.7, 2.2]), "steps = 1.7: steps are whole"),
    (lambda: md.Scalars(0.5), "every = 0.5: steps are whole"), (lambda: md.Scalars(np.int64(0)), "every = 0"),
])  # fmt: skip
def test_a_bad_cadence_is_told(make: object, why: str) -> None:
    """Errors name the value and the remedy."""
    with pytest.raises(ValueError, match=why):
        make()  # type: ignore[operator]


def test_a_run_reports_at_given_steps(tmp_path: object) -> None:
    """Law: the file holds exactly the given steps, of observables and of frames."""
    _run(_digits(), md.Scalars(At([0, 1, 5, 40])), md.Frames(At([2, 30])), output=tmp_path)
    with trajectories.open(tmp_path) as run:  # type: ignore[arg-type]
        assert run.observables["potential_energy"].steps.tolist() == [0, 1, 5, 40]
        assert run.steps.tolist() == [2, 30]


def test_the_entropy_of_a_queue_is_that_of_the_frames(tmp_path: object) -> None:
    """Law: at each of its steps it equals the graph's entropy of the last iterates in the file, to rounding."""
    entropy = md.GraphEntropy([20, 38], samples=12, stride=1, k=4, dimension=17)
    _run(_digits(), entropy, md.Frames(1), output=tmp_path)
    with trajectories.open(tmp_path) as run:  # type: ignore[arg-type]
        assert run.observables["graph_entropy"].steps.tolist() == [20, 38]
        for at, row in zip((20, 38), run.observables["graph_entropy"].values, strict=True):
            expected = [knn_graph(run.positions[at - 11 : at + 1, r], 4, 17).value for r in range(3)]
            assert row == pytest.approx(expected, rel=1e-12)


def test_windows_that_share_iterates_have_the_entropy_of_each_alone() -> None:
    """Law: of steps whole strides apart, and of steps so far apart that nothing is shared, S is that of one alone."""
    told = []
    for at in ([44, 50], [50], [11, 50], [11], [44]):
        entropy = md.GraphEntropy(at, samples=6, stride=2, k=3)
        values: dict[int, Any] = {}
        simulation = _run(_digits(), entropy, steps=0)
        for step in at:
            simulation.run(step - simulation.step, progress=False)
            values[step] = simulation.latest["graph_entropy"]
        told.append(values)
    for one, other, step in ((0, 1, 50), (2, 1, 50), (2, 3, 11), (0, 4, 44)):
        assert told[one][step] == pytest.approx(told[other][step], rel=1e-12)


def test_on_a_rank_a_replica_has_the_noise_that_it_has_among_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Law: reporters draw by row, so that the noise of a rank's replicas is what one process measures of them."""
    whole = _run(_digits(4), md.NoiseLevel(5), steps=0)
    monkeypatch.setattr(type(whole.world), "by_row", lambda self: ByRow(slice(2, 4), 4))
    part = _run(_digits(2), md.NoiseLevel(5), steps=0, positions=whole.phase.q[2:])
    for name in ("noise_squared", "gradient_squared"):
        assert part.latest[name] == pytest.approx(whole.latest[name][2:], rel=1e-5)


def test_a_queue_survives_a_stop(tmp_path: object) -> None:
    """Law: a run stopped while snapshots queue and resumed tells the same entropies as one that was not."""
    whole = _run(_digits(), md.GraphEntropy([38], samples=12, k=4), steps=40)
    system = _digits()
    _run(system, md.GraphEntropy([38], samples=12, k=4), steps=31, output=tmp_path)
    method, again = SGD(system.minibatch(8), dt=0.1), md.GraphEntropy([38], samples=12, k=4)
    late = md.Simulation(system, method, reporters=[again], seed=3, output=tmp_path)  # type: ignore[arg-type]
    late.resume().run(9, progress=False)
    assert (late.latest["graph_entropy"] == whole.latest["graph_entropy"]).all()


def test_iterates_that_stand_still_have_no_entropy() -> None:
    """Law: the entropy of a point is minus infinity."""
    system = _digits()
    method = Splitting(VERLET, lambda q: (q.sum(-1).double() * 0, q * 0), dt=0.1)
    simulation = md.Simulation(system, method, reporters=[md.GraphEntropy([9], samples=10, k=4)])
    simulation.run(9, progress=False)
    assert (simulation.latest["graph_entropy"] == -torch.inf).all()


def test_the_noise_of_a_minibatch_is_that_of_its_rows() -> None:
    """Law: E|f_B - f|^2 is s^2/B, with s^2 from the gradients of all rows; its mean over draws agrees, z <= 5."""
    from mdnet.gradient_noise import gradient_noise

    system = _digits(replicas=16)
    simulation = _run(system, md.NoiseLevel(40, batches=200), steps=40)
    exact = gradient_noise(system, simulation.phase.q, size=8).of_batch().sum(-1).numpy()
    found = simulation.latest["noise_squared"]
    z = (found / exact - 1).mean() / ((found / exact).std(ddof=1) / 4)
    assert abs(z) < 5
    assert abs(found / exact - 1).max() < 0.5
    mean = system.force(simulation.phase.q)[1].square().sum(-1).numpy()
    assert simulation.latest["gradient_squared"] == pytest.approx(mean, rel=1e-5)


def test_looking_at_the_noise_leaves_the_run_alone() -> None:
    """Law: a run with the reporter ends where the run without it does, bit for bit."""
    one, other = (_run(_digits(), *extra) for extra in ([md.Scalars(10)], [md.NoiseLevel(3, batches=2)]))
    assert torch.equal(one.phase.q, other.phase.q)


def test_a_force_without_noise_is_refused() -> None:
    """The error names what to give instead."""
    system = _digits()
    with pytest.raises(ValueError, match="minibatch"):
        md.Simulation(system, SGD(system.force, dt=0.1), reporters=[md.NoiseLevel(5)])
