"""The averages of a run: mean, error and convergence of every series of one number a replica."""

from typing import NamedTuple

from trajectories import statistics
from trajectories.report import reading
from trajectories.report.drawing import Missing
from trajectories.storage.reader import Trajectory


class Equilibrium(NamedTuple):
    """Mean of the equilibrated part of a series, and what its error is worth."""

    mean: float
    error: float  # one standard error, see `statistics.mean`
    inefficiency: float  # in samples of the file
    effective_samples: float
    rhat: float
    monte_carlo_error: float  # from the effective sample size; with few replicas the better one of the two
    from_step: int
    samples: int  # of each replica
    stride: int  # every so many samples of the file were read


def equilibrium(run: Trajectory) -> dict[str, Equilibrium]:
    """Return mean and convergence of every series that has a settled part (see `reading.settled`), by name."""
    found = {}
    for name in reading.scalars(run):
        try:
            part = reading.settled(run, name)
        except Missing:
            continue
        mean, judged = statistics.mean(part.values), statistics.convergence(part.values)
        slowness = statistics.inefficiency(part.values)
        found[name] = Equilibrium(
            mean=mean.value,
            error=mean.error,
            inefficiency=slowness * part.stride,
            effective_samples=part.values.size / slowness,
            rhat=judged.rhat,
            monte_carlo_error=judged.mcse_mean,
            from_step=int(part.steps[0]),
            samples=len(part.values),
            stride=part.stride,
        )
    return found
