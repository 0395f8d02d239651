"""The thread that empties a bounded queue of rows into the file while the simulation goes on."""

import re
import threading
from collections import deque

from trajectories.errors import TrajectoryError, WriteFailed
from trajectories.storage.sink import Row, Sink

_PERIOD = 0.25  # seconds between commits when the queue is nearly empty
_ROW_BYTES = 512  # what a row costs besides its array


class Worker:
    """Owns the sink. One thread hands rows over with `put`; when the queue is full, `put` waits: nothing is dropped.

    The two byte counts only ever grow and each has one thread that writes it, so the caller's usual path takes no
    lock: it compares two integers and appends to a deque.
    """

    def __init__(self, sink: Sink, queue_bytes: int) -> None:
        self._sink = sink
        self._limit = queue_bytes
        self._batch = max(1, queue_bytes // 4)
        self._rows: deque[tuple[Row, int]] = deque()
        self._given = self._taken = 0  # bytes; written by the caller, by the thread
        self._asked = self._synced = 0  # flushes
        self._stopping = False
        self.failure: TrajectoryError | None = None
        self.reported = False  # whether the caller has been told
        self._wake = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="trajectory-writer", daemon=True)
        self._thread.start()

    def put(self, row: Row, nbytes: int) -> None:
        """Hand over one row of ``nbytes``; raises the thread's failure."""
        nbytes += _ROW_BYTES
        waiting = self._given - self._taken
        if waiting + nbytes > self._limit and waiting:
            self._wait_for_room(nbytes)
        if self.failure is not None:
            self.raise_failure()
        self._rows.append((row, nbytes))
        self._given += nbytes
        if waiting + nbytes > self._batch:
            self._wake.set()

    def _wait_for_room(self, nbytes: int) -> None:
        self._wake.set()
        with self._changed:
            self._changed.wait_for(
                lambda: self.failure is not None or self._given - self._taken + nbytes <= max(self._limit, nbytes)
            )

    def flush(self) -> None:
        """Return when every row handed over is committed and on the device; raises the thread's failure."""
        self._asked += 1
        self._wake.set()
        with self._changed:
            self._changed.wait_for(lambda: self.failure is not None or self._synced >= self._asked)
        self.raise_failure()

    def stop(self) -> None:
        """Write what is queued, sync, close the file and end the thread; a failure is kept, not raised."""
        self._asked += 1
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def raise_failure(self) -> None:
        """Raise the failure of the thread, if there is one."""
        if self.failure is not None:
            self.reported = True
            raise self.failure

    def _run(self) -> None:
        try:
            while not self._round():
                self._wake.wait(_PERIOD)
                self._wake.clear()
            self._sink.close()
        except BaseException as error:
            self._fail(error)

    def _round(self) -> bool:
        """Write what is queued; True when the thread was asked to stop before the queue was emptied."""
        stopping, asked = self._stopping, self._asked  # read first: what was handed over before is in the queue
        while self._rows:
            rows, nbytes = [], 0
            while self._rows and nbytes < self._batch:
                row, size = self._rows.popleft()
                rows.append(row)
                nbytes += size
            self._sink.append(rows)
            del rows, row
            with self._changed:
                self._taken += nbytes
                self._changed.notify_all()
        if asked > self._synced:
            self._sink.sync()
            with self._changed:
                self._synced = asked
                self._changed.notify_all()
        return stopping

    def _fail(self, error: BaseException) -> None:
        failure = WriteFailed(
            f"{self._sink.path}: writing failed: {_reason(error)}. What was committed before is on disk and readable; "
            "free some space (or raise the quota), then resume from the last checkpoint"
        )
        failure.__cause__ = error
        try:
            self._sink.close()
        except (OSError, RuntimeError) as second:
            failure.add_note(f"closing the file failed as well: {second}")
        with self._changed:
            self.failure = failure
            self._rows.clear()
            self._changed.notify_all()


def _reason(error: BaseException) -> str:
    """Give the operating system's words; HDF5 wraps them in addresses and times."""
    found = re.search(r"error message = '([^']+)'", str(error))
    return found[1] if found else " ".join(str(error).split())
