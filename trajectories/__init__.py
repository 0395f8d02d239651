"""Trajectories of neural-network molecular dynamics: the H5MD file, and everything that is done with it offline.

    with trajectories.Writer.create("run/trajectory.h5", ...) as writer: ...     # append frames and observables
    with trajectories.open("run") as run: run.positions[-1]                      # read them lazily
    trajectories.statistics, .thermodynamics, .entropy, .ensemble, .tempering    # numbers with error bars
    trajectories.report.write(["run"], "report.html")                            # pictures

Nothing here imports torch, or the simulator.
"""

from trajectories import ensemble, entropy, report, statistics, thermodynamics
from trajectories.errors import (
    AlreadyExists,
    InUse,
    InvalidRow,
    NotATrajectory,
    NotRecorded,
    TrajectoryError,
    WriteFailed,
)
from trajectories.report import info
from trajectories.storage.reader import Observable, Trajectory, open
from trajectories.storage.writer import Writer
from trajectories.thermodynamics import annealing, tempering

__all__ = [
    "AlreadyExists",
    "InUse",
    "InvalidRow",
    "NotATrajectory",
    "NotRecorded",
    "Observable",
    "Trajectory",
    "TrajectoryError",
    "WriteFailed",
    "Writer",
    "annealing",
    "ensemble",
    "entropy",
    "info",
    "open",
    "report",
    "statistics",
    "tempering",
    "thermodynamics",
]
