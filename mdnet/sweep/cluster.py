"""The workers of a sweep: processes on this machine, or a cluster that is there already."""

from __future__ import annotations

import logging
import os
import re
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client

_CONNECT = 15.0  # seconds to wait for a scheduler


class ClusterError(ValueError):
    """There is no Dask, or no scheduler at the address."""


@contextmanager
def connected(scheduler: str | None, workers: int, threads: int) -> Iterator[Client]:
    """Give a client of the scheduler at an address, or of `workers` processes that live as long as the block.

    Raises ClusterError where dask.distributed is not installed, and where nothing answers at the address.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ClusterError("a sweep needs dask.distributed: pip install 'mdnet[cluster]'") from error
    if scheduler is not None:
        with _reached(scheduler) as client:
            yield client
        return
    with dask.config.set(_settings(threads)):
        with _uninterrupted():
            cluster = LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1", memory_limit=0,
                dashboard_address=None, scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                silence_logs=logging.CRITICAL,
            )  # fmt: skip
        with cluster, Client(cluster, set_as_default=False) as client:
            yield client


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait, and not reach the processes started inside the block, until the block is left.

    They keep this mask, so that what a terminal sends to all does not end them while they start.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which lifts the mask where it starts with the first process
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _reached(address: str) -> Iterator[Client]:
    from distributed import Client

    if not re.fullmatch(r"\w+://.+:\d+", address):  # else a client is half made, and waits half a minute to be gone
        raise ClusterError(f"{address!r} is no address of a scheduler; give it as `dask scheduler` prints it, "
                           "tcp://HOST:8786, or leave it out for workers on this machine")  # fmt: skip
    try:
        client = Client(address, timeout=_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"no scheduler answers at {address!r} ({error}); give an address as `dask scheduler` prints it, "
            "tcp://HOST:8786, or leave it out for workers on this machine"
        ) from error
    with client:
        _caution(client, address)
        yield client


def _caution(client: Client, address: str) -> None:
    threads = client.nthreads()
    if not threads:
        warnings.warn(
            f"{address} has no workers yet, the runs wait for one: dask worker {address} --nthreads 1", stacklevel=5
        )
    if any(count > 1 for count in threads.values()):
        warnings.warn(
            "a worker does one run at a time, but some here have several threads; start one worker for each run that "
            "is to go on at a time: dask worker ADDRESS --nworkers N --nthreads 1",
            stacklevel=5,
        )


def _settings(threads: int) -> dict[str, Any]:
    """Dask's settings for workers that run simulations: what is set in the environment comes before them."""
    return {
        "distributed.scheduler.allowed-failures": 0,  # the tries are counted by the sweep
        "distributed.scheduler.worker-saturation": 1.0,  # no run waits behind another while a worker is free
        "distributed.comm.timeouts.connect": "600s",  # a machine may be busy while a killed process starts anew
        "distributed.scheduler.worker-ttl": None,  # compiled code may hold the interpreter for minutes
        "distributed.worker.profile.enabled": False,
        "distributed.scheduler.http.routes": [],  # there is no dashboard
        "distributed.worker.http.routes": [],
        "distributed.worker.preload": ["mdnet.sweep.work"],
        "distributed.nanny.pre-spawn-environ": {
            **{f"{name}_NUM_THREADS": threads for name in ("OMP", "MKL", "OPENBLAS")},
            "MALLOC_TRIM_THRESHOLD_": 2147483647,  # a force's buffers are not given back after every step
            "MALLOC_MMAP_THRESHOLD_": 1073741824,
        },
    }
