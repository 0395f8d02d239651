"""How much memory a call takes at its peak, beyond what the process holds before it."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak(call: Callable[[], object]) -> float | None:
    """Return the bytes that the process grows by, at most, while `call` runs; None where the system does not tell.

    What was freed before is given back first, so that memory taken anew counts; what a library keeps for itself after
    its first call does not, so make one before.
    """
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        _RESET.write_text("5")  # the peak begins anew
        before = _status("VmRSS")
        call()
        return max(0.0, _status("VmHWM") - before)
    except (OSError, AttributeError, KeyError):
        return None


def _status(name: str) -> float:
    """A size in bytes."""
    lines = (line.split() for line in _STATUS.read_text().splitlines())
    return 1024.0 * float({words[0]: words[1] for words in lines if len(words) > 1}[f"{name}:"])
