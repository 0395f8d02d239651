"""Timing by turns: what is compared is timed in one run, each in its turn, so that drifts of the machine cancel."""

from __future__ import annotations

import ctypes
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager


def turns(calls: Mapping[str, Callable[[], object]], *, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Return the seconds a call takes in each of `rounds`, the calls taken in turn for `seconds` each."""
    for call in calls.values():
        call()
        call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            taken[name].append(_seconds(call, seconds))
    return taken


def interleaved(calls: Mapping[str, Callable[[], object]], *, rounds: int, seconds: float) -> dict[str, float]:
    """Return the median seconds a call takes, the calls taken in turn `rounds` times for `seconds` each."""
    return {name: statistics.median(each) for name, each in turns(calls, rounds=rounds, seconds=seconds).items()}


def ratio(times: Sequence[float], others: Sequence[float]) -> float:
    """Return how much longer one call takes than another: the median over the rounds of their turns."""
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Keep this process, and those it starts, to as many cores as threads for a while, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def keep_memory() -> None:
    """Let glibc keep large buffers it has freed, in this process: giving them back costs page faults at every step.

    Without, the time of a compiled force was seen to vary by half from one process to the next.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        for option, value in ((-3, 2**30), (-1, 2**31 - 1), (-2, 2**28)):  # mmap threshold, trim threshold, padding
            libc.mallopt(option, value)


def _seconds(call: Callable[[], object], atleast: float) -> float:
    """The seconds a call takes, repeated for a while."""
    count, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < atleast:
        call()
        count += 1
    return elapsed / count
