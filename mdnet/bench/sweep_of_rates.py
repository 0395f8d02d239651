"""A sweep of learning rates as replicas of one run, beside as many runs of one rate, one after the other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

import mdnet as md
from integrators import SGD
from mdnet import timing
from mdnet.bench.products import by_products
from mdnet.bench.rate import Timing
from mdnet.bench.table import Table, Value
from mdnet.networks import scale_invariant_convnet, scale_invariant_mlp
from mdnet.routes.choice import Route
from mdnet.routes.stepping import stepper

RATES = 8
COLUMNS = {
    "what": "what", "convolutions": "convolutions", "route": "route", "replicas": "R", "rate": "R steps/s",
    "over_runs": "/ runs in turn", "ready": "ready (s)", "how": "how",
}  # fmt: skip
_LONGEST = 100  # steps in a block


class Way(NamedTuple):
    """How forces are computed: the route, and whether convolutions are matrix products."""

    route: Route
    products: bool = False

    def __str__(self) -> str:
        return self.route + (" with products" if self.products else "")


@dataclass(frozen=True)
class Case:
    """A network on rows of random numbers, labels of ten classes and minibatches: a time does not depend on a content.

    `shape` of one input, `rows` of them. `ways`: of the sweep; `alone`: of a run of one rate, the fastest counts.
    """

    title: str
    network: Callable[[], nn.Module]
    shape: tuple[int, ...]
    rows: int
    batch: int
    ways: Sequence[Way]
    alone: Sequence[Way]

    def data(self) -> tuple[Tensor, Tensor]:
        """Return inputs (rows, *shape) and labels (rows,)."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(self.rows, *self.shape, generator=generator), torch.arange(self.rows) % 10


def convnet(rows: int) -> Case:
    """Return ConvNet(8) on so many images of CIFAR-10's shape, with minibatches of 128."""
    every: list[Route] = ["eager", "compiled"]
    ways = [Way("module"), *(Way(route, products) for products in (False, True) for route in every)]
    return Case(
        f"ConvNet(8), {rows} random images of 3 x 32 x 32, batch 128", lambda: scale_invariant_convnet((3, 32, 32), 10),
        (3, 32, 32), rows, 128, ways, [Way("module"), Way("compiled")],
    )  # fmt: skip


DIGITS = Case(
    "64-6-6-10, 1437 random rows, batch 32", lambda: scale_invariant_mlp(64, 10), (64,), 1437, 32,
    [Way("auto"), Way("eager")], [Way("auto"), Way("module")],
)  # fmt: skip


class Running:
    """SGD on the unit sphere at rates from 1e-3 to 0.1, one a replica; a call is a block of steps, and waits for them.

    `ready`: seconds until the first step was done, all compilation in it.
    """

    def __init__(self, case: Case, replicas: int, way: Way, device: torch.device, seconds: float) -> None:
        began = time.perf_counter()
        network = by_products(case.network()) if way.products else case.network()
        self.system = md.ParticleSystem(
            network, functional.cross_entropy, *case.data(), replicas=replicas, device=device, route=way.route
        )
        rates = torch.logspace(-3, -1, replicas, dtype=torch.float64)[:, None]
        sgd, q = SGD(self.system.minibatch(case.batch), rates, radius=1.0), self.system.positions(seed=1)
        self.phase = sgd.start(q, torch.zeros_like(q), self.system.masses)
        self.stepper, self.block = stepper(self.system, sgd, self.phase), 1
        self()
        self.ready = time.perf_counter() - began
        self.block = max(1, min(_LONGEST, int(seconds / self._elapsed())))

    def __call__(self) -> None:
        """Advance by a block of steps."""
        left = self.block
        while left:
            steps = min(left, self.stepper.block)
            self.stepper.advance(self.phase, steps)
            left -= steps
        if self.phase.q.device.type == "cuda":
            torch.cuda.synchronize(self.phase.q.device)

    def _elapsed(self) -> float:
        began = time.perf_counter()
        self()
        return time.perf_counter() - began


def sweep_of_rates(threads: int, how: Timing) -> list[Table]:
    """Time ConvNet(8), on a GPU where there is one, and the digits' network on the CPU."""
    gpu = torch.cuda.is_available()
    images = convnet(10_000 if gpu else 512)
    device = torch.device("cuda" if gpu else "cpu")
    return [sweep_table(images, device, threads, how), sweep_table(DIGITS, torch.device("cpu"), threads, how)]


def sweep_table(case: Case, device: torch.device, threads: int, how: Timing) -> Table:
    """Time all ways of a sweep in turn with those of a single run; ratios are over the fastest of the single runs."""
    with timing.pinned(threads):
        torch.set_num_threads(threads)
        half = how.seconds / 2
        alone = {f"{way}, one rate": (way, Running(case, 1, way, device, half)) for way in case.alone}
        many = {str(way): (way, Running(case, RATES, way, device, half)) for way in case.ways}
        calls = {name: running for name, (_, running) in (alone | many).items()}
        times = timing.turns(calls, rounds=how.rounds, seconds=how.seconds)
    step = {name: [seconds / calls[name].block for seconds in each] for name, each in times.items()}
    fastest = min(alone, key=lambda name: statistics.median(step[name]))
    rows = [_row(f"{RATES} runs in turn", *alone[name], step[name], step[fastest]) for name in alone]
    rows += [_row("one run", *many[name], step[name], step[fastest]) for name in many]
    best = max(many, key=lambda name: timing.ratio(step[fastest], step[name]))
    rows[-1] = rows[-1] | {"note": f"fastest: {best}; beside it the fastest single run, {fastest}"}
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {threads} thread(s)"
    title = f"{case.title}; {RATES} rates of SGD; {where}; medians of {how.rounds} turns"
    return Table("sweep-of-rates", title, COLUMNS, rows)


def _row(what: str, way: Way, running: Running, step: Sequence[float], alone: Sequence[float]) -> dict[str, Value]:
    """The rate of a way: replicas times steps a second, and how many times that of runs of one rate in turn."""
    replicas, system = running.system.replicas, running.system
    return {
        "what": what, "convolutions": "products" if way.products else "torch's", "route": system.route,
        "asked": way.route, "replicas": replicas, "dof": system.dof, "rate": replicas / statistics.median(step),
        "over_runs": replicas * timing.ratio(alone, step), "ready": running.ready, "how": repr(running.stepper),
    }  # fmt: skip
