"""What is timed: a block of steps as a simulation takes them, the bare force, and the bare module as the floor."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import mdnet as md
from integrators import Phase
from mdnet.bench.cases import PAIRS, TEMPERATURE, Case, Pair
from mdnet.routes.choice import Route
from mdnet.routes.stepping import stepper
from thermostats.parameters import maxwell

Call = Callable[[], object]
LONGEST = 100  # steps in a block


class Steps:
    """A phase under way, advanced in blocks as a simulation advances it between two looks."""

    def __init__(self, system: md.ParticleSystem, pair: Pair, dt: float) -> None:
        integrator = pair.integrator(system, dt)
        self.phase: Phase = integrator.start(*start(system), system.masses)
        self.block = 1
        self._stepper = stepper(system, integrator, self.phase)

    def __call__(self) -> None:
        """Advance by a block of steps."""
        left = self.block
        while left:
            steps = min(left, self._stepper.block)
            self._stepper.advance(self.phase, steps)
            left -= steps

    def fit(self, seconds: float) -> None:
        """Make the block as long as fits into `seconds`, one step at least and 100 at most."""
        self.block = max(1, min(LONGEST, int(seconds / elapsed(self))))

    @property
    def how(self) -> str:
        """How the steps are taken, and why so."""
        return repr(self._stepper)

    def check(self) -> None:
        """Raise ValueError where the motion diverged: then the numbers moved are not those of a run."""
        if not torch.isfinite(self.phase.u).all():
            raise ValueError("the motion that was timed diverged; take a smaller dt for this case")


@dataclass(frozen=True)
class Begun:
    """A system with the steps of some pairs; `ready`: seconds until the first step was done, all compilation in it."""

    system: md.ParticleSystem
    force: Call
    running: dict[str, Steps]
    ready: dict[str, float]


def begin(case: Case, replicas: int, route: Route, pairs: Sequence[str], block: float) -> Begun:
    """Make everything ready to be timed, in blocks of about `block` seconds."""
    began = time.perf_counter()
    system = case.system(replicas, route)
    force = gradient(system)
    force()
    begun = Begun(system, force, {}, {})
    shared = time.perf_counter() - began
    for pair in pairs:
        began = time.perf_counter()
        steps = begun.running[pair] = Steps(system, PAIRS[pair], case.dt)
        steps()
        begun.ready[pair] = shared + time.perf_counter() - began
        steps.fit(block)
    return begun


def start(system: md.ParticleSystem) -> tuple[Tensor, Tensor]:
    """Return positions and momenta (replicas, dof), always the same."""
    q = system.positions(seed=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return q, maxwell(q, system.masses, torch.tensor(TEMPERATURE, dtype=torch.float64))


def gradient(system: md.ParticleSystem) -> Call:
    """Return the bare force of all replicas."""
    q = system.positions(seed=1)
    return lambda: system.force(q)


def floor(case: Case) -> Call:
    """Return forward and backward of one plain module: what a script without mdnet does for one replica."""
    system = case.system(1, "eager")
    module = system.module(system.positions(seed=1)[0])

    def passes() -> None:
        module.zero_grad(set_to_none=True)
        torch.autograd.backward(system.loss(module(system.inputs), system.targets))

    return passes


def elapsed(call: Call) -> float:
    """Return the seconds that one call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
