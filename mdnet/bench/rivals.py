"""Other programs beside ours on the same work, all in turn in one run, and whether they do the same work."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mdnet import timing
from mdnet.bench.cases import CASES, FRICTION, PAIRS, TAU, TEMPERATURE, Case
from mdnet.bench.peers.problem import Array, Problem
from mdnet.bench.rate import Timing
from mdnet.bench.table import Table, Value
from mdnet.bench.work import LONGEST, Call, begin, elapsed, start
from mdnet.bench.workers import PeerError, Worker
from mdnet.flatten import Entry
from mdnet.routes.stepping import stepper
from mdnet.system import ParticleSystem

COLUMNS = {
    "replicas": "R",
    "who": "who",
    "rate": "steps",
    "ours_over": "ours / theirs",
    "ready": "ready (s)",
    "gradients": "grads a step",
    "differs": "differs by",
}
RIVALS = {
    "nhc": ("jax-nhc", "jax-md"),
    "baoab": ("jax-baoab", "posteriors-baoa", "posteriors-sghmc", "blackjax-sghmc"),
}
ALIKE = ("jax-nhc", "jax-md", "jax-baoab", "posteriors-baoa")  # whose positions are ours where there is no noise
_CHECKED = 30  # steps over which positions are compared and gradients counted


@dataclass(frozen=True)
class _Rival:
    """A peer that is ready: a request advances it by `times` blocks of `block` steps."""

    worker: Worker
    block: int
    times: int

    def __call__(self) -> None:
        """Advance."""
        self.worker.ask("advance", times=self.times)

    @property
    def steps(self) -> int:
        """How many steps a request is."""
        return self.block * self.times


def peers_table(
    name: str, replicas: Sequence[int], threads: int, pairs: Sequence[str], python: str, how: Timing
) -> Table:
    """Time ours and its rivals in turn; `python` is the interpreter of an environment that has them."""
    case = CASES[name]
    with timing.pinned(threads):
        torch.set_num_threads(threads)
        rows = [
            row for size in replicas or case.replicas for pair in pairs for row in _race(name, size, pair, python, how)
        ]
    title = f"{name}: {case.title}, float32, {threads} thread(s); R steps per second, medians of {how.rounds} turns"
    return Table("peers", title, COLUMNS, rows)


def _race(name: str, replicas: int, pair: str, python: str, how: Timing) -> list[dict[str, Value]]:
    """The rows of ours and of all rivals for one system and one pair."""
    begun = begin(CASES[name], replicas, "auto", [pair], how.seconds / 2)
    system, ours, us = begun.system, begun.running[pair], f"mdnet-{pair}"
    rows: list[dict[str, Value]] = [{"who": us, "route": system.route, "ready": begun.ready[pair], "gradients": 1.0}]
    calls, steps = dict[str, Call]({us: ours}), {us: ours.block}
    with ExitStack() as stack:
        for who in RIVALS.get(pair, ()):
            row: dict[str, Value] = {"who": who}
            rows.append(row)
            try:
                problem = _problem(CASES[name], system)
                worker = stack.enter_context(Worker(python, who, problem.threads))
                row |= _checked(worker, who, problem, system, pair)
                rival = _ready(worker, problem, how.seconds / 2, row)
            except PeerError as error:
                row["note"] = f"{who} with R = {replicas} is not timed: {error}"
                continue
            calls[who], steps[who] = rival, rival.steps
        times = timing.turns(calls, rounds=how.rounds, seconds=how.seconds)
    ours.check()
    each = {who: [seconds / steps[who] for seconds in taken] for who, taken in times.items()}
    for row in rows:
        if taken := each.get(str(row["who"])):
            row["rate"] = replicas / statistics.median(taken)
            row["ours_over"] = timing.ratio(taken, each[us])
    shared: dict[str, Value] = {"case": name, "replicas": replicas, "threads": torch.get_num_threads(), "pair": pair}
    return [shared | row for row in rows]


def _ready(worker: Worker, problem: Problem, seconds: float, row: dict[str, Value]) -> _Rival:
    """Make a rival ready, in blocks of 100 steps or fewer that fit into `seconds`; `row` takes what it tells."""
    answer = _open(worker, problem, count=False)
    row["versions"] = ", ".join(f"{package} {version}" for package, version in answer["versions"].items())
    row["ready"] = elapsed(lambda: worker.ask("advance", times=1))
    one = elapsed(lambda: worker.ask("advance", times=1)) / problem.steps
    block = max(1, min(LONGEST, int(seconds / one)))
    if block != problem.steps:
        _open(worker, replace(problem, steps=block), count=False)
        worker.ask("advance", times=1)
    return _Rival(worker, block, max(1, int(seconds / (one * block))))


def _open(worker: Worker, problem: Problem, *, count: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "problem.npz")
        problem.save(path)
        return worker.ask("open", problem=path, count=count)


def _problem(case: Case, system: ParticleSystem) -> Problem:
    """The system's network, data and start as a peer reads them; raises PeerError where it is no tanh network."""
    sizes = _sizes(system.table.entries)
    if sizes is None:
        raise PeerError("the peers have fully connected networks only")
    q, p = start(system)
    return Problem(
        x=system.inputs.numpy(), y=system.targets.numpy(), q=q.numpy(), p=p.numpy(), sizes=sizes, dt=case.dt,
        temperature=TEMPERATURE, friction=FRICTION, tau=TAU, links=3, threads=torch.get_num_threads(), steps=_CHECKED,
    )  # fmt: skip


def _sizes(entries: Sequence[Entry]) -> tuple[int, ...] | None:
    """The sizes of the layers of a fully connected network, None for another."""
    weights, biases = entries[::2], entries[1::2]
    if any(len(weight.shape) != 2 for weight in weights) or any(len(bias.shape) != 1 for bias in biases):
        return None
    return (weights[0].shape[1], *(weight.shape[0] for weight in weights))


def _checked(worker: Worker, who: str, problem: Problem, system: ParticleSystem, pair: str) -> dict[str, Value]:
    """Count a peer's gradients over a few steps without noise, and compare where it comes with where we come.

    The start is nine times as hot as the bath, so that a chain has something to do.

    `differs`: the largest difference of a coordinate over the largest distance that one moved.
    """
    problem = replace(problem, friction=0.0, p=3 * problem.p)
    _open(worker, problem, count=True)
    gradients = worker.ask("advance", times=1)["gradients"]  # each of all replicas at once
    row: dict[str, Value] = {"gradients": gradients / problem.steps}
    if who in ALIKE:
        with tempfile.TemporaryDirectory() as folder:
            worker.ask("positions", file=(end := str(Path(folder) / "end.npy")))
            reached, expected = np.load(end), _quiet(system, pair, problem)
        row["differs"] = float(np.abs(reached - expected).max() / np.abs(expected - problem.q).max())
    return row


def _quiet(system: ParticleSystem, pair: str, problem: Problem) -> Array:
    """Where we come in the problem's steps without friction."""
    integrator = PAIRS[pair].integrator(system, problem.dt, friction=0.0)
    phase = integrator.start(torch.tensor(problem.q), torch.tensor(problem.p), system.masses)
    stepper(system, integrator, phase).advance(phase, problem.steps)
    return phase.q.numpy()
