"""What analysis costs: statistical inefficiencies of long series, and entropies of many weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mdnet.bench.table import Table, Value
from mdnet.bench.work import elapsed
from trajectories import entropy, statistics


def offline_table(rounds: int) -> Table:
    """Time the slowest analyses at full size; numbers are drawn, not read."""
    rng = np.random.default_rng(0)
    series = rng.standard_normal((1_000_000, 64))
    weights = rng.standard_normal((1000, 24_408))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    tasks: dict[str, Callable[[], object]] = {
        "inefficiency of 64 series x 1e6 together": lambda: statistics.inefficiency(series),
        "inefficiency of each of 64 series x 1e6": lambda: statistics.inefficiencies(series),
        "kNN-graph entropy of 1000 x 24,408, with error": lambda: entropy.knn_graph(weights, dimension=24_407),
    }
    rows: list[dict[str, Value]] = [
        {"task": name, "seconds": min(elapsed(task) for _ in range(rounds))} for name, task in tasks.items()
    ]
    return Table("offline", f"offline analysis; the least of {rounds}", {"task": "", "seconds": "s"}, rows)
