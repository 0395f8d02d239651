"""How much memory an evaluation needs, measured on a small one, and how much it may have."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Evaluate = Callable[[Tensor, Tensor, Tensor], Sequence[Tensor]]
"""q (replicas, dof), inputs, targets -> tensors that begin with the replicas."""

SHARE = 0.25  # of all memory
VARIABLE = "MDNET_MEMORY"  # bytes, in place of that share


class Need(NamedTuple):
    """The most bytes that an evaluation holds at once: those of each replica, and of each of its rows."""

    replica: float
    row: float

    def bytes(self, replicas: int, rows: int) -> float:
        """Return the bytes for so many replicas on so many rows each."""
        return replicas * (self.replica + rows * self.row)


def default_budget(device: torch.device) -> int:
    """Return the bytes that an evaluation may hold: a quarter of the device's memory, or MDNET_MEMORY.

    Of all memory, not of what is free just now: a run that is resumed must be cut as before, to be the same bit for
    bit. Raises ValueError where MDNET_MEMORY is no number of bytes above zero.
    """
    if (given := os.environ.get(VARIABLE)) is not None:
        if not given.isdigit() or int(given) < 1:
            raise ValueError(f"{VARIABLE} = {given!r} must be a number of bytes, one or more")
        return int(given)
    if device.type == "cuda":
        return int(SHARE * torch.cuda.mem_get_info(device)[1])
    return int(SHARE * _memory())


def peak(call: Callable[[], object]) -> int:
    """Return the most bytes of new tensors that were alive at once during a call, whatever the device.

    What a kernel takes for itself and gives back is not seen, nor is what a compiled graph does.
    """
    with _Meter() as meter:
        call()
    return int(meter.most)


def measure(evaluate: Evaluate, q: Tensor, inputs: Tensor, targets: Tensor, *, per_replica: bool, budget: int) -> Need:
    """Return what an evaluation needs, by running it on few replicas and rows, at most half of the budget.

    The peak over the phases of an evaluation is a line in the number of rows once these are many: rows are doubled
    until there are no more, or half of the budget is reached, and the line goes through the last two peaks.
    """

    def bytes_on(replicas: int, rows: int) -> float:
        where = (slice(replicas), slice(rows)) if per_replica else (slice(rows),)
        with torch.no_grad():
            return peak(lambda: evaluate(q[:replicas], inputs[where], targets[where])) / replicas

    available = inputs.shape[1 if per_replica else 0]
    rows = min(2, available)  # BatchNorm has no statistics of one
    most = bytes_on(1, rows)
    fewer, less = 0, 0.0
    while rows < available and 2 * most <= budget:
        fewer, less, rows = rows, most, min(2 * rows, available)
        most = bytes_on(1, rows)
    row = (most - less) / (rows - fewer)
    together = bytes_on(2, rows) / most if len(q) > 1 and 2 * most <= budget else 1.0
    return Need(together * max(most - rows * row, 0.0), together * row)


class _Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of storages between the operation that makes them and their end."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._alive: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, function: Any, types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        known = {x.untyped_storage()._cdata for x in _tensors((args, kwargs))}
        result = function(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            if storage._cdata not in known and storage._cdata not in self._alive:
                self._begin(storage, storage._cdata, storage.nbytes())
        return result

    def _begin(self, storage: torch.UntypedStorage, key: int, size: int) -> None:
        def end(_: object) -> None:
            self.now -= size
            del self._alive[key]

        self._alive[key] = weakref.ref(storage, end)
        self.now += size
        self.most = max(self.most, self.now)


def _tensors(tree: object) -> list[Tensor]:
    return [x for x in tree_leaves(tree) if isinstance(x, Tensor)]


def _memory() -> int:
    """The bytes of memory that this process may use: the machine's, or what a container is allowed."""
    names = getattr(os, "sysconf_names", {})
    known = "SC_PAGE_SIZE" in names and "SC_PHYS_PAGES" in names
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if known else 8 * 2**30
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        path = Path(limit)
        if path.is_file() and (text := path.read_text().strip()).isdigit():
            machine = min(machine, int(text))
    return machine
