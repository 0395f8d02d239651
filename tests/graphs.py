"""A graph of operations on a CPU that has what a CUDA graph has: fixed buffers, frozen numbers, nothing that waits."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
WAITS = {  # what on a GPU copies from the host, or waits for the GPU to know a number or a shape
    aten._local_scalar_dense, aten.equal, aten.is_nonzero, aten.item, aten.lift_fresh, aten.linalg_matrix_exp,
    aten.masked_select, aten.nonzero, aten._unique2, aten.unique_dim,
}  # fmt: skip


class Tape(TorchDispatchMode):
    """Writes down every operation with its tensors; playing it does them again on the same memory."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in WAITS:
            raise RuntimeError(f"operation not permitted when stream is capturing: {func}")
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out

    def play(self):
        for func, args, kwargs, out in self.calls:
            if any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns):
                continue  # a view of memory that is there already
            again = func(*args, **kwargs)
            if func._schema.is_mutable:
                continue
            for before, now in zip(_flat(out), _flat(again), strict=True):
                before.copy_(now)


def _flat(out):
    return [x for x in (out if isinstance(out, tuple | list) else (out,)) if isinstance(x, torch.Tensor)]


class FakeGraph:
    """A tape as the Graph of captured steps; counts its replays."""

    def __init__(self, tape):
        self.tape, self.replays, self.released = tape, 0, False

    def replay(self):
        assert not self.released, "a graph that was given back is played"
        self.replays += 1
        with torch.no_grad():
            self.tape.play()

    def reset(self):
        self.released = True


class FakeRecorder:
    """Rehearses and records as CudaRecorder does; what the recorded run does to its tensors is not put back here."""

    def __init__(self):
        self.graphs = []

    def rehearse(self, run):
        run()
        with Tape():
            run()

    def record(self, run):
        with Tape() as tape:
            run()
        self.graphs.append(FakeGraph(tape))
        return self.graphs[-1]
