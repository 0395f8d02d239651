"""The ensemble that a training loop collects: copies of the parameters, evenly spaced, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor


class Members:
    """Copies of the parameters on the CPU: at most `keep` of those offered, evenly spaced from the first to the last.

    The k-th that is offered is kept where k is a multiple of the stride, one at first. Where there would be more than
    `keep`, the stride doubles and every second copy goes. len() and [k] (a list of tensors) as of a list.

    Raises ValueError for a `keep` below one.
    """

    def __init__(self, keep: int | None = None) -> None:
        if keep is not None and keep < 1:
            raise ValueError(f"Invalid keep: {keep}; it must be one or more, or None for all")
        self.keep, self.offered, self.stride = keep, 0, 1
        self._copies: list[list[Tensor]] = []

    def __len__(self) -> int:
        """Return the number of copies."""
        return len(self._copies)

    def __getitem__(self, index: int) -> list[Tensor]:
        """Return the parameters of a copy, in the order in which they were offered."""
        return self._copies[index]

    def offer(self, params: Iterable[Tensor]) -> None:
        """Copy the parameters where it is their turn."""
        self.offered += 1
        if self.offered % self.stride:
            return
        self._copies.append(_copied(params))
        if self.keep is not None and len(self) > self.keep:
            self.stride *= 2
            del self._copies[::2]

    def extend(self, params: Iterable[Tensor]) -> None:
        """Give all copies further parameters, with the values that these have now."""
        further = _copied(params)
        for copy in self._copies:
            copy += further

    def state(self) -> dict[str, Any]:
        """Return all that load() needs: numbers and tensors."""
        return {"offered": self.offered, "stride": self.stride, "copies": [list(copy) for copy in self._copies]}

    def load(self, state: dict[str, Any]) -> None:
        """Put back what state() returned."""
        self.offered, self.stride = state["offered"], state["stride"]
        self._copies = [[x.cpu() for x in copy] for copy in state["copies"]]


def _copied(params: Iterable[Tensor]) -> list[Tensor]:
    return [x.detach().to("cpu", copy=True) for x in params]
