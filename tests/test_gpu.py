"""On a GPU: the same force, the same laws, the same exact resume."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from systems import LinearNetwork, Z, deviation

import mdnet as md
import trajectories
from integrators import BAOAB, OBABO, Splitting
from thermostats import Andersen, Bussi, Langevin, NoseHooverChain

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")]

BATHS = {
    "langevin": Langevin(1.0, friction=2.0),
    "chain": NoseHooverChain(1.0, tau=0.5),
    "bussi": Bussi(1.0, tau=0.5),
    "andersen": Andersen(1.0, rate=2.0),
}


def test_the_force_equals_the_cpus():
    cpu, gpu = LinearNetwork(8).system, LinearNetwork(8, device="cuda").system
    q = torch.randn(8, cpu.dof, dtype=torch.float64)
    for here, there in zip(cpu.force(q), gpu.force(q.cuda()), strict=True):
        torch.testing.assert_close(here, there.cpu(), rtol=1e-10, atol=1e-12)


def test_the_posterior_is_sampled():
    network = LinearNetwork(256, device="cuda")
    engine = Splitting(BAOAB, network.system.force, 1.3 / network.largest_frequency(), BATHS["langevin"])
    q = network.system.positions()
    phase, kept = engine.start(q, torch.randn_like(q), network.system.masses), []
    for step in range(700):
        engine(phase)
        if step > 200 and step % 8 == 0:
            kept.append(phase.q.cpu() - network.mean)
    rest = torch.stack(kept)
    products = (rest[..., :, None] * rest[..., None, :]).mean(0)
    assert max(deviation(rest.mean(0), 0.0), deviation(products, network.covariance())) < Z


@pytest.mark.parametrize("bath", BATHS)
def test_continuation_is_exact(tmp_path, bath):
    def simulation(folder):
        system = LinearNetwork(4, dtype=torch.float32, device="cuda").system
        integrator = Splitting(OBABO, system.force, 0.02, BATHS[bath])
        return md.Simulation(system, integrator, output=folder, reporters=[md.Scalars(3), md.Frames(4)])

    simulation(tmp_path / "whole").run(30, progress=False)
    simulation(tmp_path / "parts").run(13, progress=False)
    simulation(tmp_path / "parts").resume().run(17, progress=False)
    with trajectories.open(tmp_path / "whole") as a, trajectories.open(tmp_path / "parts") as b:
        np.testing.assert_array_equal(np.asarray(a.positions), np.asarray(b.positions))
        np.testing.assert_array_equal(a.observables["heat"].values[:], b.observables["heat"].values[:])
