"""Adam with the restraint that suits the data: what the energy alone brings, without an ensemble."""

from __future__ import annotations

import mdnet as md
from mdnet.experiments import simmering
from mdnet.experiments.controls.control import Control, by_replica
from mdnet.experiments.problems import Task
from mdnet.experiments.results import Array
from mdnet.experiments.selection import TEMPERATURES, Values


def restrained(task: Task, values: Values) -> Array:
    """Return the test outputs (values, 1, seeds, rows, outputs) of minima of mean loss + T|theta|^2/(2 s^2) by T."""
    problem, copies = task.problem, len(values)
    system = task.particles(by_replica(task, values), copies=copies)
    start = simmering.starts(task).repeat_interleave(copies, 0)
    q = md.minimise(system, start, problem.budget, problem.adam_rate, progress=False)
    return task.predict(system, q)[:, None]


RESTRAINED = Control(
    "Adam, restraint chosen",
    restrained,
    "the whole budget in steps of Adam, with the energy T|θ|²/(2s²).",
    "T",
    TEMPERATURES,
)
