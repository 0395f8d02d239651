"""Six heat baths on the same small network: which of them gives the kinetic energy its canonical law?"""

from __future__ import annotations

import torch
from torch.nn.functional import mse_loss

import mdnet as md
import trajectories
from integrators import VERLET, Splitting, Thermostat, outer
from thermostats import Andersen, Berendsen, Bussi, Langevin, NoseHooverChain

torch.set_num_threads(1)  # the fastest for a network this small

T, TAU, DT = 0.1, 0.5, 0.05
BATHS: dict[str, Thermostat] = {
    "langevin": Langevin(T, friction=1 / TAU),
    "andersen": Andersen(T, rate=1 / TAU),
    "bussi": Bussi(T, TAU),
    "nose-hoover, 1 link": NoseHooverChain(T, TAU, links=1),
    "nose-hoover, 4 links": NoseHooverChain(T, TAU, links=4),
    "berendsen": Berendsen(T, TAU),
}

dataset = md.data.sine(rows=20, seed=1)
system = md.ParticleSystem(
    md.networks.mlp(inputs=1, outputs=1, hidden=(5,)), mse_loss, *md.data.split(dataset).train,
    replicas=32, prior=md.GaussianPrior(variance=1.0, temperature=T),
)  # fmt: skip

print(f"{'':22}{'<T>/T':>14}{'sd(K)/exact':>14}{'KS p':>9}")
for name, bath in BATHS.items():
    folder = f"runs/thermostats/{name.replace(', ', '-').replace(' ', '-')}"
    simulation = md.Simulation(
        system, Splitting(outer(VERLET), system.force, DT, bath), positions=system.positions(seed=1),
        seed=1, output=folder, overwrite=True, reporters=[md.Scalars(every=5), md.Frames(every=500)],
    )  # fmt: skip
    simulation.run(2500)
    with trajectories.open(folder) as run:
        kinetic = run.observables["kinetic_energy"].values[100:]  # (samples, replicas), equilibrated
    law = trajectories.thermodynamics.kinetic_law(kinetic, dof=system.dof, temperature=T)
    print(f"{name:22}{law.mean:14.4f}{law.width:14.4f}{law.p_value:9.3f}")
