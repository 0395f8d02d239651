"""One seed makes a run: the run's own stream of random numbers, kept apart from the caller's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


class Stream:
    """The states of torch's default generators (CPU, and the GPU's where it is used) as this run left them.

    Default generators are used, not explicit ones, because compiled graphs accept no others.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.cuda = device if device.type == "cuda" else None
        self._active = False
        outside = self._read()
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU's, too
        if self.cuda is not None:
            with torch.cuda.device(self.cuda):
                torch.cuda.manual_seed(seed)
        self._states = self._read()
        self._write(outside)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Draw from this stream inside the block, and leave the caller's stream as it was."""
        outside = self._read()
        self._write(self._states)
        self._active = True
        try:
            yield
        finally:
            self._states = self._read()
            self._active = False
            self._write(outside)

    @property
    def states(self) -> list[Tensor]:
        """The stream's present states: what a checkpoint holds, and what puts it back."""
        return self._read() if self._active else self._states

    @states.setter
    def states(self, states: Sequence[Tensor]) -> None:
        self._states = list(states)

    def _read(self) -> list[Tensor]:
        states = [torch.get_rng_state()]
        if self.cuda is not None:
            states.append(torch.cuda.get_rng_state(self.cuda))
        return states

    def _write(self, states: Sequence[Tensor]) -> None:
        torch.set_rng_state(states[0])
        if self.cuda is not None:
            torch.cuda.set_rng_state(states[1], self.cuda)
