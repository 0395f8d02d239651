"""Runs as replicas of one simulation beside as many processes: whole studies, and steps alone."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

import mdnet
from mdnet import config, timing
from mdnet.bench.rate import Timing
from mdnet.bench.table import Table, Value
from mdnet.simulation import Simulation
from mdnet.sweep import planning
from mdnet.sweep.packed import Packed

FILE = Path(mdnet.__file__).parent / "examples" / "digits.toml"
COLUMNS = {
    "what": "what", "runs": "runs", "steps": "steps", "seconds": "s", "cpu": "CPU s", "over_separate": "/ separate",
    "over_cpu": "/ separate (CPU)",
}  # fmt: skip
_SHARE = 16  # one process in so many is timed, as all take the same
_BLOCK = 1000  # steps, after which both checkpoint


def packing_tables(threads: int, how: Timing, *, runs: int = 64, steps: int = 2000) -> list[Table]:
    """Time whole studies of the digits' network by `mdnet`, one process at work at a time, and steps alone in turn.

    Whole studies are timed `how.rounds` times in turn; ratios are medians over the turns, of processor time as well,
    which counts nothing but the work where a machine has other work to do.
    """
    with timing.pinned(threads), tempfile.TemporaryDirectory() as folder:
        torch.set_num_threads(threads)
        return [_studies(Path(folder), runs, steps, how.rounds), _steps(Path(folder), runs, how)]


def _studies(folder: Path, runs: int, steps: int, rounds: int) -> Table:
    seeds, options = f"run.seed=0:{runs}", ["--set", f"run.steps={steps}"]
    few = max(1, runs // _SHARE)
    ways: dict[str, tuple[float, Callable[[Path], list[list[str]]]]] = {
        "mdnet run, a process each": (runs / few, lambda out: [
            ["run", str(FILE), *options, "--set", f"run.seed={seed}", "--out", f"{out}/{seed}"] for seed in range(few)
        ]),
        "mdnet sweep --no-pack": (1.0, lambda out: [
            ["sweep", str(FILE), *options, "--over", seeds, "--out", str(out), "--workers", "1", "--no-pack"]
        ]),
        "mdnet sweep": (1.0, lambda out: [
            ["sweep", str(FILE), *options, "--over", seeds, "--out", str(out), "--workers", "1"]
        ]),
    }  # fmt: skip
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(rounds):
        for place, (name, (scale, words)) in enumerate(ways.items()):
            seconds, cpu = _spent(words(folder / f"{turn}-{place}"))
            taken[name].append((scale * seconds, scale * cpu))
    first = taken[next(iter(ways))]
    rows = [_row(name, runs, steps, each, first) for name, each in taken.items()]
    note = f"of the processes one in {_SHARE} was timed, times {_SHARE}; all times with start, import and table"
    rows[-1] = rows[-1] | {"note": note}
    title = (
        f"64-32-10 on digits, SGD with batches of 32; {runs} runs of {steps} steps, one at a time; medians of {rounds}"
    )
    return Table("packing", title, COLUMNS, rows)


def _spent(commands: Sequence[Sequence[str]]) -> tuple[float, float]:
    """Seconds, and seconds of the processor, that commands take one after the other, their children's with them."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    for words in commands:
        done = subprocess.run([sys.executable, "-m", "mdnet", *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(f"mdnet {' '.join(words)} failed: {done.stderr.strip()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _row(
    name: str, runs: int, steps: int, taken: Sequence[tuple[float, float]], first: Sequence[tuple[float, float]]
) -> dict[str, Value]:
    own, others = list(zip(*taken, strict=True)), list(zip(*first, strict=True))
    return {
        "what": name, "runs": runs, "steps": steps,
        "seconds": statistics.median(own[0]), "cpu": statistics.median(own[1]),
        "over_separate": timing.ratio(others[0], own[0]), "over_cpu": timing.ratio(others[1], own[1]),
    }  # fmt: skip


def _steps(folder: Path, runs: int, how: Timing) -> Table:
    """Steps of one run and of all as replicas in this process, with their reports and without start and import."""
    planned = planning.plan(FILE, {"run.seed": range(runs)})
    runfiles = [each.runfile for each in planned]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        single = config.build(runfiles[0], folder / "single", progress=False)
        packed = Packed(runfiles, folder / "packed", {}).simulation
    ways = {"one run": (single, runs), f"{runs} runs as replicas": (packed, 1)}
    times = timing.turns(
        {name: _block(simulation) for name, (simulation, _) in ways.items()}, rounds=how.rounds, seconds=how.seconds
    )
    each = {name: [seconds * scale for seconds in times[name]] for name, (_, scale) in ways.items()}
    first = each["one run"]
    rows: list[dict[str, Value]] = [
        {"what": name, "runs": runs, "rate": runs * _BLOCK / statistics.median(spent),
         "over_separate": timing.ratio(first, spent)}
        for name, spent in each.items()
    ]  # fmt: skip
    columns = {"what": "what", "runs": "runs", "rate": "run-steps/s", "over_separate": "/ one run after another"}
    title = f"the same network, steps and reports alone; medians of {how.rounds} turns"
    return Table("packing-steps", title, columns, rows)


def _block(simulation: Simulation) -> Callable[[], object]:
    return lambda: simulation.run(_BLOCK, progress=False)
