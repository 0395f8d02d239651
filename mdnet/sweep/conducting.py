"""The sweep itself: hands the runs that are left to the workers, notes how each ends, and stops softly."""

from __future__ import annotations

import time
import uuid
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdnet.config import ConfigError
from mdnet.signals import SoftStop
from mdnet.sweep import cluster, planning, records
from mdnet.sweep.board import Board
from mdnet.sweep.cluster import ClusterError
from mdnet.sweep.grid import Over
from mdnet.sweep.planning import Planned
from mdnet.sweep.records import Record, Run, Sweep
from mdnet.sweep.work import Result, checkpointed, stop, work
from trajectories.storage.disk import Disk

if TYPE_CHECKING:
    from distributed import Client, Future

_LOOK = 0.05  # seconds between two looks at what has ended
_SAVE = 1.0  # seconds between two writes of the record, and between two requests to stop
_PATIENCE = 900.0  # seconds without any process of this machine until it is given up


def sweep(
    file: str | Path,
    over: Over,
    *,
    out: str | Path,
    overrides: Sequence[str] = (),
    workers: int | None = None,
    threads: int | None = None,
    scheduler: str | None = None,
    retries: int = 3,
    progress: bool = True,
) -> Sweep:
    """Run a file with every combination of values, each in a folder of its own below `out`; return how they ended.

    What is finished is not run again, what was begun goes on from its checkpoint bit for bit, and a run whose worker
    is killed does so on another, `retries` times at most. A run that fails by an error of its own is in `.failed`.

    Args:
        file: a run file. over: values by key, {"run.seed": range(8)}; {("a.b", "c.d"): [(1, 2), (3, 4)]} for keys that
            vary together. overrides: as in `config.load`, for all runs.
        workers: processes on this machine, by default as many as there are processors for. threads: of each run, by
            default the file's. scheduler: the address of a Dask scheduler to use instead, "tcp://HOST:8786"; its
            workers must see `out` under the same path.

    Raises:
        ConfigError: a combination is not valid (all are told at once), or `out` holds another sweep or is no folder;
        ClusterError: no dask.distributed, or no scheduler at the address; InUse: another sweep is at work in `out`.
    """
    file, out = Path(file), Path(out).absolute()
    _check(workers, threads, retries)
    shared = [*overrides, *([] if threads is None else [f"run.threads={threads}"])]
    planned = planning.plan(file, over, shared)
    keys = list(planned[0].values)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "sweep.lock").touch()
    except OSError as error:
        raise ConfigError(f"{out} cannot hold a sweep: {error.strerror}; choose another folder (--out)") from error
    with Disk(out / "sweep.lock"):
        record = records.load(out, keys, planning.base(file, keys, shared))
        wanted = _wanted(record, planned)
        interrupted = bool(wanted) and _conduct(record, wanted, workers, scheduler, retries, progress)
    return Sweep(out, tuple(record.runs[each.name] for each in planned), interrupted)


def _check(workers: int | None, threads: int | None, retries: int) -> None:
    for name, value, least in (("workers", workers, 1), ("threads", threads, 1), ("retries", retries, 0)):
        if value is not None and value < least:
            raise ConfigError(f"{name} = {value} must be {least} or more")


def _wanted(record: Record, planned: Sequence[Planned]) -> list[Planned]:
    """Note the runs that are new, and return those that do not have all their steps yet."""
    for each in planned:
        run = record.runs.setdefault(each.name, Run(record.out / each.name, each.values))
        run.values = each.values
        if run.state == "failed" or run.steps < each.runfile.run.steps:
            run.state, run.error, run.tries = "pending", "", 0
    return [each for each in planned if record.runs[each.name].state == "pending"]


