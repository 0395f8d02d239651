"""Timing by turns: what is compared is timed in one run, each in its turn, so that drifts of the machine cancel."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def interleaved(calls: Mapping[str, Callable[[], object]], *, rounds: int, seconds: float) -> dict[str, float]:
    """Return the median seconds a call takes, the calls taken in turn `rounds` times for `seconds` each."""
    for call in calls.values():
        call()
        call()
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            count, began = 0, time.perf_counter()
            while (elapsed := time.perf_counter() - began) < seconds:
                call()
                count += 1
            samples[name].append(elapsed / count)
    return {name: statistics.median(values) for name, values in samples.items()}
