"""Entropies by three estimators, and free energies by MBAR, by temperature.

python -m trajectories.examples.offline RUN...

The runs hold "potential_energy" and "set_temperature"; replicas keep their temperatures, which may differ.
"""

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import trajectories
from trajectories import Trajectory, entropy, statistics, thermodynamics
from trajectories.statistics import Estimate

FRAMES = 1000  # at most this many of a run
ESTIMATORS: dict[str, Callable[..., Estimate]] = {
    "Gaussian": entropy.gaussian,  # an upper bound, exact for a Gaussian
    "Kozachenko-Leonenko": entropy.kozachenko_leonenko,  # for a few coordinates
    "kNN graph": entropy.knn_graph,  # in many dimensions; only differences mean anything
}


def attempt(name: str, estimator: Callable[..., Estimate], samples: np.ndarray[Any, Any]) -> Estimate:
    """Return an estimate, nan with the reason on stderr where there is none."""
    try:
        return estimator(samples)
    except ValueError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return Estimate(math.nan, math.nan)


def entropies(run: Trajectory) -> None:
    """Print the entropy of the weights at each temperature of a run, the graph's relative to the lowest one."""
    levels = run.observables["set_temperature"].values[-1]  # (replicas,)
    energy = run.observables["potential_energy"]
    first = energy.steps[statistics.equilibrated(energy.values / levels)]  # U/T has one mean for harmonic weights
    start = int(np.searchsorted(run.steps, first))
    q = run.positions[start :: max(1, math.ceil((len(run) - start) / FRAMES))]  # (frames, replicas, dof)
    found = {t: [attempt(name, one, q[:, levels == t]) for name, one in ESTIMATORS.items()] for t in np.unique(levels)}
    lowest = found[levels.min()][-1]
    print(f"{run.path}: {len(q)} frames of {run.replicas} replicas, {run.dof} coordinates")
    print("T", *ESTIMATORS, sep="  |  ")
    for temperature, (*absolute, graph) in found.items():
        relative = Estimate(graph.value - lowest.value, math.hypot(graph.error, lowest.error) if graph != lowest else 0)
        print(f"{temperature:g}", *absolute, relative, sep="  |  ")


def main(paths: list[str]) -> None:
    """Print the entropies of every run, and the free energies of all together."""
    runs = [trajectories.open(path) for path in paths]
    for run in runs:
        entropies(run)
    free = thermodynamics.mbar(thermodynamics.energies_by_temperature(runs))
    columns = (free.temperatures, free.log_z, free.error, free.entropy, free.entropy_error)
    print("T", "ln Z - ln Z_0", "S - S_0 by MBAR", sep="  |  ")
    for t, z, dz, s, ds in zip(*columns, strict=True):
        print(f"{t:g}", Estimate(z, dz), Estimate(s, ds), sep="  |  ")


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(__doc__)
    main(sys.argv[1:])
