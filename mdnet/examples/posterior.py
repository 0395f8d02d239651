"""Bayesian linear regression: the sampled posterior against the exact one, read back from the trajectory."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import mse_loss

import mdnet as md
import trajectories
from integrators import BAOAB, Splitting
from thermostats import Langevin

torch.set_num_threads(1)  # the fastest for a network this small

# y = x.w + b + noise of variance sigma^2, with a normal prior of variance v on w and b.
N, SIGMA, V = 30, 0.5, 1.0
torch.manual_seed(1)
x = torch.randn(N, 3)
y = x @ torch.tensor([[1.0], [-2.0], [0.5]]) + SIGMA * torch.randn(N, 1)

# U = sum of squares/(2 sigma^2) + |q|^2/(2 v) is minus the log of the posterior, so its temperature is 1.
system = md.ParticleSystem(
    md.networks.linear(inputs=3, outputs=1), mse_loss, x, y,
    replicas=64, scale=N / (2 * SIGMA**2), prior=md.GaussianPrior(variance=V, temperature=1.0),
)  # fmt: skip
integrator = Splitting(BAOAB, system.force, dt=0.1, thermostat=Langevin(temperature=1.0, friction=5.0))
simulation = md.Simulation(system, integrator, output="runs/posterior", overwrite=True, reporters=[md.Frames(every=20)])
simulation.run(6000)

# The exact posterior is normal: covariance (F'F/sigma^2 + 1/v)^-1, mean covariance F'y/sigma^2, with F = (x, 1).
features = torch.cat([x, torch.ones(N, 1)], 1).double().numpy()
covariance = np.linalg.inv(features.T @ features / SIGMA**2 + np.eye(4) / V)
mean = covariance @ features.T @ y.double().numpy().ravel() / SIGMA**2

with trajectories.open("runs/posterior") as run:
    print("coordinates:", [f"{tensor.name}{list(tensor.shape)}" for tensor in run.table])
    samples = run.positions[20:].reshape(-1, run.dof)  # (frames replicas, dof), equilibrated
np.set_printoptions(precision=4, suppress=True)
print("mean, exact:  ", mean)
print("mean, sampled:", samples.mean(0))
print("covariance, exact:", covariance, "covariance, sampled:", np.cov(samples.T), sep="\n")
