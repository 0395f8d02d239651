"""A sign of life of every rank, by which the others know who is gone."""

from __future__ import annotations

import threading
import time
from typing import Any

from mdnet.distributed.world import RankLostError

_BEAT = 0.5  # seconds
_PATIENCE = 8  # beats


class Pulse:
    """Beats twice a second in the job's store, in a thread of its own, as long as this process lives.

    `store`: a torch.distributed store, which outlives the ranks. Also remembers which rank failed first, as only
    that one shall speak.
    """

    def __init__(self, store: Any, rank: int, size: int) -> None:
        self.store, self.rank, self.size = store, rank, size
        self._over = threading.Event()
        self._beat()
        self._thread = threading.Thread(target=self._live, daemon=True, name="mdnet-pulse")
        self._thread.start()

    def stop(self) -> None:
        """Stop beating."""
        self._over.set()
        self._thread.join(2 * _BEAT)

    def claims(self) -> bool:
        """Whether this rank is the first one that failed."""
        try:
            return int(self.store.add("failed", 1)) == 1
        except RuntimeError:  # the store is gone, with the machine that kept it
            return True

    def failed(self) -> bool:
        """Whether a rank has failed and said so."""
        return int(self.store.add("failed", 0)) > 0

    def lost(self, reason: str) -> BaseException:
        """Return what to raise after a collective that broke: SystemExit where a rank has told its error already."""
        try:
            if self.failed():
                return SystemExit(1)
            gone = self._gone()
            if self.failed():
                return SystemExit(1)
        except RuntimeError:
            return RankLostError("the store of the job cannot be reached: the machine that started it is gone")
        if not gone:
            return RankLostError(f"ranks cannot reach each other, though all live: {reason.splitlines()[0]}")
        names = ", ".join(map(str, gone))
        return RankLostError(f"rank {names} is gone" if len(gone) == 1 else f"ranks {names} are gone")

    def _gone(self) -> list[int]:
        """The ranks whose pulse has stopped."""
        before, end = self._counts(), time.monotonic() + _PATIENCE * _BEAT
        still = [rank for rank in range(self.size) if rank != self.rank]
        while still and time.monotonic() < end and not self.failed():
            time.sleep(_BEAT)
            now = self._counts()
            still = [rank for rank in still if now[rank] == before[rank]]
        return still

    def _counts(self) -> list[int]:
        return [int(self.store.add(f"pulse/{rank}", 0)) for rank in range(self.size)]

    def _beat(self) -> None:
        self.store.add(f"pulse/{self.rank}", 1)

    def _live(self) -> None:
        while not self._over.wait(_BEAT):
            try:
                self._beat()
            except RuntimeError:  # the store is gone; the next collective tells
                return
