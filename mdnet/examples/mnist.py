"""An ordinary training loop that ends in an ensemble: python -m mdnet.examples.mnist [DATA SET, such as digits]."""

from __future__ import annotations

import sys

import torch
from torch.nn.functional import cross_entropy

import mdnet as md
from thermostats import Langevin

torch.set_num_threads(1)  # fast enough for a network this small
torch.manual_seed(0)
dataset = md.data.load(sys.argv[1] if len(sys.argv) > 1 else "mnist")  # MDNET_DATA names the folder of mnist.npz
split = md.data.split(dataset, standardise=False)
(x, y), (x_test, y_test) = split.train, split.test
model = md.networks.mlp(dataset.shape, dataset.outputs, hidden=(100,), activation="relu")
STEPS, T = 4000, 5e-7
bath = Langevin(T, friction=0.2)
optimizer = md.Simmer(model.parameters(), 0.5, T, bath, weight_decay=T / 0.05, collect_every=50, burn_in=STEPS // 2)
for _ in range(STEPS):
    rows = torch.randint(len(x), (256,))
    optimizer.zero_grad()
    cross_entropy(model(x[rows]), y[rows]).backward()  # type: ignore[no-untyped-call]
    optimizer.step()

with torch.no_grad():
    last = model(x_test)
    ensemble = torch.stack([model(x_test).softmax(-1) for _ in optimizer.members()]).mean(0)
print(f"last network:            {(last.argmax(-1) == y_test).double().mean():.4f}")
print(f"ensemble of {len(optimizer.ensemble):2} networks: {(ensemble.argmax(-1) == y_test).double().mean():.4f}")
