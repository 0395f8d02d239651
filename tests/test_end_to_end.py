"""The whole path: network -> force -> integrator -> file -> mean, covariance and entropy read back without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from systems import LinearNetwork, Z

import mdnet as md
from integrators import BAOAB, OBABO, Splitting
from thermostats import Langevin

REPLICAS, FRAMES = 128, 80
READER = """
import sys
sys.modules["torch"] = None
import json
import numpy as np
import trajectories
with trajectories.open(sys.argv[1]) as run:
    q = np.asarray(run.positions[10:], dtype=np.float64)  # (frames, replicas, dof), equilibrated
    rest = q - np.array(json.loads(sys.argv[2]))
    products = (rest[..., :, None] * rest[..., None, :]).mean(0)  # (replicas, dof, dof)
    energy = trajectories.statistics.mean(run.observables["potential_energy"].values[50:])
    entropy = trajectories.entropy.gaussian(q)
    error = np.sqrt(len(products))
    print(json.dumps({
        "mean": rest.mean((0, 1)).tolist(), "mean_error": (rest.mean(0).std(0, ddof=1) / error).tolist(),
        "covariance": products.mean(0).tolist(), "covariance_error": (products.std(0, ddof=1) / error).tolist(),
        "energy": energy, "entropy": entropy, "layers": [list(t) for t in run.table],
    }))
"""


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("scheme", [BAOAB, OBABO], ids=str)
def test_the_linear_network_from_backpropagation_to_the_file(tmp_path, scheme, dtype):
    """BAOAB against the posterior, OBABO against its own discrete law: covariance and entropy within z = 5."""
    network = LinearNetwork(REPLICAS, dtype=dtype)
    dt = 1.3 / network.largest_frequency()
    integrator = Splitting(scheme, network.system.force, dt, Langevin(temperature=1.0, friction=2.0))
    simulation = md.Simulation(
        network.system, integrator, output=tmp_path / "run", reporters=[md.Scalars(2), md.Frames(10)]
    )
    simulation.run(10 * (FRAMES + 10), progress=False)

    covariance = (network.covariance() if scheme is BAOAB else network.obabo_covariance(dt)).numpy()
    mean = json.dumps(network.mean.tolist())
    command = [sys.executable, "-c", READER, str(tmp_path / "run"), mean]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert (np.abs(found["mean"]) < Z * np.array(found["mean_error"])).all()
    deviation = np.abs(np.array(found["covariance"]) - covariance) / np.array(found["covariance_error"])
    assert deviation.max() < Z
    exact = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
    value, error = found["entropy"]
    assert abs(value - exact) < Z * error < 0.2
    value, error = found["energy"]
    exact = network.u0 + 0.5 * np.trace(network.stiffness.numpy() @ covariance)
    assert abs(value - exact) < Z * error < 0.2
    assert found["layers"] == [["weight", [2, 3], 0], ["bias", [2], 6]]
