"""Several problems at once, each in a process of its own, as one problem's networks are too small for many threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch

from mdnet.experiments.large import minibatch
from mdnet.experiments.large.problems import PROBLEMS as LARGE
from mdnet.experiments.problems import PROBLEMS
from mdnet.experiments.reproduction import reproduce
from mdnet.experiments.showing import tell
from mdnet.experiments.simmering import Mode
from mdnet.spelling import unknown


@dataclass(frozen=True)
class Request:
    """What is asked of every problem; see mdnet.experiments.reproduction.reproduce."""

    out: Path
    seeds: int | None  # by default the problem's own number
    seed: int
    mode: Mode
    heating: str
    brief: bool
    overwrite: bool
    epochs: float | None = None  # and rows, device: of the large problems
    rows: int | None = None
    device: str | None = None


def each(problems: Sequence[str], request: Request, *, jobs: int, threads: int) -> Iterator[Path]:
    """Yield the folder of each problem when it is done: in order in this process, or of several as they end.

    Raises ValueError for an unknown problem before any is begun.
    """
    for problem in problems:
        if problem not in PROBLEMS and problem not in LARGE:
            raise ValueError(unknown("problem", problem, [*PROBLEMS, *LARGE]))
    if min(jobs, len(problems)) == 1:
        torch.set_num_threads(threads)
        for problem in problems:
            yield _one(request, problem, progress=True)
        return
    context = get_context("spawn")  # a forked process would share torch's threads
    with ProcessPoolExecutor(
        min(jobs, len(problems)), mp_context=context, initializer=torch.set_num_threads, initargs=(threads,)
    ) as pool:
        waiting = [pool.submit(partial(_one, progress=False), request, problem) for problem in problems]
        try:
            for done in as_completed(waiting):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _one(request: Request, problem: str, *, progress: bool) -> Path:
    def told(stage: str, seconds: float) -> None:
        tell(f"{problem}: {stage}", seconds)

    if problem in LARGE:
        return minibatch.reproduce(
            problem, request.out, seeds=request.seeds or 2, seed=request.seed, mode=request.mode, epochs=request.epochs,
            rows=request.rows, device=request.device, overwrite=request.overwrite, progress=progress, tell=told,
        ).folder  # fmt: skip
    return reproduce(
        problem, request.out, seeds=request.seeds or 8, seed=request.seed, mode=request.mode, heating=request.heating,
        brief=request.brief, overwrite=request.overwrite, progress=progress, tell=told,
    ).folder  # fmt: skip