def _conduct(
    record: Record, wanted: Sequence[Planned], workers: int | None, scheduler: str | None, retries: int, progress: bool
) -> bool:
    """Have the runs done; return whether a signal ended it."""
    threads = max(each.runfile.run.threads for each in wanted)
    count = min(workers or max(1, cluster.processors() // threads), len(wanted))
    with SoftStop() as stopping, Board(len(wanted), show=progress) as board:
        with cluster.connected(scheduler, count, threads) as client:
            record.save()
            crew = _Crew(client, record, wanted, retries, board)
            try:
                crew.work(stopping, own=scheduler is None)
            finally:
                record.save()
        return stopping.asked and any(record.runs[each.name].state == "pending" for each in wanted)


class _Crew:
    """The runs that are with the workers."""

    def __init__(self, client: Client, record: Record, wanted: Sequence[Planned], retries: int, board: Board) -> None:
        self.client, self.record, self.retries, self.board = client, record, retries, board
        self.wanted = {each.name: each for each in wanted}
        self.topic = f"mdnet-sweep-{uuid.uuid4().hex}"
        self.running: set[str] = set()
        self.said: set[str] = set()
        client.subscribe_topic(self.topic, self._heard)
        self.futures: dict[str, Future[Result]] = self._submit(list(self.wanted))
        board.begin(self._share())

    def work(self, stopping: SoftStop, *, own: bool) -> None:
        """Wait for all to end, noting each that does; once asked to stop, have them stop at their next checkpoint.

        `own`: the workers are processes of this sweep; ClusterError where none of them comes back.
        """
        noted, seen = 0.0, time.monotonic()
        while self.futures:
            ended = [name for name, future in self.futures.items() if future.done()]
            for name in ended:
                self._ended(name, self.futures.pop(name), again=not stopping.asked)
            self.board.update(len(self.running), self._share())
            if time.monotonic() > noted + _SAVE:
                noted = time.monotonic()
                self.record.save()
                workers = self.client.nthreads()
                if stopping.asked:  # again and again, for a worker that started since
                    self.client.run(stop, self.topic, on_error="ignore")
                    if not workers:
                        return
                seen = noted if workers else seen
                if own and noted > seen + _PATIENCE:
                    raise ClusterError(
                        f"the processes of this sweep ended, and none started anew in {_PATIENCE:.0f} s; what the runs "
                        "have written is on disk, and the same call goes on with it"
                    )
            time.sleep(_LOOK)

    def _submit(self, names: Sequence[str]) -> dict[str, Future[Result]]:
        """Hand runs over at once and under one prefix, so that the scheduler keeps them until a worker is free."""
        tables = [self.wanted[name].runfile.model_dump(exclude_none=True) for name in names]
        folders = [str(self.record.runs[name].folder) for name in names]
        keys = [f"mdnet_run-{uuid.uuid4().hex}" for _ in names]
        topics = [self.topic] * len(names)
        return dict(zip(names, self.client.map(work, topics, names, tables, folders, key=keys), strict=True))

    def _heard(self, event: tuple[float, Any]) -> None:
        """Note what a worker tells of a run: that it began, and how far it is; called from the client's thread."""
        name, step, began = event[1]
        run = self.record.runs[name]
        run.steps = step
        if began:
            run.tries += 1
            self.running.add(name)

    def _ended(self, name: str, future: Future[Result], *, again: bool) -> None:
        from distributed import KilledWorker

        if future.status in ("cancelled", "lost"):
            raise ClusterError(
                "the scheduler went away; what the runs have written is on disk, and the same call goes on with it"
            )
        run = self.record.runs[name]
        self.running.discard(name)
        try:
            result = future.result()
        except KilledWorker:
            run.steps = checkpointed(run.folder)
            if again and run.tries <= self.retries:
                self.board.say(f"{name}: its worker was killed; it goes on from step {run.steps} on another")
                self.futures |= self._submit([name])
                return
            if again:
                run.state, run.error = (
                    "failed",
                    (f"its worker was killed {run.tries} times; where memory ran out, fewer workers leave each more"),
                )
        except Exception as error:
            run.state, run.error = "failed", f"{type(error).__name__}: {error}"
        else:
            self._note(run, result)
        self.board.update(len(self.running), self._share())
        self.board.ended(run)

    def _note(self, run: Run, result: Result) -> None:
        run.state, run.error = result.state, result.error
        run.steps, run.seconds = max(run.steps, result.steps), run.seconds + result.seconds
        run.energy = run.energy if result.energy is None else result.energy
        run.temperature = run.temperature if result.temperature is None else result.temperature
        for text in result.warnings:
            if text not in self.said:
                self.said.add(text)
                warnings.warn(text, stacklevel=7)

    def _share(self) -> float:
        """How many runs' worth of steps is done."""
        return sum(self._done(each) for each in self.wanted.values())

    def _done(self, each: Planned) -> float:
        run = self.record.runs[each.name]
        return 1.0 if run.state != "pending" else min(1.0, run.steps / max(each.runfile.run.steps, 1))
