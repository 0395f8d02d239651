"""Captured steps: what a GPU does in a step, recorded once as a graph and played again without the CPU's part in it."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from integrators import Dynamics, Integrator, Phase
from mdnet.routes.graphs import CudaRecorder, Graph, Recorder

_QUEUED = 100  # steps that one call may ask for before the host looks again


class Steps(Protocol):
    """What is captured: steps of an integrator, with all that belongs to a step."""

    @property
    def integrator(self) -> Integrator:
        """The integrator, whose tensors the recorded graph reads."""

    def advance(self, phase: Phase, steps: int) -> None:
        """Advance phase by `steps` steps, in place."""


class CapturedSteps:
    """Steps played from a graph of one step and one of `unroll` steps, with nothing to wait for in between.

    The graphs are recorded at the first call, on the buffers of the phase and the tensors of the integrator and its
    thermostat: schedules that change these in place are seen, and where one is replaced the steps are captured anew.
    Neither rehearsal nor recording changes the run: positions, bath and random numbers are put back. Random numbers of
    torch's default generator go on from its state at each replay, so that a checkpoint holds all there is.

    Where a step cannot be captured - off a GPU, where it waits for the GPU, copies from the host or holds tensors
    elsewhere - steps run one by one, and one warning says why. What Python itself counts inside a step stands still in
    a graph: a force with such a counter must not be captured.

    `steps`: what to capture, such as PlainSteps(system, integrator). `unroll` >= 1. `recorder`: what makes the graphs,
    by default CUDA's. Raises ValueError for an unroll below one.
    """

    def __init__(self, steps: Steps, *, unroll: int = 1, recorder: Recorder | None = None) -> None:
        if unroll < 1:
            raise ValueError(f"unroll = {unroll}: a graph has one step or more")
        self.steps, self.unroll = steps, unroll
        self.reason: str | None = None
        self._recorder, self._graphs = recorder, dict[int, Graph]()
        self._bound: list[Tensor] = []

    @property
    def integrator(self) -> Integrator:
        """The integrator whose steps these are."""
        return self.steps.integrator

    @property
    def block(self) -> int:
        """The most steps that one call should take, so that a run can be stopped in time."""
        return self.unroll * max(1, _QUEUED // self.unroll)

    def advance(self, phase: Phase, steps: int) -> None:
        """Advance phase by `steps` steps of the integrator, in place."""
        if self.reason is None and not _same(self._bound, tensors := [*_tensors(phase, self.integrator).values()]):
            self._capture(phase, tensors)
        if self.reason is not None:
            self.steps.advance(phase, steps)
            return
        whole, rest = divmod(steps, self.unroll)
        for size, times in ((self.unroll, whole), (1, rest)):
            for _ in range(times):
                self._graphs[size].replay()

    def release(self) -> None:
        """Give the graphs' memory back; the next call captures anew."""
        for graph in self._graphs.values():
            graph.reset()
        self._graphs, self._bound, self.reason = {}, [], None

    def _capture(self, phase: Phase, bound: list[Tensor]) -> None:
        self.release()
        self.reason = _stray(phase, self.integrator)
        if self.reason is None and self._recorder is None:
            if phase.q.device.type != "cuda":
                self.reason = f"there are no graphs on the device {str(phase.q.device)!r}"
            else:
                self._recorder = CudaRecorder(phase.q.device)
        if self.reason is None and self._recorder is not None:
            self._record(self._recorder, phase, bound)
        if self.reason is not None:
            warnings.warn(f"steps are not captured and run one by one: {self.reason}", stacklevel=4)

    def _record(self, recorder: Recorder, phase: Phase, bound: list[Tensor]) -> None:
        names = list(_tensors(phase, self.integrator))
        try:
            with _unchanged(bound, phase.q.device):
                recorder.rehearse(lambda: self.steps.advance(phase, 1))
                now = _tensors(phase, self.integrator)
                replaced = [k for k, x in zip(names, bound, strict=True) if now.get(k) is not x]
                if replaced:
                    self.reason = f"a step replaces {replaced[0]} and does not change it in place"
                    return
                for size in sorted({1, self.unroll}):
                    self._graphs[size] = recorder.record(lambda size=size: self.steps.advance(phase, size))  # type: ignore[misc]
        except RuntimeError as error:
            self.release()
            self.reason = _told(error)
            return
        self._bound = bound

    def __repr__(self) -> str:
        if self.reason is not None:
            return f"step by step: {self.reason}"
        return f"captured steps, {self.unroll} at a time"


def _tensors(phase: Phase, integrator: Integrator) -> dict[str, Tensor]:
    """All tensors that a step reads or moves, the data aside, by name."""
    named = {name: getattr(phase, name) for name in ("q", "p", "f", "u", "m", "heat")}
    return named | {f"bath[{i}]": x for i, x in enumerate(phase.bath)} | dict(_held("integrator", integrator))


def _held(owner: str, thing: Any) -> Iterator[tuple[str, Tensor]]:
    """The tensors of an integrator, of those inside it and of their thermostats."""
    for name, value in getattr(thing, "__dict__", {}).items():
        for i, each in enumerate(value if isinstance(value, tuple) else (value,)):
            full = f"{owner}.{name}" + (f"[{i}]" if isinstance(value, tuple) else "")
            if isinstance(each, Tensor):
                yield full, each
            elif isinstance(each, Dynamics) or hasattr(each, "bath"):
                yield from _held(full, each)


def _same(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _stray(phase: Phase, integrator: Integrator) -> str | None:
    """What is not on the phase's device: a graph would keep the value it has now."""
    for name, tensor in _tensors(phase, integrator).items():
        if tensor.device != phase.q.device:
            return f"{name} is on the device {str(tensor.device)!r}, where a graph does not see it change"
    return None


@contextmanager
def _unchanged(tensors: Sequence[Tensor], device: torch.device) -> Iterator[None]:
    """Put the tensors and the default generators back at the end, whatever happens inside."""
    saved = [x.clone() for x in tensors]
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        for tensor, before in zip(tensors, saved, strict=True):
            tensor.copy_(before)


def _told(error: RuntimeError) -> str:
    """The first line of the error that came first, and the line of the last code outside torch that it came from."""
    while isinstance(error.__context__, RuntimeError):
        error = error.__context__
    own = [f for f in traceback.extract_tb(error.__traceback__) if "/torch/" not in Path(f.filename).as_posix()]
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return f"{first} ({Path(own[-1].filename).name}, line {own[-1].lineno}: {own[-1].line})"
