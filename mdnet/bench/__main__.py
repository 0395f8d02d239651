"""`python -m mdnet.bench`: the batched force against a loop over modules, and what writing a frame costs."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

import mdnet as md
from integrators import VERLET, Splitting, outer
from thermostats import NoseHooverChain


def case(replicas: int, compile: bool, prior: md.GaussianPrior | None = None) -> md.ParticleSystem:
    """1-20-20-1 tanh on 101 points: the small network on which overheads show."""
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 101)[:, None]
    network = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 1))
    y = torch.sin(2 * torch.pi * x)
    return md.ParticleSystem(network, functional.mse_loss, x, y, replicas=replicas, prior=prior, compile=compile)


def module_loop(replicas: int) -> Callable[[], object]:
    """Forward and backward of `replicas` plain modules, one after another: what a script without mdnet does."""
    system = case(1, compile=False)
    modules = [system.module(q) for q in system.positions().repeat(replicas, 1)]

    def step() -> None:
        for module in modules:
            module.zero_grad(set_to_none=True)
            torch.autograd.backward(functional.mse_loss(module(system.inputs), system.targets))

    return step


def batched(replicas: int, compile: bool) -> Callable[[], object]:
    """The force of all replicas at once."""
    system = case(replicas, compile)
    q = system.positions(seed=0)
    return lambda: system.force(q)


def whole_step(replicas: int, compile: bool) -> Callable[[], object]:
    """A step of velocity Verlet with a Nose-Hoover chain."""
    system = case(replicas, compile)
    integrator = Splitting(outer(VERLET), system.force, 0.002, NoseHooverChain(temperature=0.05, tau=0.2))
    phase = integrator.start(system.positions(seed=0), torch.zeros(replicas, system.dof), system.masses)
    return lambda: integrator(phase)


def interleaved(calls: Mapping[str, Callable[[], object]], *, rounds: int, seconds: float = 0.2) -> dict[str, float]:
    """Return the median seconds a call takes, the calls taken in turn `rounds` times."""
    for call in calls.values():
        call()
        call()
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            count, began = 0, time.perf_counter()
            while (elapsed := time.perf_counter() - began) < seconds:
                call()
                count += 1
            samples[name].append(elapsed / count)
    return {name: statistics.median(values) for name, values in samples.items()}


def force_table(replicas: int, rounds: int) -> None:
    """Print steps x replicas per second of each route and its ratio to the loop over modules."""
    calls = {
        "loop over modules, forward and backward": module_loop(replicas),
        "force, eager": batched(replicas, compile=False),
        "force, compiled": batched(replicas, compile=True),
        "step of Verlet + chain, compiled force": whole_step(replicas, compile=True),
    }
    times = interleaved(calls, rounds=rounds)
    loop = times["loop over modules, forward and backward"]
    print(f"\n{replicas} replicas of 1-20-20-1 on 101 points, float32, {torch.get_num_threads()} thread(s)")
    for name, seconds in times.items():
        print(f"  {name:42s} {replicas / seconds:12,.0f} steps x replicas/s   {loop / seconds:6.2f} x the loop")


def writing_table(replicas: int, steps: int, rounds: int) -> None:
    """Print what a frame every 100 steps costs, as a share of the run without it."""
    system = case(replicas, compile=True, prior=md.GaussianPrior(temperature=0.05))
    spent: dict[str, list[float]] = {"without output": [], "a frame every 100 steps": []}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds):
            for name in spent:
                output = None if name == "without output" else Path(folder) / str(turn)
                integrator = Splitting(outer(VERLET), system.force, 0.002, NoseHooverChain(0.05, tau=0.2))
                simulation = md.Simulation(system, integrator, output=output, reporters=[md.Frames(100)])
                simulation.run(100, progress=False)
                began = time.perf_counter()
                simulation.run(steps, progress=False)
                spent[name].append(time.perf_counter() - began)
    bare, written = (statistics.median(values) for values in spent.values())
    print(f"\nwriting, {replicas} replicas, {steps} steps: {bare:.3f} s without, {written:.3f} s with, "
          f"{100 * (written / bare - 1):+.1f} %")  # fmt: skip


def main() -> None:
    """Parse the command line and print both tables."""
    parser = argparse.ArgumentParser(prog="python -m mdnet.bench", description=__doc__)
    parser.add_argument("--replicas", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2000, help="of each run in the writing table")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}")
    force_table(options.replicas, options.rounds)
    writing_table(options.replicas, options.steps, options.rounds)


if __name__ == "__main__":
    main()
