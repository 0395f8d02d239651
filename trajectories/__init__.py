"""Trajectories of neural-network molecular dynamics: the H5MD file, and everything that is done with it offline.

    with trajectories.Writer.create("run/trajectory.h5", ...) as writer: ...     # append frames and observables
    with trajectories.open("run") as run: run.positions[-1]                      # read them lazily
    trajectories.statistics, .thermodynamics, .entropy, .landscape, .sgd, .averaging, .ensemble    # with error bars
    trajectories.report.write(["run"], "report.html")                            # pictures

Nothing here imports torch, or the simulator.
"""

from trajectories import averaging, ensemble, entropy, export, landscape, report, sgd, statistics, thermodynamics
from trajectories.errors import (
    AlreadyExists,
    InUse,
    InvalidRow,
    NotATrajectory,
    NotRecorded,
    TrajectoryError,
    WriteFailed,
)
from trajectories.export import state
from trajectories.report import info
from trajectories.storage.observables import Observable
from trajectories.storage.options import Storage
from trajectories.storage.reader import Trajectory, open
from trajectories.storage.recover import recover
from trajectories.storage.study import open_many
from trajectories.storage.writer import Writer
from trajectories.thermodynamics import annealing, tempering

__all__ = [
    "AlreadyExists",
    "InUse",
    "InvalidRow",
    "NotATrajectory",
    "NotRecorded",
    "Observable",
    "Storage",
    "Trajectory",
    "TrajectoryError",
    "WriteFailed",
    "Writer",
    "annealing",
    "averaging",
    "ensemble",
    "entropy",
    "export",
    "info",
    "landscape",
    "open",
    "open_many",
    "recover",
    "report",
    "sgd",
    "state",
    "statistics",
    "tempering",
    "thermodynamics",
]
