"""What analysis costs: statistical inefficiencies of long series, and entropies of many weights."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from trajectories import entropy, statistics


def offline_table(rounds: int) -> None:
    """Print seconds of the slowest analyses at full size; numbers are drawn, not read."""
    rng = np.random.default_rng(0)
    series = rng.standard_normal((1_000_000, 64))
    weights = rng.standard_normal((1000, 24_408))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    tasks: dict[str, Callable[[], object]] = {
        "inefficiency of 64 series x 1e6 together": lambda: statistics.inefficiency(series),
        "inefficiency of each of 64 series x 1e6": lambda: statistics.inefficiencies(series),
        "kNN-graph entropy of 1000 x 24,408, with error": lambda: entropy.knn_graph(weights, dimension=24_407),
    }
    print(f"\noffline analysis; the least of {rounds}")
    for name, task in tasks.items():
        print(f"  {name:48s} {min(_seconds(task) for _ in range(rounds)):6.2f} s")


def _seconds(task: Callable[[], object]) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start
