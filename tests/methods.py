"""What the laws of methods beyond splitting share: samples from a wrong start, and a resume through a network."""

from __future__ import annotations

import numpy as np
import torch
from systems import Lattice, deviation
from torch import Tensor, nn
from torch.nn import functional

import mdnet as md
import trajectories


def positions(engine, system: Lattice, *, replicas, burn, frames, every, dtype=torch.float64) -> Tensor:
    """Decorrelated positions (frames, replicas, dof) from a start that is wrong on purpose: too narrow, too hot."""
    q = 0.3 * torch.randn(replicas, system.dof, dtype=dtype)
    p = torch.randn_like(q) * torch.sqrt(1.5 * system.m).to(dtype)
    phase, kept = engine.start(q, p, system.m.to(dtype)), []
    for step in range(1, burn + frames * every + 1):
        engine(phase)
        if step > burn and (step - burn) % every == 0:
            kept.append(phase.q.double().clone())
    return torch.stack(kept)


def moments_off(system: Lattice, q: Tensor, temperature: float = 1.0) -> float:
    """The worst deviation of the first four moments of each position, in standard errors."""
    return max(deviation((q**power).mean(0), system.moment(power, temperature)) for power in (1, 2, 3, 4))


def continues_exactly(tmp_path, build, schedule=None) -> None:
    """Assert that n + m steps equal n steps, a resume and m steps, bit for bit, for the integrator build(system)."""

    def simulation(name):
        torch.manual_seed(3)
        network = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1))
        x = torch.randn(12, 2)
        system = md.ParticleSystem(
            network, functional.mse_loss, x, x.sum(-1, keepdim=True).sin(), replicas=3, prior=md.Box(1.2)
        )
        reporters = [md.Scalars(3), md.Frames(4, force=True)]
        return md.Simulation(
            system, build(system), schedule=schedule, seed=5, output=tmp_path / name, reporters=reporters
        )

    simulation("whole").run(30, progress=False)
    simulation("parts").run(13, progress=False)
    torch.manual_seed(99)  # the caller's random numbers are none of the run's
    simulation("parts").resume().run(17, progress=False)
    with trajectories.open(tmp_path / "whole") as a, trajectories.open(tmp_path / "parts") as b:
        q = np.asarray(a.positions)
        assert np.isfinite(q).all()
        assert (q[-1] != q[-2]).any()
        np.testing.assert_array_equal(q, np.asarray(b.positions))
        assert a.observables.keys() == b.observables.keys()
        for name, series in a.observables.items():
            np.testing.assert_array_equal(np.asarray(series.values), np.asarray(b.observables[name].values), name)
