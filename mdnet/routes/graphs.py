"""Graphs of what a GPU was asked to do: the seam between captured steps and CUDA, which a test can fill on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

Run = Callable[[], None]
_REHEARSALS = 3


class Graph(Protocol):
    """A recorded run on fixed buffers."""

    def replay(self) -> None:
        """Do again what was recorded, on what the buffers hold now."""

    def reset(self) -> None:
        """Give its memory back."""


class Recorder(Protocol):
    """Makes graphs of runs."""

    def rehearse(self, run: Run) -> None:
        """Run it a few times as it is to be recorded; raises RuntimeError where the CPU has a part in it."""

    def record(self, run: Run) -> Graph:
        """Return the graph of one run; raises RuntimeError where there is none."""


class CudaRecorder:
    """Records CUDA graphs on a stream of its own; its graphs share one pool of memory, for they never overlap.

    A rehearsal makes kernels and workspaces ready, and refuses what waits for the GPU or copies from the host before a
    capture could break off there.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.pool = torch.cuda.graph_pool_handle()

    def rehearse(self, run: Run) -> None:
        """Run it three times beside the present stream, the last time without any synchronisation allowed."""
        here = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(here)
        mode = torch.cuda.get_sync_debug_mode()
        try:
            with torch.cuda.device(self.device), torch.cuda.stream(self.stream):
                for _ in range(_REHEARSALS - 1):
                    run()
                torch.cuda.set_sync_debug_mode("error")
                run()
        finally:
            torch.cuda.set_sync_debug_mode(mode)
            here.wait_stream(self.stream)

    def record(self, run: Run) -> Graph:
        """Return the graph of one run, which does not take place."""
        graph = torch.cuda.CUDAGraph()
        try:
            # the outer stream context puts the present stream back where the end of a broken capture raises
            with (
                torch.cuda.device(self.device),
                torch.cuda.stream(self.stream),
                torch.cuda.graph(graph, pool=self.pool, stream=self.stream),
            ):
                run()
        except RuntimeError:
            graph.reset()
            _free_generator(self.device)
            raise
        return graph


def _free_generator(device: torch.device) -> None:
    """Give the default generator a state of its own again where a broken capture has left it waiting for its end."""
    try:
        torch.rand(1, device=device)
    except RuntimeError:
        generator = torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]
        generator.graphsafe_set_state(generator.clone_state())
