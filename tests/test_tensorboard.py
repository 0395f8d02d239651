"""Law: TensorBoard shows what the trajectory holds, each point once, and changes nothing."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import mdnet as md
import trajectories
from integrators import BAOAB, Splitting
from mdnet.projections import PrincipalComponents
from mdnet.tensorboard import TensorBoard
from thermostats import Langevin


def simulation(folder, replicas=4, shown=True, **options):
    torch.manual_seed(3)
    x = torch.randn(12, 2)
    system = md.ParticleSystem(nn.Linear(2, 1), functional.mse_loss, x, x.sum(-1, keepdim=True), replicas=replicas)
    integrator = Splitting(BAOAB, system.force, 0.02, Langevin(temperature=0.1, friction=1.0))
    inner = [md.Scalars(3), PrincipalComponents(2, 2, learn=4)] if replicas > 1 else [md.Scalars(3)]
    reporters = [TensorBoard(r, folder / "board" / type(r).__name__) for r in inner] if shown else inner
    return md.Simulation(system, integrator, seed=5, output=folder, reporters=reporters, **options)


def points(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "board" / "Scalars"), size_guidance={"scalars": 0}).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def check(folder, last):
    found = points(folder)
    with trajectories.open(folder) as run:
        for name in ("potential_energy", "temperature", "conserved"):
            one = run.observables[name]
            for part, values in {
                "mean": one.values.mean(1),
                "q05": np.quantile(one.values, 0.05, axis=1),
                "q50": np.median(one.values, axis=1),
                "q95": np.quantile(one.values, 0.95, axis=1),
            }.items():
                steps, shown = zip(*found[f"{name}/{part}"], strict=True)
                assert list(steps) == list(range(0, last + 1, 3))  # once each, in order
                np.testing.assert_allclose(shown, values, rtol=1e-5, atol=1e-6)


def test_points_are_those_of_the_trajectory(tmp_path):
    (kept := simulation(tmp_path / "run")).run(20, progress=False)
    check(tmp_path / "run", 18)  # on disk while the simulation is still there
    assert kept.step == 20
    simulation(tmp_path / "plain", shown=False).run(20, progress=False)
    with trajectories.open(tmp_path / "run") as run, trajectories.open(tmp_path / "plain") as plain:
        assert run.observables.keys() == plain.observables.keys()
        for name, one in plain.observables.items():
            np.testing.assert_array_equal(run.observables[name].values, one.values)
        assert run.parameters["reporters"] == {"PrincipalComponents": {"dimension": 2, "learn": 4}}


def test_no_point_is_doubled_by_a_resume(tmp_path):
    """A run that went beyond its checkpoint has events that the resume writes again: the old ones are taken back."""
    simulation(tmp_path, checkpoint_every=8).run(30, progress=False)
    for path in sorted(tmp_path.glob("checkpoint-*.pt"))[1:]:
        path.unlink()
    resumed = simulation(tmp_path, checkpoint_every=8).resume()
    assert resumed.step == 24
    resumed.run(12, progress=False)
    check(tmp_path, 36)


def test_a_run_that_replaces_another_replaces_its_points(tmp_path):
    simulation(tmp_path).run(30, progress=False)
    simulation(tmp_path, overwrite=True).run(9, progress=False)
    check(tmp_path, 9)


def test_one_replica_has_a_mean_only(tmp_path):
    simulation(tmp_path, replicas=1).run(3, progress=False)
    assert {tag.rpartition("/")[2] for tag in points(tmp_path)} == {"mean"}


def test_what_cannot_be_shown_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="wrap Scalars or Evaluate"):
        TensorBoard(md.Frames(5), tmp_path)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match=r"pip install mdnet\[tensorboard\]"):
        TensorBoard(md.Scalars(), tmp_path)
