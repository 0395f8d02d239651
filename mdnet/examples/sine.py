"""A noisy sine: train a network until it overfits, then heat it, and let its thermal ensemble predict."""

from __future__ import annotations

import torch
from torch.nn.functional import mse_loss

import mdnet as md
import trajectories
from integrators import BAOAB, Splitting
from thermostats import Langevin

torch.set_num_threads(1)  # the fastest for a network this small

# Data: 40 noisy points to learn from, and the sine itself, on 201 points, to be tested against.
dataset = md.data.sine(rows=40, noise=0.3, seed=1)
split = md.data.split(dataset, standardise=False)

# Eight networks as eight replicas of one particle system, with a Gaussian prior on every weight.
T = 0.002
system = md.ParticleSystem(
    md.networks.mlp(inputs=1, outputs=1, hidden=(30, 30)), mse_loss, *split.train,
    replicas=8, prior=md.GaussianPrior(variance=1.0, temperature=T),
)  # fmt: skip
overfit = md.minimise(system, system.positions(seed=1), steps=3000, rate=5e-3)

# Dynamics: BAOAB with a Langevin bath, heated in five stages; everything goes into one file.
simulation = md.Simulation(
    system,
    Splitting(BAOAB, system.force, dt=0.05, thermostat=Langevin(temperature=T, friction=0.5)),
    positions=overfit,
    schedule={"temperature": md.Staircase(start=T / 5, stop=T, stages=4, every=200)},
    output="runs/sine",
    overwrite=True,
    parameters={"test": {"inputs": split.test[0].numpy(), "targets": split.test[1].numpy()}},
    reporters=[md.Scalars(every=10), md.Frames(every=100), md.Predictions(split.test[0], every=20)],
)
simulation.run(5000)

# Analysis, from the file alone.
truth = split.test[1].numpy()
with trajectories.open("runs/sine") as run:
    predictions = run.observables["test/prediction"].values
    samples = predictions[len(predictions) // 2 :]  # (samples, replicas, points, 1)
    print(f"members:  mean squared error to the truth {((samples - truth) ** 2).mean():.4f}")
    print(f"ensemble: mean squared error to the truth {((samples.mean((0, 1)) - truth) ** 2).mean():.4f}")
print(f"Adam:     mean squared error to the truth {system.evaluate(mse_loss, overfit, *split.test).mean():.4f}")
print("report:  ", trajectories.report.write(["runs/sine"], "runs/sine/report.html"))
