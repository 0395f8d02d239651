"""Networks to be tested: the user's own from a run file, and two real ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import vjp, vmap
from torch.nn import functional

from integrators import Force
from mdnet import config, data, networks
from mdnet.config import building
from mdnet.priors import GaussianPrior
from mdnet.stability import largest_frequency
from mdnet.system import ParticleSystem
from mdnet.training import minimise
from mdnet.validation.subjects import Subject

REPLICAS = 32  # the fewest that give standard errors
_KINKED = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish,
    nn.Softshrink, nn.Hardshrink, nn.Threshold, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d,
)  # fmt: skip
_PROBES = 4


def of_system(
    name: str,
    make: Callable[[torch.dtype], ParticleSystem],
    dtype: torch.dtype,
    start: Callable[[ParticleSystem], Tensor],
    *,
    temperature: float,
    dt: float | None = None,
    burn: int = 2000,
    every: int = 25,
    frames: int = 40,
) -> Subject:
    """Return a network as a subject, `make` building its particle system in a precision.

    `start(system)`: positions (replicas, dof). `dt`: by default 0.3 over the largest frequency there. `burn`
    and `every` count steps. A typical time is 50 steps.
    """
    made = cache(make)
    system = made(dtype)
    positions = start(system).double()
    step = dt if dt is not None else 0.3 / float(largest_frequency(system, positions.to(dtype)).max())
    smooth = not any(isinstance(module, _KINKED) for module in system.network.modules())

    def rows(replicas: int, at: float) -> Tensor:
        return positions.repeat(-(-replicas // len(positions)), 1)[:replicas]

    def force(precision: torch.dtype) -> Force:
        return made(precision).force

    return Subject(
        name, system.masses.double(), {entry.name: entry.size for entry in system.table.entries}, force, rows,
        temperature=temperature, dt=step, time=50 * step, burn=burn * step, spacing=every * step, frames=frames,
        replicas=system.replicas, warmth=1.0, dtype=dtype, smooth=smooth,
        fixed=not system.shares_data or (system.stiffness is not None and system.stiffness.ndim == 2),
        laplacian=_laplacian(system) if smooth and system.walls is None else None,
    )  # fmt: skip


def of_file(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    replicas: int | None = None,
    temperature: float | None = None,
    burn: int = 2000,
    progress: bool = True,
) -> tuple[Subject, config.RunFile]:
    """Return what a run file describes as a subject, and the file as read, with 32 replicas or more.

    The force is that of all data, and what it schedules is left out: temperature and dt are what the file sets.
    Raises ConfigError, and ValueError where the file has no temperature, or several, or steps that differ by replica.
    """
    runfile = config.load(path, overrides)
    wanted = replicas or max(REPLICAS, runfile.system.replicas)
    if wanted != runfile.system.replicas:
        overrides = [*overrides, f"system.replicas={wanted}"]
        runfile = config.load(path, overrides)
    if runfile.minibatch is not None:
        warnings.warn(f"[minibatch] of {path} is left out: the force here is that of all data", stacklevel=2)
    set_temperature = temperature if temperature is not None else runfile.temperature
    values = {"temperature": set_temperature, "dt": getattr(runfile.integrator, "dt", None)}
    numbers = {name: _one(path, name, value) for name, value in values.items()}

    def make(dtype: torch.dtype) -> ParticleSystem:
        same = config.load(path, [*overrides, f'system.dtype="{str(dtype).removeprefix("torch.")}"'])
        return building.particles(same, *building.data(same))

    subject = of_system(
        path.stem, make, getattr(torch, runfile.system.dtype),
        lambda system: building.start(runfile, system, progress=progress),
        temperature=numbers["temperature"], dt=numbers["dt"], burn=burn,
    )  # fmt: skip
    return subject, runfile


def _one(path: Path, name: str, value: object) -> float:
    """The value as one number."""
    if not isinstance(value, int | float):
        told = "none" if value is None else "one for each replica"
        raise ValueError(f"{path} has {told} as {name}; a test needs one number: give --{name} NUMBER")
    return float(value)


def digits(replicas: int = REPLICAS) -> Subject:
    """A 64-16-10 network that reads handwritten digits, 200 of them."""
    return _trained("digits", replicas, hidden=16, rows=200, temperature=0.005, loss=functional.cross_entropy)


def auto_mpg(replicas: int = REPLICAS) -> Subject:
    """A network that predicts the fuel consumption of cars, from 100 of them."""
    return _trained("auto-mpg", replicas, hidden=16, rows=100, temperature=0.005, loss=functional.mse_loss)


def _trained(
    name: str, replicas: int, *, hidden: int, rows: int, temperature: float, loss: Callable[[Tensor, Tensor], Tensor]
) -> Subject:
    dataset = data.load(name)
    inputs, targets = data.split(dataset, rows).train
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = networks.mlp(dataset.shape, dataset.outputs, hidden=(hidden,))

    def make(dtype: torch.dtype) -> ParticleSystem:
        prior = GaussianPrior(1.0, temperature=temperature)
        return ParticleSystem(network, loss, inputs, targets, replicas=replicas, prior=prior, dtype=dtype)

    def start(system: ParticleSystem) -> Tensor:
        return minimise(system, system.positions(seed=0), 300, 0.01, progress=False)

    return of_system(name, make, torch.float32, start, temperature=temperature)


def _laplacian(system: ParticleSystem) -> Callable[[Tensor], Tensor]:
    """Hutchinson's estimate z.H z of the Laplacian by random signs z, unbiased: (replicas, dof) -> (replicas,)."""

    def estimate(q: Tensor) -> Tensor:
        signs = torch.randint(0, 2, (_PROBES, *q.shape), device=q.device).to(q.dtype) * 2 - 1
        (bends,) = vmap(vjp(system.force.gradient, q)[1])(signs)  # z -> H z, H being symmetric
        laplacian: Tensor = (signs * bends).sum(-1, dtype=torch.float64).mean(0)
        return laplacian

    return estimate
