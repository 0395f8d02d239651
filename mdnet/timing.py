"""Timing by turns: what is compared is timed in one run, each in its turn, so that drifts of the machine cancel."""

from __future__ import annotations

import ctypes
import statistics
import sys
import time
from collections.abc import Callable, Mapping


def interleaved(calls: Mapping[str, Callable[[], object]], *, rounds: int, seconds: float) -> dict[str, float]:
    """Return the median seconds a call takes, the calls taken in turn `rounds` times for `seconds` each."""
    for call in calls.values():
        call()
        call()
    turns = [{name: _seconds(call, seconds) for name, call in calls.items()} for _ in range(rounds)]
    return {name: statistics.median(turn[name] for turn in turns) for name in calls}


def ratio(call: Callable[[], object], other: Callable[[], object], *, rounds: int, seconds: float) -> float:
    """Return how much longer a call takes than the other: the median over rounds in which both are timed in turn."""
    for each in (call, other, call, other):
        each()
    return statistics.median(_seconds(call, seconds) / _seconds(other, seconds) for _ in range(rounds))


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
