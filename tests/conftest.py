"""One thread and one seed a test: SEED_OFFSET=n in the environment repeats every law with other noise."""

import os
import zlib

import pytest
import torch

torch.set_num_threads(1)
os.environ.setdefault("MDNET_ROUTE", "eager")  # what is compiled is tested where a test asks for it


@pytest.fixture(scope="session")
def seed():
    """The offset of all seeds: tests pass for any, and are repeatable for each."""
    return 1_000_003 * int(os.environ.get("SEED_OFFSET", "0"))


@pytest.fixture(autouse=True)
def _seeded(request, seed):
    torch.set_num_threads(1)  # a command that a test ran may have taken more
    torch.manual_seed(seed + zlib.crc32(request.node.name.encode()))


@pytest.fixture(scope="module")
def address():
    """Of a Dask scheduler with two workers; it leaves it to a sweep what becomes of a run whose worker dies."""
    import dask
    import distributed

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50
        ) as there,
    ):
        yield there.scheduler_address
