"""What a step costs beside its force: both timed in turn, in one run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import torch

from mdnet.comparison.contest import Contestant
from mdnet.timing import interleaved
from mdnet.validation.subjects import Subject


def costs(
    contestants: Sequence[Contestant], subject: Subject, *, temperature: float, dt: float, replicas: int,
    compile: bool = False,
) -> tuple[float, list[float]]:  # fmt: skip
    """Return the seconds of the bare force of all replicas, and of each contestant those of a force evaluation."""
    force = subject.force(subject.dtype)
    q = subject.start(subject.rows(replicas), temperature).to(subject.dtype)
    bare, each = "force", []
    for contestant in contestants:
        calls: dict[str, Callable[[], object]] = {
            bare: lambda: force(q),
            contestant.name: _step(contestant, subject, temperature, dt, replicas, compile),
        }
        times = interleaved(calls, rounds=7, seconds=0.1)
        each.append((times[bare], times[contestant.name] / contestant.forces(subject, dt)))
    seconds = statistics.median(one for one, _ in each)
    return seconds, [seconds * own / beside for beside, own in each]  # as ratios taken side by side


def _step(
    contestant: Contestant, subject: Subject, temperature: float, dt: float, replicas: int, compile: bool
) -> Callable[[], object]:
    engine = contestant.make(subject, temperature, dt, compile)
    q = subject.start(subject.rows(replicas), temperature).to(subject.dtype)
    phase = engine.start(q.clone(), torch.zeros_like(q), subject.masses.to(q))
    return lambda: engine(phase)
