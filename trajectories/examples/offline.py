"""`python -m trajectories.examples.offline RUN...`: entropies by three estimators and free energies by MBAR.

The runs hold "potential_energy" and "set_temperature"; every replica keeps its temperature.
"""

import math
import sys
from collections.abc import Callable
from functools import partial

import numpy as np

import trajectories
from trajectories import Trajectory, entropy, statistics, thermodynamics
from trajectories.statistics import Estimate

ESTIMATORS: dict[str, Callable[..., Estimate]] = {
    "Gaussian": partial(entropy.gaussian, shrinkage="ledoit-wolf"),  # of the Gaussian; biased low where samples are few
    "Kozachenko-Leonenko": entropy.kozachenko_leonenko,  # for a few coordinates
    "kNN graph": entropy.knn_graph,  # in many dimensions; only differences mean anything
}


def entropies(run: Trajectory) -> None:
    """Print the entropy of the weights at each temperature of a run, the graph's relative to the lowest one."""
    set_to, energy = run.observables["set_temperature"].values, run.observables["potential_energy"]
    if (set_to != set_to[-1]).any():
        sys.exit(f"{run.path}: the temperatures change; this example needs replicas that keep theirs")
    levels = set_to[-1]  # (replicas,)
    first = energy.steps[statistics.equilibrated(energy.values / levels)]  # U/T has one mean for harmonic weights
    start = int(np.searchsorted(run.steps, first))
    q = run.positions[start :: max(1, (len(run) - start) // 1000)]  # (frames, replicas, dof), some 1000 frames
    found = {t: [estimate(q[:, levels == t]) for estimate in ESTIMATORS.values()] for t in np.unique(levels)}
    lowest = found[levels.min()][-1]
    print(f"{run.path}: {len(q)} frames of {run.replicas} replicas, {run.dof} coordinates")
    print("T", *ESTIMATORS, sep="  |  ")
    for temperature, (*absolute, graph) in found.items():
        relative = Estimate(graph.value - lowest.value, math.hypot(graph.error, lowest.error) if graph != lowest else 0)
        print(f"{temperature:g}", *absolute, relative, sep="  |  ")


if __name__ == "__main__":
    runs = [trajectories.open(path) for path in sys.argv[1:]] or sys.exit(__doc__)
    for run in runs:
        entropies(run)
    free = thermodynamics.mbar(thermodynamics.energies_by_temperature(runs))
    print("T", "ln Z - ln Z_0", "S - S_0 by MBAR", sep="  |  ")
    for k, t in enumerate(free.temperatures):
        z, s = Estimate(free.log_z[k], free.error[k]), Estimate(free.entropy[k], free.entropy_error[k])
        print(f"{t:g}", z, s, sep="  |  ")
