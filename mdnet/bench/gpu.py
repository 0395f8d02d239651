"""What a GPU makes of a step: eager, compiled and captured steps, its share of the time, and what fewer digits cost."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import torch

import mdnet as md
from integrators import BAOAB, VERLET, Force, Integrator, Phase, Splitting, outer
from mdnet import timing
from mdnet.bench.cases import CASES, FRICTION, PAIRS, TEMPERATURE, Case
from mdnet.routes.bias import Reduced, precision_bias
from mdnet.routes.capture import CapturedSteps
from mdnet.routes.precision import Precision
from mdnet.routes.stepping import PlainSteps
from thermostats import Langevin, NoseHooverChain
from thermostats.parameters import maxwell

Row = dict[str, float | int | str | None]
REPLICAS = (1, 64, 1024, 4096)
_SECONDS = 0.2  # of each turn
_BLOCK = 96  # steps between two synchronisations


class Way(NamedTuple):
    """How a step is run: one compiled graph or none, and how many steps a CUDA graph has, 0 for none."""

    compiled: bool
    unroll: int


WAYS = {
    "eager": Way(False, 0),
    "compiled": Way(True, 0),
    "captured": Way(False, 1),
    "captured + compiled": Way(True, 1),
    "captured + compiled, 8 steps": Way(True, 8),
}


class Running:
    """A phase under way on a device; a call is a block of steps, and ends when the device has done them."""

    def __init__(
        self, case: Case, replicas: int, pair: str, way: Way, device: torch.device, precision: Precision = "float32"
    ) -> None:
        system = system_on(case, replicas, device)
        self.force = Reduced(system, precision, route="compiled" if way.compiled else "eager")
        scheme, bath = PAIRS[pair].scheme, PAIRS[pair].thermostat(FRICTION)
        self.engine = Splitting(scheme, self.force, case.dt, bath, compile=way.compiled)
        plain = PlainSteps(system, self.engine)
        self.steps = CapturedSteps(plain, unroll=way.unroll) if way.unroll else plain
        q = system.positions(seed=0)
        p = maxwell(q, system.masses, torch.tensor(TEMPERATURE, dtype=torch.float64, device=device))
        self.phase = self.engine.start(q, p, system.masses)

    @property
    def ran(self) -> str:
        """How steps were run in fact: where a capture failed, what kept it."""
        return repr(self.steps)

    def __call__(self) -> None:
        """Advance by a block of steps, and wait for them."""
        self.steps.advance(self.phase, _BLOCK)
        _wait(self.phase.q.device)


def system_on(case: Case, replicas: int, device: torch.device) -> md.ParticleSystem:
    """Return a case's system on a device, with a Gaussian prior so that there is an ensemble."""
    torch.manual_seed(0)
    prior = md.GaussianPrior(temperature=TEMPERATURE)
    inputs, targets = case.data()
    return md.ParticleSystem(
        case.network(), case.loss, inputs, targets, replicas=replicas, device=device, prior=prior, route="eager"
    )


def gpu_tables(rounds: int, replicas: Sequence[int] = REPLICAS) -> list[Row]:
    """Return the rows of all tables that need a GPU; where there is none, one row that says so."""
    if not torch.cuda.is_available():
        return [{"table": "gpu", "note": "not measured: no CUDA device"}]
    device = torch.device("cuda", torch.cuda.current_device())
    rows = [row for size in replicas for row in way_rows(CASES["a"], "a", size, device, rounds)]
    rows += processor_rows(max(replicas), device, rounds)
    rows += way_rows(CASES["c"], "c", 1, device, rounds) + captured_gradient_rows(device, rounds)
    for name, size in (("a", max(replicas)), ("c", 1)):
        rows += precision_rows(CASES[name], name, size, device, rounds)
    return rows + precision_table(device)


def way_rows(
    case: Case, name: str, replicas: int, device: torch.device, rounds: int, ways: Mapping[str, Way] = WAYS
) -> list[Row]:
    """Time every way of running both pairs of scheme and bath, in turn."""
    pairs = ("nhc", "baoab")
    calls = {(pair, way): Running(case, replicas, pair, how, device) for pair in pairs for way, how in ways.items()}
    rates = _rates(calls, replicas, rounds)
    rows: list[Row] = []
    for (pair, way), rate in rates.items():
        running = calls[pair, way]
        row: Row = {"table": "ways", "case": name, "replicas": replicas, "pair": pair, "way": way, "ran": running.ran}
        row |= {"steps x replicas /s": rate, "share of time in kernels": kernel_share(running, replicas / rate)}
        rows.append(row)
    return rows


