"""The sweep itself: what is left to do, shared out among workers, and a table of what came out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mdnet import checkpoint
from mdnet.config import ConfigError
from mdnet.signals import SoftStop
from mdnet.sweep import cluster, packing, planning, records, results
from mdnet.sweep.board import Board
from mdnet.sweep.crew import Crew
from mdnet.sweep.grid import Over
from mdnet.sweep.packing import Unit
from mdnet.sweep.planning import Planned
from mdnet.sweep.records import Record, Run, Sweep
from trajectories.storage.disk import Disk


def sweep(
    file: str | Path,
    over: Over,
    *,
    out: str | Path,
    overrides: Sequence[str] = (),
    pack: bool = True,
    workers: int | None = None,
    threads: int | None = None,
    scheduler: str | None = None,
    retries: int = 3,
    progress: bool = True,
) -> Sweep:
    """Run a file with every combination of values, in folders below `out`, and return how the runs ended.

    What is finished is not run again, what was begun goes on from its checkpoint bit for bit, and a run whose worker
    is killed does so on another, `retries` times at most. A run that fails by an error of its own is in `.failed`. At
    the end results.nc holds a row for each run, see `table`; `illustrate` makes it what `mdnet report` shows.

    Args:
        file: a run file. over: values by key, {"run.seed": range(8)}; {("a.b", "c.d"): [(1, 2), (3, 4)]} for keys that
            vary together. overrides: as in `config.load`, for all runs.
        pack: runs that differ only in seeds and in numbers that replicas may differ in become replicas of one
            simulation, see mdnet.sweep.packing: the same laws with other random numbers. Of those that diverge together
            the ones to blame go on alone and the others begin anew without them. False: each run in a folder of its
            own, bit for bit the one that `mdnet run` makes.
        workers: processes on this machine, by default as many as there are processors for. threads: of each run, by
            default the file's. scheduler: the address of a Dask scheduler to use instead, "tcp://HOST:8786"; its
            workers must see `out` under the same path.

    Raises:
        ConfigError: a combination is not valid (all are told at once), `out` holds another sweep or is no folder, or
            xarray is not installed;
        ClusterError: no dask.distributed, or no scheduler at the address; InUse: another sweep is at work in `out`.
    """
    file, out = Path(file), Path(out).absolute()
    _check(workers, threads, retries)
    results.require()
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
        wanted = _wanted(record, [*planned, *_beside(record, planned, file, shared)])
        interrupted = bool(wanted) and _conduct(record, wanted, pack, workers, scheduler, retries, progress)
        if wanted or not (out / results.FILE_NAME).exists():
            results.write(out)
    return Sweep(out, tuple(record.runs[each.name] for each in planned), interrupted)


def _check(workers: int | None, threads: int | None, retries: int) -> None:
    for name, value, least in (("workers", workers, 1), ("threads", threads, 1), ("retries", retries, 0)):
        if value is not None and value < least:
            raise ConfigError(f"{name} = {value} must be {least} or more")


def _beside(record: Record, planned: Sequence[Planned], file: Path, shared: Sequence[str]) -> list[Planned]:
    """The runs that were not asked for this time, but are parts of one simulation with some that were."""
    names = {each.name for each in planned}
    packs = {run.pack for name, run in record.runs.items() if name in names and run.pack}
    others = [run for name, run in record.runs.items() if name not in names and run.pack in packs]
    return [planning.one(file, run.name, run.values, shared) for run in others]


def _wanted(record: Record, planned: Sequence[Planned]) -> list[Planned]:
    """Note the runs that are new, and return those that do not have all their steps yet."""
    for each in planned:
        run = record.runs.setdefault(each.name, Run(record.out, each.name, each.values))
        run.values = each.values
        gone = run.state == "finished" and not (run.folder / "trajectory.h5").exists()
        if run.state == "failed" or gone or run.steps < each.runfile.run.steps:
            run.steps = 0 if gone else run.steps
            run.state, run.error, run.tries = "pending", "", 0
    return [each for each in planned if record.runs[each.name].state == "pending"]


def _conduct(
    record: Record,
    wanted: Sequence[Planned],
    pack: bool,
    workers: int | None,
    scheduler: str | None,
    retries: int,
    progress: bool,
) -> bool:
    """Have the runs done; return whether a signal ended it."""
    threads = max(each.runfile.run.threads for each in wanted)
    count = min(workers or max(1, cluster.processors() // threads), len(wanted))
    with SoftStop() as stopping, Board(len(wanted), show=progress) as board:
        with cluster.connected(scheduler, count, threads) as client:
            units = _units(record, wanted, pack, count if scheduler is None else max(1, len(client.nthreads())))
            record.assign(units)
            record.save()
            crew = Crew(client, record, units, retries, board)
            try:
                crew.work(stopping, own=scheduler is None)
            finally:
                record.save()
        return stopping.asked and any(record.runs[each.name].state == "pending" for each in wanted)


def _units(record: Record, wanted: Sequence[Planned], pack: bool, workers: int) -> list[Unit]:
    """What is begun goes on as it was begun; of the others those that go together do."""
    begun: dict[str, list[Planned]] = {}
    fresh, single = [], []
    for each in wanted:
        run = record.runs[each.name]
        if run.pack:
            begun.setdefault(run.pack, []).append(each)
        elif pack and not run.alone and not checkpoint.found(run.folder):
            fresh.append(each)
        else:
            single.append(each)
    several = [Unit(name, tuple(sorted(pack, key=lambda e: record.runs[e.name].first))) for name, pack in begun.items()]
    return [*several, *map(packing.alone, single), *packing.units(fresh, workers)]
