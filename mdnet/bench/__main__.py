"""`python -m mdnet.bench`: the force against a loop over modules, and what a step and a frame cost beside it."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

import mdnet as md
from integrators import BAOAB, OBABO, VERLET, Scheme, Splitting, Thermostat, outer
from mdnet.bench.offline import offline_table
from mdnet.bench.writing import frames_table, throughput_table
from mdnet.timing import interleaved, keep_memory, ratio
from thermostats import Bussi, Langevin, NoseHooverChain


def case(replicas: int, compile: bool, prior: md.GaussianPrior | None = None) -> md.ParticleSystem:
    """1-20-20-1 tanh on 101 points: the small network on which overheads show."""
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 101)[:, None]
    network = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 1))
    y = torch.sin(2 * torch.pi * x)
    return md.ParticleSystem(
        network, functional.mse_loss, x, y, replicas=replicas, prior=prior, route="compiled" if compile else "eager"
    )


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


def force_table(replicas: int, rounds: int) -> None:
    """Print steps x replicas per second of each route and its ratio to the loop over modules."""
    calls = {
        "loop over modules, forward and backward": module_loop(replicas),
        "force, eager": batched(replicas, compile=False),
        "force, compiled": batched(replicas, compile=True),
        "step of Verlet + chain, compiled force": whole_step(replicas, compile=True),
    }
    times = interleaved(calls, rounds=rounds, seconds=0.2)
    loop = times["loop over modules, forward and backward"]
    print(f"\n{replicas} replicas of 1-20-20-1 on 101 points, float32, {torch.get_num_threads()} thread(s)")
    for name, seconds in times.items():
        print(f"  {name:42s} {replicas / seconds:12,.0f} steps x replicas/s   {loop / seconds:6.2f} x the loop")


def digits(replicas: int) -> md.ParticleSystem:
    """64-64-10 on all 1797 digits, full batch."""
    dataset = md.data.load("digits")
    torch.manual_seed(0)
    network = md.networks.mlp(dataset.shape, dataset.outputs, hidden=(64,))
    inputs, targets = dataset.inputs, dataset.targets
    return md.ParticleSystem(
        network, functional.cross_entropy, inputs, targets,
        replicas=replicas, prior=md.GaussianPrior(temperature=0.05), route="compiled",
    )  # fmt: skip


PAIRS: dict[str, tuple[Scheme, Thermostat]] = {
    "BAOAB + Langevin": (BAOAB, Langevin(0.05, friction=5.0)),
    "OBABO + Langevin": (OBABO, Langevin(0.05, friction=5.0)),
    "outer(VERLET) + Nose-Hoover chain": (outer(VERLET), NoseHooverChain(0.05, tau=0.2)),
    "OBABO + Bussi": (OBABO, Bussi(0.05, tau=0.2)),
}


def cost_table(name: str, system: md.ParticleSystem, rounds: int) -> None:
    """Print what integrator and thermostat cost beside the compiled force, as a share of it."""
    print(f"\n{name}, {system.replicas} replicas, float32, compiled, {torch.get_num_threads()} thread(s)")
    for pair, (scheme, bath) in PAIRS.items():
        step, force = _step_and_force(system, Splitting(scheme, system.force, 0.002, bath, compile=True))
        more = ratio(step, force, rounds=4 * rounds, seconds=0.25) - 1
        print(f"  {pair:36s} {100 * more:+5.1f} % beside the force")


def _step_and_force(system: md.ParticleSystem, engine: Splitting) -> tuple[Callable[[], object], Callable[[], object]]:
    q = system.positions(seed=0)
    phase = engine.start(q.clone(), torch.zeros_like(q), system.masses)
    return lambda: engine(phase), lambda: system.force(q)


TABLES = ("force", "cost", "writing", "offline")


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m mdnet.bench", description=__doc__)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--replicas", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=200, help="of each turn with frames and without")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--coordinates", type=int, default=200_000, help="of a replica in the frames of the disk table")
    parser.add_argument("--frames", type=int, default=8, help="that the disk table appends")
    options = parser.parse_args()
    keep_memory()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}")
    if "force" in options.tables:
        force_table(options.replicas, options.rounds)
    if "cost" in options.tables:
        cost_table("1-20-20-1 on 101 points", case(1024, compile=True), options.rounds)
        cost_table("64-64-10 on 1797 digits", digits(64), options.rounds)
    if "writing" in options.tables:
        frames_table("64-64-10 on 1797 digits", digits(options.replicas), options.steps, options.rounds)
        throughput_table(options.replicas, options.coordinates, options.frames, options.rounds)
    if "offline" in options.tables:
        offline_table(options.rounds)


if __name__ == "__main__":
    main()
