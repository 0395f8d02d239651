"""How many steps a second: whole steps beside the bare force of the same route, and beside the bare module."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mdnet import timing
from mdnet.bench import memory
from mdnet.bench.cases import CASES, Case
from mdnet.bench.table import Table, Value
from mdnet.bench.work import begin, floor
from mdnet.routes.choice import Route

COLUMNS = {
    "replicas": "R",
    "route": "route",
    "pair": "pair",
    "rate": "steps",
    "gradient_rate": "gradients",
    "over_gradient": "step / gradient",
    "over_floor": "steps / module",
    "ready": "ready (s)",
    "memory": "scratch (B)",
}


@dataclass(frozen=True)
class Timing:
    """How long to look: every call `rounds` times in turn, for `seconds` each."""

    rounds: int = 7
    seconds: float = 0.2


def rate_table(
    name: str, replicas: Sequence[int], threads: int, routes: Sequence[Route], pairs: Sequence[str], how: Timing
) -> Table:
    """Time all pairs of a case in turn with its force and the bare module; no `replicas`: those of the case."""
    case = CASES[name]
    with timing.pinned(threads):
        torch.set_num_threads(threads)
        rows = [
            row
            for size in replicas or case.replicas
            for route in routes
            for row in _rows(name, case, size, route, pairs, how)
        ]
    title = f"{name}: {case.title}, float32, {threads} thread(s); R times per second, medians of {how.rounds} turns"
    return Table("rate", title, COLUMNS, rows)


def _rows(
    name: str, case: Case, replicas: int, route: Route, pairs: Sequence[str], how: Timing
) -> list[dict[str, Value]]:
    """The rows of one system: a row a pair."""
    begun = begin(case, replicas, route, pairs, how.seconds / 2)
    system = begun.system
    times = timing.turns(
        {"module": floor(case), "gradient": begun.force, **begun.running}, rounds=how.rounds, seconds=how.seconds
    )
    shared: dict[str, Value] = {
        "case": name, "title": case.title, "replicas": replicas, "dof": system.dof, "rows": len(system.inputs),
        "threads": torch.get_num_threads(), "asked": route, "route": system.route, "why": system.why,
        "gradient_rate": replicas / statistics.median(times["gradient"]),
        "floor_rate": 1 / statistics.median(times["module"]),
    }  # fmt: skip
    rows = []
    for pair, steps in begun.running.items():
        steps.check()
        step = [seconds / steps.block for seconds in times[pair]]
        own: dict[str, Value] = {
            "pair": pair, "how": steps.how, "block": steps.block, "ready": begun.ready[pair],
            "memory": memory.peak(steps),
            "rate": replicas / statistics.median(step),
            "over_gradient": timing.ratio(step, times["gradient"]),
            "over_floor": replicas * timing.ratio(times["module"], step),
        }  # fmt: skip
        rows.append(shared | own)
    return rows