def processor_rows(replicas: int, device: torch.device, rounds: int) -> list[Row]:
    """Time case (a) on the GPU beside one thread of the processor, in turn."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        calls = {
            "GPU": Running(CASES["a"], replicas, "nhc", WAYS["captured + compiled"], device),
            "one CPU thread": Running(CASES["a"], replicas, "nhc", WAYS["compiled"], torch.device("cpu")),
        }
        rates = _rates(calls, replicas, rounds)
    finally:
        torch.set_num_threads(threads)
    row: Row = {"table": "processor", "case": "a", "replicas": replicas, "pair": "nhc"}
    slow = rates["one CPU thread"]
    return [
        row | {"on": on, "steps x replicas /s": rate, "over one CPU thread": rate / slow} for on, rate in rates.items()
    ]


def captured_gradient_rows(device: torch.device, rounds: int) -> list[Row]:
    """Time a ConvNet's captured step beside the captured gradient alone: what integrator and bath add to it."""
    step = Running(CASES["c"], 1, "nhc", WAYS["captured"], device)
    bare = _Gradient(step)
    times = timing.turns({"step": step, "gradient": bare}, rounds=rounds, seconds=_SECONDS)
    row: Row = {"table": "gradient", "case": "c", "replicas": 1, "pair": "nhc"}
    return [row | {"step / captured gradient": timing.ratio(times["step"], times["gradient"])}]


class _Gradient:
    """The force at fixed positions, captured, as often as a block has steps; a method of motion that stands still."""

    def __init__(self, running: Running) -> None:
        self.integrator: Integrator = running.engine
        self.force, self.phase = running.force, running.phase
        self.steps = CapturedSteps(self)

    def advance(self, phase: Phase, steps: int) -> None:
        """Evaluate the force `steps` times."""
        for _ in range(steps):
            self.force(phase.q)

    def __call__(self) -> None:
        self.steps.advance(self.phase, _BLOCK)
        _wait(self.phase.q.device)


def precision_rows(case: Case, name: str, replicas: int, device: torch.device, rounds: int) -> list[Row]:
    """Time captured steps with forces of fewer digits, in turn."""
    kinds: tuple[Precision, ...] = ("float32", "tf32", "bf16")
    calls = {kind: Running(case, replicas, "nhc", WAYS["captured"], device, kind) for kind in kinds}
    rates = _rates(calls, replicas, rounds)
    row: Row = {"table": "digits", "case": name, "replicas": replicas, "pair": "nhc"}
    slow = rates["float32"]
    return [
        row | {"force": kind, "steps x replicas /s": rate, "over float32": rate / slow} for kind, rate in rates.items()
    ]


BATHS: dict[str, Callable[[Force], Integrator]] = {
    "BAOAB + Langevin": lambda force: Splitting(BAOAB, force, 0.1, Langevin(TEMPERATURE, friction=0.2)),
    "outer(VERLET) + Nose-Hoover chain": lambda force: Splitting(
        outer(VERLET), force, 0.1, NoseHooverChain(TEMPERATURE, tau=2.0, order=5)
    ),
}
"""Weak baths: heat that a force brings by its errors shows the more."""


def precision_table(
    device: torch.device, replicas: Mapping[str, int] | None = None, steps: int = 2000, burn: int = 1000
) -> list[Row]:
    """Measure what forces of fewer digits do to kinetic temperature, <U> and heat at T = 0.05, cases (a) and (b)."""
    kinds: tuple[Precision, ...] = ("tf32", "bf16") if device.type == "cuda" else ("bf16",)
    rows: list[Row] = []
    for name, size in (replicas or {"a": 64, "b": 16}).items():
        system = system_on(CASES[name], size, device)
        for bath, build in BATHS.items():
            for kind in kinds:
                row: Row = {"table": "bias", "case": name, "replicas": size, "bath": bath, "force": kind}
                table = precision_bias(system, build, kind, steps=steps, burn=burn)
                rows += [row | x._asdict() | {"z": x.z} for x in table]
    return rows


def kernel_share(running: Callable[[], object], seconds: float) -> float | None:
    """Return the time that kernels take of `seconds` a step; None where the profiler sees no kernels."""
    from torch.profiler import ProfilerActivity, profile

    if not torch.cuda.is_available():
        return None
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        running()
    kernels = [e.time_range.elapsed_us() for e in seen.events() if e.device_type.name == "CUDA"]
    return sum(kernels) * 1e-6 / _BLOCK / seconds if kernels else None


K = TypeVar("K", bound=Hashable)


def _rates(calls: Mapping[K, Running], replicas: int, rounds: int) -> dict[K, float]:
    """Steps x replicas per second of each, timed in turn: medians."""
    names = {str(key): key for key in calls}
    times = timing.turns({name: calls[key] for name, key in names.items()}, rounds=rounds, seconds=_SECONDS)
    return {names[name]: replicas * _BLOCK / statistics.median(each) for name, each in times.items()}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
