"""How a run scales with the ranks of one machine: more replicas, the same replicas, or the same data on more ranks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

import torch
from torch.nn import functional

from integrators import BAOAB, Splitting
from mdnet.distributed.world import ALONE, World
from mdnet.networks import mlp
from mdnet.priors import GaussianPrior
from mdnet.reporters import Scalars
from mdnet.simulation import Simulation
from mdnet.system import ParticleSystem
from thermostats import Langevin

Kind = Literal["weak", "strong", "data"]
KINDS: tuple[Kind, ...] = ("weak", "strong", "data")
REPLICAS = {"1-20-20-1": 64, "digits": 16}
_REPORTS = 50  # steps between two reports of scalars
_SCALARS = 7 * 8  # bytes of a report for each replica


@dataclass(frozen=True)
class Row:
    """One measurement on so many ranks, in ratios to one process that was timed in turns with them.

    `kind`: "weak" has as many replicas on each rank as one process has, "strong" divides these, "data" divides the
    rows of data. `speedup`: replica-steps a second over those of one process. `efficiency`: speedup/ranks. `traffic`:
    bytes that a rank sends in a step, on the average.
    """

    case: str
    kind: Kind
    ranks: int
    replicas: int
    speedup: float
    efficiency: float
    traffic: float


def scaling(ranks: Sequence[int] = (1, 2), *, steps: int = 200, repeats: int = 5) -> list[Row]:
    """Return weak and strong scaling over each number of gloo ranks, each rank with one thread.

    For each number one job is started, in which one process and all ranks take turns `repeats` times for `steps` steps;
    the median of the ratios counts. More ranks than free cores measure the machine's sharing, not the program.

    Raises ChildProcessError where a job fails, with what it said.
    """
    found: list[Row] = []
    for count in ranks:
        words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        job = subprocess.run(
            [sys.executable, *words, "-m", "mdnet.distributed.scaling", str(steps), str(repeats)],
            env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if job.returncode:
            raise ChildProcessError(f"the job of {count} ranks failed: {job.stderr.strip()[-2000:]}")
        found += [Row(**json.loads(line)) for line in job.stdout.splitlines() if line.startswith("{")]
    return found


def traffic(kind: Kind, dof: int, replicas: int, ranks: int, *, itemsize: int = 4) -> float:
    """Return the bytes that a rank sends in a step: a sum over rings for data, else its scalars when they are due."""
    if kind == "data":
        return 2 * (ranks - 1) / ranks * replicas * (itemsize * dof + 8)
    return 0.0 if ranks == 1 else replicas / ranks * _SCALARS / _REPORTS


def _system(case: str, replicas: int) -> ParticleSystem:
    torch.manual_seed(0)
    loss: Any = functional.mse_loss
    if case == "1-20-20-1":
        inputs = torch.linspace(0, 1, 101)[:, None]
        targets, network = torch.sin(2 * torch.pi * inputs), mlp((1,), 1, [20, 20])
    else:
        inputs, targets = torch.rand(1797, 64), torch.randint(10, (1797,))  # as large as the digits of scikit-learn
        loss, network = functional.cross_entropy, mlp((64,), 10, [64])
    return ParticleSystem(network, loss, inputs, targets, replicas=replicas, prior=GaussianPrior())


def _simulation(case: str, replicas: int, world: World) -> Simulation:
    system = _system(case, replicas)
    integrator = Splitting(BAOAB, system.force, 0.01, Langevin(0.01, 1.0))
    return Simulation(system, integrator, reporters=[Scalars(_REPORTS)], world=world)


def _seconds(simulation: Simulation, steps: int) -> float:
    began = time.perf_counter()
    simulation.run(steps, progress=False)
    return time.perf_counter() - began


def _measure(case: str, kind: Kind, worlds: Mapping[bool, World], steps: int, repeats: int) -> Row:
    """One process and all ranks in turns; rank 0 tells what came out."""
    import torch.distributed as dist

    ranks, alone = dist.get_world_size(), REPLICAS[case]
    replicas = alone * ranks if kind == "weak" else alone
    together, single = _simulation(case, replicas, worlds[kind == "data"]), _simulation(case, alone, ALONE)
    ratios = []
    for turn in range(repeats + 1):
        dist.barrier()
        one = _seconds(single, steps) if dist.get_rank() == 0 else 1.0
        dist.barrier()
        ratios += [one / _seconds(together, steps)] if turn else []  # the first turn warms up
    speedup = median(ratios) * replicas / alone
    sent = traffic(kind, together.system.dof, replicas, ranks)
    return Row(case, kind, ranks, replicas, speedup, speedup / ranks, sent)


def _work(steps: int, repeats: int) -> None:
    """What each rank of a job does."""
    import torch.distributed as dist

    from mdnet.distributed.launch import world

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    with world() as replicas, world(dist.get_world_size()) as data:
        for case in REPLICAS:
            for kind in KINDS:
                row = _measure(case, kind, {False: replicas, True: data}, steps, repeats)
                if dist.get_rank() == 0:
                    print(json.dumps(asdict(row)), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    _work(int(sys.argv[1]), int(sys.argv[2]))
