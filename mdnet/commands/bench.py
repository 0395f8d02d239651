"""`mdnet bench`: how fast this machine steps, beside the bare gradient, the bare module and other programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer

import mdnet as md
from mdnet.bench.cases import CASES, PAIRS, TEMPERATURE
from mdnet.bench.gpu import gpu_tables, precision_table
from mdnet.bench.landscape import landscape_table
from mdnet.bench.offline import offline_table
from mdnet.bench.packing import packing_tables
from mdnet.bench.rate import Timing, rate_table
from mdnet.bench.rivals import peers_table
from mdnet.bench.scaling import draw, scaling_table
from mdnet.bench.sweep_of_rates import sweep_of_rates
from mdnet.bench.table import Table, grouped, write
from mdnet.bench.writing import frames_table, throughput_table
from mdnet.console import errors_told
from mdnet.distributed.scaling import scaling
from mdnet.routes.choice import ROUTES, Route
from mdnet.spelling import unknown
from mdnet.timing import keep_memory

_BIAS = "what forces of fewer digits change; z in standard errors from independent replicas"
TABLES = (
    "rate", "scaling", "peers", "ranks", "precision", "gpu", "writing", "offline", "landscape", "sweep-of-rates",
    "packing",
)  # fmt: skip


@dataclass(frozen=True)
class _Plan:
    """What was asked for on the command line."""

    cases: list[str]
    replicas: list[int]
    threads: list[int]
    routes: list[Route]
    pairs: list[str]
    python: str
    how: Timing
    largest: float
    steps: int


def bench(
    tables: Annotated[str, typer.Option(metavar="A,B", help=f"Of {', '.join(TABLES)}.")] = "rate",
    cases: Annotated[
        str,
        typer.Option("--case", metavar="A,B", help="; ".join(f"{name}: {case.title}" for name, case in CASES.items())),
    ] = "a,b,c,d",
    replicas: Annotated[str, typer.Option(metavar="N,M", help="By default those of each case.")] = "",
    threads: Annotated[str, typer.Option(metavar="N,M", help="CPU threads, and cores to keep to.")] = "1",
    pairs: Annotated[
        str, typer.Option("--pair", metavar="A,B", help="; ".join(f"{k}: {pair.title}" for k, pair in PAIRS.items()))
    ] = "nhc,baoab",
    routes: Annotated[str, typer.Option("--route", metavar="A,B", help=f"Of {', '.join(ROUTES)}.")] = "auto",
    peers: Annotated[
        Path | None,
        typer.Option(metavar="PYTHON", help="Of an environment with jax, jax-md, blackjax, posteriors; default: this."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns that everything is timed in.")] = 7,
    seconds: Annotated[float, typer.Option(min=0.001, help="Of each turn.")] = 0.2,
    largest: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the full sizes, of scaling.")] = 1.0,
    steps: Annotated[int, typer.Option(min=100, help="Of a turn with frames and without, of writing.")] = 300,
    figure: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the table scaling.")] = None,
    as_json: Annotated[str | None, typer.Option("--json", metavar="FILE", help='As JSON; "-" to the screen.')] = None,
) -> None:
    """Time whole steps beside the bare gradient, the bare module, other programs, files and analyses.

    What is compared is timed in turn in one run, so that ratios count and seconds are those of the machine. Close other
    programs: cores that are shared make all of it slow, and two threads slower than one.
    """
    with errors_told():
        plan = _Plan(
            _known("case", cases, list(CASES)), _numbers("replicas", replicas), _numbers("threads", threads) or [1],
            [r for r in ROUTES if r in _known("route", routes, ROUTES)], _known("pair", pairs, list(PAIRS)),
            str(peers or sys.executable), Timing(rounds, seconds), largest, steps,
        )  # fmt: skip
        chosen = _known("table", tables, TABLES)
        if figure is not None and "scaling" not in chosen:
            raise ValueError("--figure draws the table scaling; add it to --tables")
        keep_memory()
        done = list(_shown(chosen, plan, show=as_json != "-"))
        if figure is not None:
            draw([table for table in done if table.name == "scaling"], figure)
        if as_json is not None:
            write(done, rounds, as_json)


def _shown(names: Sequence[str], plan: _Plan, *, show: bool) -> Iterator[Table]:
    """Make the tables one by one, and print each when it is there."""
    for name in names:
        for table in _made(name, plan):
            if show:
                table.show()
            yield table


def _made(name: str, plan: _Plan) -> Iterator[Table]:
    if name == "writing":
        replicas = plan.replicas[0] if plan.replicas else 64
        digits = CASES["b"]
        system = digits.system(replicas, plan.routes[0], md.GaussianPrior(temperature=TEMPERATURE))
        yield frames_table(system, digits.title, plan.steps, plan.how.rounds)
        yield throughput_table(replicas, 200_000, 8, plan.how.rounds)
    elif name == "offline":
        yield offline_table(plan.how.rounds)
    elif name == "ranks":
        rows = [{"table": "ranks"} | asdict(row) for row in scaling(repeats=plan.how.rounds)]
        yield from grouped(rows, "over the same in one process; traffic in bytes a rank and step")
    elif name == "precision":
        yield from grouped(precision_table(torch.device("cuda" if torch.cuda.is_available() else "cpu")), _BIAS)
    elif name == "gpu":
        yield from grouped(gpu_tables(plan.how.rounds), "on a GPU")
    else:
        for threads in plan.threads:
            yield from _timed(name, threads, plan)


def _timed(name: str, threads: int, plan: _Plan) -> Iterator[Table]:
    """The tables that are made for each number of threads."""
    if name == "scaling":
        yield scaling_table(plan.routes[0], plan.pairs, threads, plan.how, plan.largest)
        return
    if name == "landscape":
        yield landscape_table(threads, plan.how)
        return
    if name == "sweep-of-rates":
        yield from sweep_of_rates(threads, plan.how)
        return
    if name == "packing":
        yield from packing_tables(threads, plan.how)
        return
    for case in plan.cases:
        if name == "rate":
            yield rate_table(case, plan.replicas, threads, plan.routes, plan.pairs, plan.how)
        else:
            yield peers_table(case, plan.replicas, threads, plan.pairs, plan.python, plan.how)


def _known(kind: str, text: str, allowed: Sequence[str]) -> list[str]:
    """Words between commas, all of them allowed."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words or [""]:
        if word not in allowed:
            raise ValueError(unknown(kind, word, allowed))
    return words


def _numbers(name: str, text: str) -> list[int]:
    """Positive integers between commas."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if wrong := [word for word in words if not (word.isdecimal() and int(word) > 0)]:
        raise ValueError(f"--{name} {text}: {wrong[0]!r} is no number of one or more; write numbers between commas")
    return [int(word) for word in words]
