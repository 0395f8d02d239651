"""Joining a job that torchrun started, and leaving it: with one message where something went wrong."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import timedelta
from typing import Any

import torch

from mdnet.distributed.world import ALONE, World

_PATIENCE = timedelta(minutes=30)  # for a rank that lives but is late: a slow disk, a long start


@contextmanager
def world(data_ranks: int = 1) -> Iterator[World]:
    """Join the processes that torchrun started, if it did, and yield the World of this one; else the null object.

    `data_ranks`: so many ranks share each group of replicas and divide its data. Only rank 0 prints. An error on one
    rank ends all: the first to fail tells it, the others leave with exit code 1. On CUDA each rank takes the device
    of its LOCAL_RANK; forces are summed by NCCL, all else goes by gloo over the CPUs. A process group that is there
    already is used, and stays.

    Raises ValueError where data_ranks does not divide the number of ranks.
    """
    if "WORLD_SIZE" not in os.environ:
        _check(data_ranks, 1)
        yield ALONE
        return
    with _joined(data_ranks) as ranks, _quiet(silent=not ranks.is_writer):
        yield ranks


@contextmanager
def _joined(data_ranks: int) -> Iterator[Any]:
    import torch.distributed as dist

    from mdnet.distributed.pulse import Pulse
    from mdnet.distributed.ranks import Ranks

    if not (before := dist.is_initialized()):
        cuda = torch.cuda.is_available()
        if cuda:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_PATIENCE)
    pulse = Pulse(dist.distributed_c10d._get_default_store(), dist.get_rank(), dist.get_world_size())
    try:
        _check(data_ranks, dist.get_world_size())
        yield Ranks(data_ranks, pulse)
    except BaseException as error:
        if isinstance(error, SystemExit) or hasattr(error, "exit_code"):
            raise  # an end that all ranks come to, or that another one has told
        if not pulse.claims():
            raise SystemExit(1) from None
        raise
    finally:
        pulse.stop()
    if not before:
        dist.destroy_process_group()


def _check(data_ranks: int, size: int) -> None:
    if data_ranks < 1 or size % data_ranks:
        raise ValueError(
            f"--data-ranks {data_ranks} does not divide the {size} process(es) of this run; start a multiple of it by "
            "torchrun --nproc-per-node"
        )


@contextmanager
def _quiet(*, silent: bool) -> Iterator[None]:
    """Let only one rank print and warn."""
    if not silent:
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        sys.stdout.flush()
